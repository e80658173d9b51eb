package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// machine is a vector instruction set. The same emitters write both levels: lanes, registers and masking are what differs.
type machine struct {
	suffix string
	lanes  int // float32 in a vector
	wide   bool
	regs   []reg.VecPhysical
	tail   bool // the code being emitted works on a partial vector
	labels int
	consts map[uint32]Mem
	masks  *Mem
}

var (
	avx512 = &machine{suffix: "AVX512", lanes: 16, wide: true, consts: map[uint32]Mem{}, regs: []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}}
	avx2 = &machine{suffix: "AVX2", lanes: 8, consts: map[uint32]Mem{}, regs: []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}}
	cpu *machine
)

// maskReg is the register that holds the tail's mask on AVX2; bodies of loops must not use it.
const maskReg = 15

func v(i int) reg.VecPhysical { return cpu.regs[i] }

func (m *machine) bytes() int { return 4 * m.lanes }

func label(s string) string {
	cpu.labels++
	return fmt.Sprintf("%s%d", s, cpu.labels)
}

// function begins a function of this level.
func function(name, signature string) {
	TEXT(name+cpu.suffix, NOSPLIT, signature)
	Pragma("noescape")
}

func done() {
	VZEROUPPER()
	RET()
}

// base loads the address of a slice parameter, count its length, integer an int parameter.
func base(p string) reg.GPVirtual    { return Load(Param(p).Base(), GP64()).(reg.GPVirtual) }
func count(p string) reg.GPVirtual   { return Load(Param(p).Len(), GP64()).(reg.GPVirtual) }
func integer(p string) reg.GPVirtual { return Load(Param(p), GP64()).(reg.GPVirtual) }

// scalar broadcasts a float32 parameter.
func scalar(p string, r reg.VecPhysical) {
	b, err := Param(p).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(b.Addr, r)
}

// constant is a vector of equal float32 in read-only memory.
func constant(f float64) Mem { return bits(math.Float32bits(float32(f))) }

func bits(b uint32) Mem {
	if m, ok := cpu.consts[b]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("c%08x%s", b, cpu.suffix), RODATA|NOPTR)
	for i := range cpu.lanes {
		DATA(4*i, U32(b))
	}
	cpu.consts[b] = m
	return m
}

// maskTable is a full mask followed by two empty ones: a mask of n lanes starts 4n bytes before the end of the first.
func maskTable() Mem {
	if cpu.masks == nil {
		m := GLOBL("masks"+cpu.suffix, RODATA|NOPTR)
		for i := range 3 * cpu.lanes {
			b := uint32(0)
			if i < cpu.lanes {
				b = 0xffffffff
			}
			DATA(4*i, U32(b))
		}
		cpu.masks = &m
	}
	return *cpu.masks
}

// setMask makes the mask of the first n lanes, 0 <= n <= lanes: K1 or the mask register.
func setMask(n reg.GPVirtual) {
	if cpu.wide {
		m := GP32()
		MOVL(U32(0xffff), m)
		BZHIL(n.As32(), m, m)
		KMOVW(m, reg.K1)
		return
	}
	t, back := GP64(), GP64()
	LEAQ(maskTable(), t)
	MOVQ(n, back)
	NEGQ(back)
	VMOVUPS(Mem{Base: t, Index: back, Scale: 4, Disp: cpu.bytes()}, v(maskReg))
}

// load reads a vector; in the tail the missing lanes are 0.
func load(m Mem, r reg.VecPhysical) {
	switch {
	case !cpu.tail:
		VMOVUPS(m, r)
	case cpu.wide:
		VMOVUPS_Z(m, reg.K1, r)
	default:
		VMASKMOVPS(m, v(maskReg), r)
	}
}

func store(r reg.VecPhysical, m Mem) {
	switch {
	case !cpu.tail:
		VMOVUPS(r, m)
	case cpu.wide:
		VMOVUPS(r, reg.K1, m)
	default:
		VMASKMOVPS(r, v(maskReg), m)
	}
}

// zeroMissing clears the lanes beyond the tail.
func zeroMissing(r reg.VecPhysical) {
	switch {
	case !cpu.tail:
	case cpu.wide:
		VMOVAPS_Z(r, reg.K1, r)
	default:
		VANDPS(v(maskReg), r, r)
	}
}

// vectors emits body for n elements: unrolled copies (body(0) to body(unroll-1), each at its vector's displacement), single vectors and a tail.
// The pointers advance.
func vectors(n reg.GPVirtual, unroll int, body func(i int), ptrs ...reg.GPVirtual) {
	groups(n, unroll, func(copies int) {
		for i := range copies {
			body(i)
		}
	}, ptrs...)
}

// groups is vectors for a body that emits all copies itself. Long chains of instructions take turns, so that the scheduler holds work that does
// not wait: each(copies, ...) emits one instruction of each chain.
func groups(n reg.GPVirtual, unroll int, body func(copies int), ptrs ...reg.GPVirtual) {
	step := func(copies int) {
		body(copies)
		for _, p := range ptrs {
			ADDQ(U32(uint32(copies*cpu.bytes())), p)
		}
		SUBQ(U32(uint32(copies*cpu.lanes)), n)
	}
	end := label("end")
	for _, copies := range []int{unroll, 1} {
		next, again := label("next"), label("again")
		CMPQ(n, U32(uint32(copies*cpu.lanes)))
		JLT(LabelRef(next))
		Label(again)
		step(copies)
		CMPQ(n, U32(uint32(copies*cpu.lanes)))
		JGE(LabelRef(again))
		Label(next)
		if unroll == 1 {
			break
		}
	}
	TESTQ(n, n)
	JZ(LabelRef(end))
	setMask(n)
	cpu.tail = true
	body(1)
	cpu.tail = false
	Label(end)
}

// chains are copies of a computation: chain i keeps its values in registers of its own.
type chains int

// each emits one instruction, or a few, of every chain.
func (c chains) each(emit func(i int)) {
	for i := range int(c) {
		emit(i)
	}
}

// x is register j, of six, of chain i, of two. They leave out the registers of exp2's constants, 11 to 13, and the mask's.
func x(i, j int) reg.VecPhysical {
	if j == 5 {
		return v([]int{10, 14}[i])
	}
	return v(5*i + j)
}

// at is vector i from a pointer.
func at(p reg.GPVirtual, i int) Mem { return Mem{Base: p, Disp: i * cpu.bytes()} }

func zero(r reg.VecPhysical) { VXORPS(r, r, r) }

// across folds a vector into its lowest lane with op (VADDPS or VMAXPS); t is scratch. Registers are among the first 16.
func across(op func(ops ...Op), r, t reg.VecPhysical) {
	if cpu.wide {
		VEXTRACTF64X4(Imm(1), r, t.AsY())
		op(t.AsY(), r.AsY(), r.AsY())
	}
	VEXTRACTF128(Imm(1), r.AsY(), t.AsX())
	op(t.AsX(), r.AsX(), r.AsX())
	VPERMILPS(Imm(0x4e), r.AsX(), t.AsX())
	op(t.AsX(), r.AsX(), r.AsX())
	VPERMILPS(Imm(0xb1), r.AsX(), t.AsX())
	op(t.AsX(), r.AsX(), r.AsX())
}
