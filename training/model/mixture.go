package model

import (
	"tempera/training/graph"
	"tempera/training/op"
)

// experts is x plus what the experts that the router chooses, and those that always
// answer, make of norm(x). loads are those of Decoded.Loads.
func (t tower) experts(g *graph.Graph, name string, x *graph.Node) (y, loads *graph.Node) {
	e := t.Config.Text.Experts
	h := t.norm(g, name+".norm", x)
	y, loads = op.Mixture(g, h, op.MixtureArgs{
		Router: t.p(g, name+".router.weight"), Balance: t.p(g, name+".router.balance"),
		GateUp: t.p(g, name+".experts.gate_up"), Down: t.p(g, name+".experts.down"),
		Active: e.Active, Scale: float32(e.Scale),
	})
	if e.Shared > 0 {
		x = t.linear(g, name+".shared.down", t.gated(g, name+".shared", h), op.LinearOptions{Residual: x})
	}
	return op.Add(g, x, y), loads
}
