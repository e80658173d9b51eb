package op

import (
	"errors"
	"fmt"

	"tempera/training/device"
	"tempera/training/graph"
)

// MixtureArgs are the parameters of a mixture of E experts, each of width F.
type MixtureArgs struct {
	Router  *graph.Node // (C, E)
	Balance *graph.Node // (E): steers the choice alone, and gets no gradient
	GateUp  *graph.Node // (E, C, 2F): gates first
	Down    *graph.Node // (E, F, C)
	Active  int         // experts that answer a token
	Scale   float32     // of the weights
}

// Mixture is a mixture of experts with sigmoid affinities (DeepSeek-V3, 2024; Moonlight, Moonshot 2025). For each token of x (..., C), s =
// sigmoid(x Router); the Active experts of highest s + Balance answer with Down(silu(gate) up); their answers are weighted with Scale s / Σ s.
// The result is (..., C). loads, int32 (E+1), are where the experts' shares of the Active N pairs end: they start at 0.
//
// Method: pairs of a token and an expert are sorted by expert, so that an expert is one product over its rows and work grows with Active, not E.
// It adds eight nodes. The choice is a constant for the gradient.
func Mixture(g *graph.Graph, x *graph.Node, a MixtureArgs) (y, loads *graph.Node) {
	c := x.Dim(-1)
	tokens := g.Reshape(x, x.Desc().Rows(), c)
	logits := Linear(g, tokens, a.Router, nil, LinearOptions{Exact: true}) // (N, E)
	r := routed{device.Routing{Tokens: tokens.Dim(0), Active: a.Active, Experts: logits.Dim(1)}}
	plan := g.Apply(&route{r}, logits, a.Balance)
	weights := g.Apply(&gate{routed: r, scale: a.Scale}, logits, plan) // (N, Active)
	rows := g.Apply(&dispatch{routed: r}, tokens, plan)                // (N Active, C)
	h := SwiGLU(g, g.Apply(&expertLinear{routed: r}, rows, a.GateUp, plan), nil)
	rows = g.Apply(&expertLinear{routed: r}, h, a.Down, plan)
	y = g.Apply(&combine{routed: r}, rows, weights, plan)
	return g.Reshape(y, x.Shape()...), SliceInts(g, plan, r.Experts+1)
}

// route chooses experts from logits (N, E) and the balance (E): a plan.
type route struct{ routed }

func (r *route) Name() string { return "route" }

func (r *route) Infer(in []device.Desc) (device.Desc, error) {
	if r.Active < 1 || r.Active > r.Experts {
		return device.Desc{}, fmt.Errorf("%d of %d experts are to answer", r.Active, r.Experts)
	}
	return device.Ints(r.PlanSize()), errors.Join(types(in, "ff"), vector(in[1], "the balance", r.Experts))
}

func (r *route) Forward(c *graph.Call) {
	c.Backend.Route(device.RouteArgs{Routing: r.with(c.Out), Logits: c.In[0], Balance: c.In[1]})
}

// gate weighs the chosen experts by their logits (N, E): (N, Active).
type gate struct {
	always
	routed
	scale float32
}

func (w *gate) Name() string { return "gate" }

func (w *gate) Infer(in []device.Desc) (device.Desc, error) {
	return device.Floats(w.Tokens, w.Active), errors.Join(types(in, "fi"), w.in(in[1]))
}

func (w *gate) Forward(c *graph.Call) {
	c.Backend.Gate(device.GateArgs{Routing: w.with(c.In[1]), Scale: w.scale, Logits: c.In[0], Weights: c.Out})
}

func (w *gate) Wrt() []bool { return []bool{true, false} }

func (w *gate) Backprop(graph.Request) graph.Backprop {
	return graph.Backprop{ReadsIn: []int{0, 1}, Accumulates: []int{0}}
}

func (w *gate) Backward(c *graph.Call) {
	c.Backend.GateBackward(device.GateBackwardArgs{
		Routing: w.with(c.In[1]), Scale: w.scale, Logits: c.In[0], DWeights: c.DOut, DLogits: c.DIn[0], Accumulate: c.Add[0],
	})
}
