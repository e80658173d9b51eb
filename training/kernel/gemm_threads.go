package kernel

// serialWork is the number of multiply-adds below which a product is not worth a second thread.
const serialWork = 1 << 19

// The cuts of a product among threads: at most cutsPerThread pieces for each, so that one that was held up does not hold up the rest, of at
// least leastPanels row panels, which pay for reading all of B.
const (
	cutsPerThread = 4
	leastPanels   = 4
)

// gemm cuts C among the threads. The cut depends on their number, the result does not: see tiler.
func (e *Engine) gemm(a *GemmArgs) {
	if e.threads == 1 || a.K == 0 || a.M*a.N*a.K < serialWork {
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(a, l, area{r1: a.M, c1: a.N})
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
			e.gemmBlock(a, l, area{r0: r0, r1: r1, c1: a.N})
		})
		return
	}
	shared := e.lease()
	defer e.release(shared)
	for c0 := 0; c0 < a.N; c0 += t.block.columns {
		for k0 := 0; k0 < a.K; k0 += t.block.k {
			s := step{area: area{c0: c0, c1: min(a.N, c0+t.block.columns)}, k0: k0, kc: min(t.block.k, a.K-k0)}
			s.b = shared.buf(bufB, t.padded(s.c1-c0)*s.kc+t.nr)
			e.blocks(s.c1-c0, t.block.panels*t.nr/2, func(lo, hi int) {
				t.packB(s.b[lo*s.kc:], a.block(&s, area{c0: c0 + lo, c1: c0 + hi}))
			})
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

// gemmByColumns gives each task some columns, for which it packs B itself.
func (e *Engine) gemmByColumns(a *GemmArgs) {
	nr := e.isa.tile.nr
	panels := (a.N + nr - 1) / nr
	n := max(1, e.cuts(panels, 1))
	e.parallel(n, func(i int) {
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(a, l, area{r1: a.M, c0: panels * i / n * nr, c1: min(a.N, panels*(i+1)/n*nr)})
	})
}
