package devicetest

import (
	"fmt"
	"slices"

	"tempera/training/device"
)

// normTrials are of rows as odd as one element, and of rows that kernels hold in part.
func normTrials() []trial {
	ts := slices.Concat(layerNormTrials(13, 67, ""), normalizeTrials(5, 35, ""))
	for _, s := range [][2]int{{1, 1}, {33, 8}, {600, 3}, {21, 256}, {5, 520}, {11, 1032}, {3, 4100}, {1, 4101}, {2, 8200}} {
		name := fmt.Sprintf("of %d rows of %d", s[0], s[1])
		ts = append(ts, slices.Concat(layerNormTrials(s[0], s[1], name), normalizeTrials(s[0], s[1], name))...)
	}
	return ts
}

func layerNormTrials(n, c int, name string) []trial {
	layer := func(v []*device.Value) device.LayerNormBackwardArgs {
		return device.LayerNormBackwardArgs{
			Rows: n, Cols: c, X: v[0], W: v[1], Mean: v[4], RStd: v[5], DY: v[6], DX: v[7], DW: v[8], DB: v[9],
		}
	}
	forward := func(b device.Backend, v []*device.Value) {
		b.LayerNorm(device.LayerNormArgs{Rows: n, Cols: c, X: v[0], W: v[1], B: v[2], Y: v[3], Mean: v[4], RStd: v[5], Eps: 1e-5})
	}
	rms := func(b device.Backend, v []*device.Value) {
		b.RMSNorm(device.RMSNormArgs{Rows: n, Cols: c, X: v[0], W: v[1], Y: v[3], RStd: v[5], Eps: 1e-6})
	}
	backward := func(change func(a *device.LayerNormBackwardArgs)) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			forward(b, v)
			a := layer(v)
			change(&a)
			b.LayerNormBackward(a)
		}
	}
	// x, gain, bias, y, mean, rstd, dy, dx, dgain, dbias
	values := []operand{a(n, c), f(c), f(c), a(n, c), f(n), f(n), a(n, c), a(n, c), f(c), f(c)}
	return []trial{
		{method: "LayerNorm", name: name, values: values, call: forward},
		{method: "LayerNorm", name: name + " without bias", values: values, call: func(b device.Backend, v []*device.Value) {
			b.LayerNorm(device.LayerNormArgs{Rows: n, Cols: c, X: v[0], W: v[1], Y: v[3], Mean: v[4], RStd: v[5], Eps: 1e-5})
		}},
		{method: "LayerNormBackward", name: name, values: values, call: backward(func(*device.LayerNormBackwardArgs) {})},
		{method: "LayerNormBackward", name: name + " of x alone, that accumulates", values: values, call: backward(func(a *device.LayerNormBackwardArgs) {
			a.DW, a.DB, a.Accumulate = nil, nil, true
		})},
		{method: "LayerNormBackward", name: name + " of the gain alone", values: values, call: backward(func(a *device.LayerNormBackwardArgs) {
			a.DX, a.DB = nil, nil
		})},
		{method: "RMSNorm", name: name, values: values, call: rms},
		{method: "RMSNormBackward", name: name, values: values, call: func(b device.Backend, v []*device.Value) {
			rms(b, v)
			b.RMSNormBackward(device.RMSNormBackwardArgs{Rows: n, Cols: c, X: v[0], W: v[1], RStd: v[5], DY: v[6], DX: v[7], DW: v[8]})
		}},
	}
}

func normalizeTrials(n, c int, name string) []trial {
	forward := func(b device.Backend, v []*device.Value, eps float32) {
		b.L2Normalize(device.L2NormalizeArgs{Rows: n, Cols: c, X: v[0], Y: v[1], Inv: v[2], Eps: eps})
	}
	values := []operand{a(n, c), a(n, c), f(n), a(n, c), a(n, c)}
	backward := func(accumulate bool, eps float32) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			forward(b, v, eps)
			b.L2NormalizeBackward(device.L2NormalizeBackwardArgs{
				Rows: n, Cols: c, Y: v[1], Inv: v[2], DY: v[3], DX: v[4], Eps: eps, Accumulate: accumulate,
			})
		}
	}
	return []trial{
		{method: "L2Normalize", name: name, values: values, call: func(b device.Backend, v []*device.Value) { forward(b, v, 1e-12) }},
		{method: "L2NormalizeBackward", name: name, values: values, call: backward(false, 1e-12)},
		{method: "L2NormalizeBackward", name: name + " that accumulates", values: values, call: backward(true, 1e-12)},
		{method: "L2NormalizeBackward", name: name + " of short rows", values: values, call: backward(false, 1e3)},
	}
}
