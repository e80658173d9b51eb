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
	model  *model.Model
	plan   Plan
	packed *model.PackedShape // room for images of any size; nil: squares
	whole  buckets            // one pass; nil: parts
	parts  *contrastParts     // several passes; nil: one
}

var _ training.Objective = (*CLIP)(nil)

// NewCLIP builds the objective on a clip model, whose parameters it trains in place.
func NewCLIP(m *model.Model, p Plan) (*CLIP, error) { return newCLIP(m, p, nil) }

// NewPackedCLIP is NewCLIP on images of any size (vision form moonvit): one for each
// text, see model.PackedImages.Put, of which none takes more than its part of the room.
func NewPackedCLIP(m *model.Model, p Plan, room model.PackedShape) (*CLIP, error) {
	switch {
	case m.Config.Vision.Form != model.MoonViT:
		return nil, fmt.Errorf("clip objective: the vision form is %s: packed images need moonvit", m.Config.Vision.Form)
	case p.parts() > 1:
		return nil, errors.New("clip objective: packed images cannot be split into micro-batches: remove accumulate, and compute layers again (recompute) to save memory")
	case room.Images != p.Batch || room.Patches < room.Images:
		return nil, fmt.Errorf("clip objective: there is room for %d images of %d patches together, and the batch is %d: give room for as many images, of a patch or more each", room.Images, room.Patches, p.Batch)
	}
	return newCLIP(m, p, &room)
}

func newCLIP(m *model.Model, p Plan, room *model.PackedShape) (*CLIP, error) {
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
	c := &CLIP{model: m, plan: p, packed: room}
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
	m, s := c.model, shape{c.plan.Batch, tokens}
	if c.packed == nil {
		image, text := features(g, m, s)
		return contrastive(g, m, image, text)
	}
	t, p := textInput(g, m, s), m.PackedInput(g, *c.packed)
	image := m.PackedFeature(g, m.PackedStates(g, p), *c.packed)
	return contrastive(g, m, image, m.TextFeature(g, m.TextStates(g, t), t))
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
	loss, err := c.run(b)
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

func (c *CLIP) run(b *training.Batch) (float64, error) {
	if c.packed != nil {
		return c.runPacked(b)
	}
	p, err := readPairs(c.model, c.plan.Batch, b)
	if err != nil {
		return 0, err
	}
	if c.parts != nil {
		return c.parts.run(p)
	}
	g := c.whole.of(p.longest())
	if err := errors.Join(feedPairs(g.Graph, c.model, p.cut(g.tokens)), g.Run()); err != nil {
		return 0, err
	}
	return scalar(g.Graph, training.LossKey)
}

func (c *CLIP) runPacked(b *training.Batch) (float64, error) {
	p, err := readTextsOfPairs(c.model, c.plan.Batch, b)
	if err != nil {
		return 0, err
	}
	images, _, err := c.model.Config.ReadPacked(*c.packed, b)
	if err != nil {
		return 0, err
	}
	g := c.whole.of(p.longest())
	err = errors.Join(feedText(g.Graph, c.model, p.cut(g.tokens)), images.Feed(g.Graph), images.FeedPool(g.Graph, *c.packed))
	if err := errors.Join(err, g.Run()); err != nil {
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

// StepFLOPs is part of training.Costed. What is computed again is not counted, and
// packed images count as ones of the usual size.
func (c *CLIP) StepFLOPs() float64 {
	f := c.model.Config.FLOPs()
	return 3 * float64(c.plan.Batch) * (f.Image + f.Text)
}

// Needs is part of training.Sized. Room for packed images grows with the batch.
func (c *CLIP) Needs(batch int) (training.Needs, error) {
	if c.packed == nil {
		return needsOf(c.plan, batch, pairBytes(c.model), func(p Plan) (sized, error) { return NewCLIP(c.model, p) })
	}
	room := roomFor(*c.packed, c.plan.Batch, batch)
	bytes := room.Patches/batch*patchBytes(c.model) + 4*(c.model.Config.Text.Context+1)
	return needsOf(c.plan, batch, bytes, func(p Plan) (sized, error) { return NewPackedCLIP(c.model, p, room) })
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
