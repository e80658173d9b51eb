package devicetest

import "tempera/training/device"

// gridTrials look up the patches of an image of 3 x 7 and some of one of 9 x 4 in a table of 5 x 5.
func gridTrials() []trial {
	const side, cols = 5, 67
	var down, across, heights, widths []int32
	add := func(h, w, n int32) {
		for i := range n {
			down, across, heights, widths = append(down, i/w), append(across, i%w), append(heights, h), append(widths, w)
		}
	}
	add(3, 7, 21)
	add(9, 4, 30)
	add(side, side, side*side)
	add(20, 20, 300)
	n := len(down)
	values := []operand{is(down...), is(across...), is(heights...), is(widths...), f(side*side, cols), a(n, cols)}
	return []trial{
		{method: "Grid", values: values, call: func(b device.Backend, v []*device.Value) {
			b.Grid(device.GridArgs{Side: side, Cols: cols, Down: v[0], Across: v[1], Heights: v[2], Widths: v[3], Table: v[4], Y: v[5]})
		}},
		{method: "GridBackward", values: values, call: func(b device.Backend, v []*device.Value) {
			b.GridBackward(device.GridBackwardArgs{Side: side, Cols: cols, Down: v[0], Across: v[1], Heights: v[2], Widths: v[3], DTable: v[4], DY: v[5]})
		}},
	}
}
