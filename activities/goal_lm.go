package activities

import (
	"context"
	"errors"
	"fmt"
	"math"

	"tempera/datagen/pack"
	"tempera/datagen/token"
	"tempera/infra/artifact"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/parallel"
)

const lmGoalName goalName = "lm"

// lmGoal learns the next token of text.
func lmGoal() goal {
	return goal{
		name: lmGoalName, kind: model.LM, data: artifact.TypeTokens, open: openLM,
		validate: func(ctx context.Context, j *job, held artifact.Artifact) (*validation, error) {
			return validateLM(ctx, j, held, nil)
		},
	}
}

// lmData is the token sets of a job, packed for each stage of its curriculum.
type lmData struct {
	syllabus syllabus
	sets     []*token.Set
	packers  []*pack.Packer
	shapes   []objective.PackedShape
}

func openLM(ctx context.Context, j *job) (_ *lesson, err error) {
	d := &lmData{syllabus: j.params.syllabus()}
	l := &lesson{batch: j.params.Batch, batches: d.fill}
	closers := []func() error{d.close}
	l.close = func() error {
		var errs []error
		for i := len(closers) - 1; i >= 0; i-- {
			errs = append(errs, closers[i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for _, a := range j.task.Inputs["data"] {
		s, err := openTokens(ctx, j, a)
		if err != nil {
			return nil, err
		}
		d.sets = append(d.sets, s)
	}
	if err := d.pack(j); err != nil {
		return nil, err
	}
	l.epochs = func(steps int64) []float64 {
		return d.syllabus.epochs(steps, func(k int, n int64) []float64 { return d.packers[k].Epochs(n) })
	}
	goal, all, err := parallel.Spread(j.task.Group, j.model, func(m *model.Model) (*objective.PackedLM, error) {
		return objective.NewPackedLM(m, j.params.plan(), d.shapes...)
	})
	if err != nil {
		return nil, Invalid(err)
	}
	l.objective = all
	closers = append(closers, all.Close)
	held, ok := j.task.Input("held_out")
	if !ok {
		return l, nil
	}
	v, err := validateLM(ctx, j, held, goal.Scorer)
	if err != nil {
		return nil, err
	}
	closers = append(closers, v.close)
	l.evaluate, l.score, l.lower = v.measure, v.score, v.lower
	return l, nil
}

// validateLM measures how well held-out tokens are predicted; scorer nil: with memory of its own.
func validateLM(ctx context.Context, j *job, held artifact.Artifact, scorer func(objective.PackedShape) (*objective.LMScorer, error)) (*validation, error) {
	s, err := openTokens(ctx, j, held)
	if err != nil {
		return nil, err
	}
	p := j.params
	scoring, err := newTextScoring(j.model, s, textScoringOptions{rows: p.Batch, batches: p.EvaluateBatches, seed: p.Seed, scorer: scorer})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &validation{measure: scoring.metrics, score: "bits_per_byte", lower: true, close: func() error {
		return errors.Join(scoring.close(), s.Close())
	}}, nil
}

// openTokens opens a token set, which must be of the model's tokenizer.
func openTokens(ctx context.Context, j *job, a artifact.Artifact) (*token.Set, error) {
	s, err := token.Open(ctx, j.task.Store, a, j.task.Scratch)
	if errors.Is(err, token.ErrFormat) {
		return nil, Invalid(err)
	}
	if err != nil {
		return nil, err
	}
	if s.Meta.Tokenizer != j.tokenizer.Digest || s.Meta.Vocab > j.model.Config.Text.Vocab {
		err := fmt.Errorf("tokens %s are of tokenizer %s (vocabulary %d), the model has tokenizer %s (vocabulary %d): tokenise the text with the model's",
			a.Digest.Short(), s.Meta.Tokenizer.Short(), s.Meta.Vocab, j.tokenizer.Digest.Short(), j.model.Config.Text.Vocab)
		return nil, errors.Join(Invalid(err), s.Close())
	}
	return s, nil
}

// stageSeed gives each stage of a curriculum an order of its own.
func stageSeed(seed uint64, stage int) uint64 { return seed ^ uint64(stage)<<48 }

func (d *lmData) pack(j *job) error {
	for k, st := range d.syllabus.stages {
		weights, err := weighted(st.Weights, len(d.sets))
		if err != nil {
			return err
		}
		var parts []pack.Part
		for i, s := range d.sets {
			parts = append(parts, pack.Part{Data: s, Weight: weights[i]})
		}
		context := st.Context
		if context == 0 {
			context = j.model.Config.Text.Context
		}
		p, err := pack.New(pack.Config{
			Batch: st.Batch, Context: context, Mode: pack.Mode(j.params.Packing), Seed: stageSeed(j.params.Seed, k),
			Pad: j.model.Config.Text.Special.Pad, Ignore: device.IgnoreIndex,
		}, parts...)
		if err != nil {
			return Invalid(fmt.Errorf("pack the tokens: %w", err))
		}
		d.packers = append(d.packers, p)
		d.shapes = append(d.shapes, objective.PackedShape{Rows: st.Batch, Context: context, Ends: p.Spans()})
	}
	return nil
}

// fill is training.Batches.
func (d *lmData) fill(step int64, b *training.Batch) error {
	k, within := d.syllabus.at(step)
	n, err := d.packers[k].Fill(within, textArrays(b, d.shapes[k]))
	if err != nil {
		return err
	}
	b.Note(training.TokensKey, float64(n))
	b.Note("epoch", d.syllabus.epochs(step+1, func(k int, n int64) []float64 { return d.packers[k].Epochs(n) })[0])
	if len(d.packers) > 1 {
		b.Note("stage", float64(k+1))
	}
	return nil
}

// textArrays are the arrays of a batch of a shape.
func textArrays(b *training.Batch, s objective.PackedShape) pack.Arrays {
	n := s.Rows * s.Context
	copy(b.Int32s(objective.Shape, 3), []int32{int32(s.Rows), int32(s.Context), int32(s.Ends)})
	a := pack.Arrays{Tokens: b.Int32s(objective.Tokens, n), Targets: b.Int32s(objective.Targets, n)}
	if s.Ends > 0 {
		a.Positions, a.Ends = b.Int32s(objective.Positions, n), b.Int32s(objective.Ends, s.Ends)
	}
	return a
}

func (d *lmData) close() error {
	var errs []error
	for _, s := range d.sets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// textScoring measures how well a language model predicts a token set. Documents
// are apart, also where training joins them; one that is longer than the context
// is cut, and the tokens after a cut see nothing before it.
type textScoring struct {
	scorer *objective.LMScorer
	pass   *pack.Pass
	shape  objective.PackedShape
	take   int // batches
	ratio  float64
	batch  training.Batch
}

type textScoringOptions struct {
	rows    int // of a batch
	batches int // at most
	seed    uint64
	scorer  func(objective.PackedShape) (*objective.LMScorer, error) // nil: one with memory of its own
}

func newTextScoring(m *model.Model, s *token.Set, o textScoringOptions) (*textScoring, error) {
	context := m.Config.Text.Context
	p, err := pack.NewPass(pack.Config{
		Batch: o.rows, Context: context, Mode: pack.Separate, Seed: o.seed, Pad: m.Config.Text.Special.Pad, Ignore: device.IgnoreIndex,
	}, s)
	if err != nil {
		return nil, Invalid(fmt.Errorf("pack the held-out tokens: %w", err))
	}
	if p.Batches() == 0 || s.Meta.Bytes == 0 {
		return nil, Invalid(fmt.Errorf("held-out tokens %s have no text", s.Artifact.Digest.Short()))
	}
	t := &textScoring{
		pass: p, take: min(o.batches, p.Batches()), shape: objective.PackedShape{Rows: o.rows, Context: context, Ends: p.Spans()},
		ratio: float64(s.Meta.Tokens-int64(s.Meta.Documents)) / float64(s.Meta.Bytes),
	}
	if o.scorer == nil {
		o.scorer = func(s objective.PackedShape) (*objective.LMScorer, error) { return objective.NewLMScorer(m, s) }
	}
	t.scorer, err = o.scorer(t.shape)
	return t, err
}

// each scores the batches one after the other.
func (t *textScoring) each(ctx context.Context, yield func(nats float64, tokens int)) error {
	for i := range t.take {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := t.pass.Fill(i, textArrays(&t.batch, t.shape)); err != nil {
			return err
		}
		nats, tokens, err := t.scorer.Score(&t.batch)
		if err != nil {
			return err
		}
		yield(nats, tokens)
	}
	return nil
}

// metrics are the loss of a token in nats, and the bits of a byte of text: the
// bytes of the batches are taken to be those of as many tokens of the whole set.
func (t *textScoring) metrics(ctx context.Context) (training.Metrics, error) {
	var sum float64
	var count int
	err := t.each(ctx, func(nats float64, tokens int) { sum, count = sum+nats, count+tokens })
	if err != nil {
		return nil, err
	}
	loss := sum / float64(count)
	return training.Metrics{"val_loss": loss, "bits_per_byte": t.bits(loss)}, nil
}

// bits turns nats of a token into bits of a byte.
func (t *textScoring) bits(nats float64) float64 { return nats / math.Ln2 * t.ratio }

func (t *textScoring) close() error { return t.scorer.Close() }
