package kernel

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"
)

type attentionCase struct {
	name           string
	b, t, s, h, kv int
	d              int
	causal         bool
	lengths        []int32
	packed         []int32
}

var attentionCases = []attentionCase{
	{name: "one token", b: 1, t: 1, s: 1, h: 1, kv: 1, d: 1},
	{name: "self attention over an odd length", b: 2, t: 13, s: 13, h: 2, kv: 2, d: 6},
	{name: "a causal mask", b: 2, t: 9, s: 9, h: 2, kv: 2, d: 5, causal: true},
	{name: "cross attention with padded keys", b: 3, t: 3, s: 7, h: 2, kv: 2, d: 6, lengths: []int32{3, 7, 0}},
	{name: "causal with padding", b: 2, t: 6, s: 6, h: 1, kv: 1, d: 4, causal: true, lengths: []int32{4, 6}},
	{name: "grouped heads", b: 2, t: 5, s: 5, h: 4, kv: 2, d: 6, causal: true},
	{name: "packed sequences", b: 1, t: 9, s: 9, h: 2, kv: 2, d: 4, causal: true, packed: []int32{0, 4, 6, 9}},
	{name: "packed sequences with an empty one", b: 1, t: 7, s: 7, h: 2, kv: 1, d: 4, packed: []int32{0, 4, 4, 7}},
	{name: "a causal continuation of longer keys", b: 1, t: 3, s: 8, h: 2, kv: 2, d: 4, causal: true},
	{name: "several blocks of queries and keys", b: 1, t: 70, s: 70, h: 1, kv: 1, d: 3, causal: true},
}

// attentionRef takes q, k and v, tight, one after another.
func attentionRef(c attentionCase, scale float64, x []float64) []float64 {
	nq, nk := c.b*c.t*c.h*c.d, c.b*c.s*c.kv*c.d
	q, k, v := x[:nq], x[nq:nq+nk], x[nq+nk:]
	out := make([]float64, nq)
	seq := func(i int32) int {
		for j := 1; j < len(c.packed); j++ {
			if i < c.packed[j] {
				return j
			}
		}
		return 0
	}
	for i := range c.b * c.t * c.h {
		b, t, h := i/(c.t*c.h), i/c.h%c.t, i%c.h
		p := make([]float64, c.s)
		var sum float64
		for s := range c.s {
			if c.causal && s > t+c.s-c.t || c.lengths != nil && s >= int(c.lengths[b]) || seq(int32(t)) != seq(int32(s)) {
				continue
			}
			var z float64
			for d := range c.d {
				z += q[i*c.d+d] * k[((b*c.s+s)*c.kv+h/(c.h/c.kv))*c.d+d]
			}
			p[s] = math.Exp(scale * z)
			sum += p[s]
		}
		for s := range c.s {
			for d := range c.d {
				if p[s] > 0 {
					out[i*c.d+d] += p[s] / sum * v[((b*c.s+s)*c.kv+h/(c.h/c.kv))*c.d+d]
				}
			}
		}
	}
	return out
}

// attentionArgs puts q, k and v into tight views of one vector.
func attentionArgs(c attentionCase, x []float32) AttentionArgs {
	nq, nk := c.b*c.t*c.h*c.d, c.b*c.s*c.kv*c.d
	return AttentionArgs{
		B: c.b, T: c.t, S: c.s, H: c.h, KVHeads: c.kv, D: c.d, Causal: c.causal, KeyLengths: c.lengths, Packed: c.packed,
		Q: TightView(x[:nq], c.t, c.h, c.d), K: TightView(x[nq:nq+nk], c.s, c.kv, c.d), V: TightView(x[nq+nk:], c.s, c.kv, c.d),
		O: TightView(make([]float32, nq), c.t, c.h, c.d), LogSumExp: make([]float32, c.b*c.h*c.t),
	}
}

func TestAttentionAndItsGradients(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(7)
		for _, c := range attentionCases {
			t.Run(c.name, func(t *testing.T) {
				nq, nk := c.b*c.t*c.h*c.d, c.b*c.s*c.kv*c.d
				x, do := s.vec(nq+2*nk), s.vec(nq)
				a := attentionArgs(c, x)
				e.Attention(a)
				f := func(x []float64) []float64 { return attentionRef(c, 1/math.Sqrt(float64(c.d)), x) }
				check(t, "output", a.O.Data, f(wide(x)), 3e-6)
				dx := make([]float32, len(x))
				for i := range dx {
					dx[i] = float32(math.NaN())
				}
				b := AttentionBackwardArgs{
					Forward: a, DO: TightView(do, c.t, c.h, c.d), DQ: TightView(dx[:nq], c.t, c.h, c.d),
					DK: TightView(dx[nq:nq+nk], c.s, c.kv, c.d), DV: TightView(dx[nq+nk:], c.s, c.kv, c.d),
				}
				e.AttentionBackward(b)
				want := gradient(wide(x), do, f)
				check(t, "gradient", dx, want, 1e-5)
				copy(dx, ones(len(dx)))
				b.Accumulate = true
				e.AttentionBackward(b)
				check(t, "accumulated gradient", dx, plus(want), 1e-5)
			})
		}
	})
}

func TestAttentionReadsPackedProjections(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(8)
		const b, n, h, d = 2, 37, 3, 16
		shape := PackedShape{T: n, Parts: 3, H: h, D: d}
		qkv := s.vec(b * n * 3 * h * d)
		var x []float32
		for part := range 3 {
			for i := range b * n {
				x = append(x, qkv[(i*3+part)*h*d:(i*3+part+1)*h*d]...)
			}
		}
		c := attentionCase{b: b, t: n, s: n, h: h, kv: h, d: d}
		a := attentionArgs(c, x)
		e.Attention(a)
		p := a
		p.Q, p.K, p.V = PackedView(qkv, shape, 0), PackedView(qkv, shape, 1), PackedView(qkv, shape, 2)
		p.O = TightView(make([]float32, b*n*h*d), n, h, d)
		e.Attention(p)
		check(t, "packed output", p.O.Data, wide(a.O.Data), 1e-7)

		do := TightView(s.vec(b*n*h*d), n, h, d)
		dx, dqkv := make([]float32, len(x)), make([]float32, len(qkv))
		m := b * n * h * d
		e.AttentionBackward(AttentionBackwardArgs{Forward: a, DO: do, DQ: TightView(dx[:m], n, h, d), DK: TightView(dx[m:2*m], n, h, d), DV: TightView(dx[2*m:], n, h, d)})
		e.AttentionBackward(AttentionBackwardArgs{Forward: p, DO: do, DQ: PackedView(dqkv, shape, 0), DK: PackedView(dqkv, shape, 1), DV: PackedView(dqkv, shape, 2)})
		for part := range 3 {
			for i := range b * n {
				check(t, "packed gradient", dqkv[(i*3+part)*h*d:(i*3+part+1)*h*d], wide(dx[part*m+i*h*d:part*m+(i+1)*h*d]), 1e-6)
			}
		}
	})
}

func TestAttentionIsTheSameBitsForAnyNumberOfThreads(t *testing.T) {
	for _, c := range []attentionCase{{b: 3, t: 65, s: 65, h: 4, kv: 2, d: 16, causal: true}, {b: 2, t: 17, s: 150, h: 3, kv: 3, d: 20, lengths: []int32{100, 150}}} {
		sameBits(t, func(e *Engine) []float32 {
			s := newSource(9)
			nq, nk := c.b*c.t*c.h*c.d, c.b*c.s*c.kv*c.d
			a := attentionArgs(c, s.vec(nq+2*nk))
			e.Attention(a)
			dx := make([]float32, nq+2*nk)
			e.AttentionBackward(AttentionBackwardArgs{
				Forward: a, DO: TightView(s.vec(nq), c.t, c.h, c.d), DQ: TightView(dx[:nq], c.t, c.h, c.d),
				DK: TightView(dx[nq:nq+nk], c.s, c.kv, c.d), DV: TightView(dx[nq+nk:], c.s, c.kv, c.d),
			})
			return append(append(dx, a.O.Data...), a.LogSumExp...)
		})
	}
}

func TestAttentionRejectsBrokenPackedSequences(t *testing.T) {
	e := newEngine(t, 1, Portable)
	for _, p := range [][]int32{{0, 4}, {1, 5}, {0, 3, 2, 5}} {
		c := attentionCase{b: 1, t: 5, s: 5, h: 1, kv: 1, d: 2, packed: p}
		panics(t, fmt.Sprint("packed ", p), func() { e.Attention(attentionArgs(c, make([]float32, 30))) })
	}
}

// manyBlocks are cases that span several blocks of keys and chunks of queries.
var manyBlocks = []attentionCase{
	{name: "self attention", b: 1, t: 150, s: 300, h: 2, kv: 1, d: 128},
	{name: "causal", b: 1, t: 140, s: 140, h: 1, kv: 1, d: 120, causal: true},
	{name: "causal over chunks, grouped heads", b: 1, t: 1030, s: 1030, h: 2, kv: 1, d: 4, causal: true},
	{name: "padded keys", b: 2, t: 60, s: 280, h: 1, kv: 1, d: 130, lengths: []int32{0, 260}},
	{name: "packed", b: 1, t: 700, s: 700, h: 1, kv: 1, d: 100, causal: true, packed: []int32{0, 10, 400, 700}},
}

func TestAttentionOverManyBlocksOfKeys(t *testing.T) {
	eachLevel(t, func(t *testing.T, e *Engine) {
		s := newSource(10)
		for i, c := range manyBlocks {
			if testing.Short() && i%2 == 0 {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				nq, nk := c.b*c.t*c.h*c.d, c.b*c.s*c.kv*c.d
				x, do := s.vec(nq+2*nk), s.vec(nq)
				a := attentionArgs(c, x)
				e.Attention(a)
				f := func(x []float64) []float64 { return attentionRef(c, 1/math.Sqrt(float64(c.d)), x) }
				check(t, "output", a.O.Data, f(wide(x)), 3e-6)
				dx := make([]float32, len(x))
				for i := range dx {
					dx[i] = float32(math.NaN())
				}
				e.AttentionBackward(AttentionBackwardArgs{
					Forward: a, DO: TightView(do, c.t, c.h, c.d), DQ: TightView(dx[:nq], c.t, c.h, c.d),
					DK: TightView(dx[nq:nq+nk], c.s, c.kv, c.d), DV: TightView(dx[nq+nk:], c.s, c.kv, c.d),
				})
				// A whole gradient by differences would take minutes: each of the three is tried along its own direction.
				for i, part := range [][2]int{{0, nq}, {nq, nq + nk}, {nq + nk, nq + 2*nk}} {
					along, want := alongGradient(wide(x), wide(dx), do, part, f)
					if math.Abs(along-want) > 2e-5*math.Abs(want) {
						t.Fatalf("gradient of part %d: its square is %v, the output changes by %v", i, along, want)
					}
				}
			})
		}
	})
}

// alongGradient compares |dx|^2 over a part of x with the change of sum(seed f(x)) along dx.
func alongGradient(x, dx []float64, seed []float32, part [2]int, f func(x []float64) []float64) (square, change float64) {
	for _, g := range dx[part[0]:part[1]] {
		square += g * g
	}
	h := 1e-4 / math.Sqrt(square)
	for _, sign := range []float64{1, -1} {
		y := slices.Clone(x)
		for j := part[0]; j < part[1]; j++ {
			y[j] += sign * h * dx[j]
		}
		for j, v := range f(y) {
			change += sign * float64(seed[j]) * v / (2 * h)
		}
	}
	return square, change
}

func TestAttentionsScratchDoesNotGrowWithTheSquareOfTheTokens(t *testing.T) {
	const n, d = 4096, 64
	e := newEngine(t, 1, Detect())
	if e.Level() == Portable {
		t.Skip("takes too long in portable code")
	}
	s := newSource(11)
	a := attentionArgs(attentionCase{b: 1, t: n, s: n, h: 1, kv: 1, d: d, causal: true}, s.vec(3*n*d))
	b := AttentionBackwardArgs{Forward: a, DO: TightView(s.vec(n*d), n, 1, d), DQ: TightView(s.vec(n*d), n, 1, d), DK: TightView(s.vec(n*d), n, 1, d), DV: TightView(s.vec(n*d), n, 1, d)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e.Attention(a)
	e.AttentionBackward(b)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Fatalf("%d bytes of scratch for %d tokens, whose scores are %d bytes", got, n, n*n*4)
	}
}
