package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expLow and expHigh bound the exponent: results stay normal numbers. They live in these registers, so that a NaN passes the bounds.
const expLow, expHigh = 12, 13

func expSetup() {
	VMOVUPS(constant(-87), v(expLow))
	VMOVUPS(constant(88), v(expHigh))
}

// exp replaces x by e^x, relative error below 2e-7 (Cephes expf): 2^n times a polynomial of the rest. n and p are scratch.
func exp(x, n, p reg.VecPhysical) {
	VMAXPS(x, v(expLow), x)
	VMINPS(x, v(expHigh), x)
	VMULPS(constant(math.Log2E), x, n)
	if cpu.wide {
		VRNDSCALEPS(Imm(8), n, n)
	} else {
		VROUNDPS(Imm(8), n, n)
	}
	VFMADD231PS(constant(-0.693359375), n, x)
	VFMADD231PS(constant(2.12194440e-4), n, x)
	VMOVUPS(constant(1.9875691500e-4), p)
	for _, c := range []float64{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1} {
		VFMADD213PS(constant(c), x, p)
	}
	VMULPS(x, p, p)
	VFMADD213PS(x, x, p)
	VADDPS(constant(1), p, p)
	if cpu.wide {
		VSCALEFPS(n, p, x)
		return
	}
	VCVTPS2DQ(n, n)
	VPADDD(bits(127), n, n)
	VPSLLD(Imm(23), n, n)
	VMULPS(n, p, x)
}

func exponentials() {
	function("expSum", "func(dst, x []float32, scale, sub float32) float32")
	d, n, x := base("dst"), count("dst"), base("x")
	scalar("scale", v(8))
	scalar("sub", v(9))
	expSetup()
	zero(v(10))
	vectors(n, 1, func(i int) {
		load(at(x, i), v(0))
		VFMSUB213PS(v(9), v(8), v(0))
		exp(v(0), v(1), v(2))
		zeroMissing(v(0))
		VADDPS(v(0), v(10), v(10))
		store(v(0), at(d, i))
	}, d, x)
	across(VADDPS, v(10), v(0))
	Store(v(10).AsX(), ReturnIndex(0))
	done()
	softmaxRows()
	gates()
	erfs()
}

// softmaxRows emits attention's two row kernels: each walks a row of scores while it is in the first-level cache. scale is positive.
func softmaxRows() {
	function("softmaxRow", "func(x []float32, scale float32) (top, sum float32)")
	x, n := base("x"), count("x")
	p, left := GP64().(reg.GPVirtual), GP64().(reg.GPVirtual)
	restart := func() { MOVQ(x, p); MOVQ(n, left) }
	scalar("scale", v(8))
	expSetup()
	restart()
	const acc = 4
	for i := range 2 {
		VBROADCASTSS(constant(math.Inf(-1)), v(acc+i))
	}
	vectors(left, 2, func(i int) {
		loadOr(at(p, i), v(i), constant(math.Inf(-1)))
		VMAXPS(v(i), v(acc+i), v(acc+i))
	}, p)
	VMAXPS(v(acc+1), v(acc), v(acc))
	across(VMAXPS, v(acc), v(0))
	VMULSS(v(8).AsX(), v(acc).AsX(), v(acc).AsX())
	Store(v(acc).AsX(), Return("top"))
	VBROADCASTSS(v(acc).AsX(), v(9))
	zero(v(10))
	restart()
	vectors(left, 1, func(i int) {
		load(at(p, i), v(0))
		VFMSUB213PS(v(9), v(8), v(0))
		exp(v(0), v(1), v(2))
		zeroMissing(v(0))
		VADDPS(v(0), v(10), v(10))
		store(v(0), at(p, i))
	}, p)
	across(VADDPS, v(10), v(0))
	Store(v(10).AsX(), Return("sum"))
	VMOVSS(constant(1), reg.X0)
	VDIVSS(v(10).AsX(), reg.X0, reg.X0)
	VBROADCASTSS(reg.X0, v(9))
	restart()
	vectors(left, 4, func(i int) {
		load(at(p, i), v(i))
		VMULPS(v(9), v(i), v(i))
		store(v(i), at(p, i))
	}, p)
	done()

	softmaxGradRow()
}

func softmaxGradRow() {
	function("softmaxGradRow", "func(dp, x []float32, scale, lse float32)")
	dp, n := base("dp"), count("dp")
	x := base("x")
	d, q, left := GP64().(reg.GPVirtual), GP64().(reg.GPVirtual), GP64().(reg.GPVirtual)
	again := func() { MOVQ(x, q); MOVQ(dp, d); MOVQ(n, left) }
	scalar("scale", v(8))
	scalar("lse", v(9))
	expSetup()
	zero(v(10))
	again()
	vectors(left, 1, func(i int) {
		load(at(q, i), v(0))
		VFMSUB213PS(v(9), v(8), v(0))
		exp(v(0), v(1), v(2))
		load(at(d, i), v(3)) // zero beyond the tail: the sum needs no mask
		VFMADD231PS(v(0), v(3), v(10))
		store(v(0), at(q, i))
	}, d, q)
	across(VADDPS, v(10), v(0))
	VBROADCASTSS(v(10).AsX(), v(10))
	again()
	vectors(left, 2, func(i int) {
		load(at(d, i), v(i))
		load(at(q, i), v(4+i))
		VSUBPS(v(10), v(i), v(i))
		VMULPS(v(8), v(4+i), v(4+i))
		VMULPS(v(4+i), v(i), v(i))
		store(v(i), at(d, i))
	}, d, q)
	done()
}

const (
	geluC1 = 0.044715
	geluC2 = 2 * 0.7978845608028654 // 2 sqrt(2/pi)

	quickGELU = 1.702
)

// sigmoid replaces -z in x by 1/(1+e^-z).
func sigmoid(x, n, p reg.VecPhysical) {
	exp(x, n, p)
	VADDPS(constant(1), x, x)
	VMOVUPS(constant(1), n)
	VDIVPS(x, n, x)
}

// gates emits the functions x sigmoid(z(x)): SiLU, GELU's tanh form and its quick one, with their gradients.
func gates() {
	// argument computes -z of v(0) in v(1); slope dz/dx in v(4).
	type gate struct {
		name            string
		argument, slope func()
	}
	for _, g := range []gate{
		{"silu", func() { VXORPS(bits(0x80000000), v(0), v(1)) }, func() { VMOVUPS(constant(1), v(4)) }},
		{"quickGELU", func() { VMULPS(constant(-quickGELU), v(0), v(1)) }, func() { VMOVUPS(constant(quickGELU), v(4)) }},
		{"geluTanh", func() {
			VMULPS(v(0), v(0), v(1))
			VMOVUPS(constant(-geluC2*geluC1), v(2))
			VFMADD213PS(constant(-geluC2), v(2), v(1))
			VMULPS(v(0), v(1), v(1))
		}, func() {
			VMULPS(v(0), v(0), v(4))
			VMOVUPS(constant(3*geluC1*geluC2), v(2))
			VFMADD213PS(constant(geluC2), v(2), v(4))
		}},
	} {
		function(g.name, "func(dst, x []float32)")
		d, n, x := base("dst"), count("dst"), base("x")
		expSetup()
		vectors(n, 1, func(i int) {
			load(at(x, i), v(0))
			g.argument()
			sigmoid(v(1), v(2), v(3))
			VMULPS(v(1), v(0), v(0))
			store(v(0), at(d, i))
		}, d, x)
		done()

		// dy (s + x s (1-s) z')
		function(g.name+"Grad", "func(dst, x, dy []float32)")
		d, n, x = base("dst"), count("dst"), base("x")
		dy := base("dy")
		expSetup()
		vectors(n, 1, func(i int) {
			load(at(x, i), v(0))
			g.argument()
			sigmoid(v(1), v(2), v(3))
			g.slope()
			VMOVUPS(constant(1), v(3))
			VSUBPS(v(1), v(3), v(3))
			VMULPS(v(3), v(4), v(4))
			VMULPS(v(1), v(4), v(4))
			VFMADD213PS(v(1), v(0), v(4))
			load(at(dy, i), v(0))
			VMULPS(v(0), v(4), v(4))
			store(v(4), at(d, i))
		}, d, x, dy)
		done()
	}
	swiglu()
}

func swiglu() {
	function("swiglu", "func(dst, gate, up []float32)")
	d, n := base("dst"), count("dst")
	gate, up := base("gate"), base("up")
	expSetup()
	vectors(n, 1, func(i int) {
		load(at(gate, i), v(0))
		VXORPS(bits(0x80000000), v(0), v(1))
		sigmoid(v(1), v(2), v(3))
		VMULPS(v(1), v(0), v(0))
		load(at(up, i), v(4))
		VMULPS(v(4), v(0), v(0))
		store(v(0), at(d, i))
	}, d, gate, up)
	done()

	// dgate = dy up s (1 + x (1-s)), dup = dy x s
	function("swigluGrad", "func(dgate, dup, gate, up, dy []float32)")
	d, n = base("dgate"), count("dgate")
	dup := base("dup")
	gate, up = base("gate"), base("up")
	dy := base("dy")
	expSetup()
	vectors(n, 1, func(i int) {
		load(at(gate, i), v(0))
		VXORPS(bits(0x80000000), v(0), v(1))
		sigmoid(v(1), v(2), v(3))
		load(at(dy, i), v(4))
		load(at(up, i), v(5))
		VMOVUPS(constant(1), v(2))
		VSUBPS(v(1), v(2), v(3))
		VFMADD213PS(v(2), v(0), v(3))
		VMULPS(v(1), v(4), v(4)) // dy s
		VMULPS(v(4), v(0), v(0))
		store(v(0), at(dup, i))
		VMULPS(v(5), v(4), v(4))
		VMULPS(v(3), v(4), v(4))
		store(v(4), at(d, i))
	}, d, dup, gate, up, dy)
	done()
}

// erfcxOverT are the coefficients, from the constant, of a polynomial in t = 1/(1 + 0.3275911 z) for erfc(z) e^(z^2) / t, z in [0, 9.4]: a least
// squares fit of relative error 1.3e-7, in the form of Abramowitz and Stegun 7.1.26 but exact in the tail too.
var erfcxOverT = []float64{
	0.185071242772, 0.180456189004, 0.207576090709, 0.0198839061937,
	0.463770796243, -0.417452365235, 0.503472870929, -0.142778758713,
}

// erfs emits GELU's exact form and its gradient.
func erfs() {
	// phi leaves the distribution function of v(0) in v(1) and exp(-x^2/2) in v(4).
	phi := func() {
		VMULPS(v(0), v(0), v(4))
		VMULPS(constant(-0.5), v(4), v(4))
		exp(v(4), v(2), v(3))
		VANDPS(bits(0x7fffffff), v(0), v(1))
		VMOVUPS(constant(0.3275911/math.Sqrt2), v(2))
		VFMADD213PS(constant(1), v(2), v(1))
		VMOVUPS(constant(1), v(2))
		VDIVPS(v(1), v(2), v(2)) // t
		top := len(erfcxOverT) - 1
		VMOVUPS(constant(0.5*erfcxOverT[top]), v(1))
		for i := top - 1; i >= 0; i-- {
			VFMADD213PS(constant(0.5*erfcxOverT[i]), v(2), v(1))
		}
		VMULPS(v(2), v(1), v(1))
		VMULPS(v(4), v(1), v(1)) // the tail beyond |x|
		// step(x) -+ tail: exact where the tail is small, on either side.
		VANDNPS(bits(0x80000000), v(0), v(3))
		VXORPS(v(3), v(1), v(1))
		VPSRAD(Imm(31), v(0), v(2))
		VANDNPS(constant(1), v(2), v(2))
		VADDPS(v(2), v(1), v(1))
	}
	function("geluErf", "func(dst, x []float32)")
	d, n, x := base("dst"), count("dst"), base("x")
	expSetup()
	vectors(n, 1, func(i int) {
		load(at(x, i), v(0))
		phi()
		VMULPS(v(1), v(0), v(0))
		store(v(0), at(d, i))
	}, d, x)
	done()

	// dy (phi + x density)
	function("geluErfGrad", "func(dst, x, dy []float32)")
	d, n, x = base("dst"), count("dst"), base("x")
	dy := base("dy")
	expSetup()
	vectors(n, 1, func(i int) {
		load(at(x, i), v(0))
		phi()
		VMULPS(constant(1/math.Sqrt(2*math.Pi)), v(4), v(4))
		VFMADD213PS(v(1), v(0), v(4))
		load(at(dy, i), v(0))
		VMULPS(v(0), v(4), v(4))
		store(v(4), at(d, i))
	}, d, x, dy)
	done()
}
