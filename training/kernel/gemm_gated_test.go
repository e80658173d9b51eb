package kernel

import (
	"fmt"
	"math"
	"testing"
)

// gatedRef is silu(gate) up + residual of the pre-activations.
func gatedRef(a *GemmArgs, pre []float64) []float64 {
	half := a.N / 2
	out := make([]float64, a.M*half)
	for i := range out {
		r, j := i/half, i%half
		g, u := pre[r*a.N+j], pre[r*a.N+half+j]
		out[i] = g / (1 + math.Exp(-g)) * u
		if p := &a.Epilogue; p.Residual != nil {
			out[i] += float64(p.Residual[r*p.LDResidual+j])
		}
	}
	return out
}

func TestGatedProductsEqualTheReference(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(70)
		for i, c := range []gemmCase{{1, 2, 3}, {1, 66, 30}, {3, 96, 600}, {33, 90, 17}, {130, 600, 570}, {600, 34, 65}, {1100, 40, 70}, {4, 4400, 20}, {9, 4400, 20}, {5, 20, 0}} {
			for v := range 4 {
				a := gemmArgs(s, c, v)
				a.LDC = c.n/2 + 1
				a.Epilogue.Gated = true
				if i%2 == 0 {
					a.Epilogue.Bias = s.vec(c.n)
				}
				if v > 1 {
					a.Epilogue.Residual, a.Epilogue.LDResidual = s.vec(c.m*(c.n+2)), c.n+2
				}
				plain := a
				plain.LDC, plain.C = c.n, make([]float32, c.m*c.n)
				pre := gemmRef(&plain)
				if b := a.Epilogue.Bias; b != nil {
					for i := range pre {
						pre[i] += float64(b[i%c.n])
					}
				}
				want := gatedRef(&a, pre)
				what := fmt.Sprint("gated ", c, " variant ", v)
				e.Gemm(a)
				check(t, what, tight(a.C, c.m, c.n/2, a.LDC), want, 1e-5)

				kept := a
				kept.C = clone(a.C)
				clear(kept.C)
				kept.Epilogue.Pre, kept.Epilogue.LDPre = make([]float32, c.m*(c.n+1)), c.n+1
				e.Gemm(kept)
				check(t, what+", pre-activation", tight(kept.Epilogue.Pre, c.m, c.n, c.n+1), pre, 1e-5)
				for r := range c.m {
					sameRow(t, what+", pre-activation kept", kept.C[r*a.LDC:][:c.n/2], a.C[r*a.LDC:][:c.n/2])
				}

				packed := kept
				packed.C = clone(a.C)
				clear(packed.C)
				packed.Packed = e.PackB(PackBArgs{K: c.k, N: c.n, B: a.B, LDB: a.LDB, TransB: a.TransB, Gated: true})
				packed.Epilogue.Pre = nil
				e.Gemm(packed)
				for r := range c.m {
					sameRow(t, what+", packed", packed.C[r*a.LDC:][:c.n/2], a.C[r*a.LDC:][:c.n/2])
				}
			}
		}
	})
}

func TestGatedProductsAreTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	for _, c := range []gemmCase{{1, 2100, 300}, {129, 66, 600}, {40, 1100, 520}, {700, 34, 70}} {
		for v := range 4 {
			sameBits(t, func(e *Engine) []float32 {
				a := gemmArgs(newSource(71), c, v)
				a.Epilogue.Gated = true
				e.Gemm(a)
				return a.C
			})
		}
	}
}

func TestAGatedProductRefusesWhatItCannotDo(t *testing.T) {
	e := newEngine(t, 1, Portable)
	x := make([]float32, 64)
	a := GemmArgs{M: 2, N: 4, K: 2, A: x, B: x, C: make([]float32, 4), Epilogue: Epilogue{Gated: true}}
	e.Gemm(a)
	for what, f := range map[string]func(a *GemmArgs){
		"an odd N":              func(a *GemmArgs) { a.N = 3 },
		"accumulation":          func(a *GemmArgs) { a.Accumulate = true },
		"an activation":         func(a *GemmArgs) { a.Epilogue.Activation = SiLU },
		"a matrix packed plain": func(a *GemmArgs) { a.Packed = e.PackB(PackBArgs{K: 2, N: 4, B: x}) },
		"a short C":             func(a *GemmArgs) { a.C = a.C[:3] },
		"a plain product packed": func(a *GemmArgs) {
			a.Packed, a.Epilogue.Gated = e.PackB(PackBArgs{K: 2, N: 4, B: x, Gated: true}), false
		},
	} {
		b := a
		f(&b)
		panics(t, what, func() { e.Gemm(b) })
	}
}
