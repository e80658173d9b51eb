package kernel

// AttentionBackwardArgs takes the forward's arguments, with its O and LogSumExp, and writes, or accumulates, the three gradients. They must not
// overlap.
type AttentionBackwardArgs struct {
	Forward    AttentionArgs
	DO         View // (B,T,H,D)
	DQ, DK, DV View
	Accumulate bool
}

// AttentionBackward recomputes the probabilities from LogSumExp, block by block as the forward pass does, and writes the gradients; parallel over
// sequences and key heads, whose query heads and blocks of queries add to dK and dV, and blocks of keys to dQ, in a fixed order.
func (e *Engine) AttentionBackward(b AttentionBackwardArgs) {
	a := &b.Forward
	const name = "AttentionBackward"
	a.check(name)
	a.O.need(name, "Forward.O", a.B, a.T, a.H, a.D)
	need(name, "LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	b.DO.need(name, "DO", a.B, a.T, a.H, a.D)
	b.DQ.need(name, "DQ", a.B, a.T, a.H, a.D)
	b.DK.need(name, "DK", a.B, a.S, a.KVHeads, a.D)
	b.DV.need(name, "DV", a.B, a.S, a.KVHeads, a.D)
	if a.H*a.D == 0 {
		return
	}
	e.shared(a.spans()*a.KVHeads, 2*a.work(), func(i int) {
		l := e.lease()
		defer e.release(l)
		e.attendBackward(&b, l, a.span(i/a.KVHeads), i%a.KVHeads)
	})
}

func (e *Engine) attendBackward(b *AttentionBackwardArgs, l *lease, s span, g int) {
	a := &b.Forward
	group := a.H / a.KVHeads
	seen := 0
	if s.t > 0 {
		seen = a.visible(s, s.t-1)
	}
	// delta is the inner product of a query's output and its gradient: the sum over keys of p dp.
	delta := l.buf(buf2, group*s.t)
	for h := range group {
		q := queries{h: g*group + h}
		for t := range s.t {
			q.q0 = t
			delta[h*s.t+t] = e.isa.dot(s.query(a.O, q)[:a.D], s.query(b.DO, q)[:a.D])
		}
	}
	for k0 := 0; k0 == 0 || k0 < seen; k0 += a.keyBlock() {
		k := keys{span: s, g: g, k0: k0, kn: min(a.keyBlock(), seen-k0)}
		e.attendKeysBackward(b, l, k, delta)
	}
	if !b.Accumulate { // the keys that no query sees
		k := keys{span: s, g: g, k0: seen}
		if seen < s.s {
			clearRows(k.from(b.DK), b.DK.Token, s.s-seen, a.D)
			clearRows(k.from(b.DV), b.DV.Token, s.s-seen, a.D)
		}
	}
}

// keyOperands are what a block of keys multiplies with: k^T, v^T and k.
type keyOperands struct{ kt, vt, k right }

// attendKeysBackward adds the parts of a block of keys. The last block of queries comes first: it sees all keys that any query sees, so that it
// alone starts dK and dV.
func (e *Engine) attendKeysBackward(b *AttentionBackwardArgs, l *lease, k keys, delta []float32) {
	a := &b.Forward
	group := a.H / a.KVHeads
	var ops keyOperands
	if k.kn > 0 {
		ops.kt = e.pack(l, buf3, right{b: k.from(a.K), ld: a.K.Token, trans: true, k: a.D, n: k.kn}, padded)
		ops.vt = e.pack(l, buf4, right{b: k.from(a.V), ld: a.V.Token, trans: true, k: a.D, n: k.kn}, padded)
		ops.k = e.pack(l, buf5, right{b: k.from(a.K), ld: a.K.Token, k: k.kn, n: a.D}, exact)
	}
	started := b.Accumulate
	blocks, size := cut(k.t, queryBlock)
	for h := range group {
		for i := blocks - 1; i >= 0; i-- {
			q := queries{h: k.g*group + h, q0: i * size, ld: scoreLD(k.kn)}
			q.qn = min(size, k.t-q.q0)
			q.n = min(k.kn, a.visible(k.span, q.q0+q.qn-1)-k.k0)
			switch {
			case q.n > 0:
				e.attendBlockBackward(b, l, k, q, blockOperands{ops, delta[h*k.t+q.q0:], started})
				started = true
			case k.k0 == 0 && !b.Accumulate:
				clearRows(k.query(b.DQ, q), b.DQ.Token, q.qn, a.D)
			}
		}
	}
}

// blockOperands are the packed keys, the queries' delta, and whether dK and dV hold sums already.
type blockOperands struct {
	keyOperands
	delta   []float32
	addKeys bool
}

func (e *Engine) attendBlockBackward(b *AttentionBackwardArgs, l *lease, k keys, q queries, ops blockOperands) {
	a := &b.Forward
	p, dp := l.buf(buf0, q.qn*q.ld), l.buf(buf1, q.qn*q.ld)
	e.scores(a, l, k.span, q, ops.kt, p)
	do := k.query(b.DO, q)
	e.product(l, product{m: q.qn, n: q.n, k: a.D, a: do, lda: b.DO.Token, b: ops.vt, c: dp, ldc: q.ld})
	lse := a.LogSumExp[a.at(k.span, q.h, q.q0):]
	for i := range q.qn {
		x, d := p[i*q.ld:i*q.ld+q.n], dp[i*q.ld:i*q.ld+q.n]
		n := min(q.n, max(0, a.visible(k.span, q.q0+i)-k.k0))
		if n > 0 {
			e.isa.softmaxGradRow(d[:n], x[:n], a.Scale*log2e, lse[i]*log2e, a.Scale, ops.delta[i])
		}
		clear(x[n:])
		clear(d[n:])
	}
	e.product(l, product{m: q.qn, n: a.D, k: q.n, a: dp, lda: q.ld, b: ops.k, c: k.query(b.DQ, q), ldc: b.DQ.Token, accumulate: b.Accumulate || k.k0 > 0})
	qs := e.pack(l, buf6, right{b: k.query(a.Q, q), ld: a.Q.Token, k: q.qn, n: a.D}, exact)
	e.product(l, product{m: q.n, n: a.D, k: q.qn, a: dp, lda: q.ld, transA: true, b: qs, c: k.from(b.DK), ldc: b.DK.Token, accumulate: ops.addKeys})
	dos := e.pack(l, buf6, right{b: do, ld: b.DO.Token, k: q.qn, n: a.D}, exact)
	e.product(l, product{m: q.n, n: a.D, k: q.qn, a: p, lda: q.ld, transA: true, b: dos, c: k.from(b.DV), ldc: b.DV.Token, accumulate: ops.addKeys})
}
