package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// reductions keep four partial vectors, so that additions do not wait for each other.
func reductions() {
	const acc = 8 // v(8)..v(11)
	finish := func(op func(ops ...Op), result string) {
		op(v(acc+1), v(acc), v(acc))
		op(v(acc+3), v(acc+2), v(acc+2))
		op(v(acc+2), v(acc), v(acc))
		across(op, v(acc), v(0))
		Store(v(acc).AsX(), ReturnIndex(0))
		done()
	}
	begin := func(name, signature string) {
		function(name, signature)
		for i := range 4 {
			zero(v(acc + i))
		}
	}

	begin("sum", "func(x []float32) float32")
	x, n := base("x"), count("x")
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		VADDPS(v(i), v(acc+i), v(acc+i))
	}, x)
	finish(VADDPS, "")

	begin("dot", "func(x, y []float32) float32")
	x, n = base("x"), count("x")
	y := base("y")
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		load(at(y, i), v(4+i))
		VFMADD231PS(v(4+i), v(i), v(acc+i))
	}, x, y)
	finish(VADDPS, "")

	begin("sqDev", "func(x []float32, mean float32) float32")
	x, n = base("x"), count("x")
	scalar("mean", v(12))
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		VSUBPS(v(12), v(i), v(i))
		zeroMissing(v(i))
		VFMADD231PS(v(i), v(i), v(acc+i))
	}, x)
	finish(VADDPS, "")

	function("max", "func(x []float32) float32")
	x, n = base("x"), count("x")
	for i := range 4 {
		VBROADCASTSS(constant(math.Inf(-1)), v(acc+i))
	}
	vectors(n, 4, func(i int) {
		loadOr(at(x, i), v(i), constant(math.Inf(-1)))
		VMAXPS(v(i), v(acc+i), v(acc+i))
	}, x)
	finish(VMAXPS, "")

	sumSquares()
}

// loadOr reads a vector whose missing lanes are a constant.
func loadOr(m Mem, r reg.VecPhysical, missing Mem) {
	if !cpu.tail {
		VMOVUPS(m, r)
		return
	}
	if cpu.wide {
		VMOVUPS(missing, r)
		VMOVUPS(m, reg.K1, r)
		return
	}
	VMOVUPS(missing, v(14))
	VMASKMOVPS(m, v(maskReg), r)
	VBLENDVPS(v(maskReg), r, v(14), r)
}

// sumSquares adds in float64.
func sumSquares() {
	function("sumSq", "func(x []float32) float64")
	x, n := base("x"), count("x")
	const acc = 8
	for i := range 4 {
		zero(v(acc + i))
	}
	vectors(n, 2, func(i int) {
		load(at(x, i), v(i))
		if cpu.wide {
			VEXTRACTF64X4(Imm(1), v(i), v(2+i).AsY())
			VCVTPS2PD(v(i).AsY(), v(i))
			VCVTPS2PD(v(2+i).AsY(), v(2+i))
		} else {
			VEXTRACTF128(Imm(1), v(i), v(2+i).AsX())
			VCVTPS2PD(v(i).AsX(), v(i))
			VCVTPS2PD(v(2+i).AsX(), v(2+i))
		}
		VFMADD231PD(v(i), v(i), v(acc+2*i))
		VFMADD231PD(v(2+i), v(2+i), v(acc+2*i+1))
	}, x)
	VADDPD(v(acc+1), v(acc), v(acc))
	VADDPD(v(acc+3), v(acc+2), v(acc+2))
	VADDPD(v(acc+2), v(acc), v(acc))
	r := v(acc)
	if cpu.wide {
		VEXTRACTF64X4(Imm(1), r, reg.Y0)
		VADDPD(reg.Y0, r.AsY(), r.AsY())
	}
	VEXTRACTF128(Imm(1), r.AsY(), reg.X0)
	VADDPD(reg.X0, r.AsX(), r.AsX())
	VHADDPD(r.AsX(), r.AsX(), r.AsX())
	Store(r.AsX(), ReturnIndex(0))
	done()
}

func elementwise() {
	binary := func(name string, op func(ops ...Op)) {
		function(name, "func(dst, a, b []float32)")
		d, n, a, b := base("dst"), count("dst"), base("a"), base("b")
		vectors(n, 4, func(i int) {
			load(at(a, i), v(i))
			load(at(b, i), v(4+i))
			op(v(4+i), v(i), v(i))
			store(v(i), at(d, i))
		}, d, a, b)
		done()
	}
	binary("add", VADDPS)
	binary("mul", VMULPS)

	// dst += a x
	function("axpy", "func(dst, x []float32, a float32)")
	d, n, x := base("dst"), count("dst"), base("x")
	scalar("a", v(8))
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		load(at(d, i), v(4+i))
		VFMADD231PS(v(i), v(8), v(4+i))
		store(v(4+i), at(d, i))
	}, d, x)
	done()

	// dst = a x
	function("scale", "func(dst, x []float32, a float32)")
	d, n, x = base("dst"), count("dst"), base("x")
	scalar("a", v(8))
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		VMULPS(v(8), v(i), v(i))
		store(v(i), at(d, i))
	}, d, x)
	done()

	// dst = a x + b
	function("affine", "func(dst, x []float32, a, b float32)")
	d, n, x = base("dst"), count("dst"), base("x")
	scalar("a", v(8))
	scalar("b", v(9))
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		VFMADD213PS(v(9), v(8), v(i))
		store(v(i), at(d, i))
	}, d, x)
	done()

	blends()
}

// blends emits the elementwise functions with two scalars.
func blends() {
	// dst = keep dst + (1-keep) x
	function("lerp", "func(dst, x []float32, keep float32)")
	d, n, x := base("dst"), count("dst"), base("x")
	scalar("keep", v(8))
	VMOVUPS(constant(1), v(9))
	VSUBPS(v(8), v(9), v(9))
	vectors(n, 4, func(i int) {
		load(at(x, i), v(i))
		load(at(d, i), v(4+i))
		VMULPS(v(9), v(i), v(i))
		VFMADD213PS(v(i), v(8), v(4+i))
		store(v(4+i), at(d, i))
	}, d, x)
	done()

	// dst = scale p (dp - dot)
	function("softmaxGrad", "func(dst, dp, p []float32, dot, scale float32)")
	d, n = base("dst"), count("dst")
	dp, p := base("dp"), base("p")
	scalar("dot", v(8))
	scalar("scale", v(9))
	vectors(n, 2, func(i int) {
		load(at(dp, i), v(i))
		load(at(p, i), v(4+i))
		VSUBPS(v(8), v(i), v(i))
		VMULPS(v(9), v(4+i), v(4+i))
		VMULPS(v(4+i), v(i), v(i))
		store(v(i), at(d, i))
	}, d, dp, p)
	done()
}
