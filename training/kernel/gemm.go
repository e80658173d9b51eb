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
//
// Gated is SwiGLU (Shazeer 2020): the first N/2 columns of the product are gates, the others what they gate, and C and Residual are M x N/2:
// c = silu(gate) up + residual. It takes neither Accumulate nor an Activation; a packed matrix must be packed for it.
type Epilogue struct {
	Bias       []float32  // N, added to every row
	Activation Activation // applied after the bias
	Pre        []float32  // M x N: receives c + bias, what the activation's backward pass needs; nil: not kept
	LDPre      int
	Residual   []float32 // M x N, added last; must not overlap C
	LDResidual int
	Gated      bool
}

// Gemm multiplies matrices.
func (e *Engine) Gemm(a GemmArgs) {
	a.check("Gemm", e.level)
	if a.M == 0 || a.N == 0 {
		return
	}
	if a.Epilogue.Gated && a.Epilogue.Pre == nil {
		e.gemmGated(&a)
		return
	}
	e.gemm(&a)
}

// gatedRows is the number of rows whose gates are kept in scratch at a time.
const gatedRows = 512

// gemmGated is a gated product whose pre-activations nobody wants: they live in scratch, some rows at a time.
func (e *Engine) gemmGated(a *GemmArgs) {
	l := e.lease()
	defer e.release(l)
	for r := 0; r < a.M; r += gatedRows {
		part := *a
		part.M = min(gatedRows, a.M-r)
		part.C = a.C[r*a.LDC:]
		if a.TransA {
			part.A = a.A[r:]
		} else {
			part.A = a.A[r*a.LDA:]
		}
		p := &part.Epilogue
		p.Pre, p.LDPre = l.buf(bufPre, part.M*a.N), a.N
		if p.Residual != nil {
			p.Residual = p.Residual[r*p.LDResidual:]
		}
		e.gemm(&part)
	}
}

// halves is the number of column ranges of the product that meet in one of C.
func (a *GemmArgs) halves() int {
	if a.Epilogue.Gated {
		return 2
	}
	return 1
}

// columns is the number of columns of C.
func (a *GemmArgs) columns() int { return a.N / a.halves() }

// GemmBatchArgs is Batch products of one shape: product i takes A, B, C (and Pre, Residual) from i times their strides; a stride of 0 shares
// the matrix (not C). Bias is shared; Packed and Gated are not allowed.
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
	require(!a.Epilogue.Gated, "GemmBatch takes no gated epilogue")
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

// PackBArgs names a matrix to pack: op(B) is K x N as in GemmArgs. Gated packs it for a gated epilogue.
type PackBArgs struct {
	K, N   int
	B      []float32
	LDB    int
	TransB bool
	Gated  bool
}

// PackedB is a matrix in the layout of one engine's level: made once for weights that multiply many times. It is read-only and may be shared
// by engines of the same level.
type PackedB struct {
	level        Level
	k, n, halves int
	padded       int       // columns of a half
	data         []float32 // blocks of k, each of the panels of one half, then those of the other
}

// Bytes is the memory of the matrix.
func (p *PackedB) Bytes() int64 { return 4 * int64(len(p.data)) }

// panels returns the panels of a half's columns from c0 on, for a block of kc rows from k0 on.
func (p *PackedB) panels(k0, kc, half, c0 int) []float32 {
	return p.data[k0*p.padded*p.halves+(half*p.padded+c0)*kc:]
}

// PackB copies a matrix into the kernel's layout.
func (e *Engine) PackB(a PackBArgs) *PackedB {
	if a.TransB {
		a.LDB = needMatrix("PackB", "B", a.B, a.N, a.K, a.LDB)
	} else {
		a.LDB = needMatrix("PackB", "B", a.B, a.K, a.N, a.LDB)
	}
	t := &e.isa.tile
	p := &PackedB{level: e.level, k: a.K, n: a.N, halves: 1}
	if a.Gated {
		require(a.N%2 == 0, "PackB.N is %d, gates need an even number", a.N)
		p.halves = 2
	}
	n := a.N / p.halves
	p.padded = t.padded(n)
	p.data = make([]float32, a.K*p.padded*p.halves)
	e.blocks(a.K, t.block.k, func(lo, hi int) {
		for half := range p.halves {
			t.packB(p.panels(lo, hi-lo, half, 0), bBlock{b: a.B, ld: a.LDB, trans: a.TransB, k0: lo, kc: hi - lo, n0: half * n, nc: n})
		}
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
		require(a.Packed.halves == a.halves(), "%s.Packed was made for %d column ranges, the epilogue has %d", name, a.Packed.halves, a.halves())
	case a.TransB:
		a.LDB = needMatrix(name, "B", a.B, a.N, a.K, a.LDB)
	default:
		a.LDB = needMatrix(name, "B", a.B, a.K, a.N, a.LDB)
	}
	p := &a.Epilogue
	if p.Gated {
		require(a.N%2 == 0 && !a.Accumulate && p.Activation == Identity, "%s: a gated epilogue needs an even N, no Accumulate and no Activation", name)
	}
	n := a.columns()
	a.LDC = needMatrix(name, "C", a.C, a.M, n, a.LDC)
	if p.Bias != nil {
		need(name, "Epilogue.Bias", p.Bias, a.N)
	}
	if p.Pre != nil {
		p.LDPre = needMatrix(name, "Epilogue.Pre", p.Pre, a.M, a.N, p.LDPre)
	}
	if p.Residual != nil {
		p.LDResidual = needMatrix(name, "Epilogue.Residual", p.Residual, a.M, n, p.LDResidual)
	}
}
