package reference

import (
	"math"

	"tempera/training/device"
)

// cubic is the kernel of cubic convolution (Keys 1981) with a = -0.75.
func cubic(x float64) float64 {
	const a = -0.75
	switch x = math.Abs(x); {
	case x <= 1:
		return (a+2)*x*x*x - (a+3)*x*x + 1
	case x < 2:
		return a*x*x*x - 5*a*x*x + 8*a*x - 4*a
	default:
		return 0
	}
}

// eachCell visits the cells of the table around a token, with their weights.
func eachCell(side int, down, across, height, width int, visit func(cell int, weight float64)) {
	scale := func(at, n int) float64 { return (float64(at)+0.5)*float64(side)/float64(n) - 0.5 }
	y, x := scale(down, height), scale(across, width)
	for i := int(math.Floor(y)) - 1; i <= int(math.Floor(y))+2; i++ {
		for j := int(math.Floor(x)) - 1; j <= int(math.Floor(x))+2; j++ {
			row, col := min(max(i, 0), side-1), min(max(j, 0), side-1)
			visit(row*side+col, cubic(y-float64(i))*cubic(x-float64(j)))
		}
	}
}

// Grid is part of device.Rows.
func (b *Backend) Grid(a device.GridArgs) {
	table, y := b.of(a.Table), b.of(a.Y)
	across, heights, widths := b.ints(a.Across), b.ints(a.Heights), b.ints(a.Widths)
	clear(y)
	for i, down := range b.ints(a.Down) {
		eachCell(a.Side, down, across[i], heights[i], widths[i], func(cell int, weight float64) {
			for c := range a.Cols {
				y[i*a.Cols+c] += weight * table[cell*a.Cols+c]
			}
		})
	}
}

// GridBackward is part of device.Rows.
func (b *Backend) GridBackward(a device.GridBackwardArgs) {
	table, dy := b.of(a.DTable), b.of(a.DY)
	across, heights, widths := b.ints(a.Across), b.ints(a.Heights), b.ints(a.Widths)
	for i, down := range b.ints(a.Down) {
		eachCell(a.Side, down, across[i], heights[i], widths[i], func(cell int, weight float64) {
			for c := range a.Cols {
				table[cell*a.Cols+c] += weight * dy[i*a.Cols+c]
			}
		})
	}
}
