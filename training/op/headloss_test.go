package op_test

import (
	"fmt"
	"testing"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
)

// TestHeadCrossEntropyIsLinearAndCrossEntropy compares loss and gradients with those of the pair, for all logits at once and for few of them,
// alone and as a term of a larger loss.
func TestHeadCrossEntropyIsLinearAndCrossEntropy(t *testing.T) {
	const n, c, v = 7, 5, 13
	targets := []int32{3, device.IgnoreIndex, 0, 12, 12, 7, device.IgnoreIndex}
	type variant struct {
		bias, transposed, weighted bool
	}
	run := func(b device.Backend, k variant, loss func(g *graph.Graph, x, w, bias, t *graph.Node) *graph.Node) map[string][]float32 {
		shape := []int{c, v}
		if k.transposed {
			shape = []int{v, c}
		}
		params := map[string]*graph.Param{}
		for i, p := range []struct {
			name  string
			shape []int
		}{{"x", []int{n, c}}, {"w", shape}, {"b", []int{v}}} {
			params[p.name] = &graph.Param{Name: p.name, Value: must(device.FromFloats(b, noise(uint64(i+30), device.Floats(p.shape...).Size()), p.shape...))}
		}
		g := must(graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
			var bias *graph.Node
			if k.bias {
				bias = g.Param(params["b"])
			}
			y := loss(g, op.Scale(g, g.Param(params["x"]), 0.5), g.Param(params["w"]), bias, g.Ints(targets))
			g.Output("loss", y)
			if k.weighted {
				y = op.Scale(g, y, 3)
			}
			return y
		}))
		defer func() { check(t, g.Close()) }()
		check(t, g.Run())
		out := map[string][]float32{"loss": must(g.Read("loss"))}
		for name, p := range params {
			if p.Grad != nil {
				out[name] = must(device.ReadFloats(b, p.Grad))
			}
		}
		return out
	}
	onBackends(t, func(t *testing.T, b device.Backend) {
		for _, k := range []variant{{}, {bias: true}, {transposed: true}, {bias: true, transposed: true, weighted: true}, {weighted: true}} {
			want := run(b, k, func(g *graph.Graph, x, w, bias, targets *graph.Node) *graph.Node {
				return op.CrossEntropy(g, op.Linear(g, x, w, bias, op.LinearOptions{Transposed: k.transposed}), targets, op.CrossEntropyOptions{Smoothing: 0.2})
			})
			for _, most := range []int{1, 3 * v, n * v} {
				t.Run(fmt.Sprintf("%+v, %d logits at a time", k, most), func(t *testing.T) {
					o := op.HeadTestOptions{HeadOptions: op.HeadOptions{Smoothing: 0.2, Transposed: k.transposed}, Most: most}
					got := run(b, k, func(g *graph.Graph, x, w, bias, targets *graph.Node) *graph.Node {
						o.Bias = bias
						return op.HeadCrossEntropyOf(g, x, w, targets, o)
					})
					if len(got) != len(want) {
						t.Fatalf("%d gradients, want %d", len(got), len(want))
					}
					for name, x := range want {
						wide := make([]float64, len(x))
						for i := range x {
							wide[i] = float64(x[i])
						}
						if err := golden.Compare(got[name], golden.Tensor{Shape: []int{len(x)}, Data: wide}, 1e-5); err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				})
			}
		}
	})
}

func TestHeadCrossEntropyNeedsNoMemoryForAllLogits(t *testing.T) {
	const n, c, v = 2048, 8, 50000
	b := newCPU(t, device.HostHeap())
	w := &graph.Param{Name: "w", Value: must(device.FromFloats(b, noise(1, c*v), v, c))}
	g := must(graph.Build(b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		x := op.Scale(g, g.Input("x", device.Float32, n, c), 1)
		return op.HeadCrossEntropy(g, x, g.Param(w), g.Input("targets", device.Int32, n), op.HeadOptions{Transposed: true})
	}))
	defer func() { check(t, g.Close()) }()
	if got, all := g.Memory().Arena, int64(n*v*4); got > all/8 {
		t.Fatalf("the graph needs %d bytes, all logits are %d", got, all)
	}
	check(t, g.Run())
}
