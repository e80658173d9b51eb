package graph_test

import (
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// result is what a training run leaves.
type result struct {
	loss   float32
	grads  [][]float32
	memory graph.Memory
	steps  int
}

func (m *classifier) result(t *testing.T, b device.Backend, o graph.Options) result {
	t.Helper()
	g := build(t, b, o, m.define(samples))
	ids, labels := m.batch(9, samples)
	m.step(t, g, labels, ids)
	loss, grads := m.step(t, g, ids, labels)
	return result{loss, grads, g.Memory(), g.Steps()}
}

func same(t *testing.T, got, want result) {
	t.Helper()
	if got.loss != want.loss {
		t.Fatalf("loss %g, want %g", got.loss, want.loss)
	}
	if len(got.grads) != len(want.grads) {
		t.Fatalf("%d gradients, want %d", len(got.grads), len(want.grads))
	}
	for i := range want.grads {
		if !slices.Equal(got.grads[i], want.grads[i]) {
			t.Fatalf("gradient %d differs", i)
		}
	}
}

func TestBlocksThatAreComputedAgainGiveTheSameBits(t *testing.T) {
	backends(t, func(t *testing.T, b device.Backend) {
		m := newClassifier(t, b)
		kept := m.result(t, b, graph.Options{Train: true})
		again := m.result(t, b, graph.Options{Train: true, Checkpoint: true})
		same(t, again, kept)
		// Of the three steps of each of the two layers all but the last are computed again: nothing reads what that gives.
		if again.steps != kept.steps+4 {
			t.Errorf("%d steps, %d where all is kept", again.steps, kept.steps)
		}
		same(t, m.result(t, b, graph.Options{Train: true, Checkpoint: true, NoReuse: true}), kept)
		eval := m.result(t, b, graph.Options{})
		if c := m.result(t, b, graph.Options{Checkpoint: true}); c.steps != eval.steps || c.memory != eval.memory {
			t.Errorf("evaluation takes %d steps and %v with checkpoints, %d and %v without", c.steps, c.memory, eval.steps, eval.memory)
		}
	})
}

func TestTheThreadsDoNotChangeABlockThatIsComputedAgain(t *testing.T) {
	run := func(threads int) result {
		b := newCPU(t, threads, device.HostHeap())
		return newClassifier(t, b).result(t, b, graph.Options{Train: true, Checkpoint: true})
	}
	same(t, run(2), run(1))
}

// TestDeepStacksKeepOneLayer compares the growth of memory with depth: with checkpoints a layer more costs its input alone.
func TestDeepStacksKeepOneLayer(t *testing.T) {
	const rows, wide = 64, 32
	b := newCPU(t, 1, device.HostHeap())
	w := newParam(t, b, "w", 1, wide, 4*wide)
	v := newParam(t, b, "v", 2, 4*wide, wide)
	arena := func(layers int, checkpoint bool) int64 {
		g := build(t, b, graph.Options{Train: true, Checkpoint: checkpoint}, func(g *graph.Graph) *graph.Node {
			x := g.Input("x", device.Float32, rows, wide)
			for range layers {
				x = g.Block("layer", func() *graph.Node {
					h := op.Linear(g, op.L2Normalize(g, x), g.Param(w), nil, op.LinearOptions{Activation: device.GELUTanh})
					return op.Linear(g, h, g.Param(v), nil, op.LinearOptions{Residual: x})
				})
			}
			return op.CrossEntropy(g, x, g.Ints(make([]int32, rows)), op.CrossEntropyOptions{})
		})
		return g.Memory().Arena
	}
	layer := arena(9, true) - arena(8, true)
	if input := int64(rows * wide * device.WordBytes); layer > input {
		t.Errorf("a layer more costs %d bytes, its input has %d", layer, input)
	}
	if kept := arena(9, false) - arena(8, false); kept < 8*layer {
		t.Errorf("a layer more costs %d bytes, %d where all is kept", layer, kept)
	}
}

// TestLightOperationsAreComputedAgain: norms and gates of blocks are not kept, products are, and the bits are the same.
func TestLightOperationsAreComputedAgain(t *testing.T) {
	const rows, wide, layers = 32, 16, 4
	backends(t, func(t *testing.T, b device.Backend) {
		norm, v := newParam(t, b, "norm", 3, wide), newParam(t, b, "v", 2, 4*wide, wide)
		w, u := newParam(t, b, "w", 1, wide, 4*wide), newParam(t, b, "u", 4, wide, 4*wide)
		run := func(o graph.Options) ([][]float32, graph.Memory, int) {
			g := build(t, b, o, func(g *graph.Graph) *graph.Node {
				x := g.Input("x", device.Float32, rows, wide)
				for range layers {
					x = g.Block("layer", func() *graph.Node {
						h := op.RMSNorm(g, x, g.Param(norm), 1e-5)
						gate, up := op.Linear(g, h, g.Param(w), nil, op.LinearOptions{}), op.Linear(g, h, g.Param(u), nil, op.LinearOptions{})
						return op.Linear(g, op.SwiGLU(g, gate, up), g.Param(v), nil, op.LinearOptions{Residual: x})
					})
				}
				return op.CrossEntropy(g, x, g.Ints(make([]int32, rows)), op.CrossEntropyOptions{})
			})
			x := make([]float32, rows*wide)
			for i := range x {
				x[i] = float32(i%7) - 3
			}
			check(t, g.Feed("x", x))
			var grads [][]float32
			for _, p := range []*graph.Param{norm, w, u, v} {
				b.Zero(p.Grad)
			}
			check(t, g.Run())
			for _, p := range []*graph.Param{norm, w, u, v} {
				grads = append(grads, must(device.ReadFloats(b, p.Grad)))
			}
			return grads, g.Memory(), g.Steps()
		}
		want, kept, steps := run(graph.Options{Train: true})
		got, light, more := run(graph.Options{Train: true, Light: true})
		if more != steps+2*layers {
			t.Errorf("%d steps, %d where all is kept: want a norm and a gate more of each layer", more, steps)
		}
		// What a norm and a gate make is there of one layer at a time.
		if most := kept.Arena - (layers-1)*5*wide*rows*device.WordBytes; light.Arena > most {
			t.Errorf("the arena has %d bytes, %d where all is kept: want %d at most", light.Arena, kept.Arena, most)
		}
		both, _, _ := run(graph.Options{Train: true, Light: true, Checkpoint: true})
		for i := range want {
			if !slices.Equal(got[i], want[i]) || !slices.Equal(both[i], want[i]) {
				t.Fatalf("gradient %d differs", i)
			}
		}
	})
}

// TestBlocksOfEveryFormAreComputedAgain defines a function with blocks around parts that are hard to repeat.
func TestBlocksOfEveryFormAreComputedAgain(t *testing.T) {
	const n, c = 3, 4
	linear := func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
		return op.Linear(g, x, g.Param(w), nil, op.LinearOptions{})
	}
	scalar := func(g *graph.Graph, y *graph.Node) *graph.Node {
		return op.CrossEntropy(g, g.Reshape(y, 1, y.Desc().Size()), g.Ints([]int32{1}), op.CrossEntropyOptions{})
	}
	for name, define := range map[string]func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node{
		"a block that holds the loss, whose gradient goes over its logits": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			return g.Block("b", func() *graph.Node { return scalar(g, op.Scale(g, linear(g, w, op.GELU(g, x)), 2)) })
		},
		"a loss in a block whose logits come from outside": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			y := linear(g, w, x)
			return g.Block("b", func() *graph.Node { return scalar(g, y) })
		},
		"a block of two outputs, one read by a later block": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			var inner *graph.Node
			y := g.Block("a", func() *graph.Node {
				inner = op.GELU(g, linear(g, w, x))
				return op.GELU(g, linear(g, w, inner))
			})
			return scalar(g, g.Block("b", func() *graph.Node { return op.Add(g, op.GELU(g, inner), op.L2Normalize(g, y)) }))
		},
		"a block in a block": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			return scalar(g, g.Block("a", func() *graph.Node {
				y := g.Block("b", func() *graph.Node { return op.GELU(g, linear(g, w, x)) })
				return op.Add(g, y, op.GELU(g, op.GELU(g, y)))
			}))
		},
		"a block that ends in a reshaped node and reads its own output": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			y := g.Block("a", func() *graph.Node { return g.Reshape(op.L2Normalize(g, linear(g, w, x)), c, n) })
			return scalar(g, op.Scale(g, y, 3))
		},
		"a block with a part that gets no gradient": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			return scalar(g, g.Block("a", func() *graph.Node {
				y := op.GELU(g, linear(g, w, x))
				g.Output("norms", op.L2Normalize(g, y))
				return op.Add(g, y, g.Detach(op.GELU(g, y)))
			}))
		},
		"blocks that share a parameter": func(g *graph.Graph, w *graph.Param, x *graph.Node) *graph.Node {
			for range 4 {
				x = g.Block("a", func() *graph.Node { return op.Add(g, x, op.GELU(g, linear(g, w, op.GELU(g, x)))) })
			}
			return scalar(g, x)
		},
	} {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, b device.Backend) {
				w0, w := newParam(t, b, "w0", 1, c, c), newParam(t, b, "w", 2, c, c)
				run := func(checkpoint bool) (out [][]float32) {
					g := build(t, b, graph.Options{Train: true, Checkpoint: checkpoint}, func(g *graph.Graph) *graph.Node {
						x := g.Input("x", device.Float32, n, c)
						g.Gradient("dx", x)
						loss := define(g, w, linear(g, w0, x))
						g.Output("loss", loss)
						return loss
					})
					check(t, g.Feed("x", noise(3, n*c)))
					b.Zero(w0.Grad)
					b.Zero(w.Grad)
					check(t, g.Run())
					return append(out, must(g.Read("loss")), must(g.Read("dx")), must(device.ReadFloats(b, w0.Grad)), must(device.ReadFloats(b, w.Grad)))
				}
				want, got := run(false), run(true)
				for i := range want {
					if !slices.Equal(got[i], want[i]) {
						t.Fatalf("result %d is %v, %v where all is kept", i, got[i], want[i])
					}
				}
			})
		})
	}
}
