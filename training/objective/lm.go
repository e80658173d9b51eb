package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
	"tempera/training/optim"
)

// LM trains a language model: the mean cross-entropy of each token given those
// before it. A batch has tokens and targets, both int32 (B, T), the target of a
// token being the one after it, or device.IgnoreIndex.
type LM struct {
	model *model.Model
	graph *graph.Graph
	batch int
}

var _ training.Objective = (*LM)(nil)

// NewLM builds the objective on an lm model.
func NewLM(m *model.Model, batch int) (*LM, error) {
	if m.Config.Kind != model.LM {
		return nil, fmt.Errorf("lm objective: the model is of kind %s", m.Config.Kind)
	}
	g, err := graph.Build(m.Backend(), graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		tokens := g.Input(Tokens, device.Int32, batch, m.Config.Text.Context)
		targets := g.Input(Targets, device.Int32, batch, m.Config.Text.Context)
		logits := m.TokenLogits(g, m.DecoderStates(g, tokens, nil)) // (B, T, V)
		loss := op.CrossEntropy(g, logits, targets, op.CrossEntropyOptions{})
		g.Output(training.LossKey, loss)
		return loss
	})
	if err != nil {
		return nil, fmt.Errorf("lm objective: %w", err)
	}
	trainOnly(m, g)
	return &LM{m, g, batch}, nil
}

// Params is part of training.Objective.
func (l *LM) Params() []*graph.Param { return l.model.Params() }

// State is part of training.Objective: there is none.
func (l *LM) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss.
func (l *LM) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	n := l.batch * l.model.Config.Text.Context
	tokens, err := b.ReadInt32s(Tokens, n)
	if err != nil {
		return nil, err
	}
	targets, err := b.ReadInt32s(Targets, n)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkIDs(tokens, l.model.Config.Text.Vocab), checkTargets(targets, l.model.Config.Text.Vocab)); err != nil {
		return nil, err
	}
	if err := errors.Join(l.graph.Feed(Tokens, tokens), l.graph.Feed(Targets, targets), l.graph.Run()); err != nil {
		return nil, err
	}
	loss, err := scalar(l.graph, training.LossKey)
	return training.Metrics{training.LossKey: loss}, err
}

func checkTargets(targets []int32, vocab int) error {
	for i, t := range targets {
		if t != device.IgnoreIndex && (t < 0 || int(t) >= vocab) {
			return fmt.Errorf("target %d of the batch is %d, outside the vocabulary of %d", i, t, vocab)
		}
	}
	return nil
}

// Updated is part of training.Objective.
func (l *LM) Updated(int64) error { return nil }

// StepFLOPs is part of training.Costed.
func (l *LM) StepFLOPs() float64 { return 3 * float64(l.batch) * l.model.Config.FLOPs().Decode }

// Memory is what a step uses on the device.
func (l *LM) Memory() graph.Memory { return l.graph.Memory() }

// Close frees the graph. The model's parameters stay.
func (l *LM) Close() error { return l.graph.Close() }
