package kernel

import "math"

// SoftmaxArgs is y = softmax(Scale x) over each row of Rows x Cols, or its logarithm if Log is set. Scale 0 means 1. Y may be X.
type SoftmaxArgs struct {
	Rows, Cols int
	X, Y       []float32
	LDX, LDY   int
	Scale      float32
	Log        bool
}

// Softmax normalises rows, subtracting each row's maximum first.
func (e *Engine) Softmax(a SoftmaxArgs) {
	a.LDX = needMatrix("Softmax", "X", a.X, a.Rows, a.Cols, a.LDX)
	a.LDY = needMatrix("Softmax", "Y", a.Y, a.Rows, a.Cols, a.LDY)
	if a.Scale == 0 {
		a.Scale = 1
	}
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		l := e.lease()
		defer e.release(l)
		for r := lo; r < hi; r++ {
			x, y := row(a.X, r, a.LDX, a.Cols), row(a.Y, r, a.LDY, a.Cols)
			top := e.rowTop(x, a.Scale)
			if !a.Log {
				e.isa.scale(y, y, 1/e.isa.expSum(y, x, a.Scale, top))
				continue
			}
			lse := top + float32(math.Log(float64(e.isa.expSum(l.buf(buf0, a.Cols), x, a.Scale, top))))
			e.isa.affine(y, x, a.Scale, -lse)
		}
	})
}

// rowTop is the largest value of scale x.
func (e *Engine) rowTop(x []float32, scale float32) float32 {
	if scale > 0 {
		return scale * e.isa.max(x)
	}
	top := float32(math.Inf(-1))
	for _, v := range x {
		top = max(top, scale*v)
	}
	return top
}

// SoftmaxBackwardArgs takes the forward's Y. With Log, dx = Scale (dy - exp(y) sum(dy)); else dx = Scale y (dy - sum(dy y)). DX may be DY.
type SoftmaxBackwardArgs struct {
	Rows, Cols      int
	Y, DY, DX       []float32
	LDY, LDDY, LDDX int
	Scale           float32
	Log             bool
}

// SoftmaxBackward is the gradient of Softmax.
func (e *Engine) SoftmaxBackward(a SoftmaxBackwardArgs) {
	a.LDY = needMatrix("SoftmaxBackward", "Y", a.Y, a.Rows, a.Cols, a.LDY)
	a.LDDY = needMatrix("SoftmaxBackward", "DY", a.DY, a.Rows, a.Cols, a.LDDY)
	a.LDDX = needMatrix("SoftmaxBackward", "DX", a.DX, a.Rows, a.Cols, a.LDDX)
	if a.Scale == 0 {
		a.Scale = 1
	}
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		l := e.lease()
		defer e.release(l)
		for r := lo; r < hi; r++ {
			y, dy, dx := row(a.Y, r, a.LDY, a.Cols), row(a.DY, r, a.LDDY, a.Cols), row(a.DX, r, a.LDDX, a.Cols)
			if !a.Log {
				e.isa.softmaxGrad(dx, dy, y, e.isa.dot(dy, y), a.Scale)
				continue
			}
			p := l.buf(buf0, a.Cols)
			e.isa.expSum(p, y, 1, 0)
			e.isa.scale(p, p, -e.isa.sum(dy))
			e.isa.add(dx, dy, p)
			e.isa.scale(dx, dx, a.Scale)
		}
	})
}
