package kernel

const (
	// combineRows is the number of rows of B that isa.combine takes at once.
	combineRows = 8

	// combineMost is the number of rows of A up to which rows of B are combined where they lie: packing them would cost more than the product.
	combineMost = 4

	// combineColumns is the number of columns whose sums stay in the first-level cache meanwhile.
	combineColumns = 2048
)

// combines tells whether an area has so few rows that B, not packed, is read only once and in order of memory.
func (a *GemmArgs) combines(s area) bool {
	return s.r1-s.r0 <= combineMost && a.Packed == nil && !a.TransB
}

// gemmCombine computes an area as sums of the rows of B. Every element is the chain that a tile makes.
func (e *Engine) gemmCombine(a *GemmArgs, l *lease, s area) {
	for c0 := s.c0; c0 < s.c1; c0 += combineColumns {
		c1 := min(s.c1, c0+combineColumns)
		for half := range a.halves() {
			n := half * a.columns()
			e.combineBlock(a, l, area{r0: s.r0, r1: s.r1, c0: n + c0, c1: n + c1})
		}
		e.epilogue(a, area{r0: s.r0, r1: s.r1, c0: c0, c1: c1})
	}
}

// combineBlock computes the products of an area.
func (e *Engine) combineBlock(a *GemmArgs, l *lease, s area) {
	k, wide := e.isa.tile.block.k, s.c1-s.c0
	sums := l.buf(bufTile, (s.r1-s.r0)*wide)
	for k0 := 0; k0 < a.K; k0 += k {
		kc := min(k, a.K-k0)
		clear(sums)
		for at := k0; at < k0+kc; at += combineRows {
			n := min(combineRows, k0+kc-at)
			for r := s.r0; r < s.r1; r++ {
				e.combineInto(a, sums[(r-s.r0)*wide:][:wide], s.c0, rowPart{r: r, k: at, n: n})
			}
		}
		e.finishRows(a, sums, &finish{
			row: s.r0, rows: s.r1 - s.r0, col: s.c0, width: wide, ld: wide, addToC: a.Accumulate || k0 > 0, last: k0+kc == a.K,
		})
	}
}

// rowPart is n elements of row r of A from k on.
type rowPart struct{ r, k, n int }

// combineInto adds to the sums of the columns from col on.
func (e *Engine) combineInto(a *GemmArgs, sums []float32, col int, p rowPart) {
	var x [combineRows]float32
	at, step := p.r*a.LDA+p.k, 1
	if a.TransA {
		at, step = p.k*a.LDA+p.r, a.LDA
	}
	for i := range p.n {
		x[i] = a.A[at+i*step]
	}
	b := a.B[p.k*a.LDB+col:]
	if p.n == combineRows {
		e.isa.combine(sums, b, a.LDB, x[:])
		return
	}
	for i := range p.n {
		e.isa.axpy(sums, b[i*a.LDB:], x[i])
	}
}
