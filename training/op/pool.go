package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// MeanPool averages the tokens of each sequence: x (B, T, C) to (B, C). lengths, int32 (B) or nil, says how many leading tokens count; a
// length of 0 gives zeros.
//
// Saved: nothing.
func MeanPool(g *graph.Graph, x, lengths *graph.Node) *graph.Node {
	if lengths == nil {
		return g.Apply(&meanPool{lengths: -1}, x)
	}
	return g.Apply(&meanPool{lengths: 1}, x, lengths)
}

type meanPool struct {
	likeFirst
	lengths, b, t, c int
}

func (m *meanPool) Name() string { return "meanpool" }

func (m *meanPool) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "fi"[:len(in)]), rank(in[0], "x", 3)); err != nil {
		return device.Desc{}, err
	}
	m.b, m.t, m.c = in[0].Shape[0], in[0].Shape[1], in[0].Shape[2]
	if m.lengths > 0 && in[1].Size() != m.b {
		return device.Desc{}, fmt.Errorf("%d lengths for a batch of %d", in[1].Size(), m.b)
	}
	return device.Floats(m.b, m.c), nil
}

func (m *meanPool) Forward(c *graph.Call) {
	c.Backend.MeanPool(device.MeanPoolArgs{B: m.b, T: m.t, C: m.c, Lengths: operand(c.In, m.lengths), X: c.In[0], Y: c.Out})
}

func (m *meanPool) Wrt() []bool { return []bool{true, false}[:1+len(which(m.lengths > 0))] }

func (m *meanPool) Backprop(graph.Request) graph.Backprop {
	if m.lengths > 0 {
		return graph.Backprop{ReadsIn: []int{1}, Accumulates: []int{0}}
	}
	return graph.Backprop{Accumulates: []int{0}}
}

func (m *meanPool) Backward(c *graph.Call) {
	c.Backend.MeanPoolBackward(device.MeanPoolBackwardArgs{
		B: m.b, T: m.t, C: m.c, Lengths: operand(c.In, m.lengths), DY: c.DOut, DX: c.DIn[0], Accumulate: c.Add[0],
	})
}
