package devicetest

import (
	"fmt"
	"slices"

	"tempera/training/device"
)

func memoryTrials() []trial {
	return []trial{
		{method: "Zero", values: []operand{f(3, 5)}, exact: true, call: func(b device.Backend, v []*device.Value) { b.Zero(v[0]) }},
		{method: "Zero", name: "of many", values: []operand{f(9001), f(3, 5), f(0), a(7), is(1, 2)}, exact: true, call: func(b device.Backend, v []*device.Value) { b.Zero(v[0], v[2], v[3], v[4]) }},
		{method: "Zero", name: "of integers", values: []operand{is(1, 2)}, call: func(b device.Backend, v []*device.Value) { b.Zero(v[0]) }},
		{method: "Copy", values: []operand{f(3, 5), f(15)}, exact: true, call: func(b device.Backend, v []*device.Value) { b.Copy(v[0], v[1]) }},
	}
}

// linearTrials multiply odd sizes and such that vectors and tiles of matrix units divide, or just do not.
func linearTrials() []trial {
	return slices.Concat(gemmTrials("", 37, 53, 29), gemmTrials(" of even sizes", 40, 56, 24), gemmTrials(" of two rows", 2, 56, 24), fewRows(), []trial{
		gemmTrial("of one row", device.GemmArgs{M: 1, N: 33, K: 70}),
		gemmTrial("of one even row", device.GemmArgs{M: 1, N: 64, K: 72}),
		gemmTrial("of one column", device.GemmArgs{M: 33, N: 1, K: 8}),
		gemmTrial("of long sums", device.GemmArgs{M: 5, N: 9, K: 700}),
		gemmTrial("of no sums", device.GemmArgs{M: 5, N: 9}),
		gemmTrial("beyond a tile", device.GemmArgs{M: 131, N: 129, K: 35}),
		gemmTrial("of a transposed A beyond a tile", device.GemmArgs{M: 131, N: 129, K: 35, TransA: true}),
		gemmTrial("of a transposed B beyond a tile", device.GemmArgs{M: 131, N: 129, K: 35, TransB: true}),
		gemmTrial("of both transposed, many rows", device.GemmArgs{M: 259, N: 3, K: 64, TransA: true, TransB: true}),
	})
}

// fewRows are products as generation has them: of matrices that many blocks read.
func fewRows() []trial {
	var ts []trial
	for rows := 1; rows <= 5; rows++ {
		for name, shape := range map[string]device.GemmArgs{
			"": {N: 264, K: 1000}, " of a narrow matrix": {N: 8, K: 4000}, " of a wide matrix": {N: 1800, K: 64}, " of a transposed B": {N: 41, K: 264, TransB: true}, " that accumulate": {N: 264, K: 136, Accumulate: true},
		} {
			shape.M = rows
			ts = append(ts, gemmTrial(fmt.Sprintf("of %d rows%s", rows, name), shape))
		}
	}
	return ts
}

// gemmTrial has nothing but a product.
func gemmTrial(name string, shape device.GemmArgs) trial {
	return trial{
		method: "Gemm", name: name, values: []operand{a(shape.M, shape.K), a(shape.K, shape.N), a(shape.M, shape.N)},
		call: func(b device.Backend, v []*device.Value) {
			args := shape
			args.A, args.B, args.C = v[0], v[1], v[2]
			b.Gemm(args)
		},
	}
}

func gemmTrials(suffix string, m, n, k int) []trial {
	gemm := func(change func(a *device.GemmArgs, v []*device.Value)) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			a := device.GemmArgs{M: m, N: n, K: k, A: v[0], B: v[1], C: v[2]}
			change(&a, v)
			b.Gemm(a)
		}
	}
	// x, a parameter, the product, a bias, what the activation is of, a residual
	plain := []operand{a(m, k), f(k, n), a(m, n)}
	gradient := []operand{a(m, k), a(k, n), f(m, n)}
	more := append(plain, f(n), a(m, n), a(m, n))
	ts := []trial{
		{method: "Gemm", values: plain, call: gemm(func(*device.GemmArgs, []*device.Value) {})},
		{method: "Gemm", name: "of activations to float32", values: gradient, call: gemm(func(*device.GemmArgs, []*device.Value) {})},
		{method: "Gemm", name: "of a transposed A that accumulates in float32", values: gradient, call: gemm(func(a *device.GemmArgs, _ []*device.Value) {
			a.TransA, a.Accumulate = true, true
		})},
		{method: "Gemm", name: "with bias to float32", values: append(gradient, f(n)), call: gemm(func(a *device.GemmArgs, v []*device.Value) { a.Bias = v[3] })},
		{method: "Gemm", name: "of a transposed A", values: plain, call: gemm(func(a *device.GemmArgs, _ []*device.Value) { a.TransA = true })},
		{method: "Gemm", name: "of a transposed B that accumulates", values: plain, call: gemm(func(a *device.GemmArgs, _ []*device.Value) {
			a.TransB, a.Accumulate = true, true
		})},
		{method: "Gemm", name: "of both transposed", values: plain, call: gemm(func(a *device.GemmArgs, _ []*device.Value) { a.TransA, a.TransB = true, true })},
		{method: "Gemm", name: "with bias", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) { a.Bias = v[3] })},
		{method: "Gemm", name: "with bias and residual", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) { a.Bias, a.Residual = v[3], v[5] })},
		{method: "Gemm", name: "with bias and residual that is the output", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) { a.Bias, a.Residual = v[3], v[2] })},
		{method: "Gemm", name: "with bias, kept, and residual", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) {
			a.Bias, a.Pre, a.Residual = v[3], v[4], v[5]
		})},
		{method: "Gemm", name: "with bias and residual that accumulates", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) {
			a.Bias, a.Residual, a.Accumulate = v[3], v[5], true
		})},
	}
	for name, act := range activations() {
		ts = append(ts,
			trial{method: "Gemm", name: "with bias, " + name + " and residual", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) {
				a.Bias, a.Activation, a.Pre, a.Residual = v[3], act, v[4], v[5]
			})},
			trial{method: "Gemm", name: "with bias and " + name, values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) {
				a.Bias, a.Activation, a.Pre = v[3], act, v[4]
			})},
			trial{method: "Gemm", name: "with " + name + " that accumulates", values: more, call: gemm(func(a *device.GemmArgs, v []*device.Value) {
				a.Activation, a.Pre, a.Accumulate = act, v[4], true
			})},
			trial{method: "Gemm", name: "with " + name + " of which nothing is kept", values: more, call: gemm(func(a *device.GemmArgs, _ []*device.Value) {
				a.Activation = act
			})})
	}
	for i := range ts {
		ts[i].name += suffix
	}
	return ts
}

func activations() map[string]device.Activation {
	return map[string]device.Activation{"tanh GELU": device.GELUTanh, "exact GELU": device.GELUErf, "SiLU": device.SiLU, "quick GELU": device.QuickGELU}
}

// heads are windows of one (B, T, parts, H, D) tensor.
type heads struct{ b, t, s, h, kv, d int }

func (h heads) q(v *device.Value) device.Heads {
	return device.HeadsOf(v, device.HeadsShape{T: h.t, H: h.h, D: h.d, Parts: 1})
}

func (h heads) k(v *device.Value) device.Heads {
	return device.HeadsOf(v, device.HeadsShape{T: h.s, H: h.kv, D: h.d, Parts: 1})
}

// attend is the trials of one kind of attention: forward, backward, and backward that accumulates. extra are further operands, from value 9 on.
func (h heads) attend(name string, change func(a *device.AttentionArgs, v []*device.Value), extra ...operand) []trial {
	q, k := a(h.b, h.t, h.h, h.d), a(h.b, h.s, h.kv, h.d)
	// queries, keys, values, output, log-sums, its gradient, gradients of queries, keys and values
	values := append([]operand{q, k, k, q, f(h.b, h.h, h.t), q, q, k, k}, extra...)
	forward := func(b device.Backend, v []*device.Value) device.AttentionArgs {
		args := device.AttentionArgs{
			B: h.b, T: h.t, S: h.s, H: h.h, KVHeads: h.kv, D: h.d, Q: h.q(v[0]), K: h.k(v[1]), V: h.k(v[2]), O: h.q(v[3]), LogSumExp: v[4],
		}
		if change != nil {
			change(&args, v)
		}
		b.Attention(args)
		return args
	}
	backward := func(accumulate bool) func(b device.Backend, v []*device.Value) {
		return func(b device.Backend, v []*device.Value) {
			b.AttentionBackward(device.AttentionBackwardArgs{
				Forward: forward(b, v), DO: h.q(v[5]), DQ: h.q(v[6]), DK: h.k(v[7]), DV: h.k(v[8]), Accumulate: accumulate,
			})
		}
	}
	return []trial{
		{method: "Attention", name: name, values: values, call: func(b device.Backend, v []*device.Value) { forward(b, v) }},
		{method: "AttentionBackward", name: name, values: values, call: backward(false)},
		{method: "AttentionBackward", name: name + " that accumulates", values: values, call: backward(true)},
	}
}

func attentionTrials() []trial {
	var ts []trial
	add := func(more ...trial) { ts = append(ts, more...) }
	add(heads{2, 7, 7, 3, 3, 5}.attend("in both directions", nil)...)
	add(heads{1, 131, 131, 2, 1, 8}.attend("looking back, with shared keys", func(a *device.AttentionArgs, _ []*device.Value) { a.Causal = true })...)
	add(heads{2, 3, 9, 4, 2, 6}.attend("to another sequence, looking back", func(a *device.AttentionArgs, _ []*device.Value) {
		a.Causal, a.Scale = true, 0.7
	})...)
	add(heads{3, 5, 6, 2, 2, 4}.attend("with padded keys", func(a *device.AttentionArgs, v []*device.Value) { a.KeyLengths = v[9] }, is(6, 0, 4))...)
	add(heads{1, 11, 11, 2, 2, 4}.attend("of packed sequences, looking back", func(a *device.AttentionArgs, v []*device.Value) {
		a.Packed, a.Causal = v[9], true
	}, is(0, 4, 4, 11))...)
	return slices.Concat(ts, tileTrials(), windowTrials(), ropeTrials())
}

// tileTrials are around the sizes of the tiles of blocked kernels.
func tileTrials() []trial {
	causal := func(a *device.AttentionArgs, _ []*device.Value) { a.Causal = true }
	padded := func(a *device.AttentionArgs, v []*device.Value) { a.KeyLengths = v[9] }
	packed := func(a *device.AttentionArgs, v []*device.Value) { a.Packed, a.Causal = v[9], true }
	return slices.Concat(
		heads{1, 1, 65, 2, 1, 64}.attend("of one query", causal),
		heads{1, 64, 64, 2, 2, 64}.attend("of a whole tile, looking back", causal),
		heads{1, 63, 129, 4, 2, 64}.attend("of a part of a tile, looking back, with shared keys", causal),
		heads{1, 129, 63, 1, 1, 80}.attend("of more queries than keys, looking back, in a width that is padded", causal),
		heads{1, 65, 200, 1, 1, 128}.attend("of two tiles to four", nil),
		heads{2, 40, 70, 1, 1, 128}.attend("with padded keys of more than a tile", padded, is(65, 3)),
		heads{1, 200, 200, 2, 1, 64}.attend("of packed sequences in several tiles, looking back, with shared keys", packed, is(0, 0, 50, 130, 131, 131, 200)),
		heads{1, 33, 47, 1, 1, 144}.attend("in the largest width, looking back", causal),
	)
}

// windowTrials have queries, keys and values in one tensor, and their gradients in another.
func windowTrials() []trial {
	var ts []trial
	for name, h := range map[string]heads{"of one tensor": {2, 19, 19, 4, 2, 32}, "of one tensor of odd width": {2, 19, 19, 2, 1, 7}} {
		width := (h.h + 2*h.kv) * h.d
		part := func(v *device.Value, head int) device.Heads {
			return device.Heads{Value: v, Offset: head * h.d, Batch: h.t * width, Token: width, Head: h.d}
		}
		packed, out := a(h.b, h.t, width), a(h.b, h.t, h.h, h.d)
		ts = append(ts, trial{
			method: "AttentionBackward", name: name, values: []operand{packed, out, f(h.b, h.h, h.t), out, packed},
			call: func(b device.Backend, v []*device.Value) {
				args := device.AttentionArgs{
					B: h.b, T: h.t, S: h.s, H: h.h, KVHeads: h.kv, D: h.d, Q: part(v[0], 0), K: part(v[0], h.h), V: part(v[0], h.h+h.kv), O: h.q(v[1]), LogSumExp: v[2],
				}
				b.Attention(args)
				b.AttentionBackward(device.AttentionBackwardArgs{
					Forward: args, DO: h.q(v[3]), DQ: part(v[4], 0), DK: part(v[4], h.h), DV: part(v[4], h.h+h.kv),
				})
			},
		})
	}
	return ts
}

func ropeTrials() []trial {
	const b, t, h, d = 2, 6, 3, 8
	type variant struct{ inverse, indexed bool }
	turn := func(spec device.RoPESpec, o variant) func(be device.Backend, v []*device.Value) {
		return func(be device.Backend, v []*device.Value) {
			table, err := be.NewRoPETable(spec)
			if err != nil {
				panic(err)
			}
			shape := device.HeadsShape{T: t, H: h, D: d, Parts: 1}
			args := device.RoPEArgs{B: b, T: t, H: h, D: d, X: device.HeadsOf(v[0], shape), Y: device.HeadsOf(v[1], shape), Table: table, Inverse: o.inverse}
			if o.indexed {
				args.Index = v[2]
			}
			be.RoPE(args)
		}
	}
	line := device.RoPESpec{Width: d, Theta: 1e4, Rows: []int32{0, 1, 2, 3, 100, 5}}
	grid := device.RoPESpec{Width: d, Theta: 100, Rows: []int32{0, 0, 0, 1, 1, 1}, Cols: []int32{0, 1, 2, 0, 1, 2}}
	scaled := device.RoPESpec{Width: d, Frequencies: []float64{1, 0.3, 0.01, 0.002}, Magnitude: 1.2, Rows: []int32{0, 1, 2, 3, 4, 5, 6}}
	values := []operand{a(b, t, h, d), a(b, t, h, d), is(0, 1, 2, 0, 1, 0, 6, 5, 4, 3, 2, 1)}
	return []trial{
		{method: "NewRoPETable", name: "of a line", values: values, call: turn(line, variant{})},
		{method: "RoPE", name: "of a grid", values: values, call: turn(grid, variant{})},
		{method: "RoPE", name: "backwards", values: values, call: turn(line, variant{inverse: true})},
		{method: "RoPE", name: "by index, scaled", values: values, call: turn(scaled, variant{indexed: true})},
		{method: "RoPE", name: "by index, scaled, backwards", values: values, call: turn(scaled, variant{inverse: true, indexed: true})},
		{method: "RoPE", name: "in place, in whole vectors", values: []operand{a(3, 50, 5, 64)}, call: ropeInPlace(3, 50, 5, 64)},
		{method: "RoPE", name: "in place, in an odd window", values: []operand{a(2, 9, 3, 14)}, call: ropeInPlace(2, 9, 2, 14)},
	}
}

// ropeInPlace turns the first h heads of a tensor that has one more, or as many.
func ropeInPlace(b, t, h, d int) func(be device.Backend, v []*device.Value) {
	return func(be device.Backend, v []*device.Value) {
		spec := device.RoPESpec{Width: d, Theta: 1e4}
		for i := range t {
			spec.Rows = append(spec.Rows, int32(i))
		}
		table, err := be.NewRoPETable(spec)
		if err != nil {
			panic(err)
		}
		width := v[0].Size() / (b * t)
		x := device.Heads{Value: v[0], Batch: t * width, Token: width, Head: d}
		be.RoPE(device.RoPEArgs{B: b, T: t, H: h, D: d, X: x, Y: x, Table: table})
	}
}
