package op

import (
	"tempera/training/device"
	"tempera/training/graph"
)

// normalizeEps is the length below which a row is not scaled up, as in PyTorch.
const normalizeEps = 1e-12

// L2Normalize scales the rows of x (..., C) to length 1.
//
// Saved: the reciprocal length of each row; the backward reads the output.
func L2Normalize(g *graph.Graph, x *graph.Node) *graph.Node { return g.Apply(&l2Normalize{}, x) }

type l2Normalize struct {
	likeFirst
	n, c int
}

func (l *l2Normalize) Name() string { return "l2normalize" }

func (l *l2Normalize) Infer(in []device.Desc) (device.Desc, error) {
	l.n, l.c = in[0].Rows(), in[0].Cols()
	return in[0], types(in, "f")
}

// Scratch holds the lengths where no backward reads them.
func (l *l2Normalize) Scratch(f graph.ForwardRequest) []device.Desc {
	if f.Saving {
		return nil
	}
	return []device.Desc{device.Floats(l.n)}
}

func (l *l2Normalize) Forward(c *graph.Call) {
	inv := c.Saved
	if !c.Saving() {
		inv = c.Scratch
	}
	c.Backend.L2Normalize(device.L2NormalizeArgs{Rows: l.n, Cols: l.c, X: c.In[0], Y: c.Out, Inv: inv[0], Eps: normalizeEps})
}

func (l *l2Normalize) Wrt() []bool { return []bool{true} }

func (l *l2Normalize) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}, ReadsOut: true, Saved: []device.Desc{device.Floats(l.n)}}
}

func (l *l2Normalize) Backward(c *graph.Call) {
	c.Backend.L2NormalizeBackward(device.L2NormalizeBackwardArgs{
		Rows: l.n, Cols: l.c, Y: c.Out, Inv: c.Saved[0], DY: c.DOut, DX: c.DIn[0], Eps: normalizeEps, Accumulate: c.Add[0],
	})
}
