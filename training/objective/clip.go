package objective

import (
	"errors"
	"fmt"
	"math"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/op"
	"tempera/training/optim"
)

// CLIP contrasts the images and texts of a batch (Radford et al. 2021): half the
// cross-entropy of exp(log_scale) cos(image, text) by rows and half by columns.
// exp(log_scale) is held to [1, 100] after each step, not within the loss, where
// the limit would cut its gradient off.
type CLIP struct {
	model *model.Model
	graph *graph.Graph
	batch int
}

var _ training.Objective = (*CLIP)(nil)

// NewCLIP builds the objective for batches of a size on a clip model. The model's
// parameters are trained in place.
func NewCLIP(m *model.Model, batch int) (*CLIP, error) {
	if m.Config.Kind != model.CLIP {
		return nil, fmt.Errorf("clip objective: the model is of kind %s", m.Config.Kind)
	}
	if batch < 2 {
		return nil, fmt.Errorf("clip objective: a batch of %d has nothing to contrast: use 2 or more", batch)
	}
	g, err := graph.Build(m.Backend(), graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		text := textInput(g, m, batch)
		loss, _ := op.ContrastiveLoss(g, op.ContrastiveArgs{
			Image:    m.ImageFeature(g, m.VisionStates(g, imageInput(g, m, batch))),
			Text:     m.TextFeature(g, m.TextStates(g, text), text),
			LogScale: g.Param(m.Param("log_scale")),
		})
		g.Output(training.LossKey, loss)
		return loss
	})
	if err != nil {
		return nil, fmt.Errorf("clip objective: %w", err)
	}
	trainOnly(m, g)
	return &CLIP{m, g, batch}, nil
}

// Params is part of training.Objective.
func (c *CLIP) Params() []*graph.Param { return c.model.Params() }

// State is part of training.Objective: there is none.
func (c *CLIP) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, scale.
func (c *CLIP) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	p, err := readPairs(c.model, c.batch, b)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(feedPairs(c.graph, c.model, p), c.graph.Run()); err != nil {
		return nil, err
	}
	loss, err := scalar(c.graph, training.LossKey)
	if err != nil {
		return nil, err
	}
	s, err := device.ReadFloats(c.model.Backend(), c.model.Param("log_scale").Value)
	if err != nil {
		return nil, err
	}
	return training.Metrics{training.LossKey: loss, "scale": math.Exp(float64(s[0]))}, nil
}

var maxLogScale = float32(math.Log(100))

// Updated is part of training.Objective.
func (c *CLIP) Updated(int64) error {
	c.model.Backend().Clamp(c.model.Param("log_scale").Value, 0, maxLogScale)
	return nil
}

// StepFLOPs is part of training.Costed.
func (c *CLIP) StepFLOPs() float64 {
	f := c.model.Config.FLOPs()
	return 3 * float64(c.batch) * (f.Image + f.Text)
}

// Memory is what a step uses on the device.
func (c *CLIP) Memory() graph.Memory { return c.graph.Memory() }

// Close frees the graph. The model's parameters stay.
func (c *CLIP) Close() error { return c.graph.Close() }
