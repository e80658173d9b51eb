package kernel

import (
	"math"
	"unsafe"
)

// PagedAttentionArgs is o = softmax(Scale q k^T) v for queries whose keys and values lie in the pages of a cache. Q and O are (rows, H, D) with
// rows LDQ and LDO apart; query head h uses key head h / (H/KVHeads). Scale 0 means 1/sqrt(D).
type PagedAttentionArgs struct {
	Cache    *PagedCache
	H        int
	Q, O     []float32
	LDQ, LDO int
	Scale    float32
	Runs     []PagedRun
}

// PagedRun is the queries [Row, Row+Rows) of one sequence, whose tokens lie in Pages, in order. Its last query sees the first Keys tokens; if
// Causal is set, each query before it sees one less, else as many.
type PagedRun struct {
	Row, Rows int
	Pages     []int32
	Keys      int
	Causal    bool
}

// visible is the number of keys that query i of the run sees.
func (r *PagedRun) visible(i int) int {
	if r.Causal {
		return r.Keys - r.Rows + 1 + i
	}
	return r.Keys
}

// A block has at most pagedRows rows and pagedScores scores, unless one query has more: they stay in the second-level cache.
const (
	pagedRows   = 96
	pagedScores = 1 << 16
)

// pagedBlock is a block of queries of a run, of one key head.
type pagedBlock struct {
	run      *PagedRun
	head     int // of the keys
	q0, qn   int // queries of the run
	rows     int // rows of the products: qn times the query heads of the key head
	kn, ld   int // keys that the last query sees; row length of p
	q, p, o  []float32
	ldq, ldo int
	next     *float32 // what is read after this block; nil: unknown
}

// firstKeys is where the block's reading begins.
func (b *pagedBlock) firstKeys(c *PagedCache) *float32 {
	return &c.keys[c.key(b.run.Pages[0], b.head, 0)]
}

// PagedAttention attends over pages. A query's result has the same bits alone, in a run, and for any size of pages: every score is one chain
// over D, values add up in chains of PageUnit keys, and these in order.
func (e *Engine) PagedAttention(a PagedAttentionArgs) {
	blocks := a.blocks(e.level)
	work := 0
	for i := range blocks {
		work += blocks[i].rows * (2*blocks[i].kn*a.Cache.D + 16*blocks[i].kn + 500)
	}
	e.shared(len(blocks), work, func(i int) {
		l := e.lease()
		defer e.release(l)
		if i+1 < len(blocks) {
			blocks[i].next = blocks[i+1].firstKeys(a.Cache)
		}
		e.attendPages(&a, l, &blocks[i])
	})
}

// blocks checks the arguments and cuts the work.
func (a *PagedAttentionArgs) blocks(level Level) []pagedBlock {
	c := a.Cache
	c.check("PagedAttention", level)
	require(a.H > 0 && a.H%c.KVHeads == 0, "PagedAttention: %d heads are not a multiple of %d key heads", a.H, c.KVHeads)
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(c.D)))
	}
	group := a.H / c.KVHeads
	var out []pagedBlock
	for i := range a.Runs {
		r := &a.Runs[i]
		require(r.visible(0) > 0 && len(r.Pages)*c.Page >= r.Keys, "PagedAttention.Runs[%d] has %d queries, %d keys, %d pages of %d", i, r.Rows, r.Keys, len(r.Pages), c.Page)
		for _, p := range r.Pages[:(r.Keys+c.Page-1)/c.Page] {
			require(p >= 0 && int(p) < c.Pages, "PagedAttention.Runs[%d] has page %d of %d", i, p, c.Pages)
		}
		a.LDQ = needMatrix("PagedAttention", "Q", a.Q, r.Row+r.Rows, a.H*c.D, a.LDQ)
		a.LDO = needMatrix("PagedAttention", "O", a.O, r.Row+r.Rows, a.H*c.D, a.LDO)
		most := max(1, min(pagedRows, pagedScores/r.Keys)/group)
		n := (r.Rows + most - 1) / most
		for j := range n {
			lo, hi := r.Rows*j/n, r.Rows*(j+1)/n
			for h := range c.KVHeads {
				out = append(out, pagedBlock{run: r, head: h, q0: lo, qn: hi - lo, rows: (hi - lo) * group, kn: r.visible(hi - 1)})
			}
		}
	}
	return out
}

func (e *Engine) attendPages(a *PagedAttentionArgs, l *lease, b *pagedBlock) {
	b.ld = (b.kn + PageUnit - 1) / PageUnit * PageUnit
	b.p = l.buf(buf0, b.rows*b.ld)
	b.gather(a, l)
	t := &e.isa.tile
	tiles := t.panelsOf(b.rows)
	for i := range tiles.count {
		e.scorePages(a.Cache, l, b, pageRows{tiles.row(i), tiles.height(i)})
	}
	group := a.H / a.Cache.KVHeads
	sums := l.buf(buf3, b.rows)
	for i := range b.rows {
		p := b.p[i*b.ld : i*b.ld+b.kn]
		n := b.run.visible(b.q0 + i/group)
		_, sums[i] = e.isa.softmaxRow(p[:n], a.Scale*log2e, float32(math.Inf(-1)))
		clear(p[n:])
	}
	direct := b.target(a, l, t.stores)
	for i := range tiles.count {
		e.weighPages(a.Cache, l, b, pageRows{tiles.row(i), tiles.height(i)})
	}
	for i, s := range sums {
		o := b.o[i*b.ldo : i*b.ldo+a.Cache.D]
		e.isa.scale(o, o, 1/s)
	}
	if !direct {
		b.scatter(a)
	}
}

// pageRows are the rows of a tile.
type pageRows struct{ row, height int }

// gather finds the block's queries, as rows of q: where they are if one stride leads from each to the next, else copied.
func (b *pagedBlock) gather(a *PagedAttentionArgs, l *lease) {
	d := a.Cache.D
	group := a.H / a.Cache.KVHeads
	at := (b.run.Row+b.q0)*a.LDQ + b.head*group*d
	switch {
	case group == 1:
		b.q, b.ldq = a.Q[at:], a.LDQ
	case b.qn == 1:
		b.q, b.ldq = a.Q[at:], d
	default:
		b.q, b.ldq = l.buf(buf1, b.rows*d), d
		for i := range b.qn {
			copy(b.q[i*group*d:(i+1)*group*d], a.Q[at+i*a.LDQ:])
		}
	}
}

// target chooses where the results of the block go: into O directly where rows are equally spaced and tiles can store their width, else into
// scratch, from which scatter copies.
func (b *pagedBlock) target(a *PagedAttentionArgs, l *lease, s storing) (direct bool) {
	c := a.Cache
	group := a.H / c.KVHeads
	at := (b.run.Row+b.q0)*a.LDO + b.head*group*c.D
	if s == never || c.padded != c.D || group > 1 && b.qn > 1 {
		b.o, b.ldo = l.buf(buf2, b.rows*c.padded), c.padded
		return false
	}
	b.o, b.ldo = a.O[at:], a.LDO
	if group > 1 {
		b.ldo = c.D
	}
	return true
}

func (b *pagedBlock) scatter(a *PagedAttentionArgs) {
	c := a.Cache
	group := a.H / c.KVHeads
	for i := range b.rows {
		at := (b.run.Row+b.q0+i/group)*a.LDO + (b.head*group+i%group)*c.D
		copy(a.O[at:at+c.D], b.o[i*b.ldo:])
	}
}

// scorePages writes q k^T for the rows of a tile, page after page; the panels of a page lie side by side.
func (e *Engine) scorePages(c *PagedCache, l *lease, b *pagedBlock, r pageRows) {
	t, x := &e.isa.tile, &l.tile
	*x = tileArgs{k: c.D, a: &b.q[r.row*b.ldq], rs: b.ldq, cs: 1, ldc: b.ld}
	n := (b.kn + t.nr - 1) / t.nr
	most := c.Page / t.nr
	for j := 0; j < n; j += most {
		token := j * t.nr
		x.b, x.c = &c.keys[c.key(b.run.Pages[token/c.Page], b.head, 0)], &b.p[r.row*b.ld+token]
		if j+most < n {
			x.ahead = &c.keys[c.key(b.run.Pages[token/c.Page+1], b.head, 0)]
		} else {
			x.ahead = &c.values[c.value(b.run.Pages[0], b.head, 0)]
		}
		e.panels(l, r.height, panelRun{count: min(most, n-j), size: t.nr * c.D})
	}
}

// weighPages adds up p v for the rows of a tile, in chains of PageUnit keys.
func (e *Engine) weighPages(c *PagedCache, l *lease, b *pagedBlock, r pageRows) {
	t, x := &e.isa.tile, &l.tile
	out := b.o[r.row*b.ldo:]
	if t.stores == never {
		out = l.buf(bufTile, r.height*c.padded)
	}
	for k0 := 0; k0 < b.kn; k0 += PageUnit {
		run := c.values[c.value(b.run.Pages[k0/c.Page], b.head, k0%c.Page):]
		*x = tileArgs{k: min(PageUnit, b.kn-k0), a: &b.p[r.row*b.ld+k0], rs: b.ld, cs: 1, b: &run[0], c: &out[0], ldc: b.ldo}
		if t.stores == never {
			x.ldc = c.padded
		} else if k0 > 0 {
			x.addToC = 1
		}
		x.ahead = b.next
		if at := k0 + PageUnit; at < b.kn {
			x.ahead = &c.values[c.value(b.run.Pages[at/c.Page], b.head, at%c.Page)]
		}
		whole := c.D / t.nr
		e.panels(l, r.height, panelRun{count: whole, size: t.nr * PageUnit})
		if at := whole * t.nr; at < c.D {
			last := t.panelAt(c.D, whole)
			x.b, x.c = &run[at*PageUnit], &out[at]
			e.lastPanel(l, r.height, last.wide)
		}
		if t.stores == never {
			e.addRows(b.o[r.row*b.ldo:], out, rowSizes{r.height, c.padded, b.ldo, k0 > 0})
		}
	}
}

// panelRun is count whole panels of B side by side, size floats each.
type panelRun struct{ count, size int }

// panels runs tiles of a height over the panels from x.b on, two at once where the height allows, and leaves x.b and x.c as they were. A pair
// has so little to do that it asks for what comes next, from x.ahead on, as fast as it reads.
func (e *Engine) panels(l *lease, height int, r panelRun) {
	t, x := &e.isa.tile, &l.tile
	pairs := 0
	if height <= t.low {
		pairs = r.count / 2
	}
	b, c := x.b, x.c
	if pairs > 0 {
		x.count, x.bStep, x.bPair, x.mask = pairs, 2*r.size, r.size, ^uint64(0)>>(64-uint(2*t.nr))
		x.aheadK = 8 * t.nr
		x.run(t.tiles[twoPanels][height])
	}
	x.ahead = nil
	if rest := r.count - 2*pairs; rest > 0 {
		x.count, x.bStep, x.mask = rest, r.size, ^uint64(0)>>(64-uint(t.nr))
		x.b, x.c = offset(b, 2*pairs*r.size), offset(c, 2*pairs*t.nr)
		x.run(t.tiles[onePanel][height])
	}
	x.b, x.c = b, c
}

// lastPanel runs a tile over one panel, half or whole.
func (e *Engine) lastPanel(l *lease, height, wide int) {
	t, x := &e.isa.tile, &l.tile
	class := onePanel
	if wide < t.nr {
		class = halfPanel
	}
	x.count, x.mask = 1, ^uint64(0)>>(64-uint(wide))
	x.run(t.tiles[class][height])
}

func offset(p *float32, n int) *float32 {
	return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*n))
}

// rowSizes is height rows of wide columns, ld apart in the destination, which they are added to or overwrite.
type rowSizes struct {
	height, wide, ld int
	add              bool
}

func (e *Engine) addRows(dst, src []float32, s rowSizes) {
	for r := range s.height {
		d, x := dst[r*s.ld:r*s.ld+s.wide], src[r*s.wide:(r+1)*s.wide]
		if s.add {
			e.isa.add(d, d, x)
		} else {
			copy(d, x)
		}
	}
}
