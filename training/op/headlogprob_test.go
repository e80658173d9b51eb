package op_test

import (
	"math"
	"testing"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
)

// headLogProbCases are cases of gradients: of both columns, for all logits at once and for two rows of them, tied and not.
func headLogProbCases() []gradientCase {
	const n, c, v = 5, 3, 7
	targets := []int32{3, device.IgnoreIndex, 0, 6, 3}
	plain := func(block int, o op.LogProbOptions) func(g *graph.Graph, x []*graph.Node) *graph.Node {
		return func(g *graph.Graph, x []*graph.Node) *graph.Node {
			if len(x) > 2 {
				o.Bias = x[2]
			}
			return op.HeadLogProbsOf(g, op.Scale(g, x[0], 0.5), x[1], g.Ints(targets), o, block)
		}
	}
	return []gradientCase{
		{"log-probabilities and entropies", [][]int{{n, c}, {c, v}}, plain(1<<20, op.LogProbOptions{})},
		{"log-probabilities at a temperature, two rows at a time", [][]int{{n, c}, {c, v}, {v}}, plain(2*v, op.LogProbOptions{Temperature: 0.7})},
		{"log-probabilities of a tied head", [][]int{{n, c}, {v, c}}, plain(2*v, op.LogProbOptions{Transposed: true, Temperature: 1.5})},
	}
}

func TestGradientsOfHeadLogProbs(t *testing.T) {
	for _, c := range headLogProbCases() {
		t.Run(c.name, func(t *testing.T) {
			onBackends(t, func(t *testing.T, b device.Backend) {
				t.Run("as parameters", func(t *testing.T) { runGradient(t, b, c, parameters) })
				t.Run("as inputs", func(t *testing.T) { runGradient(t, b, c, inputs) })
			})
		})
	}
}

// TestHeadLogProbsAreThoseOfTheGoldenCrossEntropy: the mean of the negative log-probabilities is the loss, and its gradient theirs.
func TestHeadLogProbsAreThoseOfTheGoldenCrossEntropy(t *testing.T) {
	c := must(golden.Load("cross_entropy"))
	logits, labels := c.Inputs["logits"], c.Inputs["labels"]
	v := logits.Shape[len(logits.Shape)-1]
	counted := 0
	for _, l := range labels.Ints() {
		if l != device.IgnoreIndex {
			counted++
		}
	}
	identity := make([]float32, v*v)
	for i := range v {
		identity[i*(v+1)] = 1
	}
	onBackends(t, func(t *testing.T, b device.Backend) {
		w := &graph.Param{Name: "identity", Value: must(device.FromFloats(b, identity, v, v)), Frozen: true}
		g := must(graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
			x := g.Input("logits", device.Float32, logits.Shape...)
			g.Gradient("d logits", x)
			y := op.HeadLogProbsOf(g, x, g.Param(w), g.Ints(labels.Ints()), op.LogProbOptions{}, 2*v)
			loss := op.HostLoss(g, "mean", func(in, grad [][]float64) float64 {
				sum := 0.0
				for i := 0; i < len(in[0]); i += 2 {
					sum -= in[0][i] / float64(counted)
					grad[0][i] = -1 / float64(counted)
				}
				return sum
			}, y)
			g.Output("loss", loss)
			return loss
		}))
		defer func() { check(t, g.Close()) }()
		check(t, g.Feed("logits", logits.Floats()))
		check(t, g.Run())
		check(t, golden.Compare(must(g.Read("loss")), c.Outputs["loss"], tolerance))
		check(t, golden.Compare(must(g.Read("d logits")), c.Grads["logits"], tolerance))
	})
}

func TestTheEntropyOfEqualLogitsIsTheLogarithmOfTheirNumber(t *testing.T) {
	const v = 1000
	b := newCPU(t, device.OpaqueHeap())
	w := &graph.Param{Name: "w", Value: must(device.New(b, device.Floats(4, v)))}
	g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
		g.Output("y", op.HeadLogProbs(g, g.Input("x", device.Float32, 2, 4), g.Param(w), g.Ints([]int32{5, device.IgnoreIndex}), op.LogProbOptions{Temperature: 2}))
		return nil
	}))
	defer func() { check(t, g.Close()) }()
	check(t, g.Run())
	check(t, golden.Compare(must(g.Read("y")), golden.Tensor{Shape: []int{4}, Data: []float64{-math.Log(v), math.Log(v), 0, 0}}, 1e-6))
}

func TestHeadLogProbsNeedNoMemoryForAllLogits(t *testing.T) {
	const n, c, v = 2048, 8, 50000
	b := newCPU(t, device.HostHeap())
	w := &graph.Param{Name: "w", Value: must(device.FromFloats(b, noise(1, c*v), v, c))}
	g := must(graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		x := op.Scale(g, g.Input("x", device.Float32, n, c), 1)
		y := op.HeadLogProbs(g, x, g.Param(w), g.Input("targets", device.Int32, n), op.LogProbOptions{Transposed: true})
		return op.HostLoss(g, "sum", sumOf, y)
	}))
	defer func() { check(t, g.Close()) }()
	if got, all := g.Memory().Arena, int64(n*v*4); got > all/8 {
		t.Fatalf("the graph needs %d bytes, all logits are %d", got, all)
	}
	check(t, g.Run())
}

func sumOf(in, grad [][]float64) float64 {
	sum := 0.0
	for i, v := range in[0] {
		sum += v
		grad[0][i] = 1
	}
	return sum
}
