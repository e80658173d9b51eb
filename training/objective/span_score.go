package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
)

// SpanScorer reads out spans of texts without training: log-probabilities under a reference, rewards. It sees the model's parameters as they are
// at each call.
type SpanScorer struct {
	model   *model.Model
	readout readout
	graphs  shapedGraphs[SpanShape]

	part   spanArrays // that is being computed
	values []float64  // of it
}

// NewSpanScorer builds a scorer for batches whose parts are of the shapes.
func NewSpanScorer(m *model.Model, kind Readout, shapes ...SpanShape) (*SpanScorer, error) {
	return newSpanScorer(m, kind, shapes, graph.NewArena(m.Backend()))
}

// Scorer builds a scorer of the same readout whose activations lie where those of training do.
func (s *Spans) Scorer(shapes ...SpanShape) (*SpanScorer, error) {
	return newSpanScorer(s.model, s.options.Readout, shapes, s.arena)
}

func newSpanScorer(m *model.Model, kind Readout, shapes []SpanShape, a *graph.Arena) (*SpanScorer, error) {
	s := &SpanScorer{model: m}
	var err error
	if s.readout, err = readoutOf(m, kind); err != nil {
		return nil, err
	}
	s.graphs, err = buildSpans(m, s.readout, shapes, graph.Options{Arena: a}, func(g *graph.Graph, _ model.Decoded, in []*graph.Node) *graph.Node {
		g.Output(training.LossKey, op.HostLoss(g, "values", func(in, _ [][]float64) float64 {
			s.values = s.readout.values(in, s.part)
			return 0
		}, in...))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("score spans: %w", err)
	}
	return s, nil
}

// Values returns the number of each span of a batch, part after part, and the number of tokens that it is made of.
func (s *SpanScorer) Values(b *training.Batch) (values []float64, tokens []int, err error) {
	shape, parts, a, err := readSpans(b, s.model.Config)
	if err != nil {
		return nil, nil, err
	}
	g, err := s.graphs.of(shape)
	if err != nil {
		return nil, nil, err
	}
	for i := range parts {
		s.part = a.part(i, parts)
		if err := errors.Join(s.part.feed(g.Graph), g.Run()); err != nil {
			return nil, nil, err
		}
		values, tokens = append(values, s.values...), append(tokens, count(s.part)...)
	}
	return values, tokens, nil
}

// Close frees the graphs. The model's parameters stay.
func (s *SpanScorer) Close() error { return s.graphs.close() }
