package op_test

import (
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/golden"
	"tempera/training/graph"
	"tempera/training/op"
)

func TestMixtureSharesTokensAsTheGoldenVectorDoes(t *testing.T) {
	c := must(golden.Load("moe_sigmoid_topk"))
	want := make([]int32, c.Inputs["bias"].Shape[0]+1)
	for _, e := range c.Outputs["experts"].Ints() {
		for i := int(e) + 1; i < len(want); i++ {
			want[i]++
		}
	}
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			in := nodes{}
			for name, x := range c.Inputs {
				in[name] = g.Input(name, device.Float32, x.Shape...)
			}
			_, loads := op.Mixture(g, in["x"], op.MixtureArgs{
				Router: in["router"], Balance: in["bias"], GateUp: op.Concat(g, 2, in["w_gate"], in["w_up"]), Down: in["w_down"],
				Active: param[int](t, c, "top_k"), Scale: param[float32](t, c, "scale"),
			})
			g.Output("loads", loads)
			return nil
		}))
		for _, name := range []string{"x", "router", "bias"} {
			check(t, g.Feed(name, c.Inputs[name].Floats()))
		}
		check(t, g.Run())
		if got := must(g.ReadInts("loads")); !slices.Equal(got, want) {
			t.Fatalf("loads end at %v, want %v", got, want)
		}
	})
}
