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
	a.check("Gemm", e.level)
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
	if a.Batch == 1 {
		e.Gemm(a.GemmArgs)
		return
	}
	require(a.Packed == nil, "GemmBatch takes no packed matrix")
	require(a.StrideC != 0 || a.Batch <= 1, "GemmBatch.StrideC is 0")
	for i := range a.Batch {
		g := a.at(i)
		g.check("GemmBatch", e.level)
	}
	if a.M == 0 || a.N == 0 {
		return
	}
	e.parallel(a.Batch, func(i int) {
		g := a.at(i)
		g.check("GemmBatch", e.level)
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(&g, l, area{r1: g.M, c1: g.N})
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
	level        Level
	k, n, padded int
	data         []float32 // blocks of k, each of panels
}

// PackB copies a matrix into the kernel's layout.
func (e *Engine) PackB(a PackBArgs) *PackedB {
	if a.TransB {
		a.LDB = needMatrix("PackB", "B", a.B, a.N, a.K, a.LDB)
	} else {
		a.LDB = needMatrix("PackB", "B", a.B, a.K, a.N, a.LDB)
	}
	t := &e.isa.tile
	p := &PackedB{level: e.level, k: a.K, n: a.N, padded: t.padded(a.N)}
	p.data = make([]float32, a.K*p.padded)
	e.blocks(a.K, t.block.k, func(lo, hi int) {
		t.packB(p.data[lo*p.padded:], bBlock{b: a.B, ld: a.LDB, trans: a.TransB, k0: lo, kc: hi - lo, nc: a.N})
	})
	return p
}

func (a *GemmArgs) check(name string, level Level) {
	if a.TransA {
		a.LDA = needMatrix(name, "A", a.A, a.K, a.M, a.LDA)
	} else {
		a.LDA = needMatrix(name, "A", a.A, a.M, a.K, a.LDA)
	}
	switch {
	case a.Packed != nil:
		require(a.Packed.level == level, "%s.Packed was made for level %v, the engine has %v", name, a.Packed.level, level)
		require(a.Packed.k == a.K && a.Packed.n == a.N, "%s.Packed is %dx%d, the shape needs %dx%d", name, a.Packed.k, a.Packed.n, a.K, a.N)
	case a.TransB:
		a.LDB = needMatrix(name, "B", a.B, a.N, a.K, a.LDB)
	default:
		a.LDB = needMatrix(name, "B", a.B, a.K, a.N, a.LDB)
	}
	a.LDC = needMatrix(name, "C", a.C, a.M, a.N, a.LDC)
	p := &a.Epilogue
	if p.Bias != nil {
		need(name, "Epilogue.Bias", p.Bias, a.N)
	}
	if p.Pre != nil {
		p.LDPre = needMatrix(name, "Epilogue.Pre", p.Pre, a.M, a.N, p.LDPre)
	}
	if p.Residual != nil {
		p.LDResidual = needMatrix(name, "Epilogue.Residual", p.Residual, a.M, a.N, p.LDResidual)
	}
}
