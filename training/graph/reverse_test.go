package graph_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

func TestFrozenParametersGetNoGradientAndNoCode(t *testing.T) {
	b := newCPU(t, 2, device.HostHeap())
	ids, labels := new(classifier).batch(9, samples)
	steps := func(freeze func(*classifier)) (int, *classifier) {
		m := newClassifier(t, b)
		freeze(m)
		g := build(t, b, graph.Options{Train: true}, m.define(samples))
		m.step(t, g, ids, labels)
		return g.Steps(), m
	}
	all, full := steps(func(*classifier) {})
	head, m := steps(func(m *classifier) {
		for _, p := range m.params()[:6] {
			p.Frozen = true
		}
	})
	for _, p := range m.params()[:6] {
		if p.Grad != nil {
			t.Errorf("frozen %s has a gradient", p.Name)
		}
	}
	want, got := must(device.ReadFloats(b, full.b2.Grad)), must(device.ReadFloats(b, m.b2.Grad))
	if !slices.Equal(got, want) {
		t.Errorf("gradient of the trained bias is %v beside frozen parameters, %v without", got, want)
	}
	if head >= all {
		t.Errorf("%d steps with one trained bias, %d with all parameters", head, all)
	}
	eval := build(t, b, graph.Options{}, m.define(samples))
	m.b2.Frozen = true
	if _, err := graph.Build(b, graph.Options{Train: true}, m.define(samples)); err == nil || !strings.Contains(err.Error(), "no trained parameter") {
		t.Errorf("training with all parameters frozen: error %v", err)
	}
	if eval.Steps() >= head {
		t.Errorf("evaluation runs %d steps, training of one bias %d", eval.Steps(), head)
	}
}

func TestGradientsOfTwoHalvesAddUpToThoseOfTheWhole(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		whole := build(t, b, graph.Options{Train: true}, m.define(2))
		half := build(t, b, graph.Options{Train: true}, m.define(1))
		ids, labels := m.batch(9, 2)
		_, want := m.step(t, whole, ids, labels)
		for _, p := range m.params() {
			b.Zero(p.Grad)
		}
		for i := range 2 {
			check(t, half.Feed("ids", ids[i*tokens:(i+1)*tokens]))
			check(t, half.Feed("labels", labels[i*tokens:(i+1)*tokens]))
			check(t, half.Run())
		}
		for i, p := range m.params() {
			for j, v := range must(device.ReadFloats(b, p.Grad)) {
				if d := math.Abs(float64(v/2 - want[i][j])); d > 1e-5*math.Max(1, math.Abs(float64(want[i][j]))) {
					t.Fatalf("%s[%d]: half sum %g, whole %g", p.Name, j, v/2, want[i][j])
				}
			}
		}
	})
}

// TestSharedNodesGiveTheGradientOfRepeatedOnes compares one function built with shared and with repeated subterms: sums of gradient
// terms, joined terms and terms that are passed on must agree with none of these.
func TestSharedNodesGiveTheGradientOfRepeatedOnes(t *testing.T) {
	const n, c = 3, 4
	linear := func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
		return op.Linear(g, x, g.Param(w), nil, op.LinearOptions{})
	}
	cases := map[string]func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node{
		"a sum of a node with itself": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			return op.Add(g, x(), x())
		},
		"a residual around a layer": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			return op.Linear(g, x(), g.Param(w), nil, op.LinearOptions{Residual: x()})
		},
		"a residual around a norm and a layer": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			return op.Linear(g, op.L2Normalize(g, x()), g.Param(w), nil, op.LinearOptions{Residual: x()})
		},
		"a product of a node with itself": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			return op.Concat(g, 1, op.MatMulT(g, x(), x()), x())
		},
		"three layers and a residual": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			a, b := linear(g, w, x()), linear(g, w, op.GELU(g, x()))
			return op.Add(g, op.Add(g, a, b), op.Add(g, x(), linear(g, w, x())))
		},
		"one gradient passed on to two nodes": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			s := op.Add(g, op.GELU(g, x()), linear(g, w, x()))
			return op.Add(g, s, op.Add(g, x(), op.L2Normalize(g, x())))
		},
		"a gradient that a step of another branch reads": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			beside := linear(g, w, op.GatherRows(g, g.Param(w), g.Ints([]int32{0, 1, 2})))
			return op.Concat(g, 1, op.Add(g, x(), beside), op.GELU(g, x()))
		},
		"a gradient that a step of a later branch reads": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			y := op.GELU(g, x())
			beside := linear(g, w, op.GELU(g, op.GatherRows(g, g.Param(w), g.Ints([]int32{0, 1, 2}))))
			return op.Concat(g, 1, y, op.Add(g, beside, x()))
		},
		"another shape": func(g *graph.Graph, w *graph.Param, x func() *graph.Node) *graph.Node {
			flat := g.Reshape(op.GELU(g, x()), 1, n*c)
			return op.Add(g, g.Reshape(flat, n, c), x())
		},
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, b device.Backend) {
				w0 := newParam(t, b, "w0", 1, c, c)
				w := newParam(t, b, "w", 2, c, c)
				gradients := func(shared bool) (loss []float32, dw0, dw []float32) {
					g := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
						in := g.Input("in", device.Float32, n, c)
						node := func() *graph.Node { return linear(g, w0, in) }
						if shared {
							x := node()
							node = func() *graph.Node { return x }
						}
						y := f(g, w, node)
						loss := op.CrossEntropy(g, g.Reshape(y, 1, y.Desc().Size()), g.Ints([]int32{1}), op.CrossEntropyOptions{})
						g.Output("loss", loss)
						return loss
					})
					check(t, g.Feed("in", noise(3, n*c)))
					for _, p := range g.Params() {
						b.Zero(p.Grad)
					}
					check(t, g.Run())
					dw0 = must(device.ReadFloats(b, w0.Grad))
					if slices.Contains(g.Params(), w) {
						dw = must(device.ReadFloats(b, w.Grad))
					}
					return must(g.Read("loss")), dw0, dw
				}
				loss1, dw01, dw1 := gradients(false)
				loss2, dw02, dw2 := gradients(true)
				near(t, "loss", loss2, loss1)
				near(t, "gradient below the shared node", dw02, dw01)
				near(t, "gradient of the layer's weight", dw2, dw1)
			})
		})
	}
}

func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if d := math.Abs(float64(got[i] - w)); d > 2e-5*math.Max(0.1, math.Abs(float64(w))) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], w)
		}
	}
}

func TestGradientsThatAreReadAreNotAddedTo(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	w := newParam(t, b, "w", 1, 4, 4)
	read := func(below bool) []float32 {
		g := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
			x := g.Input("x", device.Float32, 3, 4)
			if below { // the gradient of y is passed on to x, where that of the norm joins it
				g.Gradient("dx", x)
			}
			y := op.Linear(g, op.L2Normalize(g, x), g.Param(w), nil, op.LinearOptions{Residual: x})
			g.Gradient("dy", y)
			return op.CrossEntropy(g, g.Reshape(y, 1, 12), g.Ints([]int32{1}), op.CrossEntropyOptions{})
		})
		check(t, g.Feed("x", noise(2, 12)))
		check(t, g.Run())
		return must(g.Read("dy"))
	}
	if got, want := read(true), read(false); !slices.Equal(got, want) {
		t.Fatalf("dy is %v where dx is read, else %v", got, want)
	}
}

func TestGradientIsWrittenOverLogitsThatNobodyElseReads(t *testing.T) {
	const n, v = 8, 64
	run := func(keep, reuse bool) (grad []float32, arena int64) {
		b := newCPU(t, 1, device.HostHeap())
		w := newParam(t, b, "w", 1, 2, v)
		g := build(t, b, graph.Options{Train: true, NoReuse: !reuse}, func(g *graph.Graph) *graph.Node {
			logits := op.Linear(g, g.Input("x", device.Float32, n, 2), g.Param(w), nil, op.LinearOptions{})
			if keep {
				g.Output("logits", logits)
			}
			return op.CrossEntropy(g, logits, g.Ints(make([]int32, n)), op.CrossEntropyOptions{})
		})
		check(t, g.Feed("x", noise(2, n*2)))
		for range 2 {
			b.Zero(w.Grad)
			check(t, g.Run())
		}
		return must(device.ReadFloats(b, w.Grad)), g.Memory().Arena
	}
	over, small := run(false, true)
	beside, large := run(true, true)
	if !slices.Equal(over, beside) {
		t.Fatal("gradients differ")
	}
	if saved := large - small; saved < n*v*device.WordBytes {
		t.Fatalf("%d bytes saved, the logits have %d", saved, n*v*device.WordBytes)
	}
}

func TestDetachStopsTheGradient(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	g := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		x := g.Input("x", device.Float32, 2)
		g.Gradient("dx", x)
		y := op.WeightedSum(g, []float32{2, 3}, x, g.Detach(op.Scale(g, x, 5)))
		loss := op.CrossEntropy(g, g.Reshape(y, 1, 2), g.Ints([]int32{0}), op.CrossEntropyOptions{})
		g.Gradient("dy", y)
		return loss
	})
	check(t, g.Feed("x", []float32{0.25, 0.5}))
	check(t, g.Run())
	dx, dy := must(g.Read("dx")), must(g.Read("dy"))
	near(t, "dx", dx, []float32{2 * dy[0], 2 * dy[1]})
	if dy[0] == 0 {
		t.Fatal("the gradient is 0: nothing is tested")
	}
}

func TestUnneededNodesAreNotRun(t *testing.T) {
	b := newCPU(t, 1, device.HostHeap())
	define := func(extra bool) func(g *graph.Graph) *graph.Node {
		return func(g *graph.Graph) *graph.Node {
			x := g.Input("x", device.Float32, 2, 2)
			g.Input("unused", device.Float32, 3)
			if extra {
				op.GELU(g, op.Scale(g, x, 2))
			}
			g.Output("y", op.Scale(g, x, 3))
			return nil
		}
	}
	with, without := build(t, b, graph.Options{}, define(true)), build(t, b, graph.Options{}, define(false))
	if with.Steps() != without.Steps() || with.Memory() != without.Memory() {
		t.Fatalf("%d steps and %v with an unneeded branch, %d and %v without", with.Steps(), with.Memory(), without.Steps(), without.Memory())
	}
	check(t, with.Feed("unused", make([]float32, 3)))
	check(t, with.Feed("x", []float32{1, 2, 3, 4}))
	check(t, with.Run())
	if got := must(with.Read("y")); !slices.Equal(got, []float32{3, 6, 9, 12}) {
		t.Fatalf("got %v", got)
	}
}
