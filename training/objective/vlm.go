package objective

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// VLMOptions configure VLM.
type VLMOptions struct {
	Plan
	// Packed is the room for images of any size (vision form moonvit), see
	// model.PackedImages.Put. Nil: a batch has square images, one for each text.
	Packed *model.PackedShape `json:"packed,omitempty"`
	// Freeze lists parts that are not trained: vision, projector, text. LLaVA trains
	// the projector alone first, then projector and text.
	Freeze []string `json:"freeze,omitempty"`
	// Teacher sees what the student sees; nil: the texts teach alone.
	Teacher *Teacher `json:"-"`
}

// Validate returns all faults at once.
func (o VLMOptions) Validate() error {
	faults := []error{o.Plan.Validate()}
	if o.Packed == nil {
		return errors.Join(faults...)
	}
	if o.Packed.Patches < 1 || o.Packed.Images < 1 {
		faults = append(faults, fmt.Errorf("packed has room for %d patches and %d images: give 1 or more of each", o.Packed.Patches, o.Packed.Images))
	}
	if o.parts() > 1 {
		faults = append(faults, errors.New("packed images cannot be split into micro-batches: remove accumulate"))
	}
	return errors.Join(faults...)
}

// VLM trains a vision-language model (LLaVA, Liu et al. 2023; Kimi-VL, Moonshot 2025)
// on texts with images: the mean cross-entropy of each token of the text given what
// stands before it, image tokens among it. A batch has tokens and targets as that of
// LM, and images; where an image is to stand, tokens repeat Special.Image as often as
// the image has tokens. A target that is Special.Image does not count.
type VLM struct {
	model   *model.Model
	options VLMOptions
	graphs  buckets
	load    *balancer
	turn    turn
}

var _ training.Objective = (*VLM)(nil)

// NewVLM builds the objective on a vlm model, whose parameters it trains in place.
func NewVLM(m *model.Model, o VLMOptions) (*VLM, error) {
	if m.Config.Kind != model.VLM {
		return nil, fmt.Errorf("vlm objective: the model is of kind %s", m.Config.Kind)
	}
	err := errors.Join(o.Validate(), o.Teacher.prepare(m), m.Freeze(o.Freeze...))
	if o.Packed != nil && m.Config.Vision.Form != model.MoonViT {
		err = errors.Join(err, fmt.Errorf("the vision form is %s: packed images need moonvit", m.Config.Vision.Form))
	}
	if err != nil {
		return nil, fmt.Errorf("vlm objective: %w", err)
	}
	v := &VLM{model: m, options: o, load: newBalancer(m)}
	v.graphs, err = bucketSpec{
		backend: m.Backend(), plan: o.Plan, context: m.Config.Text.Context, define: v.define,
		options: graph.Options{Train: true, Checkpoint: o.Checkpoint, Light: lowRank(m), Arena: graph.NewArena(m.Backend())},
	}.build()
	if err != nil {
		return nil, fmt.Errorf("vlm objective: %w", err)
	}
	trainOnly(m, v.graphs.graphs()...)
	return v, nil
}

func (v *VLM) define(g *graph.Graph, tokens int) *graph.Node {
	loss, d := defineVLM(g, v.model, vlmInput{shape{v.options.rows(), tokens}, v.sights(), v.options.Teacher})
	v.load.declare(g, d)
	if v.options.parts() > 1 {
		g.Seed(share, loss)
	}
	return loss
}

// sights is how a micro-batch sees images.
func (v *VLM) sights() sights { return sights{v.options.rows(), v.options.Packed} }

// Params is part of training.Objective.
func (v *VLM) Params() []*graph.Param { return v.model.Params() }

// State is part of training.Objective: there is none.
func (v *VLM) State() []optim.Tensor { return nil }

// Step is part of training.Objective. Metrics: loss, with a teacher divergence and cross_entropy, and expert_load of a model with experts.
func (v *VLM) Step(_ int64, b *training.Batch) (training.Metrics, error) {
	t, err := readIllustrated(v.model, v.options.Batch, b)
	if err != nil {
		return nil, err
	}
	n, metrics := v.options.rows()*v.model.Config.Text.Context, training.Metrics{training.LossKey: 0}
	for i, s := range v.turn.own(shares(t.targets, v.options.parts())) {
		if s == 0 {
			continue
		}
		g, err := v.run(i, s, illustratedTexts{t.tokens[i*n : (i+1)*n], t.targets[i*n : (i+1)*n]}, b)
		if err != nil {
			return nil, err
		}
		for _, name := range v.options.Teacher.measured() {
			x, err := scalar(g, name)
			if err != nil {
				return nil, err
			}
			metrics[name] += s * x
		}
	}
	v.load.measure(metrics)
	return metrics, nil
}

// run does micro-batch i, whose part in the loss is s, and returns the graph that has its mean loss.
func (v *VLM) run(i int, s float64, t illustratedTexts, b *training.Batch) (*graph.Graph, error) {
	c := v.model.Config
	g := v.graphs.of(max(longest(t.targets, c.Text.Context), lastImage(t.tokens, c.Text.Context, c.Text.Special.Image)))
	images, err := v.sights().feed(g.Graph, c, imagesOf{b, i, v.options.parts()})
	if err != nil {
		return nil, err
	}
	if err := t.feed(g, c, images); err != nil {
		return nil, err
	}
	if v.options.parts() > 1 {
		err = g.Feed(share, []float32{float32(s)})
	}
	if err := errors.Join(err, g.Run()); err != nil {
		return nil, err
	}
	return g.Graph, v.load.count(g.Graph)
}

// Updated is part of training.Objective: experts are balanced.
func (v *VLM) Updated(int64) error { return v.load.update() }

// Take is part of parallel.Replica.
func (v *VLM) Take(first, of int) (err error) {
	v.turn, err = v.options.turns(first, of)
	return err
}

// Gather is part of parallel.Replica.
func (v *VLM) Gather(other training.Objective, m training.Metrics) {
	v.load.gather(other.(*VLM).load, m)
}

// StepFLOPs is part of training.Costed. Packed images count as ones of the usual
// size; of what is frozen, the backward does not count.
func (v *VLM) StepFLOPs() float64 {
	f, times := v.model.Config.FLOPs(), func(part string) float64 {
		if slices.Contains(v.options.Freeze, part) {
			return 1
		}
		return 3
	}
	return float64(v.options.Batch) * (times("vision")*f.Image + times("projector")*f.Project + times("text")*f.Decode + v.options.Teacher.flops(v.model.Config.Text.Context))
}

// Needs is part of training.Sized. Room for packed images grows with the batch.
func (v *VLM) Needs(batch int) (training.Needs, error) {
	c := v.model.Config
	bytes := 4*c.Vision.Pixels() + 8*c.Text.Context
	var room *model.PackedShape
	if s := v.options.Packed; s != nil {
		r := roomFor(*s, v.options.Batch, batch)
		room, bytes = &r, r.Patches/batch*patchBytes(v.model)+8*c.Text.Context
	}
	return needsOf(v.options.Plan, batch, bytes, func(p Plan) (sized, error) {
		o := v.options
		o.Plan, o.Packed = p, room
		return NewVLM(v.model, o)
	})
}

// Memory is what a step uses on the device.
func (v *VLM) Memory() graph.Memory { return graph.Together(v.graphs.graphs()...) }

// Close frees the graphs. The model's parameters stay.
func (v *VLM) Close() error { return v.graphs.Close() }
