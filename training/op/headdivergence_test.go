package op_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
)

// constant is a tensor that is not trained.
func constant(g *graph.Graph, name string, seed uint64, shape ...int) *graph.Node {
	n := device.Floats(shape...).Size()
	return g.Param(&graph.Param{Name: name, Frozen: true, Value: must(device.FromFloats(g.Backend(), noise(seed, n), shape...))})
}

func TestGradientsOfHeadDivergence(t *testing.T) {
	const n, c, wide, v = 5, 3, 4, 7
	for _, k := range []gradientCase{
		{"two rows at a time", [][]int{{n, c}, {c, v}, {v}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			teacher := op.HeadOperand{X: constant(g, "teacher", 50, n, wide), W: constant(g, "head", 51, v, wide), Transposed: true}
			student := op.HeadOperand{X: op.Scale(g, x[0], 0.5), W: x[1], Bias: x[2]}
			return op.Scale(g, op.HeadDivergenceOf(g, student, teacher, g.Ints([]int32{3, device.IgnoreIndex, 0, 6, 3}), 1.7, 2*v), 4)
		}},
		{"of a tied head", [][]int{{n, c}, {v, c}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			teacher := op.HeadOperand{X: constant(g, "teacher", 50, n, wide), W: constant(g, "head", 51, wide, v), Bias: constant(g, "bias", 52, v)}
			return op.HeadDivergence(g, op.HeadOperand{X: x[0], W: x[1], Transposed: true}, teacher, g.Ints([]int32{3, 1, 0, 6, 3}), 1)
		}},
	} {
		t.Run(k.name, func(t *testing.T) {
			onBackends(t, func(t *testing.T, b device.Backend) {
				t.Run("as parameters", func(t *testing.T) { runGradient(t, b, k, parameters) })
				t.Run("as inputs", func(t *testing.T) { runGradient(t, b, k, inputs) })
			})
		})
	}
}

func TestAHeadDoesNotDivergeFromItself(t *testing.T) {
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			h := op.HeadOperand{X: constant(g, "x", 1, 6, 4), W: constant(g, "w", 2, 4, 11)}
			other := op.HeadOperand{X: constant(g, "y", 3, 6, 4), W: h.W}
			targets := g.Ints([]int32{0, 0, device.IgnoreIndex, 0, 0, 0})
			g.Output("same", op.HeadDivergence(g, h, h, targets, 2))
			g.Output("other", op.HeadDivergence(g, h, other, targets, 2))
			return nil
		}))
		defer func() { check(t, g.Close()) }()
		check(t, g.Run())
		check(t, golden.Compare([]float32{1 + must(g.Read("same"))[0]}, golden.Tensor{Shape: []int{1}, Data: []float64{1}}, 1e-6))
		if d := must(g.Read("other"))[0]; d < 0.1 {
			t.Fatalf("the divergence of two heads is %v", d)
		}
	})
}
