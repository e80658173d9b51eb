package objective

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training"
	"tempera/training/device/reference"
	"tempera/training/graph"
	"tempera/training/model"
)

// differentiated is an objective whose gradients are held against finite differences.
type differentiated struct {
	config model.Config
	step   int64
	build  func(m *model.Model) (differentiable, error)
	// constant names a parameter that the loss also reads as a constant: targets are made with the temperature.
	constant string
	// batch is the step's; nil: pairs.
	batch func(m *model.Model) *training.Batch
}

// differentiable is an objective of one graph, which holds the loss.
type differentiable interface {
	training.Objective
	lossGraph() *graph.Graph
}

func (l *LM) lossGraph() *graph.Graph   { return l.graphs[0].Graph }
func (c *CLIP) lossGraph() *graph.Graph { return c.whole[0].Graph }
func (v *VLM) lossGraph() *graph.Graph  { return v.graphs[0].Graph }
func (b *BLIP) lossGraph() *graph.Graph { return b.graphs[0].Graph }

func tinyOf(kind model.Kind) model.Config {
	c := model.Config{Kind: kind, Width: 8, Text: model.Text{Vocab: 12, Context: context, Layers: 1, Heads: 2, Hidden: 12}}
	if kind != model.LM {
		c.Vision = model.Vision{Image: 4, Patch: 2, Layers: 1, Heads: 2, Hidden: 12}
	}
	return c
}

func differentiables() map[string]differentiated {
	lm := func(p Plan) func(*model.Model) (differentiable, error) {
		return func(m *model.Model) (differentiable, error) { return NewLM(m, p) }
	}
	clip := func(p Plan) func(*model.Model) (differentiable, error) {
		return func(m *model.Model) (differentiable, error) { return NewCLIP(m, p) }
	}
	blip := func(o BLIPOptions) func(*model.Model) (differentiable, error) {
		return func(m *model.Model) (differentiable, error) { return NewBLIP(m, o) }
	}
	queued, within := small(), small()
	queued.AlphaSteps, within.Queue = 4, 0
	sigmoid, llama, experts, adapted := tinyOf(model.CLIP), tinyOf(model.LM), tinyOf(model.LM), tinyOf(model.LM)
	sigmoid.Loss, sigmoid.LogitBias = model.Sigmoid, -1
	llama.Text.Form, llama.Text.KVHeads, llama.Text.TieHead = model.Qwen2, 1, true
	experts.Text.Form, experts.Text.Layers, experts.Text.Experts = model.Llama, 2, &model.Experts{Count: 3, Active: 2, Shared: 1, Hidden: 5, Dense: 1}
	adapted.LoRA = &model.LoRA{Rank: 2, Alpha: 4}
	native := tinyOf(model.CLIP)
	native.Vision.Form, native.Vision.Grid, native.Vision.Side = model.MoonViT, 3, 8
	vlm := func(o VLMOptions) func(*model.Model) (differentiable, error) {
		return func(m *model.Model) (differentiable, error) { return NewVLM(m, o) }
	}
	return map[string]differentiated{
		"vlm": {config: tinyVLM(model.CLIPVision), build: vlm(VLMOptions{Plan: Plan{Batch: rows}}), batch: func(m *model.Model) *training.Batch {
			return illustrated(m, nil)
		}},
		"vlm of packed images": {config: tinyVLM(model.MoonViT), build: vlm(VLMOptions{Plan: Plan{Batch: rows}, Packed: &packedRoom}), batch: func(m *model.Model) *training.Batch {
			return illustrated(m, &packedRoom)
		}},
		"clip of packed images": {config: native, batch: packedPairs, build: func(m *model.Model) (differentiable, error) {
			return NewPackedCLIP(m, Plan{Batch: rows}, model.PackedShape{Patches: 12 * rows, Images: rows})
		}},
		"lm":                          {config: tinyOf(model.LM), build: lm(Plan{Batch: rows})},
		"lm of llama's form":          {config: llama, build: lm(Plan{Batch: rows})},
		"lm with experts":             {config: experts, build: lm(Plan{Batch: rows, Checkpoint: true})},
		"lm with trained branches":    {config: adapted, build: lm(Plan{Batch: rows})},
		"clip":                        {config: tinyOf(model.CLIP), build: clip(Plan{Batch: rows})},
		"siglip":                      {config: sigmoid, build: clip(Plan{Batch: rows})},
		"blip with hard targets":      {config: tinyOf(model.BLIP), build: blip(queued)},
		"blip with momentum targets":  {config: tinyOf(model.BLIP), step: 2, build: blip(queued), constant: "temperature"},
		"blip that contrasts a batch": {config: tinyOf(model.BLIP), build: blip(within)},
	}
}

// TestGradientsOfWholeModelsAgreeWithFiniteDifferences runs the training graphs in float64, where central differences are good to 1e-9.
func TestGradientsOfWholeModelsAgreeWithFiniteDifferences(t *testing.T) {
	for name, d := range differentiables() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d.test(t)
		})
	}
}

func (d differentiated) test(t *testing.T) {
	b := reference.New()
	m, err := model.New(b, d.config, 3)
	require.NoError(t, err)
	o, err := d.build(m)
	require.NoError(t, err)
	batch := pairsOf(m, 1)
	if d.batch != nil {
		batch = d.batch(m)
	}
	loss := func() float64 {
		_, err := o.Step(d.step, batch)
		require.NoError(t, err)
		v, err := o.lossGraph().Value(training.LossKey)
		require.NoError(t, err)
		return b.Read(v)[0]
	}
	_, err = o.Step(d.step, batch)
	require.NoError(t, err)
	gradients, largest := map[*graph.Param][]float64{}, 0.0
	for _, p := range m.Params() {
		if p.Trained() && p.Name != d.constant {
			gradients[p] = b.Read(p.Grad)
			largest = max(largest, most(gradients[p]))
		}
	}
	require.NotEmpty(t, gradients)
	for _, p := range m.Params() {
		gradient := gradients[p]
		for i := 0; i < len(gradient); i += 1 + len(gradient)/4 {
			slope := slopeOf(b, p, i, loss)
			require.InDelta(t, slope, gradient[i], 1e-6*max(most(gradient), 1e-3*largest), "%s[%d]", p.Name, i)
		}
	}
}

// slopeOf is the central difference of the loss along element i of a parameter.
func slopeOf(b *reference.Backend, p *graph.Param, i int, loss func() float64) float64 {
	const eps = 1e-5
	x := b.Read(p.Value)
	at := x[i]
	defer func() {
		x[i] = at
		b.Write(p.Value, x)
	}()
	x[i] = at + eps
	b.Write(p.Value, x)
	up := loss()
	x[i] = at - eps
	b.Write(p.Value, x)
	return (up - loss()) / (2 * eps)
}

func most(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = max(m, math.Abs(v))
	}
	return m
}
