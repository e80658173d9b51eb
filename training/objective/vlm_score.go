package objective

import (
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// VLMScorer measures how well a vision-language model predicts texts with images. It
// sees the model's parameters as they are at each call.
type VLMScorer struct {
	model *model.Model
	sights
	graph bucket
}

// NewVLMScorer builds a scorer for batches of o.Batch texts, as VLM takes them. It
// saves nothing for a reverse pass; of the options, Batch and Packed matter.
func NewVLMScorer(m *model.Model, o VLMOptions) (*VLMScorer, error) {
	if m.Config.Kind != model.VLM {
		return nil, fmt.Errorf("score texts with images: the model is of kind %s", m.Config.Kind)
	}
	s := &VLMScorer{model: m, sights: sights{o.Batch, o.Packed}}
	g, err := graph.Build(m.Backend(), graph.Options{}, func(g *graph.Graph) *graph.Node {
		loss, _ := defineVLM(g, m, vlmInput{shape{o.Batch, m.Config.Text.Context}, s.sights, nil})
		return loss
	})
	if err != nil {
		return nil, fmt.Errorf("score texts with images: %w", err)
	}
	s.graph = bucket{g, m.Config.Text.Context}
	return s, nil
}

// Score returns the sum of the negative logarithms of the likelihoods, in nats, of
// the targets of a batch, and their number.
func (s *VLMScorer) Score(b *training.Batch) (nats float64, tokens int, err error) {
	t, err := readIllustrated(s.model, s.rows, b)
	if err != nil {
		return 0, 0, err
	}
	for _, id := range t.targets {
		if id != device.IgnoreIndex {
			tokens++
		}
	}
	if tokens == 0 {
		return 0, 0, nil
	}
	images, err := s.sights.feed(s.graph.Graph, s.model.Config, imagesOf{b, 0, 1})
	if err != nil {
		return 0, 0, err
	}
	if err := t.feed(s.graph, s.model.Config, images); err != nil {
		return 0, 0, err
	}
	if err := s.graph.Run(); err != nil {
		return 0, 0, err
	}
	mean, err := scalar(s.graph.Graph, training.LossKey)
	return mean * float64(tokens), tokens, err
}

// Close frees the graph. The model's parameters stay.
func (s *VLMScorer) Close() error { return s.graph.Close() }
