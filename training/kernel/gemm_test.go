package kernel

import (
	"fmt"
	"testing"
)

type gemmCase struct{ m, n, k int }

var gemmShapes = []gemmCase{{1, 1, 1}, {3, 5, 7}, {1, 200, 65}, {5, 33, 300}, {14, 32, 16}, {6, 16, 40}, {17, 33, 31}, {64, 64, 64}, {65, 16, 65}, {129, 65, 300}, {40, 600, 270}, {300, 40, 17}, {31, 7, 600}, {2, 3, 0}}

func gemmRef(a *GemmArgs) []float64 {
	out := make([]float64, a.M*a.N)
	for i := range a.M {
		for j := range a.N {
			var s float64
			for k := range a.K {
				x, y := i*a.LDA+k, k*a.LDB+j
				if a.TransA {
					x = k*a.LDA + i
				}
				if a.TransB {
					y = j*a.LDB + k
				}
				s += float64(a.A[x]) * float64(a.B[y])
			}
			if a.Accumulate {
				s += float64(a.C[i*a.LDC+j])
			}
			out[i*a.N+j] = s
		}
	}
	return out
}

// gemmArgs makes matrices of odd leading dimensions.
func gemmArgs(s source, c gemmCase, variant int) GemmArgs {
	a := GemmArgs{M: c.m, N: c.n, K: c.k, TransA: variant&1 != 0, TransB: variant&2 != 0, Accumulate: variant&4 != 0}
	a.LDA, a.LDB, a.LDC = c.k+3, c.n+1, c.n+2
	ra, rb := c.m, c.k
	if a.TransA {
		a.LDA, ra = c.m+3, c.k
	}
	if a.TransB {
		a.LDB, rb = c.k+1, c.n
	}
	a.A, a.B, a.C = s.vec(max(0, ra*a.LDA-3)), s.vec(max(0, rb*a.LDB-1)), s.vec(c.m*a.LDC-2)
	return a
}

func tight(x []float32, rows, cols, ld int) []float32 {
	var out []float32
	for r := range rows {
		out = append(out, x[r*ld:r*ld+cols]...)
	}
	return out
}

func TestGemmEqualsTheReferenceOnOddShapes(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(1)
		for _, c := range gemmShapes {
			for v := range 8 {
				a := gemmArgs(s, c, v)
				want := gemmRef(&a)
				padding := a.C[min(c.n, len(a.C)-1)]
				packed := a
				packed.C = clone(a.C)
				e.Gemm(a)
				what := fmt.Sprintf("%+v transA=%v transB=%v accumulate=%v", c, a.TransA, a.TransB, a.Accumulate)
				check(t, what, tight(a.C, c.m, c.n, a.LDC), want, 1e-5)
				if c.m > 1 && a.C[c.n] != padding {
					t.Fatalf("%s: wrote beyond the columns", what)
				}
				packed.Packed = e.PackB(PackBArgs{K: c.k, N: c.n, B: a.B, LDB: a.LDB, TransB: a.TransB})
				packed.B = nil
				e.Gemm(packed)
				check(t, "packed "+what, tight(packed.C, c.m, c.n, a.LDC), want, 1e-5)
			}
		}
	})
}

func TestGemmEpiloguesApplyBiasActivationAndResidual(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(2)
		for i, c := range []gemmCase{{1, 65, 30}, {33, 65, 17}, {130, 300, 270}, {9, 33, 530}, {5, 20, 0}} {
			for act := Identity; act < activations; act++ {
				for _, residual := range []bool{false, true} {
					a := gemmArgs(s, c, i%2*4) // every other one accumulates
					a.Epilogue = Epilogue{Bias: s.vec(c.n), Activation: act, Pre: make([]float32, c.m*(c.n+1)), LDPre: c.n + 1}
					pre := gemmRef(&a)
					for i := range pre {
						pre[i] += float64(a.Epilogue.Bias[i%c.n])
					}
					want := make([]float64, len(pre))
					for i, v := range pre {
						want[i] = activationRef(act, v)
					}
					if residual {
						a.Epilogue.Residual, a.Epilogue.LDResidual = s.vec(c.m*(c.n+4)), c.n+4
						for i := range want {
							want[i] += float64(a.Epilogue.Residual[i/c.n*(c.n+4)+i%c.n])
						}
					}
					e.Gemm(a)
					check(t, fmt.Sprint("pre-activation ", c, act), tight(a.Epilogue.Pre, c.m, c.n, c.n+1), pre, 1e-5)
					check(t, fmt.Sprint("output ", c, act), tight(a.C, c.m, c.n, a.LDC), want, 1e-5)
				}
			}
		}
	})
}

func TestGemmBatchEqualsOneProductAtATime(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(3)
		const m, n, k, batch = 13, 21, 34, 5
		a := GemmBatchArgs{
			GemmArgs: GemmArgs{M: m, N: n, K: k, A: s.vec(batch * m * k), B: s.vec(n * k), C: make([]float32, batch*m*n), TransB: true},
			Batch:    batch, StrideA: m * k, StrideC: m * n,
		}
		e.GemmBatch(a)
		for i := range batch {
			g := a.GemmArgs
			g.A, g.LDA, g.LDB, g.LDC = a.A[i*m*k:], k, k, n
			check(t, "batch", a.C[i*m*n:(i+1)*m*n], gemmRef(&g), 1e-5)
		}
	})
}

func TestGemmIsTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	for _, c := range []gemmCase{{129, 65, 300}, {1, 2100, 300}, {40, 1100, 520}, {500, 33, 70}, {31, 34, 1100}} {
		for v := range 4 {
			sameBits(t, func(e *Engine) []float32 {
				a := gemmArgs(newSource(4), c, v)
				a.Epilogue = Epilogue{Bias: a.A[:min(len(a.A), c.n)], Activation: GELUErf}
				if len(a.Epilogue.Bias) < c.n {
					a.Epilogue.Bias = nil
				}
				e.Gemm(a)
				return a.C
			})
		}
	}
}

func TestGemmPanicsOnAShortMatrix(t *testing.T) {
	e := newEngine(t, 1, Portable)
	panics(t, "a short B", func() {
		e.Gemm(GemmArgs{M: 2, N: 2, K: 2, A: make([]float32, 4), B: make([]float32, 3), C: make([]float32, 4)})
	})
	panics(t, "a leading dimension below the columns", func() {
		e.Gemm(GemmArgs{M: 2, N: 2, K: 2, LDC: 1, A: make([]float32, 4), B: make([]float32, 4), C: make([]float32, 4)})
	})
}
