package activities

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tempera/datagen/loader"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/tokenizer"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// captionEncoder turns captions into the rows of token ids that a model takes.
type captionEncoder struct {
	tokenizer *tokenizer.Tokenizer
	special   model.Special
	context   int
	known     map[string][]int32 // of captions seen before
}

func newCaptionEncoder(tok *tokenizer.Tokenizer, c model.Config) *captionEncoder {
	return &captionEncoder{tok, c.Text.Special, c.Text.Context, map[string][]int32{}}
}

// maxKnown bounds the memory of an encoder.
const maxKnown = 1 << 18

// put writes one caption and padding into a row of context ids and returns the
// length without padding. What does not fit of the caption is cut.
func (e *captionEncoder) put(row []int32, caption string) int32 {
	ids, ok := e.known[caption]
	if !ok {
		ids = e.wrap(e.tokenizer.EncodePlain(caption))
		if len(e.known) < maxKnown {
			e.known[caption] = ids
		}
	}
	n := copy(row, ids)
	for i := n; i < len(row); i++ {
		row[i] = e.special.Pad
	}
	return int32(n)
}

// wrap puts a caption's ids between those that the tokenizer's template has before
// and after them, or, where it has no template, between BOS and EOS.
func (e *captionEncoder) wrap(ids []int32) []int32 {
	if around := len(e.tokenizer.Wrap(nil)); around > 0 {
		return e.tokenizer.Wrap(ids[:min(len(ids), max(e.context-around, 0))])
	}
	ids = append([]int32{e.special.BOS}, ids...)
	return append(ids[:min(len(ids), e.context-1)], e.special.EOS)
}

// rows encodes captions: tokens (n, context) and lengths (n).
func (e *captionEncoder) rows(captions []string) (tokens, lengths []int32) {
	tokens, lengths = make([]int32, len(captions)*e.context), make([]int32, len(captions))
	for i, c := range captions {
		lengths[i] = e.put(tokens[i*e.context:(i+1)*e.context], c)
	}
	return tokens, lengths
}

// specialIDs are the ids of the special tokens as a model's configuration has them.
func specialIDs(tok *tokenizer.Tokenizer) (model.Special, error) {
	s, err := tok.Special(tokenizer.SpecialNames{})
	if err != nil {
		return model.Special{}, Invalid(err)
	}
	return model.Special{Pad: s.Pad, BOS: s.BOS, EOS: s.EOS, ENC: s.ENC}, nil
}

// openSets opens data sets; closing the returned function closes them.
func openSets(ctx context.Context, t *Task, sets []artifact.Artifact) (opened []*shard.Dataset, closeAll func() error, err error) {
	closeAll = func() error {
		var errs []error
		for _, s := range opened {
			errs = append(errs, s.Close())
		}
		return errors.Join(errs...)
	}
	for _, a := range sets {
		s, err := shard.Open(ctx, t.Store, a, t.Scratch)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll())
		}
		opened = append(opened, s)
	}
	return opened, closeAll, nil
}

// pairBatches feeds a loop with image-text pairs.
func pairBatches(ctx context.Context, j *job, l *loader.Loader) (training.Batches, error) {
	e := j.encoder
	return func(step int64, b *training.Batch) error {
		got, err := l.Batch(ctx, step)
		if err != nil {
			return err
		}
		n := len(got.Captions)
		copy(b.Float32s(objective.Images, len(got.Images)), got.Images)
		tokens, lengths := b.Int32s(objective.Tokens, n*e.context), b.Int32s(objective.Lengths, n)
		for i, c := range got.Captions {
			lengths[i] = e.put(tokens[i*e.context:(i+1)*e.context], c)
		}
		return nil
	}, nil
}

// evaluationPairs is a data set in memory, as evaluation and filtering see it.
type evaluationPairs struct {
	samples []sample.Sample
	images  []float32      // (n, 3, H, W), or
	sized   []loader.Sized // of their own sizes
}

// readPairs decodes samples for a model. Training has the data checked before;
// what does not decode here is an error.
func readPairs(stream sample.Stream, c model.Config, see sight) (*evaluationPairs, error) {
	if err := see.check(c); err != nil {
		return nil, err
	}
	p := &evaluationPairs{}
	mean, std := c.Vision.Normalization()
	decoder, err := loader.New(loader.Config{Batch: 1, Image: c.Vision.Image, Mean: mean, Std: std, Native: see.sizes(c)}, loader.Part{Data: oneSample{}})
	if err != nil {
		return nil, err
	}
	for s, err := range stream {
		if err != nil {
			return nil, err
		}
		if err := p.add(s, c, decoder); err != nil {
			return nil, Invalid(fmt.Errorf("sample %s: %w", s.Key, err))
		}
	}
	if len(p.samples) == 0 {
		return nil, Invalid(shard.ErrEmpty)
	}
	return p, nil
}

// add decodes a sample: to a square, unless the decoder keeps shapes.
func (p *evaluationPairs) add(s sample.Sample, c model.Config, decoder *loader.Loader) error {
	p.samples = append(p.samples, s)
	if decoder.KeepsShapes() {
		one, err := decoder.PreprocessNative(s.Image)
		p.sized = append(p.sized, one)
		return err
	}
	at, pixels := len(p.images), c.Vision.Pixels()
	p.images = slices.Grow(p.images, pixels)[:at+pixels]
	return decoder.Preprocess(s.Image, p.images[at:])
}

// part is n pairs from one on.
func (p *evaluationPairs) part(at, n int, c model.Config) *evaluationPairs {
	out := &evaluationPairs{samples: p.samples[at : at+n]}
	if p.sized != nil {
		out.sized = p.sized[at : at+n]
		return out
	}
	pixels := c.Vision.Pixels()
	out.images = p.images[at*pixels : (at+n)*pixels]
	return out
}

// shown are the images.
func (p *evaluationPairs) shown() shown { return shown{len(p.samples), p.images, p.sized} }

func (p *evaluationPairs) captions() []string {
	captions := make([]string, len(p.samples))
	for i, s := range p.samples {
		captions[i] = s.Caption
	}
	return captions
}

// oneSample satisfies a loader that only preprocesses.
type oneSample struct{}

func (oneSample) Len() int { return 1 }

func (oneSample) Sample(context.Context, int) (sample.Sample, error) {
	return sample.Sample{}, errors.New("there is no data set behind this loader")
}
