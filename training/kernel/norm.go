package kernel

import "math"

// LayerNormArgs is y = (x - mean) rstd w + b for each row of a tight Rows x Cols matrix, rstd = 1/sqrt(variance + Eps). Mean and RStd
// (Rows each) are saved for the backward pass. B may be nil.
type LayerNormArgs struct {
	Rows, Cols int
	X, W, B, Y []float32
	Mean, RStd []float32
	Eps        float32
}

// LayerNorm normalises rows in two passes: the mean, then the squared deviations from it.
func (e *Engine) LayerNorm(a LayerNormArgs) {
	n := a.Rows * a.Cols
	need("LayerNorm", "X", a.X, n)
	need("LayerNorm", "Y", a.Y, n)
	need("LayerNorm", "W", a.W, a.Cols)
	need("LayerNorm", "Mean", a.Mean, a.Rows)
	need("LayerNorm", "RStd", a.RStd, a.Rows)
	b, free := e.orZeros(a.B, a.Cols)
	defer free()
	need("LayerNorm", "B", b, a.Cols)
	c := float32(a.Cols)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x := row(a.X, r, a.Cols, a.Cols)
			mean := e.isa.sum(x) / c
			rstd := float32(1 / math.Sqrt(float64(e.isa.sqDev(x, mean)/c+a.Eps)))
			a.Mean[r], a.RStd[r] = mean, rstd
			e.isa.normApply(row(a.Y, r, a.Cols, a.Cols), x, a.W[:a.Cols], b, mean, rstd)
		}
	})
}

// LayerNormBackwardArgs takes the forward's X, W, Mean and RStd. DX is written, or accumulated; DW and DB accumulate and may be nil. DX
// may be nil too, and may be DY unless Accumulate is set.
type LayerNormBackwardArgs struct {
	Rows, Cols       int
	X, W, Mean, RStd []float32
	DY, DX, DW, DB   []float32
	Accumulate       bool
}

// LayerNormBackward is the gradient of LayerNorm.
func (e *Engine) LayerNormBackward(a LayerNormBackwardArgs) {
	need("LayerNormBackward", "Mean", a.Mean, a.Rows)
	e.normBackward("LayerNormBackward", a)
}

// RMSNormArgs is y = x rstd w for each row, rstd = 1/sqrt(mean(x^2) + Eps) (Zhang and Sennrich 2019). RStd (Rows) is saved.
type RMSNormArgs struct {
	Rows, Cols int
	X, W, Y    []float32
	RStd       []float32
	Eps        float32
}

// RMSNorm normalises rows by their root mean square.
func (e *Engine) RMSNorm(a RMSNormArgs) {
	n := a.Rows * a.Cols
	need("RMSNorm", "X", a.X, n)
	need("RMSNorm", "Y", a.Y, n)
	need("RMSNorm", "W", a.W, a.Cols)
	need("RMSNorm", "RStd", a.RStd, a.Rows)
	zeros, free := e.orZeros(nil, a.Cols)
	defer free()
	c := float32(a.Cols)
	e.rows(a.Rows, a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			x := row(a.X, r, a.Cols, a.Cols)
			rstd := float32(1 / math.Sqrt(float64(e.isa.dot(x, x)/c+a.Eps)))
			a.RStd[r] = rstd
			e.isa.normApply(row(a.Y, r, a.Cols, a.Cols), x, a.W[:a.Cols], zeros, 0, rstd)
		}
	})
}

// RMSNormBackwardArgs is as LayerNormBackwardArgs without mean and bias.
type RMSNormBackwardArgs struct {
	Rows, Cols int
	X, W, RStd []float32
	DY, DX, DW []float32
	Accumulate bool
}

// RMSNormBackward is the gradient of RMSNorm.
func (e *Engine) RMSNormBackward(a RMSNormBackwardArgs) {
	e.normBackward("RMSNormBackward", LayerNormBackwardArgs{
		Rows: a.Rows, Cols: a.Cols, X: a.X, W: a.W, RStd: a.RStd,
		DY: a.DY, DX: a.DX, DW: a.DW, Accumulate: a.Accumulate,
	})
}

// normBackward serves both norms; without Mean it is RMSNorm's. Parameter gradients are summed within fixed row blocks, then over blocks.
func (e *Engine) normBackward(name string, a LayerNormBackwardArgs) {
	n, cols := a.Rows*a.Cols, a.Cols
	need(name, "X", a.X, n)
	need(name, "DY", a.DY, n)
	need(name, "W", a.W, cols)
	need(name, "RStd", a.RStd, a.Rows)
	if a.DX != nil {
		need(name, "DX", a.DX, n)
	}
	if n == 0 {
		return
	}
	blk := paramRows(a.Rows, cols)
	nb := (a.Rows + blk - 1) / blk
	l := e.lease()
	defer e.release(l)
	params := a.DW != nil || a.DB != nil
	var part []float32
	if params {
		part = l.buf(buf0, nb*2*cols)
		clear(part)
	}
	e.shared(nb, n*elementWork, func(i int) {
		lo, hi := i*blk, min(a.Rows, (i+1)*blk)
		if params {
			p := part[i*2*cols:]
			for r := lo; r < hi; r++ {
				e.isa.normParams(p[:cols], p[cols:2*cols], row(a.DY, r, cols, cols), row(a.X, r, cols, cols), a.mean(r), a.RStd[r])
			}
		}
		if a.DX != nil {
			e.normGradRows(a, lo, hi)
		}
	})
	if a.DW != nil {
		need(name, "DW", a.DW, cols)
		e.addParts(a.DW[:cols], part, nb, 2*cols)
	}
	if a.DB != nil {
		need(name, "DB", a.DB, cols)
		e.addParts(a.DB[:cols], part[cols:], nb, 2*cols)
	}
}

func (a *LayerNormBackwardArgs) mean(r int) float32 {
	if a.Mean == nil {
		return 0
	}
	return a.Mean[r]
}

func (e *Engine) normGradRows(a LayerNormBackwardArgs, lo, hi int) {
	cols := a.Cols
	l := e.lease()
	defer e.release(l)
	t := l.buf(buf0, cols)
	w := a.W[:cols]
	for r := lo; r < hi; r++ {
		dy, x, dx := row(a.DY, r, cols, cols), row(a.X, r, cols, cols), row(a.DX, r, cols, cols)
		s1, s2 := e.isa.normSums(dy, x, w, a.mean(r), a.RStd[r])
		m1, m2 := s1/float32(cols), s2/float32(cols)
		if a.Mean == nil {
			m1 = 0
		}
		if a.Accumulate {
			e.isa.normGrad(t, dy, x, w, a.mean(r), a.RStd[r], m1, m2)
			e.isa.add(dx, dx, t)
		} else {
			e.isa.normGrad(dx, dy, x, w, a.mean(r), a.RStd[r], m1, m2)
		}
	}
}

// paramRows is the number of rows in one block of a parameter-gradient sum: at most 64 blocks, none tiny.
func paramRows(rows, cols int) int { return max(1, (rows+63)/64, grain/max(1, cols)) }

// addParts accumulates n partial sums, stride apart, into dst. Each element adds its parts in order.
func (e *Engine) addParts(dst, part []float32, n, stride int) {
	for i := range n {
		e.isa.add(dst, dst, part[i*stride:i*stride+len(dst)])
	}
}

// orZeros returns x, or n zeros from scratch if x is nil, and the function that gives them back.
func (e *Engine) orZeros(x []float32, n int) ([]float32, func()) {
	if x != nil {
		return x, func() {}
	}
	l := e.lease()
	z := l.buf(buf0, n)
	clear(z)
	return z, func() { e.release(l) }
}
