package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// xhat leaves (x - mean) rstd in r, with mean and rstd in v(8) and v(9).
func xhat(x Mem, r reg.VecPhysical) {
	load(x, r)
	VSUBPS(v(8), r, r)
	VMULPS(v(9), r, r)
}

func norms() {
	function("normApply", "func(dst, x, w, b []float32, mean, rstd float32)")
	d, n, x := base("dst"), count("dst"), base("x")
	w, b := base("w"), base("b")
	scalar("mean", v(8))
	scalar("rstd", v(9))
	vectors(n, 1, func(i int) {
		xhat(at(x, i), v(0))
		load(at(w, i), v(1))
		load(at(b, i), v(2))
		VFMADD213PS(v(2), v(1), v(0))
		store(v(0), at(d, i))
	}, d, x, w, b)
	done()

	function("normParams", "func(dw, db, dy, x []float32, mean, rstd float32)")
	dw, n := base("dw"), count("dw")
	db, dy := base("db"), base("dy")
	x = base("x")
	scalar("mean", v(8))
	scalar("rstd", v(9))
	vectors(n, 1, func(i int) {
		xhat(at(x, i), v(0))
		load(at(dy, i), v(1))
		load(at(dw, i), v(2))
		load(at(db, i), v(3))
		VFMADD231PS(v(0), v(1), v(2))
		VADDPS(v(1), v(3), v(3))
		store(v(2), at(dw, i))
		store(v(3), at(db, i))
	}, dw, db, dy, x)
	done()

	normGradients()
}

func normGradients() {
	function("normSums", "func(dy, x, w []float32, mean, rstd float32) (s1, s2 float32)")
	dy, n := base("dy"), count("dy")
	x, w := base("x"), base("w")
	scalar("mean", v(8))
	scalar("rstd", v(9))
	for i := range 4 {
		zero(v(10 + i))
	}
	vectors(n, 2, func(i int) {
		xhat(at(x, i), v(i))
		load(at(dy, i), v(2+i))
		load(at(w, i), v(4+i))
		VMULPS(v(4+i), v(2+i), v(2+i))
		VADDPS(v(2+i), v(10+i), v(10+i))
		VFMADD231PS(v(2+i), v(i), v(12+i))
	}, dy, x, w)
	VADDPS(v(11), v(10), v(10))
	VADDPS(v(13), v(12), v(12))
	across(VADDPS, v(10), v(0))
	across(VADDPS, v(12), v(0))
	Store(v(10).AsX(), Return("s1"))
	Store(v(12).AsX(), Return("s2"))
	done()

	function("normGrad", "func(dst, dy, x, w []float32, mean, rstd, m1, m2 float32)")
	d := base("dst")
	n = count("dst")
	dy, x, w = base("dy"), base("x"), base("w")
	for i, p := range []string{"mean", "rstd", "m1", "m2"} {
		scalar(p, v(8+i))
	}
	vectors(n, 1, func(i int) {
		xhat(at(x, i), v(0))
		load(at(dy, i), v(1))
		load(at(w, i), v(2))
		VMULPS(v(2), v(1), v(1))
		VSUBPS(v(10), v(1), v(1))
		VFNMADD231PS(v(11), v(0), v(1))
		VMULPS(v(9), v(1), v(1))
		store(v(1), at(d, i))
	}, d, dy, x, w)
	done()
}

// optimizers emits AdamW with its constants in the order of the names below.
func optimizers() {
	function("adamw", "func(p, g, m, v []float32, c *[9]float32)")
	p, n := base("p"), count("p")
	gr, m, vv := base("g"), base("m"), base("v")
	c := integer("c")
	constant := func(i int, r reg.VecPhysical) { VBROADCASTSS(Mem{Base: c, Disp: 4 * i}, r) }
	const gradScale, b1, c1, b2, c2, lr, invBias2, eps, keep = 0, 1, 2, 3, 4, 5, 6, 7, 8
	for i := range 9 {
		constant(i, v(6+i)) // v(6)..v(14)
	}
	k := func(i int) reg.VecPhysical { return v(6 + i) }
	vectors(n, 1, func(i int) {
		load(at(gr, i), v(0))
		VMULPS(k(gradScale), v(0), v(0))
		load(at(m, i), v(1))
		VMULPS(k(c1), v(0), v(2))
		VFMADD213PS(v(2), k(b1), v(1))
		store(v(1), at(m, i))
		VMULPS(v(0), v(0), v(0))
		VMULPS(k(c2), v(0), v(0))
		load(at(vv, i), v(2))
		VFMADD213PS(v(0), k(b2), v(2))
		store(v(2), at(vv, i))
		VSQRTPS(v(2), v(2))
		VFMADD213PS(k(eps), k(invBias2), v(2))
		VMULPS(k(lr), v(1), v(1))
		VDIVPS(v(2), v(1), v(1))
		load(at(p, i), v(0))
		VFMSUB213PS(v(1), k(keep), v(0))
		store(v(0), at(p, i))
	}, p, gr, m, vv)
	done()
}
