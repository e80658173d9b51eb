package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/infra/artifact"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

type tokenizerParams struct {
	VocabSize    int  `json:"vocab_size" doc:"Tokens in all, the 256 bytes and the special ones included." min:"270" max:"200000"`
	MinFrequency int  `json:"min_frequency" doc:"How often a pair must occur to become a token." min:"1"`
	Lowercase    bool `json:"lowercase" doc:"Text is lower-cased; what is decoded is then lower-cased too."`
	PrefixSpace  bool `json:"prefix_space" doc:"A space is put before a text that does not begin with one, so that its first word is like others."`
}

// tokenizerKind trains a byte-level BPE tokenizer on captions or documents.
func tokenizerKind() Kind {
	return define(stage.Descriptor{
		Name: "tokenizer", Version: 1, Queue: stage.CPU,
		Summary: "Train a byte-pair tokenizer on captions or documents",
		Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset + "|" + artifact.TypeText, Many: true, Doc: "Data sets whose captions, and documents that, are the corpus."}},
		Outputs: []stage.Port{{Name: "tokenizer", Type: artifact.TypeTokenizer, Doc: "tokenizer.json in Hugging Face's format."}},
	}, tokenizerParams{VocabSize: 1024, MinFrequency: 2, Lowercase: true, PrefixSpace: true}, trainTokenizer)
}

// captionTokens is the room for a caption where no corpus of captions is known, and
// the most where one is.
const captionTokens = 64

// tokenizerMeta is what a tokenizer's manifest says beside the file.
type tokenizerMeta struct {
	Longest int `json:"longest"` // tokens of the longest caption, its ends included; 0 where there were documents only
	Vocab   int `json:"vocab"`
}

const tokenizerFile = "tokenizer.json"

// tokenizerPort takes a tokenizer, or that of a model.
func tokenizerPort(doc string) stage.Port {
	return stage.Port{Name: "tokenizer", Type: artifact.TypeTokenizer + "|" + artifact.TypeModel, Doc: doc + " Of a model, it is the model's."}
}

func trainTokenizer(ctx context.Context, t *Task, p tokenizerParams) error {
	var failed error
	captions := func(yield func(string) bool) {
		for text, err := range texts(ctx, t) {
			if failed = err; err != nil || !yield(text) {
				return
			}
		}
	}
	tok, err := tokenizer.Train(captions, tokenizer.TrainOptions{
		VocabSize: p.VocabSize, MinFrequency: p.MinFrequency, Lowercase: p.Lowercase, PrefixSpace: p.PrefixSpace,
		Template: []string{"[BOS]", "$A", "[EOS]"},
	})
	switch {
	case failed != nil: // what training says of the captions before it is no news
		return failed
	case errors.Is(err, tokenizer.ErrNoText):
		return Invalid(err)
	case err != nil:
		return err
	}
	meta := tokenizerMeta{Vocab: tok.Size()}
	if meta.Longest, err = longestCaption(ctx, t, tok); err != nil {
		return err
	}
	data, err := tok.JSON()
	if err != nil {
		return fmt.Errorf("encode the tokenizer: %w", err)
	}
	ref, err := artifact.PutBytes(ctx, t.Store, data)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	a, err := artifact.PutManifest(ctx, t.Store, &artifact.Manifest{
		Type: artifact.TypeTokenizer, Files: []artifact.File{{Path: tokenizerFile, Ref: ref}}, Meta: raw,
	})
	if err != nil {
		return err
	}
	t.Output("tokenizer", a)
	t.Metric("vocabulary", float64(meta.Vocab))
	t.Metric("longest", float64(meta.Longest))
	return nil
}

// longestCaption is the longest one in tokens, its ends included. Documents are
// cut into rows, so their length does not matter.
func longestCaption(ctx context.Context, t *Task, tok *tokenizer.Tokenizer) (longest int, err error) {
	for _, a := range t.Inputs["data"] {
		if a.Type == artifact.TypeText {
			continue
		}
		captionsOf(ctx, t, a, func(caption string, failed error) bool {
			err = failed
			longest = max(longest, len(tok.Wrap(tok.EncodePlain(caption))))
			return failed == nil
		})
		if err != nil {
			return 0, err
		}
	}
	return longest, nil
}

// loadTokenizer reads a tokenizer artifact, or the tokenizer of a model, of whose
// captions nothing is known.
func loadTokenizer(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (*tokenizer.Tokenizer, tokenizerMeta, error) {
	var meta tokenizerMeta
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, meta, err
	}
	if a.Type == artifact.TypeTokenizer {
		if err := json.Unmarshal(m.Meta, &meta); err != nil {
			return nil, meta, Invalid(fmt.Errorf("tokenizer %s: %w", a.Digest.Short(), err))
		}
	} else {
		meta.Longest = captionTokens
	}
	tok, err := readTokenizer(ctx, s, m)
	return tok, meta, err
}

// readTokenizer reads tokenizer.json of a tokenizer's or a model's manifest.
func readTokenizer(ctx context.Context, s artifact.Blobs, m *artifact.Manifest) (*tokenizer.Tokenizer, error) {
	f, err := m.Find(tokenizerFile)
	if err != nil {
		return nil, Invalid(err)
	}
	data, err := artifact.ReadAll(ctx, s, f.Digest, 256<<20)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Parse(data)
	if err != nil {
		return nil, Invalid(fmt.Errorf("tokenizer %s: %w", f.Digest, err))
	}
	return tok, nil
}

// putStream stores what write produces without holding it in memory.
func putStream(ctx context.Context, s artifact.Blobs, write func(io.Writer) error) (artifact.Ref, error) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(write(w)) }()
	ref, err := s.Put(ctx, r)
	r.CloseWithError(err) // lets the writer end where Put has given up
	return ref, err
}
