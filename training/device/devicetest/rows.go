package devicetest

import "tempera/training/device"

func rowTrials() []trial {
	const rows, cols = 7, 13
	patches := device.PatchifyArgs{B: 2, Channels: 3, Height: 6, Width: 9, Patch: 3}
	patchify := func(v []*device.Value) device.PatchifyArgs {
		args := patches
		args.Images, args.Patches = v[0], v[1]
		return args
	}
	images := []operand{f(2, 3, 6, 9), a(2, 6, 27)}
	block := func(c device.CopyBlockArgs) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			c.X, c.Y = v[0], v[1]
			b.CopyBlock(c)
		}
	}
	window := device.CopyBlockArgs{Rows: 5, Cols: 4, OffsetX: 15, OffsetY: 3, LDX: cols, LDY: 11}
	aligned := device.CopyBlockArgs{Rows: 3, Cols: 21, OffsetX: 8, OffsetY: 16, LDX: 32, LDY: 40}
	both := window
	both.Accumulate = true
	return append([]trial{
		{method: "CopyBlock", exact: true, values: []operand{a(rows, cols), a(9, 11)}, call: block(window)},
		{method: "CopyBlock", name: "of vectors", exact: true, values: []operand{a(4, 32), a(4, 40)}, call: block(aligned)},
		{method: "CopyBlock", name: "to another type", values: []operand{f(rows, cols), a(9, 11)}, call: block(window)},
		{method: "CopyBlock", name: "to another type and accumulating", values: []operand{a(rows, cols), f(9, 11)}, call: block(both)},
		{method: "CopyBlock", name: "of integers", values: []operand{is(1, 2, 3, -4, 5, 6), is(0, 0, 0, 0)}, call: block(device.CopyBlockArgs{Rows: 2, Cols: 2, OffsetX: 1, LDX: 3})},
		{method: "CopyBlock", name: "that accumulates", values: []operand{a(rows, cols), a(rows, cols)}, call: block(device.CopyBlockArgs{Rows: rows, Cols: cols, Accumulate: true})},
		{method: "Patchify", values: images, call: func(b device.Backend, v []*device.Value) { b.Patchify(patchify(v)) }},
		{method: "Patchify", name: "of activations", exact: true, values: []operand{a(2, 3, 6, 9), a(2, 6, 27)}, call: func(b device.Backend, v []*device.Value) { b.Patchify(patchify(v)) }},
		{method: "Unpatchify", exact: true, values: images, call: func(b device.Backend, v []*device.Value) { b.Unpatchify(patchify(v)) }},
	}, append(gatherTrials(), poolTrials()...)...)
}

// scattered are n indices of a table of some rows; some are negative, and some rows never occur.
func scattered(n, rows int32) operand {
	index := make([]int32, n)
	for i := range index {
		index[i] = int32(i)*7919%rows*2%rows - int32(i)%5/4
	}
	return is(index...)
}

// gatherTrials are of few indices, and of more than a block of threads sorts, in one digit of the key and in several.
func gatherTrials() []trial {
	const rows, cols = 7, 13
	index := is(3, 0, -1, 6, 3)
	gather := func(ld int) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			s := v[0].Shape()
			b.Gather(device.GatherArgs{TableRows: s[0], Cols: s[1], Table: v[0], Index: v[1], Y: v[2], LDY: ld})
		}
	}
	backward := func(ld int) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			s := v[0].Shape()
			b.GatherBackward(device.GatherBackwardArgs{TableRows: s[0], Cols: s[1], DTable: v[0], Index: v[1], DY: v[2], LDDY: ld})
		}
	}
	return []trial{
		{method: "Gather", values: []operand{f(rows, cols), index, a(5, cols)}, call: gather(0)},
		{method: "Gather", name: "of activations", exact: true, values: []operand{a(rows, cols), index, a(5, cols)}, call: gather(0)},
		{method: "Gather", name: "into rows apart", exact: true, values: []operand{a(rows, cols), index, a(5, 20)}, call: gather(20)},
		{method: "Gather", name: "of vectors", values: []operand{f(rows, 264), index, a(5, 272)}, call: gather(272)},
		{method: "Gather", name: "of integers", values: []operand{is(5, 6, 7, 8), is(1, 1, 0), is(0, 0, 0, 0, 0, 0)}, call: func(b device.Backend, v []*device.Value) {
			b.Gather(device.GatherArgs{TableRows: 2, Cols: 2, Table: v[0], Index: v[1], Y: v[2]})
		}},
		{method: "GatherBackward", values: []operand{f(rows, cols), index, a(5, cols)}, call: backward(0)},
		{method: "GatherBackward", name: "to activations", values: []operand{a(rows, cols), index, a(5, cols)}, call: backward(0)},
		{method: "GatherBackward", name: "of rows apart", values: []operand{f(rows, 264), index, a(5, 272)}, call: backward(272)},
		{method: "GatherBackward", name: "of some hundred rows", values: []operand{f(40, 9), scattered(700, 40), a(700, 9)}, call: backward(0)},
		{method: "GatherBackward", name: "of thousands of rows", values: []operand{f(100, 9), scattered(5000, 100), a(5000, 9)}, call: backward(0)},
		{method: "GatherBackward", name: "of thousands of rows to a large table", values: []operand{f(1000, 8), scattered(2500, 1000), a(2500, 8)}, call: backward(0)},
		{method: "GatherBackward", name: "of thousands of rows to a very large table", values: []operand{f(70000, 1), scattered(4099, 70000), a(4099, 1)}, call: backward(0)},
	}
}

func poolTrials() []trial {
	var ts []trial
	for name, c := range map[string]int{"": 19, ", of vectors": 264} {
		const b, t = 3, 45
		values := []operand{a(b, t, c), a(b, c), is(45, 0, 2)}
		backward := func(accumulate bool) func(be device.Backend, v []*device.Value) {
			return func(be device.Backend, v []*device.Value) {
				be.MeanPoolBackward(device.MeanPoolBackwardArgs{B: b, T: t, C: c, Lengths: v[2], DX: v[0], DY: v[1], Accumulate: accumulate})
			}
		}
		ts = append(ts,
			trial{method: "MeanPool", name: "of some tokens" + name, values: values, call: func(be device.Backend, v []*device.Value) {
				be.MeanPool(device.MeanPoolArgs{B: b, T: t, C: c, Lengths: v[2], X: v[0], Y: v[1]})
			}},
			trial{method: "MeanPool", name: "of all tokens" + name, values: values, call: func(be device.Backend, v []*device.Value) {
				be.MeanPool(device.MeanPoolArgs{B: b, T: t, C: c, X: v[0], Y: v[1]})
			}},
			trial{method: "MeanPoolBackward", name: "to some tokens" + name, values: values, call: backward(false)},
			trial{method: "MeanPoolBackward", name: "that accumulates" + name, values: values, call: backward(true)})
	}
	return ts
}
