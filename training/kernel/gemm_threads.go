package kernel

// serialWork is the number of multiply-adds below which a product is not worth a second thread.
const serialWork = 1 << 19

// readRows is the number of rows of A that a product counts for at least: with fewer, reading B takes longer than multiplying it.
const readRows = 8

// The cuts of a product among threads: at most cutsPerThread pieces for each, so that one that was held up does not hold up the rest, of at
// least leastPanels row panels, which pay for reading all of B.
const (
	cutsPerThread = 4
	leastPanels   = 4
)

// gemm cuts C among the threads. The cut depends on their number, the result does not: see tiler.
func (e *Engine) gemm(a *GemmArgs) {
	if e.threads == 1 || a.K == 0 || max(a.M, readRows)*a.N*a.K < serialWork {
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(a, l, area{r1: a.M, c1: a.columns()})
		return
	}
	if n := e.cuts(e.isa.tile.panelsOf(a.M).count, leastPanels); n >= e.threads {
		e.gemmByRows(a, n)
		return
	}
	e.gemmByColumns(a)
}

// cuts is the number of pieces of n panels, a multiple of the number of threads where there are enough.
func (e *Engine) cuts(n, least int) int {
	c := min(n/least, cutsPerThread*e.threads)
	if c > e.threads {
		c -= c % e.threads
	}
	return c
}

// gemmByRows gives each task some rows; B is packed once for all of them.
func (e *Engine) gemmByRows(a *GemmArgs, n int) {
	t := &e.isa.tile
	p := t.panelsOf(a.M)
	rows := func(i int) (r0, r1 int) { return p.row(p.count * i / n), p.row(p.count * (i + 1) / n) }
	if a.Packed != nil {
		e.parallel(n, func(i int) {
			l := e.lease()
			defer e.release(l)
			r0, r1 := rows(i)
			e.gemmBlock(a, l, area{r0: r0, r1: r1, c1: a.columns()})
		})
		return
	}
	shared := e.lease()
	defer e.release(shared)
	b := &t.block
	for c0 := 0; c0 < a.columns(); c0 += b.columns {
		for k0 := 0; k0 < a.K; k0 += b.k {
			s := step{area: area{c0: c0, c1: min(a.columns(), c0+b.columns)}, k0: k0, kc: min(b.k, a.K-k0)}
			e.placeB(a, shared, &s)
			e.packShared(a, &s)
			e.parallel(n, func(i int) {
				l := e.lease()
				defer e.release(l)
				part := s
				part.r0, part.r1 = rows(i)
				e.gemmStep(a, l, &part)
			})
		}
	}
}

// packShared packs the step's panels of B on all threads.
func (e *Engine) packShared(a *GemmArgs, s *step) {
	t := &e.isa.tile
	size := t.block.panels / 2 * t.nr
	perHalf := (s.c1 - s.c0 + size - 1) / size
	e.parallel(perHalf*a.halves(), func(i int) {
		half, lo := i/perHalf, s.c0+i%perHalf*size
		t.packB(s.panelsOfB(a, half, lo), a.block(s, area{c0: half*a.columns() + lo, c1: half*a.columns() + min(s.c1, lo+size)}))
	})
}

// gemmByColumns gives each task some columns, for which it packs B itself.
func (e *Engine) gemmByColumns(a *GemmArgs) {
	nr := e.isa.tile.nr
	panels := (a.columns() + nr - 1) / nr
	n := max(1, e.cuts(panels, 1))
	e.parallel(n, func(i int) {
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(a, l, area{r1: a.M, c0: panels * i / n * nr, c1: min(a.columns(), panels*(i+1)/n*nr)})
	})
}
