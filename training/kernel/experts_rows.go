package kernel

// DispatchArgs copies the token of each row: Y (Rows, Cols) takes Weights[slot] X[token], X being (Tokens, Cols); nil Weights means 1.
type DispatchArgs struct {
	Routing
	Cols          int
	X, Weights, Y []float32
}

// Dispatch brings tokens in the order of their experts. With weights it is the gradient of Combine with respect to the rows.
func (e *Engine) Dispatch(a DispatchArgs) {
	a.check("Dispatch")
	need("Dispatch", "X", a.X, a.Tokens*a.Cols)
	need("Dispatch", "Y", a.Y, a.Rows()*a.Cols)
	if a.Weights != nil {
		need("Dispatch", "Weights", a.Weights, a.Rows())
	}
	slots := a.slots()
	e.rows(a.Rows(), a.Cols, func(lo, hi int) {
		for r := lo; r < hi; r++ {
			s := int(slots[r])
			x, y := row(a.X, s/a.Active, a.Cols, a.Cols), row(a.Y, r, a.Cols, a.Cols)
			if a.Weights == nil {
				copy(y, x)
			} else {
				e.isa.scale(y, x, a.Weights[s])
			}
		}
	})
}

// CombineArgs adds up the rows of each token: Y (Tokens, Cols) (+)= Σ Weights[slot] X[row], in ascending order of experts; nil Weights means 1.
type CombineArgs struct {
	Routing
	Cols          int
	X, Weights, Y []float32
	Accumulate    bool
}

// Combine brings rows back to their tokens. Without weights it is the gradient of Dispatch.
func (e *Engine) Combine(a CombineArgs) {
	a.check("Combine")
	need("Combine", "X", a.X, a.Rows()*a.Cols)
	need("Combine", "Y", a.Y, a.Tokens*a.Cols)
	if a.Weights != nil {
		need("Combine", "Weights", a.Weights, a.Rows())
	}
	rows := a.rows()
	e.rows(a.Tokens, a.Cols*a.Active, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			y := row(a.Y, t, a.Cols, a.Cols)
			if !a.Accumulate {
				clear(y)
			}
			for s := t * a.Active; s < (t+1)*a.Active; s++ {
				x := row(a.X, int(rows[s]), a.Cols, a.Cols)
				if a.Weights == nil {
					e.isa.add(y, y, x)
				} else {
					e.isa.axpy(y, x, a.Weights[s])
				}
			}
		}
	})
}

// CombineDotArgs is the gradient of Combine's weights: DWeights[slot] (+)= DY[token] . X[row].
type CombineDotArgs struct {
	Routing
	Cols            int
	X, DY, DWeights []float32
	Accumulate      bool
}

// CombineDot multiplies rows with the gradients of their tokens.
func (e *Engine) CombineDot(a CombineDotArgs) {
	a.check("CombineDot")
	need("CombineDot", "X", a.X, a.Rows()*a.Cols)
	need("CombineDot", "DY", a.DY, a.Tokens*a.Cols)
	need("CombineDot", "DWeights", a.DWeights, a.Rows())
	rows := a.rows()
	e.rows(a.Rows(), a.Cols, func(lo, hi int) {
		for s := lo; s < hi; s++ {
			d := e.isa.dot(row(a.DY, s/a.Active, a.Cols, a.Cols), row(a.X, int(rows[s]), a.Cols, a.Cols))
			if a.Accumulate {
				d += a.DWeights[s]
			}
			a.DWeights[s] = d
		}
	})
}

// ExpertGemmArgs multiplies the rows of each expert with its own matrix: C_e (+)= A_e op(B_e). A is (Rows, K), B (Experts, K, N), or
// (Experts, N, K) with TransB, C (Rows, N).
type ExpertGemmArgs struct {
	Routing
	N, K       int
	A, B, C    []float32
	TransB     bool
	Accumulate bool
}

// ExpertGemm computes a product per expert, in parallel over experts and within each. The bits of a row depend on the number of rows of its
// expert alone.
func (e *Engine) ExpertGemm(a ExpertGemmArgs) {
	a.check("ExpertGemm")
	need("ExpertGemm", "A", a.A, a.Rows()*a.K)
	need("ExpertGemm", "B", a.B, a.Experts*a.K*a.N)
	need("ExpertGemm", "C", a.C, a.Rows()*a.N)
	e.eachExpert(a.Routing, func(x, lo, hi int) {
		e.Gemm(GemmArgs{
			M: hi - lo, N: a.N, K: a.K, A: a.A[lo*a.K : hi*a.K], B: a.B[x*a.K*a.N : (x+1)*a.K*a.N], C: a.C[lo*a.N : hi*a.N],
			TransB: a.TransB, Accumulate: a.Accumulate,
		})
	})
}

// ExpertGradArgs accumulates the gradient of the experts' matrices: DB_e += A_eᵀ DC_e. A is (Rows, K), DC (Rows, N), DB (Experts, K, N).
type ExpertGradArgs struct {
	Routing
	N, K      int
	A, DC, DB []float32
}

// ExpertGrad computes a product per expert; an expert without rows is left alone.
func (e *Engine) ExpertGrad(a ExpertGradArgs) {
	a.check("ExpertGrad")
	need("ExpertGrad", "A", a.A, a.Rows()*a.K)
	need("ExpertGrad", "DC", a.DC, a.Rows()*a.N)
	need("ExpertGrad", "DB", a.DB, a.Experts*a.K*a.N)
	e.eachExpert(a.Routing, func(x, lo, hi int) {
		e.Gemm(GemmArgs{
			M: a.K, N: a.N, K: hi - lo, A: a.A[lo*a.K : hi*a.K], B: a.DC[lo*a.N : hi*a.N], C: a.DB[x*a.K*a.N : (x+1)*a.K*a.N],
			TransA: true, Accumulate: true,
		})
	})
}

// eachExpert runs fn for the rows [lo, hi) of every expert that has some.
func (e *Engine) eachExpert(r Routing, fn func(expert, lo, hi int)) {
	ends := r.Ends()
	e.parallel(r.Experts, func(x int) {
		if lo, hi := int(ends[x]), int(ends[x+1]); lo < hi {
			fn(x, lo, hi)
		}
	})
}
