package op

import (
	"tempera/training/device"
	"tempera/training/graph"
)

// Activate is y = f(x) elementwise: device.GELUTanh and GELUErf (Hendrycks and Gimpel 2016) or SiLU. After a product, prefer Linear's option.
//
// Saved: nothing; the backward reads x.
func Activate(g *graph.Graph, x *graph.Node, f device.Activation) *graph.Node {
	return g.Apply(&activate{f: f}, x)
}

// GELU is Activate with the exact form.
func GELU(g *graph.Graph, x *graph.Node) *graph.Node { return Activate(g, x, device.GELUErf) }

type activate struct {
	likeFirst
	f device.Activation
}

func (a *activate) Name() string { return "activate" }

func (a *activate) Infer(in []device.Desc) (device.Desc, error) { return in[0], types(in, "f") }

func (a *activate) Forward(c *graph.Call) {
	c.Backend.Activate(device.ActivateArgs{Activation: a.f, X: c.In[0], Y: c.Out})
}

func (a *activate) Wrt() []bool { return []bool{true} }

func (a *activate) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{Accumulates: []int{0}, ReadsIn: []int{0}}
}

func (a *activate) Backward(c *graph.Call) {
	c.Backend.ActivateBackward(device.ActivateBackwardArgs{
		Activation: a.f, X: c.In[0], DY: c.DOut, DX: c.DIn[0], Accumulate: c.Add[0],
	})
}
