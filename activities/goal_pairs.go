package activities

import (
	"context"
	"errors"
	"fmt"

	"tempera/datagen/loader"
	"tempera/datagen/sample"
	"tempera/datagen/shard"
	"tempera/datagen/truth"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/score"
)

// pairsGoal is what the goals that learn from image-text pairs have in common.
type pairsGoal struct {
	// objective computes the loss; epoch is the steps of one.
	objective func(j *job, epoch int64) (closer, error)
	// validation makes the measurement on held-out pairs.
	validation func(j *job, pairs *evaluationPairs) (*validation, error)
	// batches makes the input of steps from pairs; nil: pairBatches.
	batches func(ctx context.Context, j *job, l *loader.Loader) (training.Batches, error)
}

// heldOutPairs is how many pairs are measured on the way at most.
const heldOutPairs = 512

func (g pairsGoal) open(ctx context.Context, j *job) (_ *lesson, err error) {
	sets, closeSets, err := openSets(ctx, j.task, j.task.Inputs["data"])
	if err != nil {
		return nil, err
	}
	closers := []func() error{closeSets}
	l := &lesson{batch: j.params.Batch, close: func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	loaders, err := newLoaders(j, sets)
	if err != nil {
		return nil, err
	}
	s := j.params.syllabus()
	epochs := func(steps int64) []float64 {
		return s.epochs(steps, func(k int, n int64) []float64 { return loaders[k].Epochs(n) })
	}
	of := g.batches
	if of == nil {
		of = pairBatches
	}
	batches := make([]training.Batches, len(loaders))
	for k, one := range loaders {
		if batches[k], err = of(ctx, j, one); err != nil {
			return nil, err
		}
	}
	l.epochs = epochs
	l.batches = func(step int64, b *training.Batch) error {
		k, within := s.at(step)
		b.Note("epoch", epochs(step + 1)[0])
		if len(batches) > 1 {
			b.Note("stage", float64(k+1))
		}
		return batches[k](within, b)
	}
	if l.objective, err = g.objective(j, loaders[0].StepsPerEpoch()); err != nil {
		return nil, Invalid(err)
	}
	closers = append(closers, l.objective.Close)
	held, ok := j.task.Input("held_out")
	if !ok {
		return l, nil
	}
	v, err := g.validate(ctx, j, held)
	if err != nil {
		return nil, err
	}
	closers = append(closers, v.close)
	l.evaluate, l.score, l.lower = v.measure, v.score, v.lower
	return l, nil
}

func newLoaders(j *job, sets []*shard.Dataset) ([]*loader.Loader, error) {
	p := j.params
	if err := p.sight().check(j.model.Config); err != nil {
		return nil, err
	}
	var loaders []*loader.Loader
	for k, st := range p.syllabus().stages {
		weights, err := weighted(st.Weights, len(sets))
		if err != nil {
			return nil, err
		}
		var parts []loader.Part
		for i, s := range sets {
			parts = append(parts, loader.Part{Data: s, Weight: weights[i]})
		}
		vision := j.model.Config.Vision
		mean, std := vision.Normalization()
		l, err := loader.New(loader.Config{Batch: p.Batch, Seed: stageSeed(p.Seed, k), Image: vision.Image, Augment: p.Augment, Mean: mean, Std: std, Native: p.sight().sizes(j.model.Config)}, parts...)
		if err != nil {
			return nil, Invalid(err)
		}
		loaders = append(loaders, l)
	}
	return loaders, nil
}

func (g pairsGoal) validate(ctx context.Context, j *job, a artifact.Artifact) (*validation, error) {
	set, err := shard.Open(ctx, j.task.Store, a, j.task.Scratch)
	if err != nil {
		return nil, err
	}
	pairs, err := readPairs(first(set.All(ctx), heldOutPairs), j.model.Config, j.params.sight())
	if err := errors.Join(err, set.Close()); err != nil {
		return nil, err
	}
	v, err := g.validation(j, pairs)
	if err != nil {
		return nil, Invalid(err)
	}
	return v, nil
}

// first cuts a stream off after n samples.
func first(in sample.Stream, n int) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		left := n
		for s, err := range in {
			if !yield(s, err) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// recallValidation measures recall@1, in per cent, both ways, among the held-out pairs.
func recallValidation(j *job, pairs *evaluationPairs) (*validation, error) {
	n := len(pairs.samples)
	scorer, err := model.NewScorer(j.model, min(j.params.Batch, n))
	if err != nil {
		return nil, err
	}
	members, shows := make([]int, n), make([]string, n)
	for i, s := range pairs.samples {
		members[i], shows[i] = i, truth.Key(s.Facts)
	}
	tokens, lengths := j.encoder.rows(pairs.captions())
	measure := func(context.Context) (training.Metrics, error) {
		images, err := scorer.ImageFeatures(pairs.images, n)
		if err != nil {
			return nil, err
		}
		texts, err := scorer.TextFeatures(tokens, lengths)
		if err != nil {
			return nil, err
		}
		r, err := score.Gallery{
			Images: n, Texts: n, Scores: cosines(images, texts, features{scorer.Embed(), members}),
			Same: func(i, k int) bool { return i == k || truth.Same(shows[i], shows[k]) },
		}.Ranks()
		if err != nil {
			return nil, err
		}
		var sum float64
		for i, hit := range score.Hits(r.ImageToText, 1) {
			sum += hit + score.Hits(r.TextToImage, 1)[i]
		}
		return training.Metrics{"r1": 50 * sum / float64(n)}, nil
	}
	return &validation{measure: measure, score: "r1", close: scorer.Close}, nil
}

// captionValidation measures the loss of a caption's token, in nats.
func captionValidation(j *job, pairs *evaluationPairs) (*validation, error) {
	n := min(j.params.Batch, len(pairs.samples))
	scorer, err := objective.NewCaptionScorer(j.model, n)
	if err != nil {
		return nil, err
	}
	tokens, lengths := j.encoder.rows(pairs.captions())
	pixels, width := j.model.Config.Vision.Pixels(), j.model.Config.Text.Context
	measure := func(ctx context.Context) (training.Metrics, error) {
		return tokenLoss(ctx, tokenLossOf{pairs: len(pairs.samples), batch: n, score: func(at int) (float64, int, error) {
			var b training.Batch
			copy(b.Float32s(objective.Images, n*pixels), pairs.images[at*pixels:])
			copy(b.Int32s(objective.Tokens, n*width), tokens[at*width:])
			copy(b.Int32s(objective.Lengths, n), lengths[at:])
			return scorer.Score(&b)
		}})
	}
	return &validation{measure: measure, score: "val_loss", lower: true, close: scorer.Close}, nil
}

// tokenLossOf are held-out pairs whose captions are scored, a batch from a pair on at a
// time.
type tokenLossOf struct {
	pairs, batch int
	score        func(at int) (nats float64, tokens int, err error)
}

// tokenLoss is the mean loss of a caption's token. Pairs that do not fill a batch are
// left out.
func tokenLoss(ctx context.Context, of tokenLossOf) (training.Metrics, error) {
	var sum float64
	var count int
	for at := 0; at+of.batch <= of.pairs; at += of.batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		nats, tokens, err := of.score(at)
		if err != nil {
			return nil, err
		}
		sum, count = sum+nats, count+tokens
	}
	if count == 0 {
		return nil, fmt.Errorf("the %d held-out captions have no token", of.pairs)
	}
	return training.Metrics{"val_loss": sum / float64(count)}, nil
}

// contrastFaults are those of goals that contrast the pairs of a batch.
func contrastFaults(p fitParams) []error {
	if p.Batch < 2 {
		return []error{fmt.Errorf("batch is %d: %s contrasts the pairs of a batch, use at least 2", p.Batch, p.Objective)}
	}
	return nil
}

// wholeContrastFaults are those of goals that nothing but contrasts the pairs of a batch.
func wholeContrastFaults(p fitParams) []error {
	return append(contrastFaults(p), p.wholeFaults("objective "+string(p.Objective))...)
}
