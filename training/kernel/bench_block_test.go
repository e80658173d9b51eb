package kernel

import (
	"fmt"
	"testing"
)

// vitBlock is one pre-norm transformer block, forward and backward, as the engine runs it: width 64, batch 64, 65 tokens, 4 heads, MLP of 256.
type vitBlock struct {
	e                                   *Engine
	rows, c, hidden                     int
	b, t, h, d                          int
	x, n1, qkv, o, mid, n2, pre, act, y []float32
	mean1, rstd1, mean2, rstd2, lse     []float32
	ln1, ln2, wqkv, wo, w1, w2, bias    []float32
	dy, dact, dmid, dn, do, dqkv, dx    []float32
	dln, dbias, dwqkv, dwo, dw1, dw2    []float32
}

func newVitBlock(e *Engine) *vitBlock {
	s := newSource(1)
	k := &vitBlock{e: e, b: 64, t: 65, h: 4, d: 16}
	k.c, k.hidden, k.rows = k.h*k.d, 4*k.h*k.d, k.b*k.t
	n, c, f := k.rows, k.c, k.hidden
	for _, p := range []*[]float32{&k.x, &k.n1, &k.o, &k.mid, &k.n2, &k.y, &k.dy, &k.dmid, &k.dn, &k.do, &k.dx} {
		*p = s.vec(n * c)
	}
	for _, p := range []*[]float32{&k.pre, &k.act, &k.dact} {
		*p = s.vec(n * f)
	}
	k.qkv, k.dqkv = s.vec(n*3*c), s.vec(n*3*c)
	for _, p := range []*[]float32{&k.mean1, &k.rstd1, &k.mean2, &k.rstd2} {
		*p = make([]float32, n)
	}
	k.lse = make([]float32, k.b*k.h*k.t)
	k.ln1, k.ln2, k.bias, k.dln, k.dbias = s.vec(c), s.vec(c), s.vec(f), s.vec(c), s.vec(f)
	k.wqkv, k.wo, k.w1, k.w2 = s.vec(c*3*c), s.vec(c*c), s.vec(c*f), s.vec(f*c)
	k.dwqkv, k.dwo, k.dw1, k.dw2 = s.vec(c*3*c), s.vec(c*c), s.vec(c*f), s.vec(f*c)
	return k
}

func (k *vitBlock) attention() AttentionArgs {
	shape := PackedShape{T: k.t, Parts: 3, H: k.h, D: k.d}
	return AttentionArgs{
		B: k.b, T: k.t, S: k.t, H: k.h, D: k.d, Q: PackedView(k.qkv, shape, 0), K: PackedView(k.qkv, shape, 1),
		V: PackedView(k.qkv, shape, 2), O: TightView(k.o, k.t, k.h, k.d), LogSumExp: k.lse,
	}
}

// linear is y = x w^T + bias with w (out, in), with an epilogue.
func (k *vitBlock) linear(y, x, w []float32, in, out int, ep Epilogue) {
	k.e.Gemm(GemmArgs{M: k.rows, N: out, K: in, A: x, B: w, TransB: true, C: y, Epilogue: ep})
}

func (k *vitBlock) linearBackward(dx, dw, dy, x, w []float32, in, out int) {
	k.e.Gemm(GemmArgs{M: k.rows, N: in, K: out, A: dy, B: w, C: dx})
	k.e.Gemm(GemmArgs{M: out, N: in, K: k.rows, A: dy, TransA: true, B: x, C: dw, Accumulate: true})
	k.e.SumRows(SumRowsArgs{Rows: k.rows, Cols: out, Period: 1, X: dy, DP: k.dbias})
}

func (k *vitBlock) norm(y, x, w, mean, rstd []float32) {
	k.e.LayerNorm(LayerNormArgs{Rows: k.rows, Cols: k.c, X: x, W: w, B: w, Y: y, Mean: mean, RStd: rstd, Eps: 1e-6})
}

func (k *vitBlock) normBackward(dx, dy, x, mean, rstd []float32) {
	k.e.LayerNormBackward(LayerNormBackwardArgs{Rows: k.rows, Cols: k.c, X: x, W: k.ln1, Mean: mean, RStd: rstd, DY: dy, DX: dx, DW: k.dln, DB: k.dbias, Accumulate: true})
}

func (k *vitBlock) parts() []struct {
	name  string
	flops float64
	run   func()
} {
	n, c, f := k.rows, k.c, k.hidden
	products := 2 * float64(n) * float64(c*3*c+c*c+2*c*f)
	scores := 2 * float64(k.b*k.h*k.t*k.t*k.d)
	return []struct {
		name  string
		flops float64
		run   func()
	}{
		{"linear forward", products, func() {
			k.linear(k.qkv, k.n1, k.wqkv, c, 3*c, Epilogue{})
			k.linear(k.mid, k.o, k.wo, c, c, Epilogue{Bias: k.bias, Residual: k.x})
			k.linear(k.act, k.n2, k.w1, c, f, Epilogue{Bias: k.bias})
			k.linear(k.y, k.act, k.w2, f, c, Epilogue{Bias: k.bias, Residual: k.mid})
		}},
		{"GELU in the first product's epilogue", 2 * float64(n*c*f), func() {
			k.linear(k.act, k.n2, k.w1, c, f, Epilogue{Bias: k.bias, Activation: GELUErf, Pre: k.pre})
		}},
		{"attention forward", 2 * scores, func() { k.e.Attention(k.attention()) }},
		{"norms forward", 0, func() { k.norm(k.n1, k.x, k.ln1, k.mean1, k.rstd1); k.norm(k.n2, k.mid, k.ln2, k.mean2, k.rstd2) }},
		{"linear backward", 2 * products, func() {
			k.linearBackward(k.dact, k.dw2, k.dy, k.act, k.w2, f, c)
			k.linearBackward(k.dn, k.dw1, k.dact, k.n2, k.w1, c, f)
			k.linearBackward(k.do, k.dwo, k.dmid, k.o, k.wo, c, c)
			k.linearBackward(k.dn, k.dwqkv, k.dqkv, k.n1, k.wqkv, c, 3*c)
		}},
		{"GELU backward", 0, func() {
			k.e.ActivateBackward(ActivateBackwardArgs{Activation: GELUErf, N: n * f, X: k.pre, DY: k.dact, DX: k.dact})
		}},
		{"attention backward", 5 * scores, func() {
			shape := PackedShape{T: k.t, Parts: 3, H: k.h, D: k.d}
			k.e.AttentionBackward(AttentionBackwardArgs{
				Forward: k.attention(), DO: TightView(k.do, k.t, k.h, k.d),
				DQ: PackedView(k.dqkv, shape, 0), DK: PackedView(k.dqkv, shape, 1), DV: PackedView(k.dqkv, shape, 2),
			})
		}},
		{"norms backward", 0, func() {
			k.normBackward(k.dmid, k.dn, k.mid, k.mean2, k.rstd2)
			k.normBackward(k.dx, k.dn, k.x, k.mean1, k.rstd1)
		}},
	}
}

// BenchmarkVitBlock times the parts of a small vision transformer's block and the whole of it.
func BenchmarkVitBlock(b *testing.B) {
	for _, threads := range []int{1, 2} {
		k := newVitBlock(newEngine(b, threads, Auto))
		k.e.Attention(k.attention())
		parts := k.parts()
		for _, p := range parts {
			b.Run(fmt.Sprintf("%d threads/%s", threads, p.name), func(b *testing.B) { measure(b, p.flops, p.run) })
		}
		b.Run(fmt.Sprintf("%d threads/whole", threads), func(b *testing.B) {
			measure(b, 0, func() {
				for _, p := range parts {
					p.run()
				}
			})
		})
	}
}
