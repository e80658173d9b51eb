package kernel

import "math"

// Attention computes the forward pass, block of keys by block of keys, with a running maximum and sum per query; parallel over sequences, key
// heads and chunks of queries. Scratch does not grow with T S: a block of scores, the packed keys and values of a block, two numbers per query.
func (e *Engine) Attention(a AttentionArgs) {
	a.check("Attention")
	a.O.need("Attention", "O", a.B, a.T, a.H, a.D)
	if a.LogSumExp != nil {
		need("Attention", "LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	}
	if a.B*a.T*a.H*a.D == 0 {
		return
	}
	chunks := (a.T + queryChunk - 1) / queryChunk
	e.shared(a.spans()*a.KVHeads*chunks, a.work(), func(i int) {
		s, g := a.span(i/chunks/a.KVHeads), i/chunks%a.KVHeads
		c := chunks - 1 - i%chunks // the last chunk has most work under a causal mask
		t := chunk{span: s, g: g, t0: c * queryChunk, t1: min(s.t, (c+1)*queryChunk)}
		if t.t0 < t.t1 {
			l := e.lease()
			defer e.release(l)
			e.attend(&a, l, t)
		}
	})
}

// chunk is the queries [t0, t1) of one span, for the query heads of key head g.
type chunk struct {
	span
	g, t0, t1 int
}

func (e *Engine) attend(a *AttentionArgs, l *lease, c chunk) {
	group, n := a.H/a.KVHeads, c.t1-c.t0
	tops, sums := l.buf(buf1, group*n), l.buf(buf2, group*n)
	for i := range tops {
		tops[i], sums[i] = float32(math.Inf(-1)), 0
	}
	seen := a.visible(c.span, c.t1-1)
	for k0 := 0; k0 == 0 || k0 < seen; k0 += a.keyBlock() {
		k := keys{span: c.span, g: c.g, k0: k0, kn: min(a.keyBlock(), seen-k0)}
		e.attendKeys(a, l, c, k, runningSoftmax{tops, sums})
	}
	for h := range group {
		e.finishAttention(a, c, c.g*group+h, runningSoftmax{tops[h*n : (h+1)*n], sums[h*n : (h+1)*n]})
	}
}

// runningSoftmax holds per query, head by head, the largest score so far in bits (base 2), and the sum of exponentials below it.
type runningSoftmax struct{ tops, sums []float32 }

// attendKeys adds the part of a block of keys to O, which is not divided by the sum yet.
func (e *Engine) attendKeys(a *AttentionArgs, l *lease, c chunk, k keys, r runningSoftmax) {
	group, n := a.H/a.KVHeads, c.t1-c.t0
	var kt, v right
	if k.kn > 0 {
		kt = e.pack(l, buf3, right{b: k.from(a.K), ld: a.K.Token, trans: true, k: a.D, n: k.kn}, padded)
		v = e.pack(l, buf4, right{b: k.from(a.V), ld: a.V.Token, k: k.kn, n: a.D}, exact)
	}
	blocks, size := cut(n, queryBlock)
	for h := range group {
		for i := range blocks {
			q := queries{h: c.g*group + h, q0: c.t0 + i*size, ld: scoreLD(k.kn)}
			q.qn = min(size, c.t1-q.q0)
			q.n = min(k.kn, a.visible(c.span, q.q0+q.qn-1)-k.k0)
			switch {
			case q.n > 0:
				p := l.buf(buf0, q.qn*q.ld)
				e.scores(a, l, c.span, q, kt, p)
				lo := h*n + q.q0 - c.t0
				e.softmaxBlock(a, k, q, p, runningSoftmax{r.tops[lo : lo+q.qn], r.sums[lo : lo+q.qn]})
				e.product(l, product{m: q.qn, n: a.D, k: q.n, a: p, lda: q.ld, b: v, c: c.query(a.O, q), ldc: a.O.Token, accumulate: k.k0 > 0})
			case k.k0 == 0:
				clearRows(c.query(a.O, q), a.O.Token, q.qn, a.D)
			}
		}
	}
}

// softmaxBlock turns scores into exponentials below each query's maximum. Where that rises, what O and the sum hold already is scaled down.
func (e *Engine) softmaxBlock(a *AttentionArgs, k keys, q queries, p []float32, r runningSoftmax) {
	scale := a.Scale * log2e
	o := k.query(a.O, q)
	for i := range q.qn {
		x := p[i*q.ld : i*q.ld+q.n]
		n := min(q.n, max(0, a.visible(k.span, q.q0+i)-k.k0))
		clear(x[n:])
		if n == 0 {
			continue
		}
		top, sum := e.isa.softmaxRow(x[:n], scale, r.tops[i])
		if k.k0 > 0 && top > r.tops[i] {
			f := float32(math.Exp2(float64(r.tops[i] - top)))
			r.sums[i] *= f
			y := o[i*a.O.Token : i*a.O.Token+a.D]
			e.isa.scale(y, y, f)
		}
		r.tops[i] = top
		r.sums[i] += sum
	}
}

const (
	log2e = math.Log2E
	ln2   = math.Ln2
)

// finishAttention divides by the sums. A query that saw no key has zeros already; its sum of exponentials is 0.
func (e *Engine) finishAttention(a *AttentionArgs, c chunk, h int, r runningSoftmax) {
	o := c.query(a.O, queries{h: h, q0: c.t0})
	for i, s := range r.sums {
		if s != 0 {
			y := o[i*a.O.Token : i*a.O.Token+a.D]
			e.isa.scale(y, y, 1/s)
		}
	}
	if a.LogSumExp == nil {
		return
	}
	out := a.LogSumExp[a.at(c.span, h, c.t0):]
	for i, s := range r.sums { // apart from the rows above, so that the logarithms overlap
		if s != 0 {
			out[i] = r.tops[i]*ln2 + log32(s)
		} else {
			out[i] = float32(math.Inf(-1))
		}
	}
}

// clearRows zeroes n floats of each of rows rows, ld apart.
func clearRows(x []float32, ld, rows, n int) {
	for i := range rows {
		clear(x[i*ld : i*ld+n])
	}
}
