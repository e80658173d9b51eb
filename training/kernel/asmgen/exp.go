package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expLow, expHigh and expRound are registers: bounds of the exponent of 2, between which results stay normal numbers and which a NaN passes,
// and 1.5 2^23, whose sum with a number of that size has the nearest integer in its lowest bits.
const expLow, expHigh, expRound = 12, 13, 11

func expSetup() {
	VMOVUPS(constant(-125), v(expLow))
	VMOVUPS(constant(127), v(expHigh))
	VMOVUPS(constant(3<<22), v(expRound))
}

// exp2Minus1OverX are the coefficients, from the constant, of a minimax polynomial for (2^x - 1)/x, x in [-1/2, 1/2].
var exp2Minus1OverX = []float64{0.6931469775850198, 0.24022242072106373, 0.05550733760969487, 0.00967151337127755, 0.0013264723084709072}

// exp2 replaces x by 2^x, relative error below 2e-7: a polynomial of the rest, to whose exponent the integer part is added. n and p are scratch.
func exp2(x, n, p reg.VecPhysical) {
	VMINPS(x, v(expHigh), x)
	exp2Negative(x, n, p)
}

// exp2Negative is exp2 for x below expHigh.
func exp2Negative(x, n, p reg.VecPhysical) {
	VMAXPS(x, v(expLow), x)
	VADDPS(v(expRound), x, n)
	VSUBPS(v(expRound), n, p)
	VSUBPS(p, x, x)
	top := len(exp2Minus1OverX) - 1
	VMOVUPS(constant(exp2Minus1OverX[top]), p)
	for i := top - 1; i >= 0; i-- {
		VFMADD213PS(constant(exp2Minus1OverX[i]), x, p)
	}
	VFMADD213PS(constant(1), p, x)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, x, x)
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
		VMULPS(constant(math.Log2E), v(0), v(0))
		exp2(v(0), v(1), v(2))
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

// softmaxRows emits attention's two row kernels: each walks a row of scores while it is in the first-level cache. scale is positive and includes
// log2(e): exponents are of 2.
func softmaxRows() {
	function("softmaxRow", "func(x []float32, scale, top float32) (newTop, sum float32)")
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
	scalar("top", v(0))
	VMAXSS(v(acc).AsX(), v(0).AsX(), v(acc).AsX())
	Store(v(acc).AsX(), Return("newTop"))
	VBROADCASTSS(v(acc).AsX(), v(9))
	zero(v(10))
	restart()
	vectors(left, 1, func(i int) {
		load(at(p, i), v(0))
		VFMSUB213PS(v(9), v(8), v(0))
		exp2Negative(v(0), v(1), v(2))
		zeroMissing(v(0))
		VADDPS(v(0), v(10), v(10))
		store(v(0), at(p, i))
	}, p)
	across(VADDPS, v(10), v(0))
	Store(v(10).AsX(), Return("sum"))
	done()

	softmaxGradRow()
}

func softmaxGradRow() {
	function("softmaxGradRow", "func(dp, x []float32, scale, lse, gradScale, delta float32)")
	d, n := base("dp"), count("dp")
	x := base("x")
	for i, p := range []string{"scale", "lse", "gradScale", "delta"} {
		scalar(p, v(7+i))
	}
	expSetup()
	vectors(n, 1, func(i int) {
		load(at(x, i), v(0))
		VFMSUB213PS(v(8), v(7), v(0))
		exp2Negative(v(0), v(1), v(2))
		load(at(d, i), v(3))
		store(v(0), at(x, i))
		VSUBPS(v(10), v(3), v(3))
		VMULPS(v(9), v(0), v(0))
		VMULPS(v(0), v(3), v(3))
		store(v(3), at(d, i))
	}, d, x)
	done()
}

const (
	geluC1 = 0.044715
	geluC2 = 2 * 0.7978845608028654 // 2 sqrt(2/pi)

	quickGELU = 1.702
)

// sigmoid replaces -z log2(e) in x by 1/(1+e^-z).
func sigmoid(x, n, p reg.VecPhysical) {
	exp2(x, n, p)
	VADDPS(constant(1), x, x)
	VMOVUPS(constant(1), n)
	VDIVPS(x, n, x)
}

// gates emits the functions x sigmoid(z(x)): SiLU, GELU's tanh form and its quick one, with their gradients.
func gates() {
	// argument computes -z log2(e) of v(0) in v(1); slope dz/dx in v(4).
	type gate struct {
		name            string
		argument, slope func()
	}
	for _, g := range []gate{
		{"silu", func() { VMULPS(constant(-math.Log2E), v(0), v(1)) }, func() { VMOVUPS(constant(1), v(4)) }},
		{"quickGELU", func() { VMULPS(constant(-quickGELU*math.Log2E), v(0), v(1)) }, func() { VMOVUPS(constant(quickGELU), v(4)) }},
		{"geluTanh", func() {
			VMULPS(v(0), v(0), v(1))
			VMOVUPS(constant(-geluC2*geluC1*math.Log2E), v(2))
			VFMADD213PS(constant(-geluC2*math.Log2E), v(2), v(1))
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
		VMULPS(constant(-math.Log2E), v(0), v(1))
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
		VMULPS(constant(-math.Log2E), v(0), v(1))
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
		VMULPS(constant(-0.5*math.Log2E), v(4), v(4))
		exp2Negative(v(4), v(2), v(3))
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
