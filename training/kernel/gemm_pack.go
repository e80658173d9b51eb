package kernel

// panelGap is the number of floats between the packed tiles of A: it takes what a vector writes beyond a tile's height, and keeps tiles off
// the same places of the cache.
const panelGap = 16

// transposedPanels is the number of panels of B up to which the columns of a transposed A are read where they are.
const transposedPanels = 4

// packsA tells whether a copy of A pays: its tiles are read once for every panel of B, in order, and never displace each other in the cache,
// as rows do whose stride is a multiple of 2 KiB.
func (t *tiler) packsA(a *GemmArgs, s *step) bool {
	limit := t.block.direct
	if a.TransA {
		limit = transposedPanels
	}
	if a.LDA%512 == 0 {
		limit /= 4
	}
	return s.c1-s.c0 > limit*t.nr
}

// tileAt is where row panel i lies among the packed tiles of a block.
func (s *step) tileAt(r *rowBlock, i int) int {
	return (s.panels.row(i)-s.panels.row(r.first))*s.kc + (i-r.first)*panelGap
}

// rowsOfA points the tiles at row panel i of A, which it packs first if its turn has come.
func (e *Engine) rowsOfA(a *GemmArgs, l *lease, s *step, r *rowBlock, i int) {
	x := &l.tile
	row, h := s.r0+s.panels.row(i), s.panels.height(i)
	switch {
	case r.a != nil:
		if r.packed <= i {
			r.packed = i + e.packA(a, l, s, r, i)
		}
		x.a, x.rs, x.cs = &r.a[s.tileAt(r, i)], 1, h
	case a.TransA:
		x.a, x.rs, x.cs = &a.A[s.k0*a.LDA+row], 1, a.LDA
	default:
		x.a, x.rs, x.cs = &a.A[row*a.LDA+s.k0], a.LDA, 1
	}
}

// packA packs row panel i of A, and the next ones if they come with it, and returns their number.
func (e *Engine) packA(a *GemmArgs, l *lease, s *step, r *rowBlock, i int) int {
	t := &e.isa.tile
	row, h := s.r0+s.panels.row(i), s.panels.height(i)
	d := r.a[s.tileAt(r, i):]
	if !a.TransA {
		t.packColumns(d, h, a.A[row*a.LDA+s.k0:], a.LDA, h, s.kc)
		return 1
	}
	src := a.A[s.k0*a.LDA+row:]
	n := min(r.end-i, s.panels.alike(i))
	// packTiles reads whole vectors, which must not end beyond A.
	for n > 0 && (s.kc-1)*a.LDA+(n-1)*h+t.nr/2 > len(src) {
		n--
	}
	if n == 0 {
		t.packHalf(d, h, src, a.LDA, h, s.kc)
		return 1
	}
	l.pack = groupPack{dst: &d[0], src: &src[0], step: h*s.kc + panelGap, ld: a.LDA, width: h, count: n, k: s.kc}
	l.pack.run(t.packTiles)
	return n
}
