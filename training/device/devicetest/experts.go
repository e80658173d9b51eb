package devicetest

import "tempera/training/device"

// expertTrials route 37 tokens to 3 of 7 experts each; every trial makes the plan first. Values: logits, balance, plan, then the trial's own.
func expertTrials() []trial {
	const tokens, active, experts, c, f1 = 37, 3, 7, 19, 23
	shape := device.Routing{Tokens: tokens, Active: active, Experts: experts}
	route := func(b device.Backend, v []*device.Value) device.Routing {
		r := shape
		r.Plan = v[2]
		b.Route(device.RouteArgs{Routing: r, Logits: v[0], Balance: v[1]})
		return r
	}
	on := func(own ...operand) []operand {
		return append([]operand{f(tokens, experts), f(experts), is(make([]int32, shape.PlanSize())...)}, own...)
	}
	const rows = tokens * active
	combine := func(weighted, accumulate bool) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			a := device.CombineArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4], Accumulate: accumulate}
			if weighted {
				a.Weights = v[5]
			}
			b.Combine(a)
		}
	}
	rowsToTokens := on(f(rows, c), f(tokens, c), f(tokens, active))
	return []trial{
		{method: "Route", values: on(), call: func(b device.Backend, v []*device.Value) { route(b, v) }},
		{method: "Gate", values: on(f(tokens, active)), call: func(b device.Backend, v []*device.Value) {
			b.Gate(device.GateArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], Weights: v[3]})
		}},
		{method: "GateBackward", values: on(f(tokens, active), f(tokens, experts)), call: func(b device.Backend, v []*device.Value) {
			b.GateBackward(device.GateBackwardArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], DWeights: v[3], DLogits: v[4]})
		}},
		{method: "GateBackward", name: "that accumulates", values: on(f(tokens, active), f(tokens, experts)), call: func(b device.Backend, v []*device.Value) {
			b.GateBackward(device.GateBackwardArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], DWeights: v[3], DLogits: v[4], Accumulate: true})
		}},
		{method: "Dispatch", values: on(f(tokens, c), f(rows, c)), call: func(b device.Backend, v []*device.Value) {
			b.Dispatch(device.DispatchArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4]})
		}},
		{method: "Dispatch", name: "with weights", values: on(f(tokens, c), f(rows, c), f(tokens, active)), call: func(b device.Backend, v []*device.Value) {
			b.Dispatch(device.DispatchArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4], Weights: v[5]})
		}},
		{method: "Combine", values: rowsToTokens, call: combine(false, false)},
		{method: "Combine", name: "with weights", values: rowsToTokens, call: combine(true, false)},
		{method: "Combine", name: "with weights, that accumulates", values: rowsToTokens, call: combine(true, true)},
		{method: "CombineDot", values: rowsToTokens, call: func(b device.Backend, v []*device.Value) {
			b.CombineDot(device.CombineDotArgs{Routing: route(b, v), Cols: c, X: v[3], DY: v[4], DWeights: v[5]})
		}},
		{method: "CombineDot", name: "that accumulates", values: rowsToTokens, call: func(b device.Backend, v []*device.Value) {
			b.CombineDot(device.CombineDotArgs{Routing: route(b, v), Cols: c, X: v[3], DY: v[4], DWeights: v[5], Accumulate: true})
		}},
		{method: "ExpertGemm", values: on(f(rows, c), f(experts, c, f1), f(rows, f1)), call: func(b device.Backend, v []*device.Value) {
			b.ExpertGemm(device.ExpertGemmArgs{Routing: route(b, v), N: f1, K: c, A: v[3], B: v[4], C: v[5]})
		}},
		{method: "ExpertGemm", name: "transposed, that accumulates", values: on(f(rows, c), f(experts, f1, c), f(rows, f1)), call: func(b device.Backend, v []*device.Value) {
			b.ExpertGemm(device.ExpertGemmArgs{Routing: route(b, v), N: f1, K: c, A: v[3], B: v[4], C: v[5], TransB: true, Accumulate: true})
		}},
		{method: "ExpertGrad", values: on(f(rows, c), f(rows, f1), f(experts, c, f1)), call: func(b device.Backend, v []*device.Value) {
			b.ExpertGrad(device.ExpertGradArgs{Routing: route(b, v), N: f1, K: c, A: v[3], DC: v[4], DB: v[5]})
		}},
	}
}
