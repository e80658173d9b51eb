package kernel

import "math"

// MuonArgs is one step of Muon (Jordan et al. 2024, scaled as in Liu et al. 2025, Moonlight) on Batch matrices of Rows x Cols, tight, one after
// another (0 means 1). The gradient is multiplied by GradScale first (0 means 1), then
//
//	m = Momentum m + g,  u = g + Momentum m  (Nesterov),  p = (1 - LR Decay) p - LR 0.2 sqrt(max(Rows, Cols)) orthogonal(u)
//
// where orthogonal makes all singular values about 1: they end between 0.68 and 1.13.
type MuonArgs struct {
	Batch, Rows, Cols int
	P, G, M           []float32
	LR, Momentum      float64
	Decay, GradScale  float64
}

// muonScale makes the root mean square of an update that of AdamW's (Liu et al. 2025), so that both take the same rate and decay.
const muonScale = 0.2

// newtonSchulz are the coefficients a, b, c of x = a x + (b s + c s^2) x, s = x x^T, applied newtonSchulzSteps times: tuned to reach 1 from small
// singular values fast, not to converge.
var newtonSchulz = [3]float32{3.4445, -4.7750, 2.0315}

const newtonSchulzSteps = 5

// Muon updates P and the momentum M in place, one matrix after the other.
func (e *Engine) Muon(a MuonArgs) {
	a.Batch = max(1, a.Batch)
	n := a.Rows * a.Cols
	need("Muon", "P", a.P, a.Batch*n)
	need("Muon", "G", a.G, a.Batch*n)
	need("Muon", "M", a.M, a.Batch*n)
	if n == 0 {
		return
	}
	if a.GradScale == 0 {
		a.GradScale = 1
	}
	l := e.lease()
	defer e.release(l)
	u := l.buf(buf0, n)
	for i := range a.Batch {
		p, g, m := a.P[i*n:(i+1)*n], a.G[i*n:(i+1)*n], a.M[i*n:(i+1)*n]
		e.flat(n, func(lo, hi int) {
			e.isa.scale(m[lo:hi], m[lo:hi], float32(a.Momentum))
			e.isa.axpy(m[lo:hi], g[lo:hi], float32(a.GradScale))
			e.isa.scale(u[lo:hi], g[lo:hi], float32(a.GradScale))
			e.isa.axpy(u[lo:hi], m[lo:hi], float32(a.Momentum))
		})
		o := e.orthogonal(l, u, a.Rows, a.Cols)
		keep, step := float32(1-a.LR*a.Decay), float32(-a.LR*muonScale*math.Sqrt(float64(max(a.Rows, a.Cols))))
		e.flat(n, func(lo, hi int) {
			e.isa.scale(p[lo:hi], p[lo:hi], keep)
			e.isa.axpy(p[lo:hi], o[lo:hi], step)
		})
	}
}

// orthogonal replaces the singular values of u, which it overwrites, by about 1: x = u / |u|, then Newton-Schulz steps on the side of x that has
// fewer rows. The result is in u or in scratch.
func (e *Engine) orthogonal(l *lease, u []float32, rows, cols int) []float32 {
	norm := math.Sqrt(e.SumSquares(u))
	e.Scale(u, u, float32(1/(norm+1e-7)))
	side := min(rows, cols)
	s, poly, y := l.buf(buf1, side*side), l.buf(buf2, side*side), l.buf(buf3, len(u))
	x := u
	for range newtonSchulzSteps {
		tall := rows > cols
		if tall { // s = x^T x
			e.Gemm(GemmArgs{M: side, N: side, K: rows, A: x, TransA: true, B: x, C: s})
		} else {
			e.Gemm(GemmArgs{M: side, N: side, K: cols, A: x, B: x, TransB: true, C: s})
		}
		e.Gemm(GemmArgs{M: side, N: side, K: side, A: s, B: s, C: poly})
		e.flat(side*side, func(lo, hi int) {
			e.isa.scale(poly[lo:hi], poly[lo:hi], newtonSchulz[2])
			e.isa.axpy(poly[lo:hi], s[lo:hi], newtonSchulz[1])
		})
		if tall {
			e.Gemm(GemmArgs{M: rows, N: cols, K: side, A: x, B: poly, C: y})
		} else {
			e.Gemm(GemmArgs{M: rows, N: cols, K: side, A: poly, B: x, C: y})
		}
		e.Axpy(y, x, newtonSchulz[0])
		x, y = y, x
	}
	return x
}
