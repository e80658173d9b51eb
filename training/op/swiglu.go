package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// SwiGLU is silu(gate) up elementwise (Shazeer 2020). With up nil, gate is (..., 2F), the gate first, and the result (..., F).
//
// Saved: nothing; the backward reads gate and up.
func SwiGLU(g *graph.Graph, gate, up *graph.Node) *graph.Node {
	if up == nil {
		return g.Apply(&swiGLU{packed: true}, gate)
	}
	return g.Apply(&swiGLU{}, gate, up)
}

type swiGLU struct {
	likeFirst
	packed bool
	n, f   int
}

func (s *swiGLU) Name() string { return "swiglu" }

func (s *swiGLU) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ff"[:len(in)]); err != nil {
		return device.Desc{}, err
	}
	s.n, s.f = in[0].Rows(), in[0].Cols()
	if !s.packed {
		return in[0], errors.Join(sameShape(in[0], in[1]), sameType(in...))
	}
	if s.f%2 != 0 {
		return device.Desc{}, fmt.Errorf("width %d must be even", s.f)
	}
	s.f /= 2
	return withCols(in[0], s.f), nil
}

func (s *swiGLU) second() int {
	if s.packed {
		return -1
	}
	return 1
}

func (s *swiGLU) Forward(c *graph.Call) {
	c.Backend.SwiGLU(device.SwiGLUArgs{Rows: s.n, Cols: s.f, Gate: c.In[0], Up: operand(c.In, s.second()), Y: c.Out})
}

func (s *swiGLU) Wrt() []bool { return []bool{true, true}[:1+len(which(!s.packed))] }

// Backprop asks for scratch where the kernel must write a gradient that nobody wants or that is to be added.
// Light is part of graph.Light.
func (s *swiGLU) Light() {}

func (s *swiGLU) Backprop(r graph.Request) graph.Backprop {
	var b graph.Backprop
	for i, d := range r.In {
		b.ReadsIn = append(b.ReadsIn, i)
		if !r.Want[i] || r.Add[i] {
			b.Scratch = append(b.Scratch, d)
		}
	}
	return b
}

func (s *swiGLU) Backward(c *graph.Call) {
	var buffer [2]*device.Value
	targets, spare := buffer[:len(c.DIn)], c.Scratch
	for i, d := range c.DIn {
		targets[i] = d
		if d == nil || c.Add[i] {
			targets[i], spare = spare[0], spare[1:]
		}
	}
	c.Backend.SwiGLUBackward(device.SwiGLUBackwardArgs{
		Rows: s.n, Cols: s.f, Gate: c.In[0], Up: operand(c.In, s.second()), DY: c.DOut,
		DGate: targets[0], DUp: operand(targets, s.second()),
	})
	for i, d := range c.DIn {
		if d != nil && c.Add[i] {
			c.Backend.Add(d, d, targets[i])
		}
	}
}
