package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// PrependToken puts the vector token, of C elements, before the tokens of each sequence: (B, T, C) to (B, T+1, C). It is the class token of a
// vision transformer.
//
// Saved: nothing.
func PrependToken(g *graph.Graph, x, token *graph.Node) *graph.Node {
	return g.Apply(&prepend{}, x, token)
}

type prepend struct{ b, t, c int }

func (p *prepend) Name() string { return "prependtoken" }

func (p *prepend) Infer(in []device.Desc) (device.Desc, error) {
	if err := errors.Join(types(in, "ff"), rank(in[0], "x", 3)); err != nil {
		return device.Desc{}, err
	}
	p.b, p.t, p.c = in[0].Shape[0], in[0].Shape[1], in[0].Shape[2]
	if in[1].Size() != p.c {
		return device.Desc{}, fmt.Errorf("the token has %d elements, must have %d", in[1].Size(), p.c)
	}
	return device.Floats(p.b, p.t+1, p.c), nil
}

// Scratch is an index of zeros: the token is row 0 of a table of one row.
func (p *prepend) Scratch(graph.ForwardRequest) []device.Desc {
	return []device.Desc{device.Ints(p.b)}
}

func (p *prepend) Forward(c *graph.Call) {
	row := (p.t + 1) * p.c
	c.Backend.CopyBlock(device.CopyBlockArgs{Rows: p.b, Cols: p.t * p.c, X: c.In[0], Y: c.Out, OffsetY: p.c, LDY: row})
	c.Backend.Zero(c.Scratch[0])
	c.Backend.Gather(device.GatherArgs{TableRows: 1, Cols: p.c, Table: c.In[1], Index: c.Scratch[0], Y: c.Out, LDY: row})
}

func (p *prepend) Wrt() []bool { return []bool{true, true} }

func (p *prepend) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}, Scratch: []device.Desc{device.Ints(p.b)}}
}

func (p *prepend) Backward(c *graph.Call) {
	row := (p.t + 1) * p.c
	if dx := c.DIn[0]; dx != nil {
		c.Backend.CopyBlock(device.CopyBlockArgs{Rows: p.b, Cols: p.t * p.c, X: c.DOut, OffsetX: p.c, LDX: row, Y: dx, Accumulate: c.Add[0]})
	}
	if dt := accumulator(c, 1); dt != nil {
		c.Backend.Zero(c.Scratch[0])
		c.Backend.GatherBackward(device.GatherBackwardArgs{TableRows: 1, Cols: p.c, DTable: dt, Index: c.Scratch[0], DY: c.DOut, LDDY: row})
	}
}
