package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tempera/datagen/shard"
	"tempera/infra/artifact"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

type tokenizerParams struct {
	VocabSize    int  `json:"vocab_size" doc:"Tokens in all, the 256 bytes and the special ones included." min:"270" max:"200000"`
	MinFrequency int  `json:"min_frequency" doc:"How often a pair must occur to become a token." min:"1"`
	Lowercase    bool `json:"lowercase" doc:"Captions are lower-cased."`
}

// tokenizerKind trains a byte-level BPE tokenizer on the captions of data sets.
func tokenizerKind() Kind {
	return define(stage.Descriptor{
		Name: "tokenizer", Version: 1, Queue: stage.CPU,
		Summary: "Train a byte-pair tokenizer on captions",
		Inputs:  []stage.Port{{Name: "data", Type: artifact.TypeDataset, Many: true, Doc: "Data sets whose captions are the corpus."}},
		Outputs: []stage.Port{{Name: "tokenizer", Type: artifact.TypeTokenizer, Doc: "tokenizer.json in Hugging Face's format."}},
	}, tokenizerParams{VocabSize: 1024, MinFrequency: 2, Lowercase: true}, trainTokenizer)
}

// tokenizerMeta is what a tokenizer's manifest says beside the file.
type tokenizerMeta struct {
	Longest int `json:"longest"` // tokens of the longest caption, its ends included
	Vocab   int `json:"vocab"`
}

const tokenizerFile = "tokenizer.json"

func trainTokenizer(ctx context.Context, t *Task, p tokenizerParams) error {
	var failed error
	captions := func(yield func(string) bool) {
		failed = eachCaption(ctx, t, yield)
	}
	tok, err := tokenizer.Train(captions, tokenizer.TrainOptions{
		VocabSize: p.VocabSize, MinFrequency: p.MinFrequency, Lowercase: p.Lowercase, PrefixSpace: true,
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
	err = eachCaption(ctx, t, func(caption string) bool {
		meta.Longest = max(meta.Longest, len(tok.Wrap(tok.EncodePlain(caption))))
		return true
	})
	if err != nil {
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

// eachCaption yields the captions of the input data sets.
func eachCaption(ctx context.Context, t *Task, yield func(string) bool) (err error) {
	for _, a := range t.Inputs["data"] {
		set, err := shard.Open(ctx, t.Store, a, t.Scratch)
		if err != nil {
			return err
		}
		for s, err := range set.All(ctx) {
			if err != nil {
				return errors.Join(err, set.Close())
			}
			if !yield(s.Caption) {
				return set.Close()
			}
		}
		if err := set.Close(); err != nil {
			return err
		}
	}
	return nil
}

// loadTokenizer reads a tokenizer artifact.
func loadTokenizer(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (*tokenizer.Tokenizer, tokenizerMeta, error) {
	var meta tokenizerMeta
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return nil, meta, err
	}
	if err := json.Unmarshal(m.Meta, &meta); err != nil {
		return nil, meta, Invalid(fmt.Errorf("tokenizer %s: %w", a.Digest.Short(), err))
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
