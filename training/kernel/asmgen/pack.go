package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func packs() {
	packRows("packRows1", 1)
	packRows("packRows2", 2)
	packColumns()
	packGroups("packTiles", 1)
	packGroups("packPanels", 2)
}

// packRows copies k rows of width floats (at most vecs vectors), ld apart, to rows stride apart; each destination row is filled up to vecs
// vectors with zeros. Rows are written in order, so that a stride below that keeps the next row intact.
func packRows(name string, vecs int) {
	function(name, "func(dst []float32, stride int, src []float32, ld, width, k int)")
	dst, src, k := base("dst"), base("src"), integer("k")
	stride, ld, width := integer("stride"), integer("ld"), integer("width")
	SHLQ(Imm(2), stride)
	SHLQ(Imm(2), ld)
	for j := range vecs {
		n, zero, most := GP64(), GP64(), GP64()
		MOVQ(width, n)
		SUBQ(U32(uint32(j*cpu.lanes)), n)
		XORQ(zero, zero)
		MOVQ(U32(uint32(cpu.lanes)), most)
		TESTQ(n, n)
		CMOVQLT(zero, n)
		CMPQ(n, most)
		CMOVQGT(most, n)
		setMask(n)
		if cpu.wide {
			if j == 1 {
				KMOVW(reg.K1, reg.K3)
			} else {
				KMOVW(reg.K1, reg.K2)
			}
		} else {
			VMOVAPS(v(maskReg), v(13+j))
		}
	}
	Label("row")
	for j := range vecs {
		if cpu.wide {
			VMOVUPS_Z(at(src, j), []reg.Register{reg.K2, reg.K3}[j], v(j))
		} else {
			VMASKMOVPS(at(src, j), v(13+j), v(j))
		}
	}
	for j := range vecs {
		VMOVUPS(v(j), at(dst, j))
	}
	ADDQ(ld, src)
	ADDQ(stride, dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	done()
}

// packColumns transposes: dst[c stride + i] = src[i ld + c] for rows (at most lanes) rows i and k columns c. Each destination row is a whole
// vector; lanes beyond rows repeat the last row. Destination rows are written in order.
func packColumns() {
	function("packColumns", "func(dst []float32, stride int, src []float32, ld, rows, k int)")
	dst, src, k := base("dst"), base("src"), integer("k")
	stride, ld, rows := integer("stride"), integer("ld"), integer("rows")
	SHLQ(Imm(2), stride)
	SHLQ(Imm(2), ld)
	offs := AllocLocal(8 * cpu.lanes)
	o, next := GP64(), GP64()
	XORQ(o, o)
	for i := range cpu.lanes {
		MOVQ(o, offs.Offset(8*i))
		LEAQ(Mem{Base: o, Index: ld, Scale: 1}, next)
		CMPQ(rows, U32(uint32(i+1)))
		CMOVQGT(next, o)
	}
	block := func(last string) {
		for i := range cpu.lanes {
			p := GP64()
			MOVQ(offs.Offset(8*i), p)
			load(Mem{Base: src, Index: p, Scale: 1}, v(i))
		}
		out := transpose()
		for i, r := range out {
			VMOVUPS(r, Mem{Base: dst})
			if i == len(out)-1 {
				break
			}
			ADDQ(stride, dst)
			if last != "" {
				CMPQ(k, U32(uint32(i+1)))
				JLE(LabelRef(last))
			}
		}
		ADDQ(stride, dst)
	}
	Label("block")
	CMPQ(k, U32(uint32(cpu.lanes)))
	JLT(LabelRef("tail"))
	block("")
	ADDQ(U32(uint32(cpu.bytes())), src)
	SUBQ(U32(uint32(cpu.lanes)), k)
	JMP(LabelRef("block"))
	Label("tail")
	TESTQ(k, k)
	JZ(LabelRef("end"))
	setMask(k)
	if cpu.wide {
		cpu.tail = true
		block("end")
		cpu.tail = false
	} else {
		blockTail(dst, src, k, stride, offs)
	}
	Label("end")
	done()
}

// Offsets in bytes of the fields of kernel's groupPack, which a test of that package checks.
const (
	packDst   = 0
	packSrc   = 8
	packStep  = 16
	packLD    = 24
	packWidth = 32
	packCount = 40
	packK     = 48
)

// packGroups copies, for each of k rows, count groups of width neighbours to places step apart: vecs vectors each, in order, of which width
// lanes count. So many panels, or tiles of A transposed, are packed in one pass over each row.
func packGroups(name string, vecs int) {
	function(name, "func(t *byte)")
	t := integer("t")
	field := func(off int) reg.GPVirtual {
		r := GP64()
		MOVQ(Mem{Base: t, Disp: off}, r)
		return r
	}
	dst, src := field(packDst), field(packSrc)
	step, ld, width, k := field(packStep), field(packLD), field(packWidth), field(packK)
	for _, r := range []reg.GPVirtual{step, ld, width} {
		SHLQ(Imm(2), r)
	}
	d, s, n := GP64(), GP64(), GP64()
	Label("row")
	MOVQ(dst, d)
	MOVQ(src, s)
	MOVQ(Mem{Base: t, Disp: packCount}, n)
	Label("group")
	PREFETCHT0(Mem{Base: s, Index: ld, Scale: 8})
	for j := range vecs {
		VMOVUPS(at(s, j), v(j))
	}
	for j := range vecs {
		VMOVUPS(v(j), at(d, j))
	}
	ADDQ(width, s)
	ADDQ(step, d)
	DECQ(n)
	JNZ(LabelRef("group"))
	ADDQ(ld, src)
	ADDQ(width, dst)
	DECQ(k)
	JNZ(LabelRef("row"))
	done()
}

// blockTail is the last block on AVX2, where the mask's register is also row data: it goes row by row through single elements.
func blockTail(dst, src, k, stride reg.GPVirtual, offs Mem) {
	Label("column")
	for i := range cpu.lanes {
		p := GP64()
		MOVQ(offs.Offset(8*i), p)
		VMOVSS(Mem{Base: src, Index: p, Scale: 1}, reg.X0)
		VMOVSS(reg.X0, Mem{Base: dst, Disp: 4 * i})
	}
	ADDQ(Imm(4), src)
	ADDQ(stride, dst)
	DECQ(k)
	JNZ(LabelRef("column"))
}

// transpose turns the lanes x lanes block in v(0)... and returns its rows' registers.
func transpose() []reg.VecPhysical {
	if cpu.wide {
		return transpose16()
	}
	return transpose8()
}

func transpose16() []reg.VecPhysical {
	for i := range 8 {
		VUNPCKLPS(v(2*i+1), v(2*i), v(16+2*i))
		VUNPCKHPS(v(2*i+1), v(2*i), v(16+2*i+1))
	}
	for q := range 4 {
		t := func(i int) reg.VecPhysical { return v(16 + 4*q + i) }
		VUNPCKLPD(t(2), t(0), v(4*q))
		VUNPCKHPD(t(2), t(0), v(4*q+1))
		VUNPCKLPD(t(3), t(1), v(4*q+2))
		VUNPCKHPD(t(3), t(1), v(4*q+3))
	}
	for i := range 4 {
		VSHUFF32X4(Imm(0x88), v(4+i), v(i), v(16+i))
		VSHUFF32X4(Imm(0xdd), v(4+i), v(i), v(20+i))
		VSHUFF32X4(Imm(0x88), v(12+i), v(8+i), v(24+i))
		VSHUFF32X4(Imm(0xdd), v(12+i), v(8+i), v(28+i))
	}
	for i := range 8 {
		VSHUFF32X4(Imm(0x88), v(24+i), v(16+i), v(i))
		VSHUFF32X4(Imm(0xdd), v(24+i), v(16+i), v(8+i))
	}
	return cpu.regs[:16]
}

func transpose8() []reg.VecPhysical {
	for i := range 4 {
		VUNPCKLPS(v(2*i+1), v(2*i), v(8+2*i))
		VUNPCKHPS(v(2*i+1), v(2*i), v(8+2*i+1))
	}
	for q := range 2 {
		t := func(i int) reg.VecPhysical { return v(8 + 4*q + i) }
		VUNPCKLPD(t(2), t(0), v(4*q))
		VUNPCKHPD(t(2), t(0), v(4*q+1))
		VUNPCKLPD(t(3), t(1), v(4*q+2))
		VUNPCKHPD(t(3), t(1), v(4*q+3))
	}
	for i := range 4 {
		VPERM2F128(Imm(0x20), v(4+i), v(i), v(8+i))
		VPERM2F128(Imm(0x31), v(4+i), v(i), v(12+i))
	}
	return cpu.regs[8:16]
}
