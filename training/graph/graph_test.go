package graph_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/op"
)

func newCPU(t testing.TB, threads int, heap device.Heap) *device.CPU {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return device.NewCPUOn(e, heap)
}

// backends are what every graph must run on alike.
func backends(t *testing.T, test func(t *testing.T, b device.Backend)) {
	t.Run("on the host heap", func(t *testing.T) { test(t, newCPU(t, 2, device.HostHeap())) })
	t.Run("on memory that the host cannot address", func(t *testing.T) { test(t, newCPU(t, 1, device.OpaqueHeap())) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func noise(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

func newParam(t testing.TB, b device.Backend, name string, seed uint64, shape ...int) *graph.Param {
	t.Helper()
	p := must(graph.NewParam(b, name, shape...))
	check(t, b.UploadFloats(p.Value, noise(seed, p.Value.Size())))
	return p
}

// classifier is a small network with a tied weight, a residual stream (fan-out) and every kind of parameter.
type classifier struct {
	table, gamma, beta, w1, b1, w2, b2 *graph.Param
}

const (
	tokens  = 6
	vocab   = 7
	width   = 5
	hidden  = 8
	samples = 2
)

func newClassifier(t testing.TB, b device.Backend) *classifier {
	return &classifier{
		table: newParam(t, b, "table", 1, vocab, width),
		gamma: newParam(t, b, "gamma", 2, width), beta: newParam(t, b, "beta", 3, width),
		w1: newParam(t, b, "w1", 4, width, hidden), b1: newParam(t, b, "b1", 5, hidden),
		w2: newParam(t, b, "w2", 6, hidden, width), b2: newParam(t, b, "b2", 7, width),
	}
}

func (m *classifier) params() []*graph.Param {
	return []*graph.Param{m.table, m.gamma, m.beta, m.w1, m.b1, m.w2, m.b2}
}

// define adds the network for a batch of n samples.
func (m *classifier) define(n int) func(g *graph.Graph) *graph.Node {
	return func(g *graph.Graph) *graph.Node {
		ids := g.Input("ids", device.Int32, n, tokens)
		labels := g.Input("labels", device.Int32, n, tokens)
		x := op.Embedding(g, ids, g.Param(m.table))
		for range 2 { // the same layer twice: every parameter has two users
			x = g.Block("layer", func() *graph.Node {
				h := op.LayerNorm(g, x, g.Param(m.gamma), g.Param(m.beta), 0)
				h = op.Linear(g, h, g.Param(m.w1), g.Param(m.b1), op.LinearOptions{Activation: device.GELUTanh})
				return op.Linear(g, h, g.Param(m.w2), g.Param(m.b2), op.LinearOptions{Residual: x})
			})
		}
		logits := op.Linear(g, x, g.Param(m.table), nil, op.LinearOptions{Transposed: true})
		loss := op.CrossEntropy(g, logits, labels, op.CrossEntropyOptions{Smoothing: 0.1})
		g.Output("logits", logits)
		g.Output("loss", loss)
		return loss
	}
}

func (m *classifier) batch(seed uint64, n int) (ids, labels []int32) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range n * tokens {
		ids = append(ids, int32(r.IntN(vocab)))
		labels = append(labels, int32(r.IntN(vocab)))
	}
	return ids, labels
}

// step clears the gradients, runs the graph and returns loss and gradients.
func (m *classifier) step(t testing.TB, g *graph.Graph, ids, labels []int32) (float32, [][]float32) {
	t.Helper()
	for _, p := range m.params() {
		if p.Grad != nil {
			g.Backend().Zero(p.Grad)
		}
	}
	check(t, g.Feed("ids", ids))
	check(t, g.Feed("labels", labels))
	check(t, g.Run())
	var grads [][]float32
	for _, p := range m.params() {
		if p.Grad != nil {
			grads = append(grads, must(device.ReadFloats(g.Backend(), p.Grad)))
		}
	}
	return must(g.Read("loss"))[0], grads
}

func build(t testing.TB, b device.Backend, o graph.Options, define func(*graph.Graph) *graph.Node) *graph.Graph {
	t.Helper()
	g, err := graph.Build(b, o, define)
	check(t, err)
	t.Cleanup(func() { check(t, g.Close()) })
	return g
}

func TestGradientsAgreeWithFiniteDifferences(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		g := build(t, b, graph.Options{Train: true}, m.define(samples))
		ids, labels := m.batch(9, samples)
		_, grads := m.step(t, g, ids, labels)
		eval := build(t, b, graph.Options{}, m.define(samples))
		const eps = 4e-3
		for i, p := range m.params() {
			w := must(device.ReadFloats(b, p.Value))
			for j := 0; j < len(w); j += 3 {
				slope := 0.0
				for _, side := range []float32{1, -1} {
					moved := slices.Clone(w)
					moved[j] += side * eps
					check(t, b.UploadFloats(p.Value, moved))
					loss, _ := m.step(t, eval, ids, labels)
					slope += float64(side*loss) / (2 * eps)
				}
				check(t, b.UploadFloats(p.Value, w))
				if got := float64(grads[i][j]); math.Abs(got-slope) > 1.5e-2*math.Max(0.1, math.Abs(slope)) {
					t.Fatalf("%s[%d]: gradient %g, finite difference %g", p.Name, j, got, slope)
				}
			}
		}
	})
}

func TestSecondRunGivesTheSameBits(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		g := build(t, b, graph.Options{Train: true}, m.define(samples))
		ids, labels := m.batch(9, samples)
		loss1, grads1 := m.step(t, g, ids, labels)
		m.step(t, g, labels, ids)
		loss2, grads2 := m.step(t, g, ids, labels)
		if loss1 != loss2 {
			t.Fatalf("loss %g, then %g", loss1, loss2)
		}
		for i := range grads1 {
			if !slices.Equal(grads1[i], grads2[i]) {
				t.Fatalf("gradient of %s differs", m.params()[i].Name)
			}
		}
	})
}

func TestThreadCountAndMemoryPlanDoNotChangeABit(t *testing.T) {
	type result struct {
		loss  float32
		grads [][]float32
	}
	run := func(threads int, o graph.Options) (result, graph.Memory) {
		b := newCPU(t, threads, device.HostHeap())
		m := newClassifier(t, b)
		g := build(t, b, o, m.define(samples))
		ids, labels := m.batch(9, samples)
		loss, grads := m.step(t, g, ids, labels)
		return result{loss, grads}, g.Memory()
	}
	want, separate := run(1, graph.Options{Train: true, NoReuse: true})
	for name, c := range map[string]struct {
		threads int
		options graph.Options
	}{
		"one thread with reuse":     {1, graph.Options{Train: true}},
		"two threads with reuse":    {2, graph.Options{Train: true}},
		"two threads without reuse": {2, graph.Options{Train: true, NoReuse: true}},
	} {
		got, memory := run(c.threads, c.options)
		if got.loss != want.loss {
			t.Errorf("%s: loss %g, want %g", name, got.loss, want.loss)
		}
		for i := range got.grads {
			if !slices.Equal(got.grads[i], want.grads[i]) {
				t.Errorf("%s: gradient %d differs", name, i)
			}
		}
		if !c.options.NoReuse && memory.Arena >= separate.Arena*3/4 {
			t.Errorf("%s: planned arena is %d bytes, %d without reuse", name, memory.Arena, separate.Arena)
		}
	}
}

func TestPlanNeedsLittleMoreThanWhatLivesAtOnce(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	m := newClassifier(t, b)
	for name, o := range map[string]graph.Options{"training": {Train: true}, "evaluation": {}} {
		g := build(t, b, o, m.define(64))
		if arena, live := g.Memory().Arena, g.LiveBytes(); arena < live || arena > live*11/10 {
			t.Errorf("%s: arena is %d bytes, %d live at once", name, arena, live)
		}
	}
}

func TestShapeFaultNamesOperationShapesAndOperands(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	_, err := graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
		x := g.Input("pixels", device.Float32, 2, 3)
		return op.Linear(g, x, g.Param(newParam(t, b, "head.w", 1, 4, 5)), nil, op.LinearOptions{})
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"linear", "pixels float32[2 3]", "head.w float32[4 5]", "width 3"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}
