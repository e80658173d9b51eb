package op

import (
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// Add is a + b for equal shapes. Where one is float32 and the other is stored in another type, so is the sum.
//
// Backward passes the gradient on without a copy. Saved: nothing.
func Add(g *graph.Graph, a, b *graph.Node) *graph.Node { return g.Apply(add{}, a, b) }

type add struct{}

func (add) Name() string { return "add" }

func (add) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ff"); err != nil {
		return device.Desc{}, err
	}
	return in[0], sameShape(in[0], in[1])
}

// Exact is part of graph.Exact.
func (add) Exact(in []device.Desc) bool {
	return sameType(in...) == nil && in[0].DType == device.Float32
}

func (add) Forward(c *graph.Call) {
	a, b := c.In[0], c.In[1]
	if a.Desc().DType == b.Desc().DType {
		c.Backend.Add(c.Out, a, b)
		return
	}
	c.Backend.Copy(c.Out, a)
	c.Backend.Axpy(c.Out, b, 1)
}

func (add) Wrt() []bool { return []bool{true, true} }

func (add) Backprop(graph.Request) graph.Backprop { return graph.Backprop{Through: []int{0, 1}} }

func (add) Backward(c *graph.Call) {
	pass(c, 0)
	pass(c, 1)
}

// AddPosition adds row t of p (at least T rows of C) to token t of x (B, T, C) or (T, C): position embeddings.
//
// Saved: nothing.
func AddPosition(g *graph.Graph, x, p *graph.Node) *graph.Node { return g.Apply(&addRows{}, x, p) }

// AddBias adds p, (C) or one element, to every row of x (..., C).
func AddBias(g *graph.Graph, x, p *graph.Node) *graph.Node {
	return g.Apply(&addRows{bias: true}, x, p)
}

type addRows struct {
	likeFirst
	bias            bool
	n, cols, period int
}

func (a *addRows) Name() string {
	if a.bias {
		return "addbias"
	}
	return "addposition"
}

func (a *addRows) Infer(in []device.Desc) (device.Desc, error) {
	if err := types(in, "ff"); err != nil {
		return device.Desc{}, err
	}
	x, p := in[0], in[1]
	a.n, a.cols, a.period = x.Rows(), x.Cols(), 1
	if a.bias {
		if p.Size() == 1 {
			a.n, a.cols = x.Size(), 1
			return x, nil
		}
		return x, vector(p, "the bias", a.cols)
	}
	if x.Rank() < 2 || p.Rank() != 2 {
		return x, fmt.Errorf("wants x (B, T, C) and positions (T, C)")
	}
	a.period = x.Shape[x.Rank()-2]
	if p.Shape[0] < a.period || p.Shape[1] != a.cols {
		return x, fmt.Errorf("positions are %v, at least [%d %d] is needed", []int(p.Shape), a.period, a.cols)
	}
	return x, nil
}

func (a *addRows) Forward(c *graph.Call) {
	c.Backend.AddRows(device.AddRowsArgs{Rows: a.n, Cols: a.cols, Period: a.period, X: c.In[0], P: c.In[1], Y: c.Out})
}

func (a *addRows) Wrt() []bool { return []bool{true, true} }

func (a *addRows) Backprop(graph.Request) graph.Backprop { return graph.Backprop{Through: []int{0}} }

func (a *addRows) Backward(c *graph.Call) {
	pass(c, 0)
	if dp := accumulator(c, 1); dp != nil {
		c.Backend.SumRows(device.SumRowsArgs{Rows: a.n, Cols: a.cols, Period: a.period, X: c.DOut, DP: dp})
	}
}
