package kernel

// The blocking of a product: blockK rows of B at a time, so that a panel of B and a tile's rows of A stay in the first-level cache; blockN
// columns of it in the second-level cache; and blockPanels tiles of A, in the second-level cache too.
const (
	blockK      = 512
	blockN      = 512
	blockPanels = 8

	// directPanels is the number of panels of B up to which A is not packed.
	directPanels = 16
)

// serialWork is the number of multiply-adds below which a product is not worth a second thread.
const serialWork = 1 << 19

// sliceRows is the least number of rows of a task: every task packs its columns of B itself, which this many rows pay for.
const sliceRows = 256

// area is the rows [r0, r1) and columns [c0, c1) of C.
type area struct{ r0, r1, c0, c1 int }

// gemm cuts C into areas. The cut depends on the number of threads, the result does not: see tiler.
func (e *Engine) gemm(a *GemmArgs) {
	gm, gn := e.grid(a)
	if gm*gn == 1 {
		l := e.lease()
		defer e.release(l)
		e.gemmBlock(a, l, area{r1: a.M, c1: a.N})
		return
	}
	nr := e.isa.tile.nr
	panels := (a.N + nr - 1) / nr
	e.parallel(gm*gn, func(i int) {
		l := e.lease()
		defer e.release(l)
		m, n := i/gn, i%gn
		e.gemmBlock(a, l, area{r0: a.M * m / gm, r1: a.M * (m + 1) / gm, c0: panels * n / gn * nr, c1: min(a.N, panels*(n+1)/gn*nr)})
	})
}

// grid chooses the number of areas down and across.
func (e *Engine) grid(a *GemmArgs) (gm, gn int) {
	if e.threads == 1 || a.M*a.N*a.K < serialWork {
		return 1, 1
	}
	t := &e.isa.tile
	want := 2 * e.threads
	panels := (a.N + t.nr - 1) / t.nr
	gm = min(want, max(1, a.M/sliceRows))
	gn = min(panels, (want+gm-1)/gm)
	if gm*gn < e.threads {
		gm = min((e.threads+gn-1)/gn, (a.M+t.mr-1)/t.mr)
	}
	return gm, gn
}

// gemmBlock computes an area of C on one thread.
func (e *Engine) gemmBlock(a *GemmArgs, l *lease, s area) {
	if s.r0 == s.r1 || s.c0 == s.c1 {
		return
	}
	if a.K == 0 {
		e.emptyProduct(a, s)
		return
	}
	for n0 := s.c0; n0 < s.c1; n0 += blockN {
		n1 := min(s.c1, n0+blockN)
		for k0 := 0; k0 < a.K; k0 += blockK {
			e.gemmStep(a, l, step{area: area{r0: s.r0, r1: s.r1, c0: n0, c1: n1}, k0: k0, kc: min(blockK, a.K-k0)})
		}
	}
}

// step is one block of k for an area at most blockN wide.
type step struct {
	area
	k0, kc int
	b      []float32 // the packed panels
	panels aPanels
}

func (e *Engine) gemmStep(a *GemmArgs, l *lease, s step) {
	t := &e.isa.tile
	nc := s.c1 - s.c0
	if p := a.Packed; p != nil {
		s.b = p.data[s.k0*p.padded+s.c0*s.kc:]
	} else {
		s.b = l.buf(bufB, t.padded(nc)*s.kc+t.nr)
		t.packB(s.b, bBlock{b: a.B, ld: a.LDB, trans: a.TransB, k0: s.k0, kc: s.kc, n0: s.c0, nc: nc})
	}
	last := s.k0+s.kc == a.K
	s.panels = t.panelsOf(s.r1 - s.r0)
	for lo := 0; lo < s.panels.count; lo += blockPanels {
		hi := min(s.panels.count, lo+blockPanels)
		e.gemmPanels(a, l, &s, lo, hi)
		if last {
			e.epilogue(a, area{r0: s.r0 + s.panels.row(lo), r1: s.r0 + s.panels.row(hi), c0: s.c0, c1: s.c1})
		}
	}
}

// gemmPanels runs the tiles of the row panels [lo, hi): for each panel of B, all tiles of the taller height, then the others.
func (e *Engine) gemmPanels(a *GemmArgs, l *lease, s *step, lo, hi int) {
	t := &e.isa.tile
	x := &l.tile
	*x = tileArgs{k: s.kc}
	packed := e.packA(a, l, s, lo, hi)
	mid := max(lo, min(hi, s.panels.tall))
	for _, run := range [2][2]int{{lo, mid}, {mid, hi}} {
		if run[0] == run[1] {
			continue
		}
		h := s.panels.height(run[0])
		row := s.r0 + s.panels.row(run[0])
		x.count = run[1] - run[0]
		switch {
		case packed != nil:
			x.a, x.rs, x.cs, x.aStep = &packed[(row-s.r0-s.panels.row(lo))*s.kc], 1, h, h*s.kc
		case a.TransA:
			x.a, x.rs, x.cs, x.aStep = &a.A[s.k0*a.LDA+row], 1, a.LDA, h
		default:
			x.a, x.rs, x.cs, x.aStep = &a.A[row*a.LDA+s.k0], a.LDA, 1, h*a.LDA
		}
		e.gemmColumns(a, l, s, tileRun{row: row, height: h, low: h <= t.low})
	}
}

// tileRun is a column of tiles of one height.
type tileRun struct {
	row, height int
	low         bool
}

func (e *Engine) gemmColumns(a *GemmArgs, l *lease, s *step, r tileRun) {
	t, x, nc := &e.isa.tile, &l.tile, s.c1-s.c0
	last := s.k0+s.kc == a.K
	out, ldout := a.target()
	x.addToC = 0
	if a.Accumulate || s.k0 > 0 {
		x.addToC = 1
	}
	x.bias, x.residual = nil, nil
	for j := 0; j*t.nr < nc; j++ {
		p := t.panelAt(nc, j)
		class := onePanel
		if p.wide < t.nr {
			class = halfPanel
		}
		x.b = &s.b[p.at*s.kc]
		if r.low && p.width == t.nr && t.pairs(nc, j+1) {
			class, x.bPair = twoPanels, t.nr*s.kc
			p.width += min(t.nr, nc-(j+1)*t.nr)
			p.wide += t.nr
			j++
		}
		col := s.c0 + p.at
		x.c, x.ldc = &out[r.row*ldout+col], ldout
		x.mask = ^uint64(0) >> (64 - uint(p.width))
		if last && a.Epilogue.Bias != nil {
			x.bias = &a.Epilogue.Bias[col]
		}
		if last && a.Epilogue.inTile() {
			x.residual, x.ldResidual = &a.Epilogue.Residual[r.row*a.Epilogue.LDResidual+col], a.Epilogue.LDResidual
		}
		tile := t.tiles[class][r.height]
		if t.stores == masked || t.stores == whole && p.width == p.wide {
			x.run(tile)
		} else {
			e.partialTile(a, l, tile, partial{row: r.row, rows: x.count * r.height, col: col, panel: p, last: last})
		}
	}
}

// pairs tells whether panel j of n columns can be the second of a pair.
func (t *tiler) pairs(n, j int) bool {
	if j*t.nr >= n {
		return false
	}
	q := t.panelAt(n, j)
	return q.wide == t.nr && (t.stores == masked || q.width == t.nr)
}

// partial is a column of tiles that the level cannot store straight into C.
type partial struct {
	row, rows, col int
	panel
	last bool
}

// partialTile computes tiles in scratch and finishes them here, in the order in which whole tiles do.
func (e *Engine) partialTile(a *GemmArgs, l *lease, tile func(t *byte), p partial) {
	x := l.tile
	out, ldout := a.target()
	buf := l.buf(bufTile, p.rows*p.wide)
	l.tile.c, l.tile.ldc, l.tile.addToC, l.tile.bias, l.tile.residual = &buf[0], p.wide, 0, nil, nil
	l.tile.run(tile)
	l.tile = x
	for r := range p.rows {
		d := buf[r*p.wide : r*p.wide+p.width]
		o := (p.row+r)*ldout + p.col
		c := out[o : o+p.width]
		if x.addToC == 1 {
			e.isa.add(d, d, c)
		}
		if x.bias != nil {
			e.isa.add(d, d, a.Epilogue.Bias[p.col:p.col+p.width])
		}
		if x.residual != nil {
			o := (p.row+r)*a.Epilogue.LDResidual + p.col
			e.isa.add(d, d, a.Epilogue.Residual[o:o+p.width])
		}
		copy(c, d)
	}
}

// packA copies the rows of the panels [lo, hi) into scratch, tile by tile, or returns nil if the tiles had better read A where it is: when
// few panels of B would pay for the copy, unless A's stride maps the rows of a tile to the same places of the cache.
func (e *Engine) packA(a *GemmArgs, l *lease, s *step, lo, hi int) []float32 {
	t := &e.isa.tile
	collide := !a.TransA && a.LDA%512 == 0
	if (s.c1-s.c0) <= directPanels*t.nr && !collide {
		return nil
	}
	first, end := s.panels.row(lo), s.panels.row(hi)
	buf := l.buf(bufA, (end-first)*s.kc+maxTileRows*2)
	for i := lo; i < hi; i++ {
		row, h := s.panels.row(i), s.panels.height(i)
		d := buf[(row-first)*s.kc:]
		if a.TransA {
			t.packHalf(d, h, a.A[s.k0*a.LDA+s.r0+row:], a.LDA, h, s.kc)
		} else {
			t.packColumns(d, h, a.A[(s.r0+row)*a.LDA+s.k0:], a.LDA, h, s.kc)
		}
	}
	return buf
}
