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

// exp2 replaces register z of every chain by 2^z, relative error below 2e-7: a polynomial of the rest, to whose exponent the integer part is
// added. Registers n and p are scratch.
func (c chains) exp2(z, n, p int) {
	c.each(func(i int) { VMINPS(x(i, z), v(expHigh), x(i, z)) })
	c.exp2Negative(z, n, p)
}

// exp2Negative is exp2 for numbers below expHigh.
func (c chains) exp2Negative(z, n, p int) {
	c.each(func(i int) { VMAXPS(x(i, z), v(expLow), x(i, z)) })
	c.each(func(i int) { VADDPS(v(expRound), x(i, z), x(i, n)) })
	c.each(func(i int) { VSUBPS(v(expRound), x(i, n), x(i, p)) })
	c.each(func(i int) { VSUBPS(x(i, p), x(i, z), x(i, z)) })
	c.polynomial(exp2Minus1OverX, z, p)
	c.each(func(i int) { VFMADD213PS(constant(1), x(i, p), x(i, z)) })
	c.each(func(i int) { VPSLLD(Imm(23), x(i, n), x(i, n)) })
	c.each(func(i int) { VPADDD(x(i, n), x(i, z), x(i, z)) })
}

// polynomial leaves the sum of coefficients[k] z^k in p.
func (c chains) polynomial(coefficients []float64, z, p int) {
	top := len(coefficients) - 1
	c.each(func(i int) { VMOVUPS(constant(coefficients[top]), x(i, p)) })
	for k := top - 1; k >= 0; k-- {
		c.each(func(i int) { VFMADD213PS(constant(coefficients[k]), x(i, z), x(i, p)) })
	}
}

// Registers of whole functions beside the chains' first three.
const (
	expScale = 8
	expSub   = 9
	expTotal = 10
)

func exponentials() {
	function("expSum", "func(dst, x []float32, scale, sub float32) float32")
	d, n, src := base("dst"), count("dst"), base("x")
	scalar("scale", v(14))
	scalar("sub", v(expSub))
	expSetup()
	zero(v(expTotal))
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(src, i), x(i, 0)) })
		c.each(func(i int) { VFMSUB213PS(v(expSub), v(14), x(i, 0)) })
		c.each(func(i int) { VMULPS(constant(math.Log2E), x(i, 0), x(i, 0)) })
		c.exp2(0, 1, 2)
		c.each(func(i int) { zeroMissing(x(i, 0)) })
		c.each(func(i int) { VADDPS(x(i, 0), v(expTotal), v(expTotal)) })
		c.each(func(i int) { store(x(i, 0), at(d, i)) })
	}, d, src)
	across(VADDPS, v(expTotal), v(0))
	Store(v(expTotal).AsX(), ReturnIndex(0))
	done()
	softmaxRows()
	gates()
	erfs()
}

// softmaxRows emits attention's two row kernels: each walks a row of scores while it is in the first-level cache. scale is positive and includes
// log2(e): exponents are of 2.
func softmaxRows() {
	function("softmaxRow", "func(x []float32, scale, top float32) (newTop, sum float32)")
	src, n := base("x"), count("x")
	p, left := GP64().(reg.GPVirtual), GP64().(reg.GPVirtual)
	restart := func() { MOVQ(src, p); MOVQ(n, left) }
	scalar("scale", v(expScale))
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
	VMULSS(v(expScale).AsX(), v(acc).AsX(), v(acc).AsX())
	scalar("top", v(0))
	VMAXSS(v(acc).AsX(), v(0).AsX(), v(acc).AsX())
	Store(v(acc).AsX(), Return("newTop"))
	VBROADCASTSS(v(acc).AsX(), v(expSub))
	expSetup()
	zero(v(expTotal))
	restart()
	groups(left, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(p, i), x(i, 0)) })
		c.each(func(i int) { VFMSUB213PS(v(expSub), v(expScale), x(i, 0)) })
		c.exp2Negative(0, 1, 2)
		c.each(func(i int) { zeroMissing(x(i, 0)) })
		c.each(func(i int) { VADDPS(x(i, 0), v(expTotal), v(expTotal)) })
		c.each(func(i int) { store(x(i, 0), at(p, i)) })
	}, p)
	across(VADDPS, v(expTotal), v(0))
	Store(v(expTotal).AsX(), Return("sum"))
	done()

	softmaxGradRow()
}

func softmaxGradRow() {
	function("softmaxGradRow", "func(dp, x []float32, scale, lse, gradScale, delta float32)")
	d, n := base("dp"), count("dp")
	src := base("x")
	const scale, lse, gradScale, delta = 4, 9, 10, 14
	for _, p := range []struct {
		name string
		r    int
	}{{"scale", scale}, {"lse", lse}, {"gradScale", gradScale}, {"delta", delta}} {
		scalar(p.name, v(p.r))
	}
	expSetup()
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(src, i), x(i, 0)) })
		c.each(func(i int) { VFMSUB213PS(v(lse), v(scale), x(i, 0)) })
		c.exp2Negative(0, 1, 2)
		c.each(func(i int) { load(at(d, i), x(i, 3)) })
		c.each(func(i int) { store(x(i, 0), at(src, i)) })
		c.each(func(i int) { VSUBPS(v(delta), x(i, 3), x(i, 3)) })
		c.each(func(i int) { VMULPS(v(gradScale), x(i, 0), x(i, 0)) })
		c.each(func(i int) { VMULPS(x(i, 0), x(i, 3), x(i, 3)) })
		c.each(func(i int) { store(x(i, 3), at(d, i)) })
	}, d, src)
	done()
}

const (
	geluC1 = 0.044715
	geluC2 = 2 * 0.7978845608028654 // 2 sqrt(2/pi)

	quickGELU = 1.702
)

// sigmoid replaces -z log2(e) in register z by 1/(1+e^-z). Registers n and p are scratch.
func (c chains) sigmoid(z, n, p int) {
	c.exp2(z, n, p)
	c.each(func(i int) { VADDPS(constant(1), x(i, z), x(i, z)) })
	c.each(func(i int) { VMOVUPS(constant(1), x(i, n)) })
	c.each(func(i int) { VDIVPS(x(i, z), x(i, n), x(i, z)) })
}

// gate is a function x sigmoid(z(x)).
type gate struct {
	name string
	// argument computes -z log2(e) of register 0 in 1; slope dz/dx in 4. Register 2 is scratch.
	argument, slope func(c chains)
}

// gateFunctions are SiLU and GELU's tanh form and its quick one.
func gateFunctions() []gate {
	linear := func(name string, factor float64) gate {
		return gate{name, func(c chains) {
			c.each(func(i int) { VMULPS(constant(-factor*math.Log2E), x(i, 0), x(i, 1)) })
		}, func(c chains) {
			c.each(func(i int) { VMOVUPS(constant(factor), x(i, 4)) })
		}}
	}
	cubic := gate{"geluTanh", func(c chains) {
		c.each(func(i int) { VMULPS(x(i, 0), x(i, 0), x(i, 1)) })
		c.each(func(i int) { VMOVUPS(constant(-geluC2*geluC1*math.Log2E), x(i, 2)) })
		c.each(func(i int) { VFMADD213PS(constant(-geluC2*math.Log2E), x(i, 2), x(i, 1)) })
		c.each(func(i int) { VMULPS(x(i, 0), x(i, 1), x(i, 1)) })
	}, func(c chains) {
		c.each(func(i int) { VMULPS(x(i, 0), x(i, 0), x(i, 4)) })
		c.each(func(i int) { VMOVUPS(constant(3*geluC1*geluC2), x(i, 2)) })
		c.each(func(i int) { VFMADD213PS(constant(geluC2), x(i, 2), x(i, 4)) })
	}}
	return []gate{linear("silu", 1), linear("quickGELU", quickGELU), cubic}
}

// gates emits the gate functions with their gradients.
func gates() {
	for _, g := range gateFunctions() {
		function(g.name, "func(dst, x []float32)")
		d, n, src := base("dst"), count("dst"), base("x")
		expSetup()
		groups(n, 2, func(k int) {
			c := chains(k)
			c.each(func(i int) { load(at(src, i), x(i, 0)) })
			g.argument(c)
			c.sigmoid(1, 2, 3)
			c.each(func(i int) { VMULPS(x(i, 1), x(i, 0), x(i, 0)) })
			c.each(func(i int) { store(x(i, 0), at(d, i)) })
		}, d, src)
		done()

		// dy (s + x s (1-s) z')
		function(g.name+"Grad", "func(dst, x, dy []float32)")
		d, n, src = base("dst"), count("dst"), base("x")
		dy := base("dy")
		expSetup()
		groups(n, 2, func(k int) {
			c := chains(k)
			c.each(func(i int) { load(at(src, i), x(i, 0)) })
			g.argument(c)
			c.sigmoid(1, 2, 3)
			g.slope(c)
			c.each(func(i int) { VMOVUPS(constant(1), x(i, 3)) })
			c.each(func(i int) { VSUBPS(x(i, 1), x(i, 3), x(i, 3)) })
			c.each(func(i int) { VMULPS(x(i, 3), x(i, 4), x(i, 4)) })
			c.each(func(i int) { VMULPS(x(i, 1), x(i, 4), x(i, 4)) })
			c.each(func(i int) { VFMADD213PS(x(i, 1), x(i, 0), x(i, 4)) })
			c.each(func(i int) { load(at(dy, i), x(i, 0)) })
			c.each(func(i int) { VMULPS(x(i, 0), x(i, 4), x(i, 4)) })
			c.each(func(i int) { store(x(i, 4), at(d, i)) })
		}, d, src, dy)
		done()
	}
	swiglu()
}

func swiglu() {
	function("swiglu", "func(dst, gate, up []float32)")
	d, n := base("dst"), count("dst")
	gate, up := base("gate"), base("up")
	expSetup()
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(gate, i), x(i, 0)) })
		c.each(func(i int) { VMULPS(constant(-math.Log2E), x(i, 0), x(i, 1)) })
		c.sigmoid(1, 2, 3)
		c.each(func(i int) { VMULPS(x(i, 1), x(i, 0), x(i, 0)) })
		c.each(func(i int) { load(at(up, i), x(i, 4)) })
		c.each(func(i int) { VMULPS(x(i, 4), x(i, 0), x(i, 0)) })
		c.each(func(i int) { store(x(i, 0), at(d, i)) })
	}, d, gate, up)
	done()

	// dgate = dy up s (1 + x (1-s)), dup = dy x s
	function("swigluGrad", "func(dgate, dup, gate, up, dy []float32)")
	d, n = base("dgate"), count("dgate")
	dup := base("dup")
	gate, up = base("gate"), base("up")
	dy := base("dy")
	expSetup()
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(gate, i), x(i, 0)) })
		c.each(func(i int) { VMULPS(constant(-math.Log2E), x(i, 0), x(i, 1)) })
		c.sigmoid(1, 2, 3)
		c.each(func(i int) { load(at(dy, i), x(i, 4)) })
		c.each(func(i int) { load(at(up, i), x(i, 5)) })
		c.each(func(i int) { VMOVUPS(constant(1), x(i, 2)) })
		c.each(func(i int) { VSUBPS(x(i, 1), x(i, 2), x(i, 3)) })
		c.each(func(i int) { VFMADD213PS(x(i, 2), x(i, 0), x(i, 3)) })
		c.each(func(i int) { VMULPS(x(i, 1), x(i, 4), x(i, 4)) }) // dy s
		c.each(func(i int) { VMULPS(x(i, 4), x(i, 0), x(i, 0)) })
		c.each(func(i int) { store(x(i, 0), at(dup, i)) })
		c.each(func(i int) { VMULPS(x(i, 5), x(i, 4), x(i, 4)) })
		c.each(func(i int) { VMULPS(x(i, 3), x(i, 4), x(i, 4)) })
		c.each(func(i int) { store(x(i, 4), at(d, i)) })
	}, d, dup, gate, up, dy)
	done()
}

// erfcxOverT are the coefficients, from the constant, of a polynomial in t = 1/(1 + 0.3275911 z) for erfc(z) e^(z^2) / t, z in [0, 9.4]: a least
// squares fit of relative error 1.3e-7, in the form of Abramowitz and Stegun 7.1.26 but exact in the tail too.
var erfcxOverT = []float64{
	0.185071242772, 0.180456189004, 0.207576090709, 0.0198839061937,
	0.463770796243, -0.417452365235, 0.503472870929, -0.142778758713,
}

// phi leaves the distribution function of register 0 in 1 and exp(-x^2/2) in 4.
func (c chains) phi() {
	c.each(func(i int) { VMULPS(x(i, 0), x(i, 0), x(i, 4)) })
	c.each(func(i int) { VMULPS(constant(-0.5*math.Log2E), x(i, 4), x(i, 4)) })
	c.exp2Negative(4, 2, 3)
	c.each(func(i int) { VANDPS(bits(0x7fffffff), x(i, 0), x(i, 1)) })
	c.each(func(i int) { VMOVUPS(constant(0.3275911/math.Sqrt2), x(i, 2)) })
	c.each(func(i int) { VFMADD213PS(constant(1), x(i, 2), x(i, 1)) })
	c.each(func(i int) { VMOVUPS(constant(1), x(i, 2)) })
	c.each(func(i int) { VDIVPS(x(i, 1), x(i, 2), x(i, 2)) }) // t
	half := make([]float64, len(erfcxOverT))
	for i, v := range erfcxOverT {
		half[i] = 0.5 * v
	}
	c.polynomial(half, 2, 1)
	c.each(func(i int) { VMULPS(x(i, 2), x(i, 1), x(i, 1)) })
	c.each(func(i int) { VMULPS(x(i, 4), x(i, 1), x(i, 1)) }) // the tail beyond |x|
	// step(x) -+ tail: exact where the tail is small, on either side.
	c.each(func(i int) { VANDNPS(bits(0x80000000), x(i, 0), x(i, 3)) })
	c.each(func(i int) { VXORPS(x(i, 3), x(i, 1), x(i, 1)) })
	c.each(func(i int) { VPSRAD(Imm(31), x(i, 0), x(i, 2)) })
	c.each(func(i int) { VANDNPS(constant(1), x(i, 2), x(i, 2)) })
	c.each(func(i int) { VADDPS(x(i, 2), x(i, 1), x(i, 1)) })
}

// erfs emits GELU's exact form and its gradient.
func erfs() {
	function("geluErf", "func(dst, x []float32)")
	d, n, src := base("dst"), count("dst"), base("x")
	expSetup()
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(src, i), x(i, 0)) })
		c.phi()
		c.each(func(i int) { VMULPS(x(i, 1), x(i, 0), x(i, 0)) })
		c.each(func(i int) { store(x(i, 0), at(d, i)) })
	}, d, src)
	done()

	// dy (phi + x density)
	function("geluErfGrad", "func(dst, x, dy []float32)")
	d, n, src = base("dst"), count("dst"), base("x")
	dy := base("dy")
	expSetup()
	groups(n, 2, func(k int) {
		c := chains(k)
		c.each(func(i int) { load(at(src, i), x(i, 0)) })
		c.phi()
		c.each(func(i int) { VMULPS(constant(1/math.Sqrt(2*math.Pi)), x(i, 4), x(i, 4)) })
		c.each(func(i int) { VFMADD213PS(x(i, 1), x(i, 0), x(i, 4)) })
		c.each(func(i int) { load(at(dy, i), x(i, 0)) })
		c.each(func(i int) { VMULPS(x(i, 0), x(i, 4), x(i, 4)) })
		c.each(func(i int) { store(x(i, 4), at(d, i)) })
	}, d, src, dy)
	done()
}
