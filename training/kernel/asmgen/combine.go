package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// combined is the number of rows that combine adds.
const combined = 8

// combine adds rows of a matrix, each times its factor: dst[j] += sum over i of x[i] b[i ld + j], for i in order, each a fused multiply-add.
// The rows are read from left to right, so that memory gives what it can.
func combine() {
	function("combine", "func(dst, b []float32, ld int, x []float32)")
	d, n, b, x := base("dst"), count("dst"), base("b"), base("x")
	odd := map[int]reg.GPVirtual{1: integer("ld")}
	SHLQ(Imm(2), odd[1])
	for i := 3; i < combined; i += 2 {
		odd[i] = GP64()
		LEAQ(Mem{Base: odd[i-2], Index: odd[1], Scale: 2}, odd[i])
	}
	for i := range combined {
		VBROADCASTSS(Mem{Base: x, Disp: 4 * i}, v(i))
	}
	vectors(n, 2, func(u int) {
		acc, row := v(combined+u), v(combined+2+u)
		load(at(d, u), acc)
		for i := range combined {
			m := at(b, u)
			if i > 0 {
				m.Index, m.Scale = multiple(odd, i)
			}
			load(m, row)
			VFMADD231PS(row, v(i), acc)
		}
		store(acc, at(d, u))
	}, d, b)
	done()
}

// multiple addresses i strides: the register of an odd multiple and its scale.
func multiple(odd map[int]reg.GPVirtual, i int) (reg.GPVirtual, uint8) {
	scale := uint8(1)
	for i%2 == 0 {
		i, scale = i/2, scale*2
	}
	return odd[i], scale
}
