package activities

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"

	"tempera/datagen/document"
	"tempera/datagen/shard"
	"tempera/datagen/token"
	"tempera/infra/artifact"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

// tokensParams has none yet.
type tokensParams struct{}

// tokensKind turns texts into token shards, which language models are trained on.
func tokensKind() Kind {
	return define(stage.Descriptor{
		Name: "tokens", Version: 1, Queue: stage.CPU,
		Summary: "Tokenise documents, or the captions of pairs",
		Inputs: []stage.Port{
			{Name: "data", Type: artifact.TypeText + "|" + artifact.TypeDataset, Many: true, Doc: "Documents; of image-text pairs, each caption is one."},
			tokenizerPort("Turns text into tokens."),
		},
		Outputs: []stage.Port{{Name: "tokens", Type: artifact.TypeTokens, Doc: "Token shards with the borders of the documents."}},
	}, tokensParams{}, runTokens)
}

func runTokens(ctx context.Context, t *Task, _ tokensParams) error {
	source, _ := t.Input("tokenizer")
	tok, _, err := loadTokenizer(ctx, t.Store, source)
	if err != nil {
		return err
	}
	special, err := specialIDs(tok)
	if err != nil {
		return err
	}
	digest, err := tokenizerDigest(ctx, t.Store, source)
	if err != nil {
		return err
	}
	w := token.NewWriter(t.Store, "tokens", token.Meta{Vocab: tok.Size(), BOS: special.BOS, EOS: special.EOS, Pad: special.Pad, Tokenizer: digest})
	e := &tokenising{task: t, tokenizer: tok, writer: w, bos: special.BOS, eos: special.EOS}
	for text, err := range texts(ctx, t) {
		if err != nil {
			return err
		}
		if err := e.add(ctx, text); err != nil {
			return err
		}
	}
	if err := e.flush(ctx); err != nil {
		return err
	}
	m := w.Meta()
	if m.Documents == 0 {
		return Invalid(fmt.Errorf("%w to tokenise", document.ErrEmpty))
	}
	out, err := w.Close(ctx)
	if err != nil {
		return err
	}
	t.Output("tokens", out)
	t.Metric("documents", float64(m.Documents))
	t.Metric("tokens", float64(m.Tokens))
	t.Metric("bytes", float64(m.Bytes))
	t.Metric("bytes_per_token", float64(m.Bytes)/float64(max(1, m.Tokens)))
	return nil
}

// tokenising encodes documents on all cores and writes them in their order.
type tokenising struct {
	task      *Task
	tokenizer *tokenizer.Tokenizer
	writer    *token.Writer
	bos, eos  int32
	waiting   []string
	bytes     int
}

// A batch of documents is encoded when it has so many bytes.
const tokeniseBytes = 4 << 20

func (e *tokenising) add(ctx context.Context, text string) error {
	e.waiting = append(e.waiting, text)
	if e.bytes += len(text); e.bytes < tokeniseBytes {
		return nil
	}
	return e.flush(ctx)
}

func (e *tokenising) flush(ctx context.Context) error {
	encoded := make([][]int32, len(e.waiting))
	var g errgroup.Group
	threads := max(1, e.task.Threads)
	for k := range threads {
		g.Go(func() error {
			for i := k; i < len(encoded); i += threads {
				ids := append([]int32{e.bos}, e.tokenizer.EncodePlain(e.waiting[i])...)
				encoded[i] = append(ids, e.eos)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, ids := range encoded {
		if err := e.writer.Add(ctx, ids, len(e.waiting[i])); err != nil {
			return err
		}
	}
	e.waiting, e.bytes = e.waiting[:0], 0
	e.task.Progress(Progress{Done: e.writer.Meta().Tokens, Unit: "tokens"})
	select {
	case <-e.task.Stopping: // what is in the store already is found there the next time
		return ErrStopped
	default:
		return nil
	}
}

// texts yields the documents and captions of the input data.
func texts(ctx context.Context, t *Task) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, a := range t.Inputs["data"] {
			of := captionsOf
			if a.Type == artifact.TypeText {
				of = documentsOf
			}
			if !of(ctx, t, a, yield) {
				return
			}
		}
	}
}

func documentsOf(ctx context.Context, t *Task, a artifact.Artifact, yield func(string, error) bool) bool {
	for d, err := range document.All(ctx, t.Store, a) {
		if !yield(d.Text, err) || err != nil {
			return false
		}
	}
	return true
}

func captionsOf(ctx context.Context, t *Task, a artifact.Artifact, yield func(string, error) bool) bool {
	set, err := shard.Open(ctx, t.Store, a, t.Scratch)
	if err != nil {
		yield("", err)
		return false
	}
	for s, err := range set.All(ctx) {
		if err != nil {
			yield("", errors.Join(err, set.Close()))
			return false
		}
		if !yield(s.Caption, nil) {
			_ = set.Close() // only read from
			return false
		}
	}
	if err := set.Close(); err != nil {
		yield("", err)
		return false
	}
	return true
}

// tokenizerDigest is that of tokenizer.json, which a model has too.
func tokenizerDigest(ctx context.Context, s artifact.Blobs, a artifact.Artifact) (artifact.Digest, error) {
	m, err := artifact.LoadManifest(ctx, s, a)
	if err != nil {
		return "", err
	}
	f, err := m.Find(tokenizerFile)
	return f.Digest, Invalid(err)
}
