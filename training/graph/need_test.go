package graph_test

import (
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

// products counts matrix products.
type products struct {
	device.Backend
	count int
}

func (p *products) Gemm(a device.GemmArgs) {
	p.count++
	p.Backend.Gemm(a)
}

// TestWhatNobodyNeedsIsNotComputed counts the products of two layers and a classifier: one forward each, one for each dx and one for each dW.
func TestWhatNobodyNeedsIsNotComputed(t *testing.T) {
	const n, c, rank = 3, 8, 2
	b := &products{Backend: newCPU(t, 1, device.HostHeap())}
	layers := []*graph.Param{newParam(t, b, "first", 1, c, c), newParam(t, b, "second", 2, c, c), newParam(t, b, "head", 3, c, c)}
	down, up := newParam(t, b, "down", 4, c, rank), newParam(t, b, "up", 5, rank, c)
	linear := func(g *graph.Graph, p *graph.Param, x *graph.Node) *graph.Node {
		return op.Linear(g, x, g.Param(p), nil, op.LinearOptions{})
	}
	for name, d := range map[string]struct {
		trained []*graph.Param
		adapted int  // the layer that has a trained branch of low rank beside it; -1: none
		input   bool // the gradient of the input is wanted
		want    int
	}{
		"all trained: the first layer has no dx":                           {layers, -1, false, 3 + 2 + 3},
		"all trained, and the input's gradient":                            {layers, -1, true, 3 + 3 + 3},
		"a frozen first layer: no dW, and the second has no dx":            {layers[1:], -1, false, 3 + 1 + 2},
		"a frozen tower: its two layers run forward only":                  {layers[2:], -1, false, 3 + 0 + 1},
		"a frozen head above a trained layer: dx and no dW":                {layers[:1], -1, false, 3 + 2 + 1},
		"a branch beside a frozen second layer: nothing for the first two": {nil, 1, false, 5 + 2 + 2},
		"a branch beside the frozen first layer: dx down to it, no dW":     {nil, 0, false, 5 + 3 + 2},
		"a branch beside a trained second layer":                           {layers[1:2], 1, false, 5 + 2 + 3},
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range layers {
				p.Grad, p.Frozen = nil, true
			}
			for _, p := range d.trained {
				p.Frozen = false
			}
			g := build(t, b, graph.Options{Train: true}, func(g *graph.Graph) *graph.Node {
				x := g.Input("x", device.Float32, n, c)
				if d.input {
					g.Gradient("dx", x)
				}
				for i, p := range layers {
					y := linear(g, p, x)
					if i == d.adapted {
						y = op.Add(g, y, linear(g, up, linear(g, down, x)))
					}
					x = y
				}
				return op.CrossEntropy(g, x, g.Ints([]int32{1, 0, 3}), op.CrossEntropyOptions{})
			})
			check(t, g.Feed("x", noise(3, n*c)))
			b.count = 0
			check(t, g.Run())
			if b.count != d.want {
				t.Errorf("%d products, want %d", b.count, d.want)
			}
			for _, p := range layers {
				if (p.Grad != nil) == p.Frozen {
					t.Errorf("%s: frozen %v, has a gradient %v", p.Name, p.Frozen, p.Grad != nil)
				}
			}
		})
	}
}
