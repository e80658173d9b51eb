package devicetest

import "tempera/training/device"

// expertTrials route tokens to some of several experts each; every trial makes the plan first. Values: logits, balance, plan, then the trial's own.
func expertTrials() []trial {
	few := routing{"", device.Routing{Tokens: 37, Active: 3, Experts: 7}, 19}.trials()
	many := routing{" of many", device.Routing{Tokens: 529, Active: 5, Experts: 300}, 16}.trials()
	return append(few, many...)
}

type routing struct {
	name  string
	shape device.Routing
	cols  int
}

func (x routing) trials() []trial {
	shape, c := x.shape, x.cols
	tokens, active, experts := shape.Tokens, shape.Active, shape.Experts
	route := func(b device.Backend, v []*device.Value) device.Routing { return plan(b, shape, v) }
	on := func(own ...operand) []operand {
		return append([]operand{f(tokens, experts), f(experts), is(make([]int32, shape.PlanSize())...)}, own...)
	}
	rows := tokens * active
	combine := func(weighted, accumulate bool) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			args := device.CombineArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4], Accumulate: accumulate}
			if weighted {
				args.Weights = v[5]
			}
			b.Combine(args)
		}
	}
	rowsToTokens := on(a(rows, c), a(tokens, c), f(tokens, active))
	return []trial{
		{method: "Route", name: x.name, values: on(), call: func(b device.Backend, v []*device.Value) { route(b, v) }},
		{method: "Gate", name: x.name, values: on(f(tokens, active)), call: func(b device.Backend, v []*device.Value) {
			b.Gate(device.GateArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], Weights: v[3]})
		}},
		{method: "GateBackward", name: x.name, values: on(f(tokens, active), f(tokens, experts)), call: func(b device.Backend, v []*device.Value) {
			b.GateBackward(device.GateBackwardArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], DWeights: v[3], DLogits: v[4]})
		}},
		{method: "GateBackward", name: "that accumulates" + x.name, values: on(f(tokens, active), f(tokens, experts)), call: func(b device.Backend, v []*device.Value) {
			b.GateBackward(device.GateBackwardArgs{Routing: route(b, v), Scale: 2.5, Logits: v[0], DWeights: v[3], DLogits: v[4], Accumulate: true})
		}},
		{method: "Dispatch", name: x.name, values: on(a(tokens, c), a(rows, c)), call: func(b device.Backend, v []*device.Value) {
			b.Dispatch(device.DispatchArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4]})
		}},
		{method: "Dispatch", name: "with weights" + x.name, values: on(a(tokens, c), a(rows, c), f(tokens, active)), call: func(b device.Backend, v []*device.Value) {
			b.Dispatch(device.DispatchArgs{Routing: route(b, v), Cols: c, X: v[3], Y: v[4], Weights: v[5]})
		}},
		{method: "Combine", name: x.name, values: rowsToTokens, call: combine(false, false)},
		{method: "Combine", name: "with weights" + x.name, values: rowsToTokens, call: combine(true, false)},
		{method: "Combine", name: "with weights, that accumulates" + x.name, values: rowsToTokens, call: combine(true, true)},
		{method: "CombineDot", name: x.name, values: rowsToTokens, call: func(b device.Backend, v []*device.Value) {
			b.CombineDot(device.CombineDotArgs{Routing: route(b, v), Cols: c, X: v[3], DY: v[4], DWeights: v[5]})
		}},
		{method: "CombineDot", name: "that accumulates" + x.name, values: rowsToTokens, call: func(b device.Backend, v []*device.Value) {
			b.CombineDot(device.CombineDotArgs{Routing: route(b, v), Cols: c, X: v[3], DY: v[4], DWeights: v[5], Accumulate: true})
		}},
	}
}

// expertProducts route tokens as they come, so that experts have different numbers of rows, some none, and multiply them. Values: logits, balance, plan, then rows,
// what they are multiplied with, and what receives the result.
func expertProducts() []trial {
	var ts []trial
	for name, o := range map[string]struct{ tokens, active, experts, k, n int }{
		"":                              {37, 3, 7, 19, 23},
		" of even sizes":                {41, 2, 3, 24, 40},
		" of many rows, beyond a tile":  {300, 2, 3, 40, 136},
		" of more experts than rows":    {20, 1, 70, 8, 16},
		" of wide matrices, few tokens": {5, 2, 4, 131, 9},
	} {
		shape := device.Routing{Tokens: o.tokens, Active: o.active, Experts: o.experts}
		rows := o.tokens * o.active
		on := func(own ...operand) []operand {
			return append([]operand{f(o.tokens, o.experts), f(o.experts), is(make([]int32, shape.PlanSize())...)}, own...)
		}
		gemm := func(transposed, accumulate bool) func(b device.Backend, v []*device.Value) {
			return func(b device.Backend, v []*device.Value) {
				b.ExpertGemm(device.ExpertGemmArgs{
					Routing: plan(b, shape, v), N: o.n, K: o.k, A: v[3], B: v[4], C: v[5], TransB: transposed, Accumulate: accumulate,
				})
			}
		}
		ts = append(ts,
			trial{method: "ExpertGemm", name: name, values: on(a(rows, o.k), f(o.experts, o.k, o.n), a(rows, o.n)), call: gemm(false, false)},
			trial{method: "ExpertGemm", name: "to float32" + name, values: on(a(rows, o.k), f(o.experts, o.k, o.n), f(rows, o.n)), call: gemm(false, false)},
			trial{method: "ExpertGemm", name: "transposed, that accumulates" + name, values: on(a(rows, o.k), f(o.experts, o.n, o.k), a(rows, o.n)), call: gemm(true, true)},
			trial{method: "ExpertGrad", name: name, values: on(a(rows, o.k), a(rows, o.n), f(o.experts, o.k, o.n)), call: func(b device.Backend, v []*device.Value) {
				b.ExpertGrad(device.ExpertGradArgs{Routing: plan(b, shape, v), N: o.n, K: o.k, A: v[3], DC: v[4], DB: v[5]})
			}})
	}
	return ts
}

// plan routes by the logits of value 0 and the balance of value 1, to value 2.
func plan(b device.Backend, r device.Routing, v []*device.Value) device.Routing {
	r.Plan = v[2]
	b.Route(device.RouteArgs{Routing: r, Logits: v[0], Balance: v[1]})
	return r
}
