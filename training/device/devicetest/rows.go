package devicetest

import "tempera/training/device"

func rowTrials() []trial {
	const rows, cols = 7, 13
	index := is(3, 0, -1, 6, 3)
	patches := device.PatchifyArgs{B: 2, Channels: 3, Height: 6, Width: 9, Patch: 3}
	images := []operand{f(2, 3, 6, 9), f(2, 6, 27)}
	patchify := func(v []*device.Value) device.PatchifyArgs {
		a := patches
		a.Images, a.Patches = v[0], v[1]
		return a
	}
	return append([]trial{
		{method: "Gather", exact: true, values: []operand{f(rows, cols), index, f(5, cols)}, call: func(b device.Backend, v []*device.Value) {
			b.Gather(device.GatherArgs{TableRows: rows, Cols: cols, Table: v[0], Index: v[1], Y: v[2]})
		}},
		{method: "Gather", name: "into rows apart", exact: true, values: []operand{f(rows, cols), index, f(5, 20)}, call: func(b device.Backend, v []*device.Value) {
			b.Gather(device.GatherArgs{TableRows: rows, Cols: cols, Table: v[0], Index: v[1], Y: v[2], LDY: 20})
		}},
		{method: "Gather", name: "of integers", values: []operand{is(5, 6, 7, 8), is(1, 1, 0), is(0, 0, 0, 0, 0, 0)}, call: func(b device.Backend, v []*device.Value) {
			b.Gather(device.GatherArgs{TableRows: 2, Cols: 2, Table: v[0], Index: v[1], Y: v[2]})
		}},
		{method: "GatherBackward", values: []operand{f(rows, cols), index, f(5, cols)}, call: func(b device.Backend, v []*device.Value) {
			b.GatherBackward(device.GatherBackwardArgs{TableRows: rows, Cols: cols, DTable: v[0], Index: v[1], DY: v[2]})
		}},
		{method: "CopyBlock", exact: true, values: []operand{f(rows, cols), f(9, 11)}, call: func(b device.Backend, v []*device.Value) {
			b.CopyBlock(device.CopyBlockArgs{Rows: 5, Cols: 4, X: v[0], Y: v[1], OffsetX: 15, OffsetY: 3, LDX: cols, LDY: 11})
		}},
		{method: "CopyBlock", name: "that accumulates", values: []operand{f(rows, cols), f(rows, cols)}, call: func(b device.Backend, v []*device.Value) {
			b.CopyBlock(device.CopyBlockArgs{Rows: rows, Cols: cols, X: v[0], Y: v[1], Accumulate: true})
		}},
		{method: "Patchify", exact: true, values: images, call: func(b device.Backend, v []*device.Value) { b.Patchify(patchify(v)) }},
		{method: "Unpatchify", exact: true, values: images, call: func(b device.Backend, v []*device.Value) { b.Unpatchify(patchify(v)) }},
	}, poolTrials()...)
}

func poolTrials() []trial {
	const b, t, c = 3, 5, 19
	values := []operand{f(b, t, c), f(b, c), is(5, 0, 2)}
	backward := func(accumulate bool) func(be device.Backend, v []*device.Value) {
		return func(be device.Backend, v []*device.Value) {
			be.MeanPoolBackward(device.MeanPoolBackwardArgs{B: b, T: t, C: c, Lengths: v[2], DX: v[0], DY: v[1], Accumulate: accumulate})
		}
	}
	return []trial{
		{method: "MeanPool", values: values, call: func(be device.Backend, v []*device.Value) {
			be.MeanPool(device.MeanPoolArgs{B: b, T: t, C: c, Lengths: v[2], X: v[0], Y: v[1]})
		}},
		{method: "MeanPool", name: "of all tokens", values: values, call: func(be device.Backend, v []*device.Value) {
			be.MeanPool(device.MeanPoolArgs{B: b, T: t, C: c, X: v[0], Y: v[1]})
		}},
		{method: "MeanPoolBackward", values: values, call: backward(false)},
		{method: "MeanPoolBackward", name: "that accumulates", values: values, call: backward(true)},
	}
}
