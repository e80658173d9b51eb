package op_test

import (
	"math"
	"strings"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// curved is a loss of two tensors with a gradient of both: the sum of exp(a/2) b.
func curved(in, grad [][]float64) float64 {
	sum := 0.0
	for i, a := range in[0] {
		e := math.Exp(a / 2)
		sum += e * in[1][i]
		grad[0][i] = e * in[1][i] / 2
		grad[1][i] = e
	}
	return sum
}

func TestGradientsOfALossOnTheHost(t *testing.T) {
	for _, c := range []gradientCase{
		{"as it is", [][]int{{2, 3}, {6}}, func(g *graph.Graph, x []*graph.Node) *graph.Node { return op.HostLoss(g, "curved", curved, x...) }},
		{"scaled, of results", [][]int{{2, 3}, {6}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			return op.Scale(g, op.HostLoss(g, "curved", curved, op.Scale(g, x[0], 2), op.Scale(g, x[1], -1)), 3)
		}},
		{"of a tensor that others use", [][]int{{2, 2}}, func(g *graph.Graph, x []*graph.Node) *graph.Node {
			y := op.Scale(g, x[0], 2)
			return op.WeightedSum(g, []float32{1, 2}, op.HostLoss(g, "curved", curved, y, y), op.HostLoss(g, "sum", sumOf, y))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBackends(t, func(t *testing.T, b device.Backend) {
				t.Run("as parameters", func(t *testing.T) { runGradient(t, b, c, parameters) })
				t.Run("as inputs", func(t *testing.T) { runGradient(t, b, c, inputs) })
			})
		})
	}
}

func TestAPanicOfALossOnTheHostIsAnErrorOfTheRun(t *testing.T) {
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			g.Output("loss", op.HostLoss(g, "broken", func([][]float64, [][]float64) float64 { panic("no advantage for row 3") }, g.Input("x", device.Float32, 2)))
			return nil
		}))
		defer func() { check(t, g.Close()) }()
		if err := g.Run(); err == nil || !strings.Contains(err.Error(), "no advantage for row 3") {
			t.Fatalf("the error is %v", err)
		}
	})
}
