package op

import (
	"errors"
	"fmt"
	"slices"

	"tempera/training/device"
	"tempera/training/graph"
)

// SelectToken takes token t of each sequence: (B, T, C) to (B, C). A negative t counts from the end.
func SelectToken(g *graph.Graph, x *graph.Node, t int) *graph.Node {
	if t < 0 && x.Desc().Rank() == 3 {
		t += x.Dim(1)
	}
	y := SliceTokens(g, x, t, 1)
	return g.Reshape(y, x.Dim(0), x.Dim(2))
}

// SliceTokens takes count tokens of each sequence from token first on: (B, T, C) to (B, count, C).
//
// Saved: nothing.
func SliceTokens(g *graph.Graph, x *graph.Node, first, count int) *graph.Node {
	return g.Apply(&sliceTokens{first: first, count: count}, x)
}

type sliceTokens struct{ first, count, b, t, c int }

func (s *sliceTokens) Name() string { return "slicetokens" }

func (s *sliceTokens) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "f"), rank(in[0], "x", 3)); err != nil {
		return device.Desc{}, err
	}
	s.b, s.t, s.c = in[0].Shape[0], in[0].Shape[1], in[0].Shape[2]
	if s.first < 0 || s.count < 1 || s.first+s.count > s.t {
		return device.Desc{}, fmt.Errorf("tokens %d to %d of %d", s.first, s.first+s.count-1, s.t)
	}
	return device.Floats(s.b, s.count, s.c), nil
}

func (s *sliceTokens) Forward(c *graph.Call) {
	c.Backend.CopyBlock(device.CopyBlockArgs{Rows: s.b, Cols: s.count * s.c, X: c.In[0], OffsetX: s.first * s.c, LDX: s.t * s.c, Y: c.Out})
}

func (s *sliceTokens) Wrt() []bool { return []bool{true} }

func (s *sliceTokens) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}}
}

func (s *sliceTokens) Backward(c *graph.Call) {
	c.Backend.CopyBlock(device.CopyBlockArgs{
		Rows: s.b, Cols: s.count * s.c, X: c.DOut, Y: accumulator(c, 0), OffsetY: s.first * s.c, LDY: s.t * s.c, Accumulate: true,
	})
}

// Concat joins tensors of integers, or of floats, along an axis; the other dimensions are equal. Axis 0 joins batches or rows, axis 1 of (B, T, C) tokens.
//
// Saved: nothing.
func Concat(g *graph.Graph, axis int, xs ...*graph.Node) *graph.Node {
	return g.Apply(&concat{axis: axis}, xs...)
}

// ConcatRows is Concat along axis 0.
func ConcatRows(g *graph.Graph, xs ...*graph.Node) *graph.Node { return Concat(g, 0, xs...) }

type concat struct {
	axis  int
	ints  bool
	rows  int   // product of the dimensions before the axis
	width []int // per operand: product of the others
	total int
}

func (k *concat) Name() string { return "concat" }

func (k *concat) Infer(in []device.Desc) (device.Desc, error) {
	k.ints = in[0].DType == device.Int32
	out := device.Desc{DType: in[0].DType, Shape: slices.Clone(in[0].Shape)}
	if k.axis < 0 || k.axis >= in[0].Rank() {
		return out, fmt.Errorf("axis %d of %d dimensions", k.axis, in[0].Rank())
	}
	out.Shape[k.axis] = 0
	for _, d := range in {
		rest := slices.Clone(d.Shape)
		if d.DType.Float() == k.ints || d.Rank() != in[0].Rank() {
			return out, errors.New("operands must be of one type and rank")
		}
		out.Shape[k.axis] += d.Shape[k.axis]
		rest[k.axis] = in[0].Shape[k.axis]
		if !slices.Equal(rest, in[0].Shape) {
			return out, fmt.Errorf("only dimension %d may differ", k.axis)
		}
	}
	k.rows = 1
	for _, e := range out.Shape[:k.axis] {
		k.rows *= e
	}
	for _, d := range in {
		k.width = append(k.width, d.Size()/k.rows)
		k.total += d.Size() / k.rows
	}
	return out, nil
}

// Exact is part of graph.Exact: what is float32 in all parts stays so.
func (k *concat) Exact(in []device.Desc) bool {
	return sameType(in...) == nil && in[0].DType == device.Float32
}

func (k *concat) Forward(c *graph.Call) {
	at := 0
	for i, x := range c.In {
		c.Backend.CopyBlock(device.CopyBlockArgs{Rows: k.rows, Cols: k.width[i], X: x, Y: c.Out, OffsetY: at, LDY: k.total})
		at += k.width[i]
	}
}

func (k *concat) Wrt() []bool {
	wrt := make([]bool, len(k.width))
	for i := range wrt {
		wrt[i] = !k.ints
	}
	return wrt
}

func (k *concat) Backprop(graph.Request) graph.Backprop { return graph.Backprop{} }

func (k *concat) Backward(c *graph.Call) {
	at := 0
	for i, d := range c.DIn {
		if d != nil {
			c.Backend.CopyBlock(device.CopyBlockArgs{
				Rows: k.rows, Cols: k.width[i], X: c.DOut, OffsetX: at, LDX: k.total, Y: d, Accumulate: c.Add[i],
			})
		}
		at += k.width[i]
	}
}
