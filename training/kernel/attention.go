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

// span is sequence i. It does not depend on the others.
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

// The blocking of attention (Dao 2023, FlashAttention-2, on the CPU): scores exist for queryBlock queries and keyBlock keys at a time, which stay in
// the second-level cache with the packed keys and values of the block. A task of the forward pass has at most queryChunk queries.
const (
	queryBlock = 48
	queryChunk = 1024
)

// keyBlock is the number of keys of a block: the fewer, the wider heads are.
func (a *AttentionArgs) keyBlock() int { return min(512, max(128, 1<<14/max(1, a.D)/64*64)) }

// cut is the number of equal blocks, of at most size each, that n items make, and their size.
func cut(n, size int) (count, each int) {
	count = (n + size - 1) / size
	return count, (n + max(1, count) - 1) / max(1, count)
}

// keys is a block of keys of one span and key head: kn keys from k0.
type keys struct {
	span
	g, k0, kn int
}

// from is the memory of a view from the block's first key on.
func (b *keys) from(v View) []float32 { return v.Data[b.b*v.Batch+(b.k+b.k0)*v.Token+b.g*v.Head:] }

// queries is a block of qn queries from q0 of head h; n is how many keys of a block of keys its last query sees, ld the distance of rows of scores.
type queries struct {
	h, q0, qn int
	n, ld     int
}

// query is the memory of a view from the block's first query on.
func (s *span) query(v View, q queries) []float32 {
	return v.Data[s.b*v.Batch+(s.q+q.q0)*v.Token+q.h*v.Head:]
}

// at is the index of query q0 of head h in LogSumExp.
func (a *AttentionArgs) at(s span, h, q0 int) int { return (s.b*a.H+h)*a.T + s.q + q0 }

// scoreLD is the distance of rows of n scores: whole vectors, and not a power of 2.
func scoreLD(n int) int { return (n+31)/32*32 + 16 }

// scores writes q k^T, not scaled, into p.
func (e *Engine) scores(a *AttentionArgs, l *lease, s span, q queries, kt right, p []float32) {
	e.product(l, product{m: q.qn, n: q.n, k: a.D, a: s.query(a.Q, q), lda: a.Q.Token, b: kt, c: p, ldc: q.ld})
}
