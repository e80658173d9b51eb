package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets in bytes of the fields of kernel's tileArgs, which a test of that package checks.
const (
	fieldK      = 0
	fieldCount  = 8
	fieldA      = 16
	fieldRS     = 24
	fieldCS     = 32
	fieldBStep  = 40
	fieldB      = 48
	fieldBPair  = 56
	fieldC      = 64
	fieldLDC    = 72
	fieldRes    = 80
	fieldLDRes  = 88
	fieldBias   = 96
	fieldMask   = 104
	fieldAddToC = 112
	fieldAhead  = 120
	fieldAheadK = 128
)

// tiles emits the register tiles: rows x (vecs vectors) of C += A B, for every height up to the level's and for one and two vectors; and for
// low tiles, four vectors out of two neighbouring panels of B, so that one row alone still keeps the multipliers busy.
//
// Every element is a single chain over k: its bits do not depend on the tile it falls in.
func tiles() {
	most, low := 6, 2
	if cpu.wide {
		most, low = 14, 6
	}
	for rows := 1; rows <= most; rows++ {
		tile(rows, 1)
		tile(rows, 2)
		if rows <= low {
			tile(rows, 4)
		}
	}
}

type tileRegs struct {
	rows, vecs int
	args       reg.GPVirtual
}

func (t tileRegs) acc(i, j int) reg.VecPhysical { return v(i*t.vecs + j) }
func (t tileRegs) b(j int) reg.VecPhysical      { return v(len(cpu.regs) - 2 - t.vecs + j) }
func (t tileRegs) field(off int) reg.GPVirtual {
	r := GP64()
	MOVQ(Mem{Base: t.args, Disp: off}, r)
	return r
}

func tile(rows, vecs int) {
	function(fmt.Sprintf("tile%dx%d", rows, vecs), "func(t *byte)")
	t := tileRegs{rows: rows, vecs: vecs, args: integer("t")}
	// The current panel's addresses live on the stack: registers are needed inside.
	local := AllocLocal(48)
	at := tileAt{b: local, c: local.Offset(8), residual: local.Offset(16), bias: local.Offset(24), ahead: local.Offset(32)}
	left := local.Offset(40)
	for _, f := range []struct {
		off int
		at  Mem
	}{{fieldB, at.b}, {fieldC, at.c}, {fieldRes, at.residual}, {fieldBias, at.bias}, {fieldAhead, at.ahead}, {fieldCount, left}} {
		MOVQ(t.field(f.off), f.at)
	}
	if cpu.wide {
		mask := t.field(fieldMask)
		for j := range vecs {
			KMOVW(mask.As32(), masks[j])
			SHRQ(Imm(16), mask)
		}
	}
	Label("panel")
	t.prefetch(at)
	t.multiply(at)
	t.finish(at)
	t.advance(at)
	DECQ(left)
	JNZ(LabelRef("panel"))
	done()
}

// tileAt is where the addresses of the current tile are kept.
type tileAt struct{ b, c, residual, bias, ahead Mem }

// advance moves to the next tile: the next panel of B, the columns to the right.
func (t tileRegs) advance(at tileAt) {
	step := t.field(fieldBStep)
	SHLQ(Imm(2), step)
	ADDQ(step, at.b)
	width := U32(uint32(t.vecs * cpu.bytes()))
	ADDQ(width, at.c)
	for i, m := range []Mem{at.residual, at.bias} {
		p, none := GP64(), fmt.Sprintf("absent%d", i)
		MOVQ(m, p)
		TESTQ(p, p)
		JZ(LabelRef(none))
		ADDQ(width, m)
		Label(none)
	}
}

var masks = []reg.Register{reg.K1, reg.K2, reg.K3, reg.K4}

// prefetch asks for the tile's part of C before the products, which hides the misses of its stores.
func (t tileRegs) prefetch(at tileAt) {
	c, ldc := GP64(), t.field(fieldLDC)
	SHLQ(Imm(2), ldc)
	MOVQ(at.c, c)
	for range t.rows {
		for j := 0; j < t.vecs*cpu.bytes(); j += 64 {
			PREFETCHT0(Mem{Base: c, Disp: j})
		}
		ADDQ(ldc, c)
	}
}

// multiply runs over k with all of C's tile in registers. Row i of A is at i rs: an index register holds each odd multiple of rs.
func (t tileRegs) multiply(tile tileAt) {
	a, rs, cs := t.field(fieldA), t.field(fieldRS), t.field(fieldCS)
	SHLQ(Imm(2), rs)
	SHLQ(Imm(2), cs)
	odd := map[int]reg.GPVirtual{1: rs}
	for i := 3; i < t.rows; i += 2 {
		odd[i] = GP64()
		LEAQ(Mem{Base: odd[i-2], Index: rs, Scale: 2}, odd[i])
	}
	b, k := GP64(), t.field(fieldK)
	MOVQ(tile.b, b)
	var ahead, aheadK reg.GPVirtual
	if t.looksAhead() {
		ahead, aheadK = GP64(), t.field(fieldAheadK)
		MOVQ(tile.ahead, ahead)
		TESTQ(ahead, ahead)
		CMOVQEQ(b, ahead) // nothing to ask for: memory that is here
	}
	var pair reg.GPVirtual
	if t.vecs == 4 {
		pair = t.field(fieldBPair)
	}
	for i := range t.rows {
		for j := range t.vecs {
			zero(t.acc(i, j))
		}
	}
	Label("k")
	if t.looksAhead() {
		for j := 0; j < t.vecs*cpu.bytes(); j += 64 {
			PREFETCHT1(Mem{Base: ahead, Disp: j})
		}
		ADDQ(aheadK, ahead)
	}
	for j := range t.vecs {
		m := at(b, j%2)
		if j >= 2 {
			m = Mem{Base: b, Index: pair, Scale: 4, Disp: (j - 2) * cpu.bytes()}
		}
		VMOVUPS(m, t.b(j))
	}
	for i := range t.rows {
		x := v(len(cpu.regs) - 2 + i%2)
		m := Mem{Base: a}
		if i > 0 {
			m.Index, m.Scale = multiple(odd, i)
		}
		if t.vecs == 1 && cpu.wide {
			VFMADD231PS_BCST(m, t.b(0), t.acc(i, 0)) // used once: no register
			continue
		}
		VBROADCASTSS(m, x)
		for j := range t.vecs {
			VFMADD231PS(t.b(j), x, t.acc(i, j))
		}
	}
	ADDQ(cs, a)
	ADDQ(U32(uint32(min(t.vecs, 2)*cpu.bytes())), b)
	DECQ(k)
	JNZ(LabelRef("k"))
	if t.looksAhead() {
		MOVQ(ahead, tile.ahead)
	}
}

// looksAhead tells whether the tile asks for memory ahead: lower ones read B so fast that the processor does so itself.
func (t tileRegs) looksAhead() bool { return t.rows >= 4 }

// finish adds C, the bias and the residual where they are wanted, in this order, and stores.
func (t tileRegs) finish(tile tileAt) {
	ldc, flag := t.field(fieldLDC), t.field(fieldAddToC)
	SHLQ(Imm(2), ldc)
	TESTQ(flag, flag)
	JZ(LabelRef("fresh"))
	t.addRows(tile.c, ldc)
	Label("fresh")
	bias := GP64()
	MOVQ(tile.bias, bias)
	TESTQ(bias, bias)
	JZ(LabelRef("unbiased"))
	for j := range t.vecs {
		t.loadC(at(bias, j), j)
		for i := range t.rows {
			VADDPS(t.b(j), t.acc(i, j), t.acc(i, j))
		}
	}
	Label("unbiased")
	res := GP64()
	MOVQ(tile.residual, res)
	TESTQ(res, res)
	JZ(LabelRef("store"))
	ldres := t.field(fieldLDRes)
	SHLQ(Imm(2), ldres)
	t.addRows(tile.residual, ldres)
	Label("store")
	c := GP64()
	MOVQ(tile.c, c)
	for i := range t.rows {
		for j := range t.vecs {
			if cpu.wide {
				VMOVUPS(t.acc(i, j), masks[j], at(c, j))
			} else {
				VMOVUPS(t.acc(i, j), at(c, j))
			}
		}
		ADDQ(ldc, c)
	}
}

// addRows adds rows at an address to the tile.
func (t tileRegs) addRows(from Mem, ld reg.GPVirtual) {
	p := GP64()
	MOVQ(from, p)
	for i := range t.rows {
		for j := range t.vecs {
			t.loadC(at(p, j), j)
			VADDPS(t.b(j), t.acc(i, j), t.acc(i, j))
		}
		ADDQ(ld, p)
	}
}

// loadC reads vector j of a row of C's width into b(j).
func (t tileRegs) loadC(m Mem, j int) {
	if cpu.wide {
		VMOVUPS_Z(m, masks[j], t.b(j))
	} else {
		VMOVUPS(m, t.b(j))
	}
}
