package op_test

import (
	"slices"
	"testing"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/op"
)

func TestIntegersAreSelectedAndJoined(t *testing.T) {
	onBackends(t, func(t *testing.T, b device.Backend) {
		g := must(graph.Build(b, graph.Options{}, func(g *graph.Graph) *graph.Node {
			x := g.Input("x", device.Int32, 3, 2)
			picked := op.GatherInts(g, x, g.Ints([]int32{2, 0}))
			g.Output("y", op.ConcatInts(g, x, picked))
			return nil
		}))
		defer func() { check(t, g.Close()) }()
		// -100 and 1<<31-1 are not numbers as float32: the words must come through unchanged.
		check(t, g.Feed("x", []int32{-100, 1<<31 - 1, 3, 4, 5, -6}))
		check(t, g.Run())
		if got, want := must(g.ReadInts("y")), []int32{-100, 1<<31 - 1, 3, 4, 5, -6, 5, -6, -100, 1<<31 - 1}; !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
