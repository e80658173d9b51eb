package graph_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// chain is n operations of next to no work: what is left is gorgonia and this package.
func chain(n int) func(g *graph.Graph) *graph.Node {
	return func(g *graph.Graph) *graph.Node {
		x := g.Input("x", device.Float32, 1)
		g.Gradient("dx", x)
		for range n {
			x = op.Scale(g, x, 1)
		}
		return x
	}
}

func BenchmarkOverheadOf150OperationsWithBackward(b *testing.B) {
	backend := newCPU(b, 1, device.HostHeap())
	g := build(b, backend, graph.Options{Train: true}, chain(150))
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Run(); err != nil {
			b.Fatal(err)
		}
	}
}
