package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// headOperands are what the operations of a language head have in common: the operands x (..., C), W (C, V) or (V, C), targets int32 with one
// entry per row, and a bias (V) or none.
type headOperands struct {
	transposed bool
	bias       int // position of the operand; -1: absent
	n, c, v    int // rows, width, vocabulary
}

func (h *headOperands) operands(in []*graph.Node, bias *graph.Node, transposed bool) []*graph.Node {
	h.transposed, h.bias = transposed, -1
	if bias != nil {
		h.bias = len(in)
		in = append(in, bias)
	}
	return in
}

func (h *headOperands) infer(in []device.Desc) error {
	if err := types(in, "ffif"[:len(in)]); err != nil {
		return err
	}
	x, w := in[0], in[1]
	if x.Rank() < 1 || w.Rank() != 2 {
		return errors.New("wants x (..., C) and a matrix W")
	}
	h.n, h.c, h.v = x.Rows(), w.Shape[0], w.Shape[1]
	if h.transposed {
		h.c, h.v = h.v, h.c
	}
	switch {
	case x.Cols() != h.c:
		return fmt.Errorf("x has width %d, W takes %d", x.Cols(), h.c)
	case in[2].Size() != h.n:
		return fmt.Errorf("%d rows need as many targets, got %d", h.n, in[2].Size())
	case h.bias > 0:
		return vector(in[h.bias], "the bias", h.v)
	}
	return nil
}

// blockOf describes the logits of as many rows as fit a limit.
func (h *headOperands) blockOf(limit int) device.Desc {
	return device.Floats(min(h.n, max(1, limit/h.v)), h.v)
}

func (h *headOperands) input(c *graph.Call, logits *device.Value) device.HeadInput {
	return device.HeadInput{
		Rows: h.n, Width: h.c, Classes: h.v, X: c.In[0], W: c.In[1], Bias: operand(c.In, h.bias), TransW: h.transposed, Targets: c.In[2], Logits: logits,
	}
}

func (h *headOperands) Wrt() []bool {
	return []bool{true, true, false, true}[:3+len(which(h.bias > 0))]
}

// backprop is that of an operation which makes the logits again, a block at a time, and saves a number per row.
func (h *headOperands) backprop(r graph.Request, logits device.Desc) graph.Backprop {
	b := graph.Backprop{Accumulates: []int{0, 1}, Saved: []device.Desc{device.Floats(h.n)}, Scratch: []device.Desc{logits}}
	for i := range r.In {
		b.ReadsIn = append(b.ReadsIn, i)
	}
	return b
}

func (h *headOperands) gradients(c *graph.Call) device.HeadGradients {
	g := device.HeadGradients{DX: c.DIn[0], DW: accumulator(c, 1), Accumulate: c.Add[0]}
	if h.bias > 0 {
		g.DBias = accumulator(c, h.bias)
	}
	return g
}
