package op

import (
	"cmp"
	"errors"

	"tempera/training/device"
	"tempera/training/graph"
)

// LayerNorm is y = (x - mean) / sqrt(variance + eps) gamma + beta over the last dimension (Ba et al. 2016; biased variance). x is (..., C), gamma
// and beta are (C); beta may be nil. An eps of 0 means 1e-5.
//
// Saved: mean and reciprocal standard deviation of each row.
func LayerNorm(g *graph.Graph, x, gamma, beta *graph.Node, eps float32) *graph.Node {
	op := &layerNorm{eps: cmp.Or(eps, 1e-5)}
	if beta == nil {
		return g.Apply(op, x, gamma)
	}
	op.beta = true
	return g.Apply(op, x, gamma, beta)
}

type layerNorm struct {
	likeFirst
	eps  float32
	beta bool
	n, c int
}

func (l *layerNorm) Name() string { return "layernorm" }

func (l *layerNorm) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "fff"[:len(in)]); err != nil {
		return device.Desc{}, err
	}
	l.n, l.c = in[0].Rows(), in[0].Cols()
	err := vector(in[1], "gamma", l.c)
	if l.beta {
		err = errors.Join(err, vector(in[2], "beta", l.c))
	}
	return in[0], err
}

func (l *layerNorm) stats() []device.Desc {
	return []device.Desc{device.Floats(l.n), device.Floats(l.n)}
}

// Scratch holds the statistics where no backward reads them.
func (l *layerNorm) Scratch(f graph.ForwardRequest) []device.Desc {
	if f.Saving {
		return nil
	}
	return l.stats()
}

func (l *layerNorm) Forward(c *graph.Call) {
	stats := c.Saved
	if !c.Saving() {
		stats = c.Scratch
	}
	a := device.LayerNormArgs{Rows: l.n, Cols: l.c, X: c.In[0], W: c.In[1], Y: c.Out, Mean: stats[0], RStd: stats[1], Eps: l.eps}
	if l.beta {
		a.B = c.In[2]
	}
	c.Backend.LayerNorm(a)
}

func (l *layerNorm) Wrt() []bool {
	if l.beta {
		return []bool{true, true, true}
	}
	return []bool{true, true}
}

// Light is part of graph.Light.
func (l *layerNorm) Light() {}

func (l *layerNorm) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}, ReadsIn: []int{0, 1}, Saved: l.stats()}
}

func (l *layerNorm) Backward(c *graph.Call) {
	a := device.LayerNormBackwardArgs{
		Rows: l.n, Cols: l.c, X: c.In[0], W: c.In[1], Mean: c.Saved[0], RStd: c.Saved[1],
		DY: c.DOut, DX: c.DIn[0], DW: accumulator(c, 1), Accumulate: c.Add[0],
	}
	if l.beta {
		a.DB = accumulator(c, 2)
	}
	c.Backend.LayerNormBackward(a)
}
