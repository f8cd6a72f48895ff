package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vnni is avx512 with an instruction for pairs of 16-bit products.
var vnni = level{"VNNI", 16, nil, []int{14, 8, 4}}

// addPairs emits sum[i] += x[2i] y[2i] + x[2i+1] y[2i+1] for 16-bit x and y and 32-bit sums. Without VNNI it takes a
// register for the products.
func (l level) addPairs(x Op, y, sum reg.VecVirtual) {
	if l.name != vnni.name {
		products := l.vec()
		VPMADDWD(x, y, products)
		VPADDD(products, sum, sum)
		return
	}
	l.addProducts("VPDPWSSD", x, y, sum)
}

// addProducts emits an instruction of VNNI, which avo does not know, but Go's assembler does: y is multiplied by x.
func (l level) addProducts(opcode string, x Op, y, sum reg.VecVirtual) {
	in := []Op{y, sum}
	if m, ok := x.(Mem); ok {
		for _, r := range Registers(m) {
			in = append(in, r)
		}
	} else {
		in = append(in, x)
	}
	Instruction(&ir.Instruction{
		Opcode: opcode, Operands: []Op{x, y, sum}, Inputs: in, Outputs: []Op{sum}, ISA: []string{"AVX512F", "AVX512_VNNI"},
	})
}

// quantize16 emits the rounding of a row to 16 bits and the sum of its squared errors. It stores whole blocks of 32.
func quantize16(l level) {
	TEXT("quantize16"+l.name, NOSPLIT, "func(dst *int16, row *float32, scale float32, dim int) float32")
	Doc("quantize16" + l.name + " is quantize16.")
	Pragma("noescape")
	dst, row, dim := Load(Param("dst"), GP64()), Load(Param("row"), GP64()), Load(Param("dim"), GP64())
	scale, top, bottom := l.vec(), l.vec(), l.vec()
	VBROADCASTSS(NewParamAddr("scale", 16), scale)
	limit := GP32()
	for _, c := range []struct {
		v    reg.VecVirtual
		bits uint64
	}{{top, 0x46fffe00}, {bottom, 0xc6fffe00}} { // 32767 and -32767
		MOVL(U32(c.bits), limit)
		VMOVD(limit, c.v.AsX())
		VBROADCASTSS(c.v.AsX(), c.v)
	}
	var sums [2]reg.VecVirtual
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	rest, whole := GP64(), GP64()
	MOVQ(dim, rest)
	ANDQ(U32(l.width-1), rest)
	MOVQ(dim, whole)
	SHRQ(l.shift(), whole)
	partial := l.partial(rest)

	// round leaves the rounded elements of x, 32 bits each, in n.
	round := func(x, n, sum reg.VecVirtual) {
		q, f := l.vec(), l.vec()
		VMULPS(scale, x, q)
		VMINPS(top, q, q) // a NaN becomes 32767
		VMAXPS(bottom, q, q)
		VCVTPS2DQ(q, n)
		VCVTDQ2PS(n, f)
		VFMSUB231PS(scale, x, f)
		VFMADD231PS(f, f, sum)
	}
	store := func(n reg.VecVirtual) {
		if l.width == 16 {
			VPMOVSDW(n, Mem{Base: dst})
		} else {
			high := XMM()
			VEXTRACTI128(Imm(1), n, high)
			VPACKSSDW(high, n.AsX(), n.AsX())
			VMOVDQU(n.AsX(), Mem{Base: dst})
		}
		ADDQ(Imm(uint64(2*l.width)), dst)
	}
	left := GP64() // vectors of dst
	MOVQ(dim, left)
	ADDQ(Imm(31), left)
	SHRQ(Imm(5), left)
	SHLQ(Imm(map[int]uint64{16: 1, 8: 2}[l.width]), left)
	SUBQ(whole, left)

	x, n := l.vec(), l.vec()
	Label("pair")
	CMPQ(whole, Imm(2))
	JL(LabelRef("single"))
	for i := range 2 {
		VMOVUPS(Mem{Base: row, Disp: i * l.bytes()}, x)
		round(x, n, sums[i])
		store(n)
	}
	ADDQ(U32(2*l.bytes()), row)
	SUBQ(Imm(2), whole)
	JMP(LabelRef("pair"))
	Label("single")
	TESTQ(whole, whole)
	JZ(LabelRef("rest"))
	VMOVUPS(Mem{Base: row}, x)
	round(x, n, sums[0])
	store(n)
	ADDQ(U32(l.bytes()), row)
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("pad"))
	partial(Mem{Base: row}, x)
	round(x, n, sums[0])
	store(n)
	DECQ(left)
	Label("pad")
	zero(n)
	Label("zeros")
	TESTQ(left, left)
	JZ(LabelRef("done"))
	store(n)
	DECQ(left)
	JMP(LabelRef("zeros"))
	Label("done")
	s := sums[0]
	VADDPS(sums[1], s, s)
	l.fold(s, add)
	Store(s.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// load emits the load of a vector of integers.
func load(l level, m Mem, v reg.VecVirtual) {
	if l.width == 16 {
		VMOVDQU32(m, v)
	} else {
		VMOVDQU(m, v)
	}
}
