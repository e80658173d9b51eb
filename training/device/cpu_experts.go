package device

import "tempera/training/kernel"

func (c *CPU) routing(r Routing) kernel.Routing {
	return kernel.Routing{Tokens: r.Tokens, Active: r.Active, Experts: r.Experts, Plan: c.i(r.Plan)}
}

// Route is part of Experts.
func (c *CPU) Route(a RouteArgs) {
	c.engine.Route(kernel.RouteArgs{Routing: c.routing(a.Routing), Logits: c.f(a.Logits), Balance: c.f(a.Balance)})
}

// Gate is part of Experts.
func (c *CPU) Gate(a GateArgs) {
	c.engine.Gate(kernel.GateArgs{Routing: c.routing(a.Routing), Scale: a.Scale, Logits: c.f(a.Logits), Weights: c.f(a.Weights)})
}

// GateBackward is part of Experts.
func (c *CPU) GateBackward(a GateBackwardArgs) {
	c.engine.GateBackward(kernel.GateBackwardArgs{
		Routing: c.routing(a.Routing), Scale: a.Scale, Logits: c.f(a.Logits), DWeights: c.f(a.DWeights), DLogits: c.f(a.DLogits), Accumulate: a.Accumulate,
	})
}

// Dispatch is part of Experts.
func (c *CPU) Dispatch(a DispatchArgs) {
	c.engine.Dispatch(kernel.DispatchArgs{Routing: c.routing(a.Routing), Cols: a.Cols, X: c.f(a.X), Weights: c.f(a.Weights), Y: c.f(a.Y)})
}

// Combine is part of Experts.
func (c *CPU) Combine(a CombineArgs) {
	c.engine.Combine(kernel.CombineArgs{
		Routing: c.routing(a.Routing), Cols: a.Cols, X: c.f(a.X), Weights: c.f(a.Weights), Y: c.f(a.Y), Accumulate: a.Accumulate,
	})
}

// CombineDot is part of Experts.
func (c *CPU) CombineDot(a CombineDotArgs) {
	c.engine.CombineDot(kernel.CombineDotArgs{
		Routing: c.routing(a.Routing), Cols: a.Cols, X: c.f(a.X), DY: c.f(a.DY), DWeights: c.f(a.DWeights), Accumulate: a.Accumulate,
	})
}

// ExpertGemm is part of Experts.
func (c *CPU) ExpertGemm(a ExpertGemmArgs) {
	c.engine.ExpertGemm(kernel.ExpertGemmArgs{
		Routing: c.routing(a.Routing), N: a.N, K: a.K, A: c.f(a.A), B: c.f(a.B), C: c.f(a.C), TransB: a.TransB, Accumulate: a.Accumulate,
	})
}

// ExpertGrad is part of Experts.
func (c *CPU) ExpertGrad(a ExpertGradArgs) {
	c.engine.ExpertGrad(kernel.ExpertGradArgs{Routing: c.routing(a.Routing), N: a.N, K: a.K, A: c.f(a.A), DC: c.f(a.DC), DB: c.f(a.DB)})
}
