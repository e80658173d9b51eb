package kernel

import "math"

// L2NormalizeArgs is y = x / max(|x|, Eps) for each row of a tight Rows x Cols matrix. Inv (Rows) receives 1/max(|x|, Eps). Y may be X.
type L2NormalizeArgs struct {
	Rows, Cols int
	X, Y, Inv  []float32
	Eps        float32
}

// L2Normalize scales rows to length 1.
func (e *Engine) L2Normalize(a L2NormalizeArgs) {
	need("L2Normalize", "X", a.X, a.Rows*a.Cols)
	need("L2Normalize", "Y", a.Y, a.Rows*a.Cols)
	need("L2Normalize", "Inv", a.Inv, a.Rows)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x := row(a.X, r, a.Cols, a.Cols)
			norm := max(float32(math.Sqrt(float64(e.isa.dot(x, x)))), a.Eps)
			a.Inv[r] = 1 / norm
			e.isa.scale(row(a.Y, r, a.Cols, a.Cols), x, 1/norm)
		}
	})
}

// L2NormalizeBackwardArgs takes the forward's Y, Inv and Eps: dx = Inv (dy - y (y . dy)), or Inv dy where Eps ruled. DX may be DY unless
// Accumulate is set.
type L2NormalizeBackwardArgs struct {
	Rows, Cols     int
	Y, Inv, DY, DX []float32
	Eps            float32
	Accumulate     bool
}

// L2NormalizeBackward is the gradient of L2Normalize.
func (e *Engine) L2NormalizeBackward(a L2NormalizeBackwardArgs) {
	n := a.Rows * a.Cols
	need("L2NormalizeBackward", "Y", a.Y, n)
	need("L2NormalizeBackward", "DY", a.DY, n)
	need("L2NormalizeBackward", "DX", a.DX, n)
	need("L2NormalizeBackward", "Inv", a.Inv, a.Rows)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			y, dy, dx := row(a.Y, r, a.Cols, a.Cols), row(a.DY, r, a.Cols, a.Cols), row(a.DX, r, a.Cols, a.Cols)
			inv := a.Inv[r]
			var along float32
			if a.Eps == 0 || inv < 1/a.Eps {
				along = e.isa.dot(y, dy)
			}
			if a.Accumulate {
				e.isa.axpy(dx, dy, inv)
			} else {
				e.isa.scale(dx, dy, inv)
			}
			e.isa.axpy(dx, y, -along*inv)
		}
	})
}
