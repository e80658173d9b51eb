package kernel

import "unsafe"

// tiler is the register-blocked matrix product of a level. B is packed into panels of nr columns (two vectors) for a block of k; the last
// panel of a matrix is half as wide if that is enough. Every element of C is one chain of additions over k within a block of k, whatever
// tile it falls in: results do not depend on the blocking of rows and columns, nor on the other rows.
type tiler struct {
	mr, nr int
	low    int // tiles of at most this height take two panels at once
	stores storing
	tiles  [3][maxTileRows + 1]func(t *byte)

	// packRows copies k rows of width floats to rows that are stride apart, zero-filled to the panel's width: half or whole.
	packHalf, packWhole func(dst []float32, stride int, src []float32, ld, width, k int)
	// packColumns transposes: dst[c stride + i] = src[i ld + c] for rows rows (at most nr/2) and k columns; each row of dst is written
	// nr/2 wide, in order.
	packColumns func(dst []float32, stride int, src []float32, ld, rows, k int)
	// packTiles and packPanels take a groupPack: groups of at most nr/2 columns, and of nr.
	packTiles, packPanels func(t *byte)

	block blocking
}

// groupPack copies count groups of width columns of k rows: row i of group g goes from src + i ld + g width to dst + g step + i width, by
// whole vectors. The generated code reads it by offset.
type groupPack struct {
	dst, src                  *float32
	step, ld, width, count, k int
}

func (t *groupPack) run(f func(t *byte)) { f((*byte)(unsafe.Pointer(t))) }

// storing is what a level's tiles can write into C: nothing (they fill scratch), whole panels, or any width.
type storing int

const (
	never storing = iota
	whole
	masked
)

// The widths of tiles: half a panel, a panel, two panels.
const (
	halfPanel = iota
	onePanel
	twoPanels
)

const maxTileRows = 14

// tileArgs is count tiles side by side: C += A B for k steps, all distances in elements. The generated code reads it by offset.
type tileArgs struct {
	k, count   int
	a          *float32 // element (i, k) at a + i rs + k cs
	rs, cs     int
	bStep      int      // from the panel of a tile to that of the next
	b          *float32 // the first panel; the second one of a pair is bPair further
	bPair      int
	c          *float32
	ldc        int
	residual   *float32 // added, if not nil, at the end
	ldResidual int
	bias       *float32 // added, if not nil, to every row
	mask       uint64   // the columns to store, if the level masks
	addToC     int      // 1: C's old value is added first
	ahead      *float32 // memory, if not nil, to ask for meanwhile, aheadK bytes further at each step of k
	aheadK     int
}

func (t *tileArgs) run(f func(t *byte)) { f((*byte)(unsafe.Pointer(t))) }

// panel is the columns [at, at+width) of a block of B, padded to wide columns.
type panel struct{ at, width, wide int }

// panelAt returns panel j of n columns.
func (t *tiler) panelAt(n, j int) panel {
	p := panel{at: j * t.nr, width: min(t.nr, n-j*t.nr), wide: t.nr}
	if p.width <= t.nr/2 {
		p.wide = t.nr / 2
	}
	return p
}

// padded is the number of columns of n once packed.
func (t *tiler) padded(n int) int {
	if n == 0 {
		return 0
	}
	p := t.panelAt(n, (n-1)/t.nr)
	return p.at + p.wide
}

// bBlock is a block of op(B) to pack: rows [k0, k0+kc), columns [n0, n0+nc).
type bBlock struct {
	b              []float32
	ld             int
	trans          bool
	k0, kc, n0, nc int
}

// packB packs a block, panel after panel.
func (t *tiler) packB(dst []float32, s bBlock) {
	first := 0
	if n := s.nc / t.nr; n > 0 && !s.trans {
		g := groupPack{dst: &dst[0], src: &s.b[s.k0*s.ld+s.n0], step: s.kc * t.nr, ld: s.ld, width: t.nr, count: n, k: s.kc}
		g.run(t.packPanels)
		first = n
	}
	for j := first; j*t.nr < s.nc; j++ {
		p := t.panelAt(s.nc, j)
		d := dst[p.at*s.kc:]
		col := s.n0 + p.at
		if !s.trans { // the last panel, not whole
			pack := t.packWhole
			if p.wide < t.nr {
				pack = t.packHalf
			}
			pack(d, p.wide, s.b[s.k0*s.ld+col:], s.ld, p.width, s.kc)
			continue
		}
		half := t.nr / 2
		for o := 0; o < p.width; o += half {
			t.packColumns(d[o:], p.wide, s.b[(col+o)*s.ld+s.k0:], s.ld, min(half, p.width-o), s.kc)
		}
	}
}

// aPanels is how rows are cut into tiles: count of them, the first tall of height high, the others one lower.
type aPanels struct{ rows, count, tall, high int }

func (t *tiler) panelsOf(rows int) aPanels {
	n := (rows + t.mr - 1) / t.mr
	p := aPanels{rows: rows, count: n, tall: rows % n, high: rows/n + 1}
	return p
}

// alike is the number of panels from i on that have i's height.
func (p aPanels) alike(i int) int {
	if i < p.tall {
		return p.tall - i
	}
	return p.count - i
}

func (p aPanels) row(i int) int    { return i*(p.high-1) + min(i, p.tall) }
func (p aPanels) height(i int) int { return p.row(i+1) - p.row(i) }
