package objective

import (
	"errors"
	"fmt"

	"tempera/training"
	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
)

// contrastParts computes the contrast of a batch in micro-batches (Gao et al. 2021, GradCache): the features of all parts, nothing kept; the loss
// of the whole batch and the gradients of its features; each part once more, its features seeded with their gradients.
// Loss and gradients are those of one pass over the batch; the encoders run forward twice.
type contrastParts struct {
	model   *model.Model
	plan    Plan
	look    buckets      // features of a part
	loss    *graph.Graph // of all features
	learn   buckets      // a part, forward and backward
	towers  [2]tower     // image, text
	backend device.Backend
}

// tower is one side's features and their gradients, for the whole batch. They are allocated at first use.
type tower struct {
	name                string
	features, gradients *device.Value // (B, E)
}

// gradientOf names the gradient of features, in the graph that computes it and in the one that takes it.
func gradientOf(name string) string { return "d " + name }

const (
	imageFeature = "image_feature"
	textFeature  = "text_feature"
)

func newContrastParts(m *model.Model, p Plan) (*contrastParts, error) {
	b := m.Backend()
	c := &contrastParts{model: m, plan: p, backend: b, towers: [2]tower{{name: imageFeature}, {name: textFeature}}}
	arena := graph.NewArena(b)
	spec := bucketSpec{backend: b, plan: p, context: m.Config.Text.Context}
	var err error
	spec.options, spec.define = graph.Options{Arena: arena}, func(g *graph.Graph, tokens int) *graph.Node {
		for i, n := range c.encode(g, tokens) {
			g.Output(c.towers[i].name, n)
		}
		return nil
	}
	if c.look, err = spec.build(); err != nil {
		return nil, err
	}
	c.loss, err = graph.Build(b, graph.Options{Train: true, Arena: arena}, c.defineLoss)
	if err != nil {
		return nil, errors.Join(err, c.look.Close())
	}
	spec.options, spec.define = graph.Options{Train: true, Checkpoint: p.Checkpoint, Arena: arena}, func(g *graph.Graph, tokens int) *graph.Node {
		for i, n := range c.encode(g, tokens) {
			g.Seed(gradientOf(c.towers[i].name), n)
		}
		return nil
	}
	if c.learn, err = spec.build(); err != nil {
		return nil, errors.Join(err, c.look.Close(), c.loss.Close())
	}
	return c, nil
}

// encode defines the features of a part, in the order of the towers.
func (c *contrastParts) encode(g *graph.Graph, tokens int) [2]*graph.Node {
	image, text := features(g, c.model, shape{c.plan.rows(), tokens})
	return [2]*graph.Node{image, text}
}

func (c *contrastParts) defineLoss(g *graph.Graph) *graph.Node {
	var in [2]*graph.Node
	for i, t := range c.towers {
		in[i] = g.Input(t.name, device.Float32, c.plan.Batch, c.model.Config.Embed)
		g.Gradient(gradientOf(t.name), in[i])
	}
	return contrastive(g, c.model, in[0], in[1])
}

// run does a step and returns its loss.
func (c *contrastParts) run(p pairs) (float64, error) {
	if err := c.allocate(); err != nil {
		return 0, err
	}
	n := c.plan.parts()
	for i := range n {
		if err := c.lookAt(i, p.part(i, n)); err != nil {
			return 0, fmt.Errorf("features of part %d: %w", i, err)
		}
	}
	loss, err := c.contrast()
	if err != nil {
		return 0, err
	}
	for i := range n {
		if err := c.learnFrom(i, p.part(i, n)); err != nil {
			return 0, fmt.Errorf("gradients of part %d: %w", i, err)
		}
	}
	return loss, nil
}

func (c *contrastParts) lookAt(i int, p pairs) error {
	g := c.look.of(p.longest())
	if err := errors.Join(feedPairs(g.Graph, c.model, p.cut(g.tokens)), g.Run()); err != nil {
		return err
	}
	for _, t := range c.towers {
		v, err := g.Value(t.name)
		if err != nil {
			return err
		}
		c.backend.Copy(c.rows(t.features, i), v)
	}
	return nil
}

// contrast computes the loss of all features, and keeps their gradients.
func (c *contrastParts) contrast() (float64, error) {
	var errs []error
	for _, t := range c.towers {
		errs = append(errs, c.loss.FeedValue(t.name, t.features))
	}
	if err := errors.Join(append(errs, c.loss.Run())...); err != nil {
		return 0, err
	}
	for _, t := range c.towers {
		v, err := c.loss.Value(gradientOf(t.name))
		if err != nil {
			return 0, err
		}
		c.backend.Copy(t.gradients, v)
	}
	return scalar(c.loss, training.LossKey)
}

func (c *contrastParts) learnFrom(i int, p pairs) error {
	g := c.learn.of(p.longest())
	errs := []error{feedPairs(g.Graph, c.model, p.cut(g.tokens))}
	for _, t := range c.towers {
		errs = append(errs, g.FeedValue(gradientOf(t.name), c.rows(t.gradients, i)))
	}
	return errors.Join(append(errs, g.Run())...)
}

// rows are those of part i.
func (c *contrastParts) rows(v *device.Value, i int) *device.Value {
	d := device.Floats(c.plan.rows(), v.Cols())
	return device.NewValue(d, v.Buffer(), v.Offset()+i*d.Size())
}

func (c *contrastParts) allocate() error {
	for i := range c.towers {
		t := &c.towers[i]
		for _, v := range []**device.Value{&t.features, &t.gradients} {
			if *v != nil {
				continue
			}
			var err error
			if *v, err = device.New(c.backend, device.Floats(c.plan.Batch, c.model.Config.Embed)); err != nil {
				return fmt.Errorf("features of the batch: %w", err)
			}
		}
	}
	return nil
}

// bytes is the memory of features and their gradients.
func (c *contrastParts) bytes() int64 {
	return int64(2*len(c.towers)*c.plan.Batch*c.model.Config.Embed) * device.WordBytes
}

func (c *contrastParts) graphs() []*graph.Graph {
	return append(append(c.look.graphs(), c.loss), c.learn.graphs()...)
}

// Close frees the graphs and the features.
func (c *contrastParts) Close() error {
	errs := []error{c.look.Close(), c.loss.Close(), c.learn.Close()}
	for _, t := range c.towers {
		for _, v := range []*device.Value{t.features, t.gradients} {
			if v != nil {
				errs = append(errs, c.backend.Free(v.Buffer()))
			}
		}
	}
	return errors.Join(errs...)
}
