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

// AttentionBackwardArgs takes the forward's arguments (O is not read) and writes, or accumulates, the three gradients. They must not overlap.
type AttentionBackwardArgs struct {
	Forward    AttentionArgs
	DO         View // (B,T,H,D)
	DQ, DK, DV View
	Accumulate bool
}

func (a *AttentionArgs) check(name string) {
	if a.KVHeads == 0 {
		a.KVHeads = a.H
	}
	if a.Scale == 0 {
		a.Scale = float32(1 / math.Sqrt(float64(max(1, a.D))))
	}
	require(a.KVHeads > 0 && a.H%a.KVHeads == 0, "%s: %d heads are not a multiple of %d key heads", name, a.H, a.KVHeads)
	a.Q.need(name+".Q", a.B, a.T, a.H, a.D)
	a.K.need(name+".K", a.B, a.S, a.KVHeads, a.D)
	a.V.need(name+".V", a.B, a.S, a.KVHeads, a.D)
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

// visible is the number of keys that query t of the span sees.
func (a *AttentionArgs) visible(s span, t int) int {
	if !a.Causal {
		return s.seen
	}
	return max(0, min(s.seen, t+1+s.s-s.t))
}

// Attention computes the forward pass.
func (e *Engine) Attention(a AttentionArgs) {
	a.check("Attention")
	a.O.need("Attention.O", a.B, a.T, a.H, a.D)
	if a.LogSumExp != nil {
		need("Attention.LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	}
	e.parallel(a.spans()*a.H, func(i int) {
		s, h := a.span(i/a.H), i%a.H
		l := e.lease()
		defer e.release(l)
		p := l.buf(buf0, s.s)
		for t := range s.t {
			o := a.O.head(s.b, s.q+t, h, a.D)
			clear(o)
			n := a.visible(s, t)
			lse := e.attend(&a, s, attendRow{t: t, h: h, n: n, p: p})
			if a.LogSumExp != nil {
				a.LogSumExp[(s.b*a.H+h)*a.T+s.q+t] = lse
			}
			for j := range n {
				e.isa.axpy(o, a.V.head(s.b, s.k+j, h/(a.H/a.KVHeads), a.D), p[j])
			}
		}
	})
}

type attendRow struct {
	t, h, n int
	p       []float32
}

func (e *Engine) attend(a *AttentionArgs, s span, r attendRow) float32 {
	if r.n == 0 {
		return float32(math.Inf(-1))
	}
	q := a.Q.head(s.b, s.q+r.t, r.h, a.D)
	p := r.p[:r.n]
	for j := range p {
		p[j] = a.Scale * e.isa.dot(q, a.K.head(s.b, s.k+j, r.h/(a.H/a.KVHeads), a.D))
	}
	top := e.isa.max(p)
	sum := e.isa.expSum(p, p, 1, top)
	e.isa.scale(p, p, 1/sum)
	return top + float32(math.Log(float64(sum)))
}

// AttentionBackward recomputes the probabilities and writes the gradients.
func (e *Engine) AttentionBackward(b AttentionBackwardArgs) {
	a := &b.Forward
	a.check("AttentionBackward")
	need("AttentionBackward.LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	b.DO.need("AttentionBackward.DO", a.B, a.T, a.H, a.D)
	b.DQ.need("AttentionBackward.DQ", a.B, a.T, a.H, a.D)
	b.DK.need("AttentionBackward.DK", a.B, a.S, a.KVHeads, a.D)
	b.DV.need("AttentionBackward.DV", a.B, a.S, a.KVHeads, a.D)
	group := a.H / a.KVHeads
	e.parallel(a.spans()*a.KVHeads, func(i int) {
		s, g := a.span(i/a.KVHeads), i%a.KVHeads
		l := e.lease()
		defer e.release(l)
		if !b.Accumulate {
			for j := range s.s {
				clear(b.DK.head(s.b, s.k+j, g, a.D))
				clear(b.DV.head(s.b, s.k+j, g, a.D))
			}
		}
		for h := g * group; h < (g+1)*group; h++ {
			for t := range s.t {
				e.attendBackward(&b, s, attendRow{t: t, h: h, n: a.visible(s, t), p: l.buf(buf0, s.s)}, l.buf(buf1, s.s))
			}
		}
	})
}

func (e *Engine) attendBackward(b *AttentionBackwardArgs, s span, r attendRow, dp []float32) {
	a := &b.Forward
	g := r.h / (a.H / a.KVHeads)
	q, do, dq := a.Q.head(s.b, s.q+r.t, r.h, a.D), b.DO.head(s.b, s.q+r.t, r.h, a.D), b.DQ.head(s.b, s.q+r.t, r.h, a.D)
	if !b.Accumulate {
		clear(dq)
	}
	e.attend(a, s, r)
	p, dp := r.p[:r.n], dp[:r.n]
	for j := range p {
		dp[j] = e.isa.dot(do, a.V.head(s.b, s.k+j, g, a.D))
	}
	e.isa.softmaxGrad(dp, dp, p, e.isa.dot(dp, p), a.Scale)
	for j := range p {
		e.isa.axpy(dq, a.K.head(s.b, s.k+j, g, a.D), dp[j])
		e.isa.axpy(b.DK.head(s.b, s.k+j, g, a.D), q, dp[j])
		e.isa.axpy(b.DV.head(s.b, s.k+j, g, a.D), do, p[j])
	}
}
