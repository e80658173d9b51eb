package kernel

// AttentionBackwardArgs takes the forward's arguments (O is not read) and writes, or accumulates, the three gradients. They must not overlap.
type AttentionBackwardArgs struct {
	Forward    AttentionArgs
	DO         View // (B,T,H,D)
	DQ, DK, DV View
	Accumulate bool
}

// AttentionBackward recomputes the probabilities from LogSumExp and writes the gradients; parallel over batch rows and key heads, whose query
// heads and blocks of queries add to dK and dV in a fixed order.
func (e *Engine) AttentionBackward(b AttentionBackwardArgs) {
	a := &b.Forward
	const name = "AttentionBackward"
	a.check(name)
	need(name, "LogSumExp", a.LogSumExp, a.B*a.H*a.T)
	b.DO.need(name, "DO", a.B, a.T, a.H, a.D)
	b.DQ.need(name, "DQ", a.B, a.T, a.H, a.D)
	b.DK.need(name, "DK", a.B, a.S, a.KVHeads, a.D)
	b.DV.need(name, "DV", a.B, a.S, a.KVHeads, a.D)
	group := a.H / a.KVHeads
	e.shared(a.spans()*a.KVHeads, 2*a.work(), func(i int) {
		s, g := a.span(i/a.KVHeads), i%a.KVHeads
		l := e.lease()
		defer e.release(l)
		n, _ := queryBlocks(s.t)
		started := b.Accumulate
		for h := g * group; h < (g+1)*group; h++ {
			// The last block comes first: it sees the most keys, so that it alone starts dK and dV.
			for j := n - 1; j >= 0; j-- {
				blk := a.block(s, h, j, l)
				if !started {
					b.clearKeys(&blk, blk.kn)
				}
				e.attendBackward(&b, l, blk, started)
				started = true
			}
		}
		if !started {
			b.clearKeys(&scores{span: s, g: g}, 0)
		}
	})
}

// clearKeys zeroes the gradients of the span's keys from the given one on: those that no query sees.
func (b *AttentionBackwardArgs) clearKeys(s *scores, from int) {
	for j := from; j < s.s; j++ {
		clear(b.DK.head(s.b, s.k+j, s.g, b.Forward.D))
		clear(b.DV.head(s.b, s.k+j, s.g, b.Forward.D))
	}
}

// attendBackward adds the part of one block of queries; addKeys tells whether dK and dV hold sums already.
func (e *Engine) attendBackward(b *AttentionBackwardArgs, l *lease, s scores, addKeys bool) {
	a := &b.Forward
	e.score(a, l, s)
	dp := l.buf(buf1, s.qn*s.ld)
	e.multiply(l, &GemmArgs{M: s.qn, N: s.kn, K: a.D, A: s.query(b.DO), LDA: b.DO.Token, B: s.key(a.V), LDB: a.V.Token, TransB: true, C: dp, LDC: s.ld})
	for i := range s.qn {
		p, d := s.p[i*s.ld:i*s.ld+s.kn], dp[i*s.ld:i*s.ld+s.kn]
		n := a.visible(s.span, s.q0+i)
		if n > 0 {
			e.isa.softmaxGradRow(d[:n], p[:n], a.Scale, a.LogSumExp[(s.b*a.H+s.h)*a.T+s.q+s.q0+i])
		}
		clear(p[n:])
		clear(d[n:])
	}
	e.multiply(l, &GemmArgs{M: s.qn, N: a.D, K: s.kn, A: dp, LDA: s.ld, B: s.key(a.K), LDB: a.K.Token, C: s.query(b.DQ), LDC: b.DQ.Token, Accumulate: b.Accumulate})
	e.multiply(l, &GemmArgs{M: s.kn, N: a.D, K: s.qn, A: dp, LDA: s.ld, TransA: true, B: s.query(a.Q), LDB: a.Q.Token, C: s.key(b.DK), LDC: b.DK.Token, Accumulate: addKeys})
	e.multiply(l, &GemmArgs{M: s.kn, N: a.D, K: s.qn, A: s.p, LDA: s.ld, TransA: true, B: s.query(b.DO), LDB: b.DO.Token, C: s.key(b.DV), LDC: b.DV.Token, Accumulate: addKeys})
}
