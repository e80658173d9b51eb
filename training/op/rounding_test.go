package op_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// rounding stands for a backend that stores activations in bfloat16. Graphs are defined and planned on it, and never run.
type rounding struct{ device.Backend }

func (rounding) Activations() device.DType { return device.BFloat16 }

func TestActivationsAreStoredInTheBackendsTypeAndWhatLossesAreMadeOfIsNot(t *testing.T) {
	b := rounding{newCPU(t, device.HostHeap())}
	g := graph.New(b, graph.Options{Train: true})
	param := func(name string, shape ...int) *graph.Node {
		return g.Param(must(graph.NewParam(b, name, shape...)))
	}
	floats := func(name string, shape ...int) *graph.Node { return g.Input(name, device.Float32, shape...) }
	table, w, square := param("table", 7, 4), param("w", 4, 6), param("square", 4, 4)
	ids := g.Ints([]int32{1, 2, 3, 0})
	x := op.Embedding(g, ids, table)                 // (4, C)
	y := op.Linear(g, x, w, nil, op.LinearOptions{}) // (4, 6)
	features, queue := op.L2Normalize(g, x), floats("queue", 5, 4)
	logits := op.ScaleBy(g, op.MatMulT(g, features, queue), param("temperature", 1), device.TimesExp)
	mixed, loads := op.Mixture(g, x, op.MixtureArgs{
		Router: param("router", 4, 3), Balance: param("balance", 3), GateUp: param("up", 3, 4, 4), Down: param("down", 3, 2, 4), Active: 2, Scale: 1,
	})
	loss := op.HeadCrossEntropy(g, x, w, g.Ints([]int32{0, 1, 2, 3}), op.HeadOptions{})

	const rounded, exact = device.BFloat16, device.Float32
	for name, c := range map[string]struct {
		node *graph.Node
		want device.DType
	}{
		"rows of a table":                            {x, rounded},
		"a view of them":                             {g.Reshape(x, 2, 8), rounded},
		"a part of them":                             {op.SliceTokens(g, g.Reshape(x, 2, 2, 4), 0, 1), rounded},
		"a product":                                  {y, rounded},
		"a norm":                                     {op.LayerNorm(g, y, param("gamma", 6), nil, 0), rounded},
		"their sum with what was fed":                {op.Add(g, x, floats("noise", 4, 4)), rounded},
		"an image's patches":                         {op.Patchify(g, floats("image", 1, 3, 4, 4), 2), rounded},
		"answers of experts":                         {mixed, rounded},
		"normalised activations":                     {features, rounded},
		"normalised parameters":                      {op.L2Normalize(g, square), exact},
		"what was fed":                               {op.ConcatRows(g, op.L2Normalize(g, floats("keys", 2, 4)), queue), exact},
		"activations beside what was fed":            {op.ConcatRows(g, features, queue), rounded},
		"logits of a contrast":                       {logits, exact},
		"scores":                                     {op.Linear(g, x, param("head", 4, 2), nil, op.LinearOptions{Exact: true}), exact},
		"a parameter with something added":           {op.Linear(g, op.Scale(g, square, 2), square, nil, op.LinearOptions{Residual: square}), exact},
		"a residual where the product alone is kept": {op.Linear(g, x, square, nil, op.LinearOptions{Residual: x, Exact: true}), rounded},
		"log-probabilities":                          {op.HeadLogProbs(g, x, w, g.Ints([]int32{0, 1, 2, 3}), op.LogProbOptions{}), exact},
		"a loss":                                     {loss, exact},
		"loads of experts":                           {loads, device.Int32},
	} {
		if got := c.node.Desc().DType; got != c.want {
			t.Errorf("%s: stored as %v, want %v", name, got, c.want)
		}
	}

	g.Seed("gradient", y)
	g.Gradient("dx", x)
	check(t, g.Compile(loss))
}

// The plan counts what is stored in half the memory as half.
func TestPlansCountRoundedActivations(t *testing.T) {
	plan := func(b device.Backend) graph.Memory {
		g := graph.New(b, graph.Options{Train: true})
		x := g.Input("x", device.Float32, 64, 32)
		for range 3 {
			w := g.Param(must(graph.NewParam(b, "w", 32, 32)))
			x = op.Linear(g, x, w, nil, op.LinearOptions{Activation: device.SiLU})
		}
		check(t, g.Compile(op.CrossEntropy(g, x, g.Ints(make([]int32, 64)), op.CrossEntropyOptions{})))
		return g.Memory()
	}
	cpu := newCPU(t, device.HostHeap())
	whole, half := plan(cpu), plan(rounding{cpu})
	const exact = 64*device.WordBytes + 64 // losses of rows, and the loss on a line of its own
	if got, want := half.Separate-exact, (whole.Separate-exact)/2; got != want {
		t.Errorf("activations take %d bytes, want %d", got, want)
	}
	if half.Parameters != whole.Parameters || half.Gradients != whole.Gradients || half.Inputs != whole.Inputs {
		t.Errorf("parameters, their gradients and inputs keep their size: %v and %v", half, whole)
	}
}
