package kernel

import "math"

// AttentionArgs is o = softmax(Scale q k^T + mask) v for each batch row and head (Vaswani et al. 2017).
//
// Q and O are (B,T,H,D) views, K and V (B,S,KVHeads,D) views; query head h uses key head h / (H/KVHeads). KVHeads 0 means H, Scale 0 means
// 1/sqrt(D). Three masks combine: Causal lets query t see keys up to t + S - T; KeyLengths (B) hides the keys from a row's length on (padding);
// Packed, cumulative ends [0, n1, n1+n2, ...], cuts tokens into sequences that do not see each other, and needs B = 1, S = T and
// no KeyLengths. A query that sees no key gets zeros. LogSumExp (B,H,T) is saved for the backward pass; nil: not kept (inference).
type AttentionArgs struct {
	B, T, S, H, KVHeads, D int
	Q, K, V, O             View
	Scale                  float32
	Causal                 bool
	KeyLengths             []int32
	Packed                 []int32
	LogSumExp              []float32
}

func (a *AttentionArgs) check(name string) {
	if a.KVHeads == 0 {
		a.KVHeads = a.H
	}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(max(1, a.D))))
	}
	require(a.Scale > 0, "%s.Scale is %v, it must be positive", name, a.Scale)
	require(a.KVHeads > 0 && a.H%a.KVHeads == 0, "%s: %d heads are not a multiple of %d key heads", name, a.H, a.KVHeads)
	a.Q.need(name, "Q", a.B, a.T, a.H, a.D)
	a.K.need(name, "K", a.B, a.S, a.KVHeads, a.D)
	a.V.need(name, "V", a.B, a.S, a.KVHeads, a.D)
	checkLengths(name, a.KeyLengths, a.B, a.S)
	if n := len(a.Packed); n > 0 {
		require(a.B == 1 && a.S == a.T && a.KeyLengths == nil, "%s: packed sequences need B = 1, S = T and no key lengths", name)
		require(a.Packed[0] == 0 && int(a.Packed[n-1]) == a.T, "%s.Packed runs from %d to %d, it must run from 0 to %d", name, a.Packed[0], a.Packed[n-1], a.T)
		for i := 1; i < n; i++ {
			require(a.Packed[i] >= a.Packed[i-1], "%s.Packed[%d] is %d, below the one before", name, i, a.Packed[i])
		}
	}
}

// span is one sequence of the batch: rows [q, q+t) of the queries and [k, k+s) of the keys, of which the first seen are visible.
type span struct{ b, q, t, k, s, seen int }

func (a *AttentionArgs) spans() int {
	if len(a.Packed) > 0 {
		return len(a.Packed) - 1
	}
	return a.B
}

func (a *AttentionArgs) span(i int) span {
	if len(a.Packed) > 0 {
		lo, n := int(a.Packed[i]), int(a.Packed[i+1]-a.Packed[i])
		return span{q: lo, t: n, k: lo, s: n, seen: n}
	}
	return span{b: i, t: a.T, s: a.S, seen: lengthOf(a.KeyLengths, i, a.S)}
}

// work is the cost of the forward pass, in multiply-adds, with a constant part for every query row.
func (a *AttentionArgs) work() int { return a.B * a.H * a.T * (2*a.S*a.D + 16*a.S + 500) }

// visible is the number of keys that query t of the span sees.
func (a *AttentionArgs) visible(s span, t int) int {
	if !a.Causal {
		return s.seen
	}
	return max(0, min(s.seen, t+1+s.s-s.t))
}

// queryBlock is the largest number of queries whose scores are held at once.
const queryBlock = 96

// queryBlocks cuts t queries into equal blocks: their number and size.
func queryBlocks(t int) (n, size int) {
	n = (t + queryBlock - 1) / queryBlock
	return n, (t + max(1, n) - 1) / max(1, n)
}

// scores is a block of queries [q0, q0+qn) of one head against the first kn keys of its span. p has rows ld apart.
type scores struct {
	span
	h, g   int // query head, key head
	q0, qn int
	kn, ld int
	p      []float32
}

func (a *AttentionArgs) block(s span, h, i int, l *lease) scores {
	_, size := queryBlocks(s.t)
	b := scores{span: s, h: h, g: h / (a.H / a.KVHeads), q0: i * size}
	b.qn = min(size, s.t-b.q0)
	b.kn = a.visible(s, b.q0+b.qn-1)
	b.ld = (b.kn+15)/16*16 + 16
	b.p = l.buf(buf0, b.qn*b.ld)
	return b
}

// query, key address rows of a view for the block.
func (b *scores) query(v View) []float32 { return v.Data[b.b*v.Batch+(b.q+b.q0)*v.Token+b.h*v.Head:] }
func (b *scores) key(v View) []float32   { return v.Data[b.b*v.Batch+b.k*v.Token+b.g*v.Head:] }

// Attention computes the forward pass: scores of a block of queries, softmax, weighted values; parallel over batch rows and heads.
func (e *Engine) Attention(a AttentionArgs) {
	a.check("Attention")
	a.O.need("Attention", "O", a.B, a.T, a.H, a.D)
	if a.LogSumExp != nil {
		need("Attention", "LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	}
	e.shared(a.spans()*a.H, a.work(), func(i int) {
		s, h := a.span(i/a.H), i%a.H
		l := e.lease()
		defer e.release(l)
		n, _ := queryBlocks(s.t)
		for j := range n {
			e.attend(&a, l, a.block(s, h, j, l))
		}
	})
}

func (e *Engine) attend(a *AttentionArgs, l *lease, b scores) {
	e.score(a, l, b)
	tops, sums := l.buf(buf1, b.qn), l.buf(buf2, b.qn)
	for i := range b.qn {
		p := b.p[i*b.ld : i*b.ld+b.kn]
		n := a.visible(b.span, b.q0+i)
		tops[i], sums[i] = float32(math.Inf(-1)), 1
		if n > 0 {
			tops[i], sums[i] = e.isa.softmaxRow(p[:n], a.Scale)
		}
		clear(p[n:])
	}
	if a.LogSumExp != nil {
		at := (b.b*a.H+b.h)*a.T + b.q + b.q0
		for i, s := range sums { // apart from the rows above, so that the logarithms overlap
			a.LogSumExp[at+i] = tops[i] + log32(s)
		}
	}
	e.multiply(l, &GemmArgs{M: b.qn, N: a.D, K: b.kn, A: b.p, LDA: b.ld, B: b.key(a.V), LDB: a.V.Token, C: b.query(a.O), LDC: a.O.Token})
}

// score writes q k^T, not scaled.
func (e *Engine) score(a *AttentionArgs, l *lease, b scores) {
	e.multiply(l, &GemmArgs{M: b.qn, N: b.kn, K: a.D, A: b.query(a.Q), LDA: a.Q.Token, B: b.key(a.K), LDB: a.K.Token, TransB: true, C: b.p, LDC: b.ld})
}

// multiply is a product on the calling thread, of matrices known to be long enough.
func (e *Engine) multiply(l *lease, a *GemmArgs) {
	e.gemmBlock(a, l, area{r1: a.M, c1: a.N})
}
