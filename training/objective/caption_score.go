package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// CaptionScorer measures how well a blip model predicts the captions of images.
// It sees the model's parameters as they are at each call.
type CaptionScorer struct {
	model *model.Model
	graph *graph.Graph
	batch int
	text  textBuffers
}

// NewCaptionScorer builds a scorer for batches of a size. It saves nothing for a
// reverse pass.
func NewCaptionScorer(m *model.Model, batch int) (*CaptionScorer, error) {
	if m.Config.Kind != model.BLIP {
		return nil, fmt.Errorf("score captions: the model is of kind %s", m.Config.Kind)
	}
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		memory := m.Memory(g, m.VisionStates(g, imageInput(g, m, batch)))
		loss := defineCaptioning(g, m, captionInput{shape: shape{batch, m.Config.Text.Context}, memory: memory})
		g.Output(training.LossKey, loss)
		return loss
	})
	if err != nil {
		return nil, fmt.Errorf("score captions: %w", err)
	}
	return &CaptionScorer{model: m, graph: g, batch: batch}, nil
}

// Score returns the sum of the negative logarithms of the likelihoods, in nats,
// of the tokens of a batch's captions, EOS included, and their number.
func (s *CaptionScorer) Score(b *training.Batch) (nats float64, tokens int, err error) {
	p, err := readPairs(s.model, s.batch, b)
	if err != nil {
		return 0, 0, err
	}
	targets := s.text.captionTargets(p, 0)
	for _, t := range targets {
		if t != device.IgnoreIndex {
			tokens++
		}
	}
	if tokens == 0 {
		return 0, 0, nil
	}
	err = errors.Join(s.graph.Feed(Images, p.images), s.graph.Feed(Targets, targets),
		s.graph.Feed(decoded, s.text.withFirst(p.tokens, s.batch, s.model.Config.Text.Special.BOS)))
	if err := errors.Join(err, s.graph.Run()); err != nil {
		return 0, 0, err
	}
	mean, err := scalar(s.graph, training.LossKey)
	return mean * float64(tokens), tokens, err
}

// Close frees the graph. The model's parameters stay.
func (s *CaptionScorer) Close() error { return s.graph.Close() }
