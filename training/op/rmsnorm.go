package op

import (
	"cmp"

	"tempera/training/device"
	"tempera/training/graph"
)

// RMSNorm is y = x / sqrt(mean(x²) + eps) gamma over the last dimension (Zhang and Sennrich 2019), x (..., C), gamma (C). An eps of 0 means 1e-6.
//
// Saved: the reciprocal root of each row.
func RMSNorm(g *graph.Graph, x, gamma *graph.Node, eps float32) *graph.Node {
	return g.Apply(&rmsNorm{eps: cmp.Or(eps, 1e-6)}, x, gamma)
}

type rmsNorm struct {
	likeFirst
	eps  float32
	n, c int
}

func (l *rmsNorm) Name() string { return "rmsnorm" }

func (l *rmsNorm) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ff"); err != nil {
		return device.Desc{}, err
	}
	l.n, l.c = in[0].Rows(), in[0].Cols()
	return in[0], vector(in[1], "gamma", l.c)
}

// Scratch holds the statistic where no backward reads it.
func (l *rmsNorm) Scratch(f graph.ForwardRequest) []device.Desc {
	if f.Saving {
		return nil
	}
	return []device.Desc{device.Floats(l.n)}
}

func (l *rmsNorm) Forward(c *graph.Call) {
	stats := c.Saved
	if !c.Saving() {
		stats = c.Scratch
	}
	c.Backend.RMSNorm(device.RMSNormArgs{Rows: l.n, Cols: l.c, X: c.In[0], W: c.In[1], Y: c.Out, RStd: stats[0], Eps: l.eps})
}

func (l *rmsNorm) Wrt() []bool { return []bool{true, true} }

// Light is part of graph.Light.
func (l *rmsNorm) Light() {}

func (l *rmsNorm) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}, ReadsIn: []int{0, 1}, Saved: []device.Desc{device.Floats(l.n)}}
}

func (l *rmsNorm) Backward(c *graph.Call) {
	c.Backend.RMSNormBackward(device.RMSNormBackwardArgs{
		Rows: l.n, Cols: l.c, X: c.In[0], W: c.In[1], RStd: c.Saved[0],
		DY: c.DOut, DX: c.DIn[0], DW: accumulator(c, 1), Accumulate: c.Add[0],
	})
}
