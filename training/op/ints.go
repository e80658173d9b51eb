package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// GatherInts is GatherRows of an int32 tensor: token ids of chosen captions.
func GatherInts(g *graph.Graph, x, index *graph.Node) *graph.Node { return GatherRows(g, x, index) }

// ConcatInts is ConcatRows of int32 tensors.
func ConcatInts(g *graph.Graph, xs ...*graph.Node) *graph.Node { return ConcatRows(g, xs...) }

// SliceInts takes the first n elements of an int32 vector.
func SliceInts(g *graph.Graph, x *graph.Node, n int) *graph.Node { return g.Apply(&sliceInts{n}, x) }

type sliceInts struct{ n int }

func (s *sliceInts) Name() string { return "sliceints" }

func (s *sliceInts) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "i"), rank(in[0], "x", 1)); err != nil {
		return device.Desc{}, err
	}
	if s.n < 1 || s.n > in[0].Size() {
		return device.Desc{}, fmt.Errorf("%d of %d elements", s.n, in[0].Size())
	}
	return device.Ints(s.n), nil
}

func (s *sliceInts) Forward(c *graph.Call) {
	c.Backend.CopyBlock(device.CopyBlockArgs{Rows: 1, Cols: s.n, X: c.In[0], Y: c.Out, LDX: c.In[0].Size()})
}
