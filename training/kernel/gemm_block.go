package kernel

// blocking is how a level cuts a product so that each part lies in the cache that its use needs. Rows of A, k long, of tiles tiles, and
// panels panels of B, k high, share the second-level cache: the tiles pass over the panels strip by strip. The panels of columns columns wait
// in the third level for the next rows of A. Up to direct panels, A is not packed.
type blocking struct{ k, tiles, panels, columns, direct int }

// area is the rows [r0, r1) and columns [c0, c1) of C; of a gated product, whose columns come in two halves, the same columns of each half.
type area struct{ r0, r1, c0, c1 int }

// gemmBlock computes an area of C on one thread. c0 is the first column of a panel.
func (e *Engine) gemmBlock(a *GemmArgs, l *lease, s area) {
	if s.r0 == s.r1 || s.c0 == s.c1 {
		return
	}
	if a.K == 0 {
		e.emptyProduct(a, s)
		return
	}
	if a.combines(s) {
		e.gemmCombine(a, l, s)
		return
	}
	t := &e.isa.tile
	for c0 := s.c0; c0 < s.c1; c0 += t.block.columns {
		for k0 := 0; k0 < a.K; k0 += t.block.k {
			st := step{area: area{r0: s.r0, r1: s.r1, c0: c0, c1: min(s.c1, c0+t.block.columns)}, k0: k0, kc: min(t.block.k, a.K-k0)}
			if a.Packed == nil {
				e.placeB(a, l, &st)
				st.fresh = true
			}
			e.gemmStep(a, l, &st)
		}
	}
}

// step is one block of k for an area at most one block of columns wide.
type step struct {
	area
	k0, kc int
	b      []float32 // the panels of B, those of a second half behind those of the first, unless the matrix came packed
	padded int       // columns of a half in b
	fresh  bool      // they have yet to be packed, by the first rows that need them
	panels aPanels
}

func (s *step) last(a *GemmArgs) bool { return s.k0+s.kc == a.K }

// placeB finds room for the step's panels of B.
func (e *Engine) placeB(a *GemmArgs, l *lease, s *step) {
	s.padded = e.isa.tile.padded(s.c1 - s.c0)
	s.b = l.buf(bufB, a.halves()*s.padded*s.kc+e.isa.tile.nr)
}

// panelsOfB returns the panels of a half's columns from c0 on.
func (s *step) panelsOfB(a *GemmArgs, half, c0 int) []float32 {
	if a.Packed != nil {
		return a.Packed.panels(s.k0, s.kc, half, c0)
	}
	return s.b[(half*s.padded+c0-s.c0)*s.kc:]
}

// gemmStep takes the rows block by block.
func (e *Engine) gemmStep(a *GemmArgs, l *lease, s *step) {
	t := &e.isa.tile
	s.panels = t.panelsOf(s.r1 - s.r0)
	l.tile = tileArgs{k: s.kc}
	if a.Accumulate || s.k0 > 0 {
		l.tile.addToC = 1
	}
	n := (s.panels.count + t.block.tiles - 1) / t.block.tiles
	for i := range n {
		e.gemmRows(a, l, s, &rowBlock{first: s.panels.count * i / n, end: s.panels.count * (i + 1) / n})
		s.fresh = false
	}
}

// rowBlock is the row panels [first, end) of a step.
type rowBlock struct {
	first, end int
	a          []float32 // the tiles of A, if they are packed
	packed     int       // the panel up to which they are, so far
}

// gemmRows takes the columns block by block, and for each of them all rows of the block.
func (e *Engine) gemmRows(a *GemmArgs, l *lease, s *step, r *rowBlock) {
	t := &e.isa.tile
	r.packed = r.first
	if t.packsA(a, s) {
		r.a = l.buf(bufA, s.tileAt(r, r.end)+panelGap)
	}
	wide := t.block.panels * t.nr
	strips := r.end - r.first
	if strips <= fewStrips && !s.fresh {
		wide = t.block.panels / 2 * t.nr
	}
	for c0 := s.c0; c0 < s.c1; c0 += wide {
		c1 := min(s.c1, c0+wide)
		for half := range a.halves() {
			c := strip{area: area{c0: half*a.columns() + c0, c1: half*a.columns() + c1}, b: s.panelsOfB(a, half, c0), strips: strips}
			switch {
			case s.fresh:
				t.packB(c.b, a.block(s, c.area))
			case half+1 < a.halves():
				c.next = s.panelsOfB(a, half+1, c0)
			case c1 < s.c1:
				c.next = s.panelsOfB(a, 0, c1)
			}
			for i := r.first; i < r.end; i++ {
				c.r0, c.r1, c.index = s.r0+s.panels.row(i), s.r0+s.panels.row(i+1), i-r.first
				e.rowsOfA(a, l, s, r, i)
				e.gemmStrip(a, l, s, &c)
				if s.last(a) && half+1 == a.halves() {
					e.epilogue(a, area{r0: c.r0, r1: c.r1, c0: c0, c1: c1})
				}
			}
		}
	}
}

// fewStrips is the number of row panels up to which blocks of columns are half as wide, so that the next one fits beside them.
const fewStrips = 8

// strip is the columns of a block in the rows of one row panel. b are the panels of B, next those of the block to come, if they are in memory:
// the strips of a block, of which this one has an index, share the work of asking for them.
type strip struct {
	area
	b, next       []float32
	index, strips int
}

// block names the columns of an area in the step's rows of B.
func (a *GemmArgs) block(s *step, c area) bBlock {
	return bBlock{b: a.B, ld: a.LDB, trans: a.TransB, k0: s.k0, kc: s.kc, n0: c.c0, nc: c.c1 - c.c0}
}

// gemmStrip runs the tiles of a strip, side by side: whole panels (or pairs of them) at once, then the last one.
func (e *Engine) gemmStrip(a *GemmArgs, l *lease, s *step, c *strip) {
	t := &e.isa.tile
	nc := c.c1 - c.c0
	whole, at := nc/t.nr, 0
	if c.r1-c.r0 <= t.low {
		at = whole / 2 * 2
		e.tiles(a, l, s, &tileRun{strip: c, count: at / 2, class: twoPanels, panel: panel{width: 2 * t.nr, wide: 2 * t.nr}})
	}
	e.tiles(a, l, s, &tileRun{strip: c, count: whole - at, class: onePanel, panel: panel{at: at * t.nr, width: t.nr, wide: t.nr}})
	if whole*t.nr < nc {
		r := tileRun{strip: c, count: 1, class: onePanel, panel: t.panelAt(nc, whole)}
		if r.wide < t.nr {
			r.class = halfPanel
		}
		e.tiles(a, l, s, &r)
	}
}

// tileRun is count tiles of a class in a strip, the first one at a panel of its columns.
type tileRun struct {
	*strip
	panel
	count, class int
}

// tiles runs neighbouring tiles.
func (e *Engine) tiles(a *GemmArgs, l *lease, s *step, r *tileRun) {
	if r.count == 0 {
		return
	}
	t, x := &e.isa.tile, &l.tile
	col := r.c0 + r.at
	x.count = r.count
	x.b, x.bStep, x.bPair = &r.b[r.at*s.kc], r.wide*s.kc, t.nr*s.kc
	x.ahead, x.aheadK = nil, 0
	if len(r.next) > 0 {
		at := (r.index*(r.c1-r.c0) + r.at) * s.kc / r.strips
		x.ahead, x.aheadK = &r.next[min(len(r.next)-1, at)], 4*r.wide/r.strips
	}
	out, ldout := a.target()
	x.c, x.ldc = &out[r.r0*ldout+col], ldout
	x.mask = ^uint64(0) >> (64 - uint(r.width))
	x.bias, x.residual = nil, nil
	if s.last(a) {
		if a.Epilogue.Bias != nil {
			x.bias = &a.Epilogue.Bias[col]
		}
		if a.Epilogue.inTile() {
			x.residual, x.ldResidual = &a.Epilogue.Residual[r.r0*a.Epilogue.LDResidual+col], a.Epilogue.LDResidual
		}
	}
	tile := t.tiles[r.class][r.r1-r.r0]
	if t.stores == masked || t.stores == whole && r.width == r.wide {
		x.run(tile)
		return
	}
	e.partialTiles(a, l, tile, r)
}

// partialTiles computes tiles that the level cannot store straight into C in scratch, and finishes them here, in the order in which whole
// tiles do.
func (e *Engine) partialTiles(a *GemmArgs, l *lease, tile func(t *byte), p *tileRun) {
	x := l.tile
	rows, width, wide := p.r1-p.r0, (p.count-1)*p.wide+p.width, p.count*p.wide
	buf := l.buf(bufTile, rows*wide)
	l.tile.c, l.tile.ldc, l.tile.addToC, l.tile.bias, l.tile.residual = &buf[0], wide, 0, nil, nil
	l.tile.run(tile)
	l.tile = x
	f := finish{row: p.r0, rows: rows, col: p.c0 + p.at, width: width, ld: wide, addToC: x.addToC == 1, last: x.bias != nil || x.residual != nil}
	e.finishRows(a, buf, &f)
}

// finish is where products in scratch, whose rows are ld apart, belong in C.
type finish struct {
	row, rows, col, width, ld int
	addToC, last              bool
}

// finishRows does what tiles do after their products, in the same order: adds C, and in the last block of k bias and residual, and stores.
func (e *Engine) finishRows(a *GemmArgs, buf []float32, f *finish) {
	out, ldout := a.target()
	p := &a.Epilogue
	for r := range f.rows {
		d := buf[r*f.ld : r*f.ld+f.width]
		row := f.row + r
		c := out[row*ldout+f.col:][:f.width]
		if f.addToC {
			e.isa.add(d, d, c)
		}
		if f.last && p.Bias != nil {
			e.isa.add(d, d, p.Bias[f.col:f.col+f.width])
		}
		if f.last && p.inTile() {
			e.isa.add(d, d, p.Residual[row*p.LDResidual+f.col:][:f.width])
		}
		copy(c, d)
	}
}
