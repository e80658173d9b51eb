package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// LM trains a language model: the mean cross-entropy of each token given those
// before it. A batch has tokens and targets, both int32 (B, T), the target of a
// token being the one after it, or device.IgnoreIndex. Of rows that end in ignored
// targets, no more is computed than a bucket of the plan holds.
type LM struct {
	model  *model.Model
	plan   Plan
	graphs buckets
	load   *balancer
	turn   turn
}

var _ training.Objective = (*LM)(nil)

// NewLM builds the objective on an lm model.
func NewLM(m *model.Model, p Plan) (*LM, error) {
	if m.Config.Kind != model.LM {
		return nil, fmt.Errorf("lm objective: the model is of kind %s", m.Config.Kind)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("lm objective: %w", err)
	}
	l := &LM{model: m, plan: p, load: newBalancer(m)}
	var err error
	l.graphs, err = bucketSpec{
		backend: m.Backend(), plan: p, context: m.Config.Text.Context, define: l.define,
		options: graph.Options{Train: true, Checkpoint: p.Checkpoint, Light: lowRank(m), Arena: graph.NewArena(m.Backend())},
	}.build()
	if err != nil {
		return nil, fmt.Errorf("lm objective: %w", err)
	}
	trainOnly(m, l.graphs.graphs()...)
	return l, nil
}

func (l *LM) define(g *graph.Graph, tokens int) *graph.Node {
	rows := l.plan.rows()
	ids := g.Input(Tokens, device.Int32, rows, tokens)
	targets := g.Input(Targets, device.Int32, rows, tokens)
	d := l.model.Decode(g, model.Texts{Tokens: ids}, nil)
	l.load.declare(g, d)
	loss := l.model.TokenLoss(g, d.States, targets, 0)
	g.Output(training.LossKey, loss)
	if l.plan.parts() > 1 {
		g.Seed(share, loss)
	}
	return loss
}

// Params is part of training.Objective.
func (l *LM) Params() []*graph.Param { return l.model.Params() }

// State is part of training.Objective: there is none.
func (l *LM) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, and expert_load of a model
// with experts.
func (l *LM) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	context, vocab := l.model.Config.Text.Context, l.model.Config.Text.Vocab
	tokens, err := b.ReadInt32s(Tokens, l.plan.Batch*context)
	if err != nil {
		return nil, err
	}
	targets, err := b.ReadInt32s(Targets, l.plan.Batch*context)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkIDs(tokens, vocab), checkTargets(targets, vocab)); err != nil {
		return nil, err
	}
	loss := 0.0
	n := l.plan.rows() * context
	for i, s := range l.turn.own(shares(targets, l.plan.parts())) {
		if s == 0 {
			continue
		}
		part, err := l.run(tokens[i*n:(i+1)*n], targets[i*n:(i+1)*n], s)
		if err != nil {
			return nil, err
		}
		loss += s * part
	}
	metrics := training.Metrics{training.LossKey: loss}
	l.load.measure(metrics)
	return metrics, nil
}

// run does a micro-batch and returns its mean loss.
func (l *LM) run(tokens, targets []int32, part float64) (float64, error) {
	context := l.model.Config.Text.Context
	g := l.graphs.of(longest(targets, context))
	errs := []error{g.Feed(Tokens, cut(tokens, context, g.tokens)), g.Feed(Targets, cut(targets, context, g.tokens))}
	if l.plan.parts() > 1 {
		errs = append(errs, g.Feed(share, []float32{float32(part)}))
	}
	if err := errors.Join(append(errs, g.Run())...); err != nil {
		return 0, err
	}
	if err := l.load.count(g.Graph); err != nil {
		return 0, err
	}
	return scalar(g.Graph, training.LossKey)
}

func checkTargets(targets []int32, vocab int) error {
	for i, t := range targets {
		if t != device.IgnoreIndex && (t < 0 || int(t) >= vocab) {
			return fmt.Errorf("target %d of the batch is %d, outside the vocabulary of %d", i, t, vocab)
		}
	}
	return nil
}

// Updated is part of training.Objective: experts are balanced.
func (l *LM) Updated(int64) error { return l.load.update() }

// Take is part of parallel.Replica.
func (l *LM) Take(first, of int) (err error) {
	l.turn, err = l.plan.turns(first, of)
	return err
}

// Gather is part of parallel.Replica.
func (l *LM) Gather(other training.Objective, m training.Metrics) { l.load.gather(other.(*LM).load, m) }

// StepFLOPs is part of training.Costed.
func (l *LM) StepFLOPs() float64 {
	return 3 * float64(l.plan.Batch) * l.model.Config.FLOPs().Decode
}

// Needs is part of training.Sized.
func (l *LM) Needs(batch int) (training.Needs, error) {
	return needsOf(l.plan, batch, 8*l.model.Config.Text.Context, func(p Plan) (sized, error) { return NewLM(l.model, p) })
}

// Memory is what a step uses on the device.
func (l *LM) Memory() graph.Memory { return graph.Together(l.graphs.graphs()...) }

// Close frees the graphs. The model's parameters stay.
func (l *LM) Close() error { return l.graphs.Close() }
