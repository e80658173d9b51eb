package devicetest

import (
	"math"

	"tempera/training/device"
)

func elementwiseTrials() []trial {
	const n = 203
	three := []operand{a(n), a(n), a(n)}
	ts := []trial{
		{method: "Add", values: three, call: func(b device.Backend, v []*device.Value) { b.Add(v[0], v[1], v[2]) }},
		{method: "Add", name: "in place", values: three, call: func(b device.Backend, v []*device.Value) { b.Add(v[0], v[0], v[2]) }},
		{method: "Scale", values: three, call: func(b device.Backend, v []*device.Value) { b.Scale(v[0], v[1], -0.3) }},
		{method: "Axpy", values: three, call: func(b device.Backend, v []*device.Value) { b.Axpy(v[0], v[1], 0.7) }},
	}
	for name, act := range activations() {
		ts = append(ts,
			trial{method: "Activate", name: name, values: three, call: func(b device.Backend, v []*device.Value) {
				b.Activate(device.ActivateArgs{Activation: act, X: v[0], Y: v[1]})
			}},
			trial{method: "ActivateBackward", name: name, values: three, call: func(b device.Backend, v []*device.Value) {
				b.ActivateBackward(device.ActivateBackwardArgs{Activation: act, X: v[0], DY: v[1], DX: v[2]})
			}},
			trial{method: "ActivateBackward", name: name + ", in place", values: three, call: func(b device.Backend, v []*device.Value) {
				b.ActivateBackward(device.ActivateBackwardArgs{Activation: act, X: v[0], DY: v[1], DX: v[1]})
			}},
			trial{method: "ActivateBackward", name: name + ", that accumulates", values: three, call: func(b device.Backend, v []*device.Value) {
				b.ActivateBackward(device.ActivateBackwardArgs{Activation: act, X: v[0], DY: v[1], DX: v[2], Accumulate: true})
			}})
	}
	for name, factor := range map[string]device.Factor{"times": device.Times, "times the exponential": device.TimesExp, "divided": device.DividedBy} {
		for how, accumulate := range map[string]bool{"": false, ", that accumulates": true} {
			ts = append(ts, trial{method: "ScaleBy", name: name + how, values: []operand{a(n), scalar(0.6), a(n)}, call: func(b device.Backend, v []*device.Value) {
				b.ScaleBy(device.ScaleByArgs{Factor: factor, X: v[0], S: v[1], Y: v[2], Accumulate: accumulate})
			}})
		}
		ts = append(ts, trial{method: "ScaleByBackward", name: name, values: []operand{a(n), scalar(0.6), a(n), scalar(2)}, call: func(b device.Backend, v []*device.Value) {
			b.ScaleByBackward(device.ScaleByBackwardArgs{Factor: factor, X: v[0], S: v[1], DY: v[2], DS: v[3]})
		}})
	}
	return append(ts, broadcastTrials()...)
}

func broadcastTrials() []trial {
	var ts []trial
	// as ever, of a width of whole vectors, and of more rows than one block sums
	for name, s := range map[string]struct{ n, c int }{"": {6, 21}, ", wide": {9, 264}, ", narrow": {300, 8}} {
		ts = append(ts, gateTrials(name, s.n, s.c)...)
		ts = append(ts, periodTrials(name, s.n, s.c)...)
	}
	sum := func(b device.Backend, v []*device.Value) {
		b.SumRows(device.SumRowsArgs{Rows: v[0].Size() / v[1].Size(), Cols: v[1].Size(), Period: 1, X: v[0], DP: v[1]})
	}
	return append(ts,
		trial{method: "SumRows", name: "of columns", values: []operand{a(301, 21), f(21)}, call: sum},
		trial{method: "SumRows", name: "of many columns", values: []operand{a(5, 1031), f(1031)}, call: sum},
		trial{method: "SumRows", name: "of one column", values: []operand{a(2500), f(1)}, call: sum},
		trial{method: "SumRows", name: "to an activation", values: []operand{a(201, 40), a(40)}, call: sum},
		trial{method: "AddRows", name: "of one element", values: []operand{a(203), scalar(0.7), a(203)}, call: func(b device.Backend, v []*device.Value) {
			b.AddRows(device.AddRowsArgs{Rows: 203, Cols: 1, Period: 1, X: v[0], P: v[1], Y: v[2]})
		}},
		trial{method: "Axpy", name: "of activations to a gradient", values: []operand{f(37), a(37)}, call: func(b device.Backend, v []*device.Value) {
			b.Axpy(v[0], v[1], 0.7)
		}})
}

func gateTrials(name string, n, c int) []trial {
	x := a(n, c)
	return []trial{
		{method: "SwiGLU", name: "of two matrices" + name, values: []operand{x, x, x}, call: func(b device.Backend, v []*device.Value) {
			b.SwiGLU(device.SwiGLUArgs{Rows: n, Cols: c, Gate: v[0], Up: v[1], Y: v[2]})
		}},
		{method: "SwiGLU", name: "of one matrix" + name, values: []operand{a(n, 2*c), x}, call: func(b device.Backend, v []*device.Value) {
			b.SwiGLU(device.SwiGLUArgs{Rows: n, Cols: c, Gate: v[0], Y: v[1]})
		}},
		{method: "SwiGLUBackward", name: "of two matrices" + name, values: []operand{x, x, x, x, x}, call: func(b device.Backend, v []*device.Value) {
			b.SwiGLUBackward(device.SwiGLUBackwardArgs{Rows: n, Cols: c, Gate: v[0], Up: v[1], DY: v[2], DGate: v[3], DUp: v[4]})
		}},
		{method: "SwiGLUBackward", name: "of one matrix" + name, values: []operand{a(n, 2*c), x, a(n, 2*c)}, call: func(b device.Backend, v []*device.Value) {
			b.SwiGLUBackward(device.SwiGLUBackwardArgs{Rows: n, Cols: c, Gate: v[0], DY: v[1], DGate: v[2]})
		}},
	}
}

func periodTrials(name string, n, c int) []trial {
	x := a(n, c)
	return []trial{
		{method: "AddRows", name: "with a period" + name, values: []operand{x, f(3, c), x}, call: func(b device.Backend, v []*device.Value) {
			b.AddRows(device.AddRowsArgs{Rows: n, Cols: c, Period: 3, X: v[0], P: v[1], Y: v[2]})
		}},
		{method: "AddRows", name: "in place" + name, values: []operand{x, a(c)}, call: func(b device.Backend, v []*device.Value) {
			b.AddRows(device.AddRowsArgs{Rows: n, Cols: c, Period: 1, X: v[0], P: v[1], Y: v[0]})
		}},
		{method: "SumRows", name: "with a period" + name, values: []operand{x, f(3, c)}, call: func(b device.Backend, v []*device.Value) {
			b.SumRows(device.SumRowsArgs{Rows: n, Cols: c, Period: 3, X: v[0], DP: v[1]})
		}},
	}
}

func optimiserTrials() []trial {
	const n, many = 131, 9001
	return []trial{
		{method: "Update", name: "by AdamW in its first step", values: []operand{f(n), f(n), f(n), positive(n)}, call: func(b device.Backend, v []*device.Value) {
			update(b, device.UpdateArgs{AdamW: []device.AdamWArgs{{P: v[0], G: v[1], M: v[2], V: v[3], LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}}})
		}},
		{method: "Update", name: "by AdamW in its third step", values: []operand{f(n), f(n), f(n), positive(n)}, call: func(b device.Backend, v []*device.Value) {
			update(b, device.UpdateArgs{Clip: 5, Grads: v[1:2], AdamW: []device.AdamWArgs{{
				P: v[0], G: v[1], M: v[2], V: v[3], LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.1, Step: 3,
			}}})
		}},
		{method: "Update", name: "by Muon on two matrices", values: []operand{f(2, 7, 12), f(2, 7, 12), f(2, 7, 12)}, call: func(b device.Backend, v []*device.Value) {
			update(b, device.UpdateArgs{Clip: 1, Grads: v[1:2], Muon: []device.MuonArgs{{P: v[0], G: v[1], M: v[2], LR: 0.1, Momentum: 0.95, Decay: 0.1}}})
		}},
		{method: "Update", name: "by Muon on a tall matrix", values: []operand{f(19, 6), f(19, 6), f(19, 6)}, call: func(b device.Backend, v []*device.Value) {
			update(b, device.UpdateArgs{Muon: []device.MuonArgs{{P: v[0], G: v[1], M: v[2], LR: 0.1, Momentum: 0.9}}})
		}},
		{method: "Update", name: "by Muon on many elements", values: []operand{f(72, 136), f(72, 136), f(72, 136)}, call: func(b device.Backend, v []*device.Value) {
			update(b, device.UpdateArgs{Muon: []device.MuonArgs{{P: v[0], G: v[1], M: v[2], LR: 0.1, Momentum: 0.9}}})
		}},
		{method: "Update", name: "of many parameters", values: parameters(), call: updateAll},
		{method: "Update", name: "with a gradient that is no number", exact: true, values: []operand{f(n), scalar(math.Inf(1)), f(n), positive(n), f(2, 3)}, call: func(b device.Backend, v []*device.Value) {
			adam := device.AdamWArgs{P: v[0], G: v[0], M: v[2], V: v[3], LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}
			muon := device.MuonArgs{P: v[4], G: v[4], M: v[4], LR: 0.1, Momentum: 0.9}
			update(b, device.UpdateArgs{Grads: v[:2], AdamW: []device.AdamWArgs{adam}, Muon: []device.MuonArgs{muon}})
		}},
		{method: "EMA", values: []operand{f(n), f(n)}, call: func(b device.Backend, v []*device.Value) { b.EMA(v[0], v[1], 0.9) }},
		{method: "Clamp", exact: true, values: []operand{f(n)}, call: func(b device.Backend, v []*device.Value) { b.Clamp(v[0], -0.5, 1) }},
		{method: "SumSquares", values: []operand{f(many), f(7, 3), scalar(0)}, call: func(b device.Backend, v []*device.Value) {
			sum, err := b.SumSquares(v[:2])
			if err == nil {
				err = b.UploadFloats(v[2], []float32{float32(sum)})
			}
			if err != nil {
				panic(err)
			}
		}},
	}
}

func update(b device.Backend, a device.UpdateArgs) float64 {
	norm, err := b.Update(a)
	if err != nil {
		panic(err)
	}
	return norm
}

// parameters are of several sizes, more than a chunk, odd and empty: parameter, gradient and both moments of each; the last three have two of a shape. The last operand is for
// the norm.
func parameters() []operand {
	var vs []operand
	for _, shape := range [][]int{{9001}, {7}, {0}, {8192}, {16, 24}, {16, 24}, {3, 24, 8}} {
		vs = append(vs, f(shape...), f(shape...), f(shape...), positive(shape...))
	}
	return append(vs, scalar(0))
}

// updateAll moves vectors by AdamW and matrices by Muon.
func updateAll(b device.Backend, v []*device.Value) {
	a := device.UpdateArgs{Clip: 2}
	for i := 0; i+4 < len(v); i += 4 {
		p, g := v[i], v[i+1]
		a.Grads = append(a.Grads, g)
		rate := 0.1 / float64(1+i)
		if p.Desc().Rank() == 1 {
			a.AdamW = append(a.AdamW, device.AdamWArgs{P: p, G: g, M: v[i+2], V: v[i+3], LR: rate, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Decay: 0.1, Step: 2})
		} else {
			a.Muon = append(a.Muon, device.MuonArgs{P: p, G: g, M: v[i+2], LR: rate, Momentum: 0.9, Decay: 0.1})
		}
	}
	if err := b.UploadFloats(v[len(v)-1], []float32{float32(update(b, a))}); err != nil {
		panic(err)
	}
}
