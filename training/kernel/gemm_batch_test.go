package kernel

import (
	"fmt"
	"math"
	"testing"
)

// rowAlone is the product of one row of A, with that row of what the epilogue reads.
func rowAlone(a GemmArgs, r int) GemmArgs {
	out := a
	out.M = 1
	if a.TransA {
		out.A = a.A[r:]
	} else {
		out.A = a.A[r*a.LDA:]
	}
	out.C = clone(a.C[r*a.LDC:][:a.N])
	if p := &out.Epilogue; p.Residual != nil {
		p.Residual = a.Epilogue.Residual[r*a.Epilogue.LDResidual:]
	}
	return out
}

func sameRow(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for j := range want {
		if math.Float32bits(got[j]) != math.Float32bits(want[j]) {
			t.Fatalf("%s: column %d is %v in the batch, %v alone", what, j, got[j], want[j])
		}
	}
}

// A request's tokens must not depend on what else is in its batch: neither on the number of rows, nor on whether the weights are packed.
func TestARowOfAProductIsTheSameBitsWhateverRowsAreBesideIt(t *testing.T) {
	rows := []int{1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 28, 29, 40, 130}
	if testing.Short() {
		rows = []int{1, 2, 3, 7, 16, 40}
	}
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(50)
		for _, c := range []gemmCase{{0, 1, 1}, {0, 33, 7}, {0, 96, 64}, {0, 65, 600}, {0, 200, 513}, {0, 520, 1100}} {
			for v := range 8 {
				full := gemmArgs(s, gemmCase{rows[len(rows)-1], c.n, c.k}, v)
				full.Epilogue = Epilogue{Bias: s.vec(c.n), Activation: Activation(v % int(activations)), Residual: s.vec(full.M * (c.n + 1)), LDResidual: c.n + 1}
				packed := e.PackB(PackBArgs{K: c.k, N: c.n, B: full.B, LDB: full.LDB, TransB: full.TransB})
				want := make([][]float32, full.M)
				for r := range want {
					one := rowAlone(full, r)
					e.Gemm(one)
					want[r] = one.C
				}
				for _, m := range rows {
					for _, weights := range []*PackedB{nil, packed} {
						a := full
						a.M, a.Packed, a.C = m, weights, clone(full.C)
						e.Gemm(a)
						for r := range m {
							what := fmt.Sprintf("%d rows, N %d, K %d, variant %d, packed %v, row %d", m, c.n, c.k, v, weights != nil, r)
							sameRow(t, what, a.C[r*a.LDC:][:c.n], want[r])
						}
					}
				}
			}
		}
	})
}
