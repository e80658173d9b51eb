package kernel

// right is a matrix that multiplies blocks from the right: op(B), K x N as in GemmArgs. Where tiles can write any result in place it is packed
// once, for all products that follow; else they read B.
type right struct {
	b      []float32
	ld     int
	trans  bool
	k, n   int
	packed []float32
}

// pack prepares b with memory of the lease's buffer i. results tells how wide the rows of the products' results are.
func (e *Engine) pack(l *lease, i int, b right, results rowWidth) right {
	t := &e.isa.tile
	if !t.direct(b.n, results) {
		return b
	}
	b.packed = l.buf(i, t.padded(b.n)*b.k+t.nr)
	t.packB(b.packed, bBlock{b: b.b, ld: b.ld, trans: b.trans, kc: b.k, nc: b.n})
	return b
}

// rowWidth says how much of a row of a result may be written.
type rowWidth int

const (
	exact  rowWidth = iota // its columns only
	padded                 // whole vectors: the row has scratch behind it
)

// direct tells whether tiles can write n columns in place.
func (t *tiler) direct(n int, w rowWidth) bool {
	switch t.stores {
	case masked:
		return true
	case whole:
		return w == padded || n%(t.nr/2) == 0
	default:
		return false
	}
}

// product is C (+)= A B on one thread for small blocks: M x K times the first K rows and N columns of B. TransA: A is stored K x M.
type product struct {
	m, n, k    int
	a          []float32
	lda        int
	transA     bool
	b          right
	c          []float32
	ldc        int
	accumulate bool
}

func (e *Engine) product(l *lease, p product) {
	if p.b.packed == nil {
		e.gemmBlock(&GemmArgs{
			M: p.m, N: p.n, K: p.k, A: p.a, LDA: p.lda, TransA: p.transA, B: p.b.b, LDB: p.b.ld, TransB: p.b.trans, C: p.c, LDC: p.ldc, Accumulate: p.accumulate,
		}, l, area{r1: p.m, c1: p.n})
		return
	}
	t := &e.isa.tile
	rows := t.panelsOf(p.m)
	x := &l.tile
	*x = tileArgs{k: p.k, ldc: p.ldc, rs: p.lda, cs: 1, bPair: t.nr * p.b.k}
	if p.transA {
		x.rs, x.cs = 1, p.lda
	}
	if p.accumulate {
		x.addToC = 1
	}
	for i := range rows.count {
		e.productRows(x, &p, rows.row(i), rows.height(i))
	}
}

// productRows runs the tiles of one height side by side: pairs of panels if they are low, then panels, then the last one.
func (e *Engine) productRows(x *tileArgs, p *product, row, height int) {
	t := &e.isa.tile
	x.a = &p.a[row*x.rs]
	run := func(j, count, class, wide, width int) {
		if count == 0 {
			return
		}
		x.count, x.bStep, x.mask = count, wide*p.b.k, ^uint64(0)>>(64-uint(width))
		x.b, x.c = &p.b.packed[j*t.nr*p.b.k], &p.c[row*p.ldc+j*t.nr]
		x.run(t.tiles[class][height])
	}
	n, at := p.n/t.nr, 0
	if height <= t.low {
		at = n / 2 * 2
		run(0, at/2, twoPanels, 2*t.nr, 2*t.nr)
	}
	run(at, n-at, onePanel, t.nr, t.nr)
	if n*t.nr < p.n {
		q := t.panelAt(p.b.n, n)
		class := onePanel
		if q.wide < t.nr {
			class = halfPanel
		}
		run(n, 1, class, q.wide, min(q.wide, p.n-q.at))
	}
}
