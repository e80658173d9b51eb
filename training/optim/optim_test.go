package optim

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
)

func newCPU(t *testing.T) *device.CPU {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return device.NewCPUOn(e, device.OpaqueHeap()) // no one reads memory but through the backend
}

func param(t *testing.T, b device.Backend, name string, data []float32) *graph.Param {
	t.Helper()
	v, err := device.FromFloats(b, data, len(data))
	require.NoError(t, err)
	g, err := device.New(b, v.Desc())
	require.NoError(t, err)
	return &graph.Param{Name: name, Value: v, Grad: g}
}

func read(t *testing.T, b device.Backend, v *device.Value) []float32 {
	t.Helper()
	x, err := device.ReadFloats(b, v)
	require.NoError(t, err)
	return x
}

type goldenCase struct {
	Params          map[string]any
	Inputs, Outputs map[string]struct{ Data []float64 }
}

func golden(t *testing.T, name string) goldenCase {
	t.Helper()
	dir := os.Getenv("GOLDEN_DIR")
	if dir == "" {
		dir = filepath.Join("..", "testdata", "golden")
	}
	raw, err := os.ReadFile(filepath.Join(dir, name+".json"))
	require.NoError(t, err)
	var c goldenCase
	require.NoError(t, json.Unmarshal(raw, &c))
	return c
}

func floats(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func TestAdamWFollowsTheReference(t *testing.T) {
	c := golden(t, "adamw")
	get := func(k string) float64 { return c.Params[k].(float64) }
	b := newCPU(t)
	p := param(t, b, "p", floats(c.Inputs["p0"].Data))
	o, err := NewAdamW(b, []*graph.Param{p}, Options{Beta1: get("beta1"), Beta2: get("beta2"), Eps: get("eps"), Decay: get("weight_decay")})
	require.NoError(t, err)
	for step, k := range []string{"1", "2", "3"} {
		require.NoError(t, b.UploadFloats(p.Grad, floats(c.Inputs["g"+k].Data)))
		_, err := o.Step(int64(step), get("lr"))
		require.NoError(t, err)
		for i, v := range read(t, b, p.Value) {
			require.InEpsilon(t, c.Outputs["p"+k].Data[i], v, 1e-4, "step %s element %d", k, i)
		}
	}
}

func TestTheClipActsOnTheNormOfAllGradientsTogether(t *testing.T) {
	b := newCPU(t)
	p, q := param(t, b, "p", []float32{0, 0}), param(t, b, "q", []float32{0})
	require.NoError(t, b.UploadFloats(p.Grad, []float32{3, 0}))
	require.NoError(t, b.UploadFloats(q.Grad, []float32{4}))
	o, err := NewAdamW(b, []*graph.Param{p, q}, Options{Beta1: 0, Beta2: 0, Eps: 1, Clip: 1})
	require.NoError(t, err)
	norm, err := o.Step(0, 1)
	require.NoError(t, err)
	require.InDelta(t, 5, norm, 1e-12)
	// With both betas 0 the update is g / (|g| + 1), g being a fifth of the gradient.
	require.InDelta(t, -0.6/1.6, read(t, b, p.Value)[0], 1e-5)
	require.InDelta(t, -0.8/1.8, read(t, b, q.Value)[0], 1e-5)
}

func TestDecaySparesParametersThatAreMarked(t *testing.T) {
	b := newCPU(t)
	p, q := param(t, b, "p", []float32{1}), param(t, b, "q", []float32{1})
	q.NoDecay = true
	o, err := NewAdamW(b, []*graph.Param{p, q}, Options{Eps: 1e-8, Decay: 0.5})
	require.NoError(t, err)
	_, err = o.Step(0, 0.1)
	require.NoError(t, err)
	require.InDelta(t, 0.95, read(t, b, p.Value)[0], 1e-6)
	require.InDelta(t, 1, read(t, b, q.Value)[0], 1e-6)
}

func TestAParameterTakesItsShareOfTheRate(t *testing.T) {
	b := newCPU(t)
	p, q := param(t, b, "p", []float32{1}), param(t, b, "q", []float32{1})
	o, err := NewAdamW(b, []*graph.Param{p, q}, Options{Eps: 1e-8, Decay: 0.5})
	require.NoError(t, err)
	o.ScaleRates(func(x *graph.Param) float64 {
		if x == q {
			return 0.1
		}
		return 1
	})
	_, err = o.Step(0, 0.1)
	require.NoError(t, err)
	require.InDelta(t, 0.95, read(t, b, p.Value)[0], 1e-6)
	require.InDelta(t, 0.995, read(t, b, q.Value)[0], 1e-6)
}

func TestFrozenParametersHaveNoState(t *testing.T) {
	b := newCPU(t)
	p, q := param(t, b, "p", []float32{1}), param(t, b, "q", []float32{1})
	p.Frozen = true
	o, err := NewAdamW(b, []*graph.Param{p, q}, DefaultOptions())
	require.NoError(t, err)
	require.Len(t, o.State(), 2)
	q.Frozen = true
	_, err = NewAdamW(b, []*graph.Param{p, q}, DefaultOptions())
	require.ErrorContains(t, err, "no parameter to train")
}

func TestTheAverageFollowsItsParameter(t *testing.T) {
	b := newCPU(t)
	p := param(t, b, "p", []float32{1, 2})
	e, err := NewEMA(b, []*graph.Param{p}, 0.9)
	require.NoError(t, err)
	require.Equal(t, []float32{1, 2}, read(t, b, e.Params()[0].Value))
	require.NoError(t, b.UploadFloats(p.Value, []float32{11, 2}))
	e.Update()
	require.InDelta(t, 2, read(t, b, e.Params()[0].Value)[0], 1e-5)
	e.Update()
	require.InDelta(t, 2.9, read(t, b, e.Params()[0].Value)[0], 1e-5)
	require.True(t, e.Params()[0].Frozen)
	e.UpdateRamped(0) // 0.1 of 2.9, 0.9 of 11
	require.InDelta(t, 10.19, read(t, b, e.Params()[0].Value)[0], 1e-5)
	e.UpdateRamped(1000)
	require.InDelta(t, 0.9*10.19+1.1, read(t, b, e.Params()[0].Value)[0], 1e-5)
}

func TestTheScheduleWarmsUpAndFallsAlongACosine(t *testing.T) {
	s := Schedule{Peak: 2, Warmup: 4, Steps: 104, Floor: 0.1}
	for step, want := range map[int64]float64{
		0: 0.5, 3: 2, 4: 2, 54: 2 * (0.1 + 0.9*0.5), 104: 0.2, 1000: 0.2,
		29: 2 * (0.1 + 0.9*0.5*(1+math.Sqrt2/2)),
	} {
		require.InDelta(t, want, s.At(step), 1e-9, "step %d", step)
	}
	require.NoError(t, s.Validate())
	err := Schedule{Peak: -1, Warmup: 5, Steps: 3, Floor: 2}.Validate()
	for _, part := range []string{"learning rate", "warm-up", "floor"} {
		require.ErrorContains(t, err, part)
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	err := Options{Method: "sgd", Momentum: 1, Beta1: 1, Beta2: -1, Eps: 0, Decay: -1, Clip: math.NaN()}.Validate()
	for _, part := range []string{"sgd", "momentum", "beta1", "beta2", "eps", "decay", "clip"} {
		require.ErrorContains(t, err, part)
	}
	require.NoError(t, DefaultOptions().Validate())
}

func TestMuonTakesMatricesOfBlocksAndLeavesTheRestToAdamW(t *testing.T) {
	b := newCPU(t)
	matrix := func(name string, rows, cols int) *graph.Param {
		p := param(t, b, name, make([]float32, rows*cols))
		p.Value, p.Grad = p.Value.View(device.Floats(rows, cols)), p.Grad.View(device.Floats(rows, cols))
		g := make([]float32, rows*cols)
		for i := range g {
			g[i] = float32(math.Sin(float64(7*i*i + 1)))
		}
		require.NoError(t, b.UploadFloats(p.Grad, g))
		return p
	}
	q, token := matrix("text.blocks.0.causal.qkv.weight", 3, 8), matrix("text.token", 3, 8)
	bias, frozen := param(t, b, "text.blocks.0.causal.qkv.bias", []float32{0, 0}), matrix("text.blocks.1.mlp.up.weight", 2, 2)
	frozen.Frozen = true
	require.NoError(t, b.UploadFloats(bias.Grad, []float32{1, -1}))
	params := []*graph.Param{token, q, frozen, bias}
	o, err := New(b, params, Options{Method: UseMuon, Beta1: 0.9, Beta2: 0.99, Eps: 1e-12, Clip: 1})
	require.NoError(t, err)
	var names []string
	for _, s := range o.State() {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{
		"muon.m.text.blocks.0.causal.qkv.weight", "adamw.m.text.token", "adamw.v.text.token",
		"adamw.m.text.blocks.0.causal.qkv.bias", "adamw.v.text.blocks.0.causal.qkv.bias",
	}, names)
	o.ScaleRates(func(p *graph.Param) float64 {
		if p == q {
			return 0.5
		}
		return 1
	})
	_, err = o.Step(0, 0.1)
	require.NoError(t, err)
	for i, v := range read(t, b, token.Value) { // AdamW's first step is the rate, against the gradient
		g := read(t, b, token.Grad)[i]
		require.InDelta(t, -0.1*math.Copysign(1, float64(g)), v, 1e-4)
	}
	require.InDelta(t, -0.1, read(t, b, bias.Value)[0], 1e-4)
	require.Zero(t, read(t, b, frozen.Value)[0])
	var square float64 // of three singular values of about 1 each, times half the rate and 0.2 sqrt(8)
	for _, v := range read(t, b, q.Value) {
		square += float64(v) * float64(v)
	}
	require.InDelta(t, 3, square/math.Pow(0.05*0.2*math.Sqrt(8), 2), 0.9)
}

func TestMuonSolvesASmallProblem(t *testing.T) {
	const n, steps = 12, 100
	target := make([]float32, n*n) // an ill-conditioned matrix
	for i := range n {
		for j := range n {
			target[i*n+j] = float32(math.Cos(float64(i*j)) / float64(1+i*i))
		}
	}
	run := func(m Method) float64 {
		b := newCPU(t)
		p := param(t, b, "x.blocks.0.weight", make([]float32, n*n))
		p.Value, p.Grad = p.Value.View(device.Floats(n, n)), p.Grad.View(device.Floats(n, n))
		o, err := New(b, []*graph.Param{p}, Options{Method: m, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8})
		require.NoError(t, err)
		s := Schedule{Peak: 0.2, Steps: steps}
		var loss float64
		for step := range int64(steps) {
			x := read(t, b, p.Value)
			loss = 0
			for i := range x {
				x[i] -= target[i]
				loss += float64(x[i]) * float64(x[i])
			}
			require.NoError(t, b.UploadFloats(p.Grad, x))
			_, err := o.Step(step, s.At(step))
			require.NoError(t, err)
		}
		return loss
	}
	require.Less(t, run(UseMuon), 0.2) // from 19
}
