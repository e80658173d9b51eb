package kernel

// GemmArgs is C (+)= op(A) op(B), then the epilogue. op(A) is M x K: A itself, or its transpose if TransA is set, A then being stored K x M;
// op(B) is K x N, stored N x K if TransB is set. Accumulate adds to C. Packed replaces B, LDB and TransB. C must not overlap A or B. A K of
// 0 is a product of zeros.
type GemmArgs struct {
	M, N, K        int
	A, B, C        []float32
	LDA, LDB, LDC  int
	TransA, TransB bool
	Packed         *PackedB
	Accumulate     bool
	Epilogue       Epilogue
}

// Epilogue runs on a finished block of C while it is in cache: c = activation(c + bias) + residual. The zero value does nothing.
type Epilogue struct {
	Bias       []float32  // N, added to every row
	Activation Activation // applied after the bias
	Pre        []float32  // M x N: receives c + bias, what the activation's backward pass needs; nil: not kept
	LDPre      int
	Residual   []float32 // M x N, added last; must not overlap C
	LDResidual int
}

// Gemm multiplies matrices.
func (e *Engine) Gemm(a GemmArgs) {
	a.check("Gemm")
	if a.M == 0 || a.N == 0 {
		return
	}
	e.gemm(&a)
}

// GemmBatchArgs is Batch products of one shape: product i takes A, B, C (and Pre, Residual) from i times their strides; a stride of 0 shares
// the matrix (not C). Bias is shared; Packed is not allowed.
type GemmBatchArgs struct {
	GemmArgs
	Batch                     int
	StrideA, StrideB, StrideC int
	StridePre, StrideResidual int
}

// GemmBatch multiplies a batch of matrices, in parallel over the batch.
func (e *Engine) GemmBatch(a GemmBatchArgs) {
	require(a.Packed == nil, "GemmBatch takes no packed matrix")
	require(a.StrideC != 0 || a.Batch <= 1, "GemmBatch.StrideC is 0")
	for i := range a.Batch {
		g := a.at(i)
		g.check("GemmBatch")
	}
	e.parallel(a.Batch, func(i int) {
		g := a.at(i)
		e.gemm(&g)
	})
}

func (a *GemmBatchArgs) at(i int) GemmArgs {
	g := a.GemmArgs
	g.A, g.B, g.C = g.A[i*a.StrideA:], g.B[i*a.StrideB:], g.C[i*a.StrideC:]
	if g.Epilogue.Pre != nil {
		g.Epilogue.Pre = g.Epilogue.Pre[i*a.StridePre:]
	}
	if g.Epilogue.Residual != nil {
		g.Epilogue.Residual = g.Epilogue.Residual[i*a.StrideResidual:]
	}
	return g
}

// PackBArgs names a matrix to pack: op(B) is K x N as in GemmArgs.
type PackBArgs struct {
	K, N   int
	B      []float32
	LDB    int
	TransB bool
}

// PackedB is a matrix in the layout of one engine's level: made once for weights that multiply many times. It is read-only and may be shared
// by engines of the same level.
type PackedB struct {
	level Level
	k, n  int
	data  []float32
}

// PackB copies a matrix into the kernel's layout.
func (e *Engine) PackB(a PackBArgs) *PackedB {
	if a.TransB {
		a.LDB = needMatrix("PackB.B", a.B, a.N, a.K, a.LDB)
	} else {
		a.LDB = needMatrix("PackB.B", a.B, a.K, a.N, a.LDB)
	}
	p := &PackedB{level: e.level, k: a.K, n: a.N, data: make([]float32, a.K*a.N)}
	for k := range a.K {
		for j := range a.N {
			if a.TransB {
				p.data[k*a.N+j] = a.B[j*a.LDB+k]
			} else {
				p.data[k*a.N+j] = a.B[k*a.LDB+j]
			}
		}
	}
	return p
}

func (a *GemmArgs) check(name string) {
	if a.TransA {
		a.LDA = needMatrix(name+".A", a.A, a.K, a.M, a.LDA)
	} else {
		a.LDA = needMatrix(name+".A", a.A, a.M, a.K, a.LDA)
	}
	switch {
	case a.Packed != nil:
		require(a.Packed.k == a.K && a.Packed.n == a.N, "%s.Packed is %dx%d, the shape needs %dx%d", name, a.Packed.k, a.Packed.n, a.K, a.N)
	case a.TransB:
		a.LDB = needMatrix(name+".B", a.B, a.N, a.K, a.LDB)
	default:
		a.LDB = needMatrix(name+".B", a.B, a.K, a.N, a.LDB)
	}
	a.LDC = needMatrix(name+".C", a.C, a.M, a.N, a.LDC)
	p := &a.Epilogue
	if p.Bias != nil {
		need(name+".Epilogue.Bias", p.Bias, a.N)
	}
	if p.Pre != nil {
		p.LDPre = needMatrix(name+".Epilogue.Pre", p.Pre, a.M, a.N, p.LDPre)
	}
	if p.Residual != nil {
		p.LDResidual = needMatrix(name+".Epilogue.Residual", p.Residual, a.M, a.N, p.LDResidual)
	}
}

func (e *Engine) gemm(a *GemmArgs) {
	if a.Packed != nil {
		a.B, a.LDB, a.TransB = a.Packed.data, a.N, false
	}
	e.rows(a.M, a.N*max(1, a.K/64), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			c := row(a.C, i, a.LDC, a.N)
			if !a.Accumulate {
				clear(c)
			}
			e.gemmRow(a, i, c)
			e.finish(a, i, c)
		}
	})
}

func (e *Engine) gemmRow(a *GemmArgs, i int, c []float32) {
	at := func(k int) float32 {
		if a.TransA {
			return a.A[k*a.LDA+i]
		}
		return a.A[i*a.LDA+k]
	}
	if !a.TransB {
		for k := range a.K {
			e.isa.axpy(c, row(a.B, k, a.LDB, a.N), at(k))
		}
		return
	}
	for j := range c {
		b := row(a.B, j, a.LDB, a.K)
		var s float32
		for k, v := range b {
			s += at(k) * v
		}
		c[j] += s
	}
}

func (e *Engine) finish(a *GemmArgs, i int, c []float32) {
	p := &a.Epilogue
	if p.Bias != nil {
		e.isa.add(c, c, p.Bias)
	}
	if p.Pre != nil {
		copy(row(p.Pre, i, p.LDPre, a.N), c)
	}
	if p.Activation != Identity {
		e.isa.activate[p.Activation](c, c)
	}
	if p.Residual != nil {
		e.isa.add(c, c, row(p.Residual, i, p.LDResidual, a.N))
	}
}
