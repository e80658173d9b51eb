package kernel

// Add writes dst = a + b over len(dst) elements; dst may be a or b.
func (e *Engine) Add(dst, a, b []float32) {
	need("Add", "a", a, len(dst))
	need("Add", "b", b, len(dst))
	e.flat(len(dst), func(lo, hi int) { e.isa.add(dst[lo:hi], a[lo:hi], b[lo:hi]) })
}

// Mul writes dst = a b elementwise; dst may be a or b.
func (e *Engine) Mul(dst, a, b []float32) {
	need("Mul", "a", a, len(dst))
	need("Mul", "b", b, len(dst))
	e.flat(len(dst), func(lo, hi int) { e.isa.mul(dst[lo:hi], a[lo:hi], b[lo:hi]) })
}

// Axpy accumulates dst += alpha x.
func (e *Engine) Axpy(dst, x []float32, alpha float32) {
	need("Axpy", "x", x, len(dst))
	e.flat(len(dst), func(lo, hi int) { e.isa.axpy(dst[lo:hi], x[lo:hi], alpha) })
}

// Scale writes dst = alpha x; dst may be x.
func (e *Engine) Scale(dst, x []float32, alpha float32) {
	need("Scale", "x", x, len(dst))
	e.flat(len(dst), func(lo, hi int) { e.isa.scale(dst[lo:hi], x[lo:hi], alpha) })
}

// EMA moves an average: dst = decay dst + (1-decay) x.
func (e *Engine) EMA(dst, x []float32, decay float32) {
	need("EMA", "x", x, len(dst))
	e.flat(len(dst), func(lo, hi int) { e.isa.lerp(dst[lo:hi], x[lo:hi], decay) })
}

// SumSquares returns the sum of x^2, added in float64 over fixed pieces. It is NaN or infinite exactly if x holds such a value.
func (e *Engine) SumSquares(x []float32) float64 {
	return e.reduce(len(x), func(lo, hi int) float64 { return e.isa.sumSq(x[lo:hi]) })
}

// Dot returns the inner product of a and b: float32 within a piece, float64 across pieces.
func (e *Engine) Dot(a, b []float32) float64 {
	need("Dot", "b", b, len(a))
	return e.reduce(len(a), func(lo, hi int) float64 { return float64(e.isa.dot(a[lo:hi], b[lo:hi])) })
}

// reduce adds fn over the pieces of a vector, in order.
func (e *Engine) reduce(n int, fn func(lo, hi int) float64) float64 {
	parts := make([]float64, (n+grain-1)/grain)
	e.flat(n, func(lo, hi int) { parts[lo/grain] = fn(lo, hi) })
	var s float64
	for _, p := range parts {
		s += p
	}
	return s
}
