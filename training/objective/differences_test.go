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
	kind  model.Kind
	step  int64
	build func(m *model.Model) (training.Objective, *graph.Graph, error)
	// constant names parameters that the loss also reads as constants: where targets are made with the temperature.
	constant string
}

func differentiable() map[string]differentiated {
	blip := func(o BLIPOptions) func(m *model.Model) (training.Objective, *graph.Graph, error) {
		return func(m *model.Model) (training.Objective, *graph.Graph, error) {
			b, err := NewBLIP(m, o)
			if err != nil {
				return nil, nil, err
			}
			return b, b.graph, nil
		}
	}
	queued, within := small(), small()
	queued.AlphaSteps, within.Queue = 4, 0
	return map[string]differentiated{
		"lm": {kind: model.LM, build: func(m *model.Model) (training.Objective, *graph.Graph, error) {
			l, err := NewLM(m, rows)
			if err != nil {
				return nil, nil, err
			}
			return l, l.graph, nil
		}},
		"clip": {kind: model.CLIP, build: func(m *model.Model) (training.Objective, *graph.Graph, error) {
			c, err := NewCLIP(m, rows)
			if err != nil {
				return nil, nil, err
			}
			return c, c.graph, nil
		}},
		"blip with hard targets":     {kind: model.BLIP, build: blip(queued)},
		"blip with momentum targets": {kind: model.BLIP, step: 2, build: blip(queued), constant: "temperature"},
		"blip within the batch":      {kind: model.BLIP, build: blip(within)},
	}
}

// TestGradientsOfWholeModelsAgreeWithFiniteDifferences runs the training graphs in float64, where central differences are good to 1e-9.
func TestGradientsOfWholeModelsAgreeWithFiniteDifferences(t *testing.T) {
	for name, d := range differentiable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d.test(t)
		})
	}
}

func (d differentiated) test(t *testing.T) {
	b := reference.New()
	c := model.Config{Kind: d.kind, Width: 8, Text: model.Text{Vocab: 12, Context: context, Layers: 1, Heads: 2, Hidden: 12}}
	if d.kind != model.LM {
		c.Vision = model.Vision{Image: 4, Patch: 2, Layers: 1, Heads: 2, Hidden: 12}
	}
	m, err := model.New(b, c, 3)
	require.NoError(t, err)
	o, g, err := d.build(m)
	require.NoError(t, err)
	batch := pairsOf(m, 1)
	loss := func() float64 {
		_, err := o.Step(d.step, batch)
		require.NoError(t, err)
		v, err := g.Value(training.LossKey)
		require.NoError(t, err)
		return b.Read(v)[0]
	}
	loss()
	gradients, largest := map[*graph.Param][]float64{}, 0.0
	for _, p := range g.Params() {
		if p.Trained() && p.Name != d.constant {
			gradients[p] = b.Read(p.Grad)
			largest = max(largest, most(gradients[p]))
		}
	}
	for _, p := range g.Params() {
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
