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

// CLIP contrasts the images and texts of a batch: with the loss softmax (Radford
// et al. 2021) half the cross-entropy of exp(log_scale) cos(image, text) by rows
// and half by columns; with the loss sigmoid (Zhai et al. 2023) that of each pair
// on its own. exp(log_scale) is held to [1, 100] after each step, not within the
// loss, where the limit would cut its gradient off.
//
// A plan that accumulates contrasts all rows of the batch with each other all the same, see contrastParts.
type CLIP struct {
	model *model.Model
	plan  Plan
	whole buckets        // one pass; nil: parts
	parts *contrastParts // several passes; nil: one
}

var _ training.Objective = (*CLIP)(nil)

// NewCLIP builds the objective on a clip model, whose parameters it trains in place.
func NewCLIP(m *model.Model, p Plan) (*CLIP, error) {
	if m.Config.Kind != model.CLIP {
		return nil, fmt.Errorf("clip objective: the model is of kind %s", m.Config.Kind)
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("clip objective: %w", err)
	}
	if p.Batch < 2 {
		return nil, fmt.Errorf("clip objective: a batch of %d has nothing to contrast: use 2 or more", p.Batch)
	}
	if m.Config.Text.Pool == model.End {
		p.Lengths = nil // texts are padded to the context, and padding counts
	}
	c := &CLIP{model: m, plan: p}
	var err error
	if p.parts() > 1 {
		c.parts, err = newContrastParts(m, p)
	} else {
		c.whole, err = bucketSpec{
			backend: m.Backend(), plan: p, context: m.Config.Text.Context, define: c.define,
			options: graph.Options{Train: true, Checkpoint: p.Checkpoint, Arena: graph.NewArena(m.Backend())},
		}.build()
	}
	if err != nil {
		return nil, fmt.Errorf("clip objective: %w", err)
	}
	trainOnly(m, c.graphs()...)
	return c, nil
}

func (c *CLIP) define(g *graph.Graph, tokens int) *graph.Node {
	image, text := features(g, c.model, shape{c.plan.Batch, tokens})
	return contrastive(g, c.model, image, text)
}

// contrastive is the loss of features that are not normalised, (B, E).
func contrastive(g *graph.Graph, m *model.Model, image, text *graph.Node) *graph.Node {
	a := op.ContrastiveArgs{Image: image, Text: text, LogScale: g.Param(m.Param("log_scale"))}
	var loss *graph.Node
	if m.Config.Loss == model.Sigmoid {
		a.Bias = g.Param(m.Param("logit_bias"))
		loss, _ = op.SigLIPLoss(g, a)
	} else {
		loss, _ = op.ContrastiveLoss(g, a)
	}
	g.Output(training.LossKey, loss)
	return loss
}

func (c *CLIP) graphs() []*graph.Graph {
	if c.parts != nil {
		return c.parts.graphs()
	}
	return c.whole.graphs()
}

// Params is part of training.Objective.
func (c *CLIP) Params() []*graph.Param { return c.model.Params() }

// State is part of training.Objective: there is none.
func (c *CLIP) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, scale, and with the loss sigmoid bias.
func (c *CLIP) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	p, err := readPairs(c.model, c.plan.Batch, b)
	if err != nil {
		return nil, err
	}
	loss, err := c.run(p)
	if err != nil {
		return nil, err
	}
	scale, err := c.scalar("log_scale")
	if err != nil {
		return nil, err
	}
	metrics := training.Metrics{training.LossKey: loss, "scale": math.Exp(scale)}
	if c.model.Config.Loss == model.Sigmoid {
		if metrics["bias"], err = c.scalar("logit_bias"); err != nil {
			return nil, err
		}
	}
	return metrics, nil
}

// scalar reads a parameter of one element.
func (c *CLIP) scalar(name string) (float64, error) {
	v, err := device.ReadFloats(c.model.Backend(), c.model.Param(name).Value)
	if err != nil {
		return 0, err
	}
	return float64(v[0]), nil
}

func (c *CLIP) run(p pairs) (float64, error) {
	if c.parts != nil {
		return c.parts.run(p)
	}
	g := c.whole.of(p.longest())
	if err := errors.Join(feedPairs(g.Graph, c.model, p.cut(g.tokens)), g.Run()); err != nil {
		return 0, err
	}
	return scalar(g.Graph, training.LossKey)
}

var maxLogScale = float32(math.Log(100))

// Updated is part of training.Objective.
func (c *CLIP) Updated(int64) error {
	c.model.Backend().Clamp(c.model.Param("log_scale").Value, 0, maxLogScale)
	return nil
}

// StepFLOPs is part of training.Costed. What is computed again is not counted.
func (c *CLIP) StepFLOPs() float64 {
	f := c.model.Config.FLOPs()
	return 3 * float64(c.plan.Batch) * (f.Image + f.Text)
}

// Needs is part of training.Sized.
func (c *CLIP) Needs(batch int) (training.Needs, error) {
	return needsOf(c.plan, batch, pairBytes(c.model), func(p Plan) (sized, error) { return NewCLIP(c.model, p) })
}

// Memory is what a step uses on the device.
func (c *CLIP) Memory() graph.Memory {
	m := graph.Together(c.graphs()...)
	if c.parts != nil {
		m.Inputs += c.parts.bytes()
	}
	return m
}

// Close frees the graphs. The model's parameters stay.
func (c *CLIP) Close() error {
	if c.parts != nil {
		return c.parts.Close()
	}
	return c.whole.Close()
}
