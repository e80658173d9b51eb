package kernel

import "math"

// GridArgs is y[i] = the value of a Side x Side table of vectors of Cols elements, resized bicubically to Heights[i] x Widths[i], at (Down[i],
// Across[i]): a position embedding for images of any size. Sizes are positive; Table is (Side Side, Cols), Y (tokens, Cols).
//
// Method: cubic convolution with a = -0.75 on the four nearest rows and columns, borders repeated, corners not aligned, as PyTorch's interpolate
// does. A size of Side gives the table's own vectors.
type GridArgs struct {
	Side, Cols                    int
	Down, Across, Heights, Widths []int32
	Table, Y                      []float32
}

// GridBackwardArgs accumulates the gradient of the table: DY is (tokens, Cols).
type GridBackwardArgs struct {
	Side, Cols                    int
	Down, Across, Heights, Widths []int32
	DTable, DY                    []float32
}

// tap is a vector of the table and its weight.
type tap struct {
	row    int
	weight float32
}

const tapsPerToken = 16

// axis are the four cells around the center of cell at of n, in a table of side cells, and their weights.
func axis(at, n int32, side int) (cells [4]int, weights [4]float64) {
	center := (float64(at)+0.5)*float64(side)/float64(n) - 0.5
	low := math.Floor(center)
	t := center - low
	const a = -0.75
	near := func(x float64) float64 { return ((a+2)*x-(a+3))*x*x + 1 }
	far := func(x float64) float64 { return ((a*x-5*a)*x+8*a)*x - 4*a }
	weights = [4]float64{far(1 + t), near(t), near(1 - t), far(2 - t)}
	for i := range cells {
		cells[i] = min(max(int(low)-1+i, 0), side-1)
	}
	return cells, weights
}

func gridTaps(name string, side int, down, across, heights, widths []int32) []tap {
	taps := make([]tap, 0, tapsPerToken*len(down))
	need(name, "Across", across, len(down))
	need(name, "Heights", heights, len(down))
	need(name, "Widths", widths, len(down))
	for i := range down {
		require(heights[i] > 0 && widths[i] > 0, "%s: token %d is of an image of %d x %d patches", name, i, heights[i], widths[i])
		ys, wy := axis(down[i], heights[i], side)
		xs, wx := axis(across[i], widths[i], side)
		for j := range 4 {
			for k := range 4 {
				taps = append(taps, tap{ys[j]*side + xs[k], float32(wy[j] * wx[k])})
			}
		}
	}
	return taps
}

// Grid looks up resized positions.
func (e *Engine) Grid(a GridArgs) {
	n := len(a.Down)
	taps := gridTaps("Grid", a.Side, a.Down, a.Across, a.Heights, a.Widths)
	need("Grid", "Table", a.Table, a.Side*a.Side*a.Cols)
	need("Grid", "Y", a.Y, n*a.Cols)
	e.rows(n, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			y := row(a.Y, r, a.Cols, a.Cols)
			clear(y)
			for _, t := range taps[r*tapsPerToken : (r+1)*tapsPerToken] {
				if t.weight != 0 {
					e.isa.axpy(y, row(a.Table, t.row, a.Cols, a.Cols), t.weight)
				}
			}
		}
	})
}

// GridBackward is the gradient of Grid: parallel over columns, so that vectors that many tokens use add up in the order of tokens.
func (e *Engine) GridBackward(a GridBackwardArgs) {
	n := len(a.Down)
	taps := gridTaps("GridBackward", a.Side, a.Down, a.Across, a.Heights, a.Widths)
	need("GridBackward", "DTable", a.DTable, a.Side*a.Side*a.Cols)
	need("GridBackward", "DY", a.DY, n*a.Cols)
	const width = 64
	e.blocks(a.Cols, width, func(lo, hi int) {
		for r := range n {
			dy := a.DY[r*a.Cols+lo : r*a.Cols+hi]
			for _, t := range taps[r*tapsPerToken : (r+1)*tapsPerToken] {
				if t.weight != 0 {
					e.isa.axpy(a.DTable[t.row*a.Cols+lo:t.row*a.Cols+hi], dy, t.weight)
				}
			}
		}
	})
}
