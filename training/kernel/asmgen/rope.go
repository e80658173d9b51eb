package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rotations emits the rotary embedding of one token: heads heads, strides apart, whose pairs of len(cos) elements turn by the same angles.
func rotations() {
	function("rotate", "func(y, x, cos, sin []float32, heads, strideY, strideX int, turn float32)")
	y, x := base("y"), base("x")
	c, s := base("cos"), base("sin")
	pairs := count("cos")
	heads, strideY, strideX := integer("heads"), integer("strideY"), integer("strideX")
	SHLQ(Imm(2), strideY)
	SHLQ(Imm(2), strideX)
	scalar("turn", v(8))
	y2, x2 := GP64(), GP64()
	LEAQ(Mem{Base: y, Index: pairs, Scale: 4}, y2)
	LEAQ(Mem{Base: x, Index: pairs, Scale: 4}, x2)
	o, left := GP64().(reg.GPVirtual), GP64().(reg.GPVirtual)
	Label("head")
	XORQ(o, o)
	MOVQ(pairs, left)
	vectors(left, 1, func(int) {
		load(Mem{Base: x, Index: o, Scale: 1}, v(0))
		load(Mem{Base: x2, Index: o, Scale: 1}, v(1))
		load(Mem{Base: c, Index: o, Scale: 1}, v(2))
		load(Mem{Base: s, Index: o, Scale: 1}, v(3))
		VMULPS(v(8), v(3), v(3))
		VMULPS(v(3), v(1), v(4))
		VMULPS(v(3), v(0), v(5))
		VFMSUB213PS(v(4), v(2), v(0))
		VFMADD213PS(v(5), v(2), v(1))
		store(v(0), Mem{Base: y, Index: o, Scale: 1})
		store(v(1), Mem{Base: y2, Index: o, Scale: 1})
	}, o)
	ADDQ(strideY, y)
	ADDQ(strideY, y2)
	ADDQ(strideX, x)
	ADDQ(strideX, x2)
	DECQ(heads)
	JNZ(LabelRef("head"))
	done()
}
