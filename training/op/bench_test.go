package op_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/kernel"
	"tempera/training/op"
)

// BenchmarkGPTStep is one forward and backward of a GPT of 4 layers, width 256, 4 heads, 512 tokens of vocabulary, on 8 x 128 tokens.
func BenchmarkGPTStep(b *testing.B) {
	const batch, tokens, width, heads, vocab, layers = 8, 128, 256, 4, 512, 4
	e, err := kernel.New(kernel.Options{Threads: 1})
	check(b, err)
	defer e.Close()
	backend := device.NewCPU(e)
	param := func(g *graph.Graph, shape ...int) *graph.Node {
		data := noise(uint64(len(g.Params())), device.Floats(shape...).Size())
		for i := range data {
			data[i] *= 0.02
		}
		return g.Param(&graph.Param{Name: "w", Value: must(device.FromFloats(backend, data, shape...))})
	}
	g := must(graph.Build(backend, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
		ids, labels := g.Input("ids", device.Int32, batch, tokens), g.Input("labels", device.Int32, batch, tokens)
		table := param(g, vocab, width)
		x := op.AddPosition(g, op.Embedding(g, ids, table), param(g, tokens, width))
		for range layers {
			h := op.LayerNorm(g, x, param(g, width), param(g, width), 0)
			h = op.Linear(g, h, param(g, width, 3*width), param(g, 3*width), op.LinearOptions{})
			h = op.SelfAttention(g, h, op.AttentionOptions{Heads: heads, Causal: true})
			x = op.Linear(g, h, param(g, width, width), param(g, width), op.LinearOptions{Residual: x})
			h = op.LayerNorm(g, x, param(g, width), param(g, width), 0)
			h = op.Linear(g, h, param(g, width, 4*width), param(g, 4*width), op.LinearOptions{Activation: device.GELUTanh})
			x = op.Linear(g, h, param(g, 4*width, width), param(g, width), op.LinearOptions{Residual: x})
		}
		x = op.LayerNorm(g, x, param(g, width), param(g, width), 0)
		return op.CrossEntropy(g, op.Linear(g, x, table, nil, op.LinearOptions{Transposed: true}), labels, op.CrossEntropyOptions{})
	}))
	defer func() { check(b, g.Close()) }()
	b.Logf("%d steps, %v", g.Steps(), g.Memory())
	b.ReportAllocs()
	for b.Loop() {
		check(b, g.Run())
	}
}
