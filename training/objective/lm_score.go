package objective

import (
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// LMScorer measures how well a language model predicts texts. It sees the
// model's parameters as they are at each call.
type LMScorer struct {
	model *model.Model
	shape PackedShape
	graph *graph.Graph
}

// NewLMScorer builds a scorer for batches of a shape. It saves nothing for a
// reverse pass.
func NewLMScorer(m *model.Model, s PackedShape) (*LMScorer, error) {
	return newLMScorer(m, s, graph.NewArena(m.Backend()))
}

// Scorer builds a scorer whose activations lie where those of training do.
func (l *PackedLM) Scorer(s PackedShape) (*LMScorer, error) {
	return newLMScorer(l.model, s, l.arena)
}

func newLMScorer(m *model.Model, s PackedShape, a *graph.Arena) (*LMScorer, error) {
	if m.Config.Kind != model.LM {
		return nil, fmt.Errorf("score texts: the model is of kind %s", m.Config.Kind)
	}
	g, err := packed{m, s, 1, TuneOptions{}}.build(graph.Options{Arena: a})
	if err != nil {
		return nil, fmt.Errorf("score texts: %w", err)
	}
	return &LMScorer{m, s, g}, nil
}

// Score returns the sum of the negative logarithms of the likelihoods, in nats,
// of the tokens that a batch predicts, and their number. The arrays are those of
// PackedLM's batches.
func (s *LMScorer) Score(b *training.Batch) (nats float64, tokens int, err error) {
	t, err := readTexts(s.model, s.shape, b)
	if err != nil {
		return 0, 0, err
	}
	for _, target := range t.targets {
		if target != device.IgnoreIndex {
			tokens++
		}
	}
	if tokens == 0 {
		return 0, 0, nil
	}
	if err := t.feed(s.graph); err != nil {
		return 0, 0, err
	}
	if err := s.graph.Run(); err != nil {
		return 0, 0, err
	}
	mean, err := scalar(s.graph, training.LossKey)
	return mean * float64(tokens), tokens, err
}

// Close frees the graph. The model's parameters stay.
func (s *LMScorer) Close() error { return s.graph.Close() }
