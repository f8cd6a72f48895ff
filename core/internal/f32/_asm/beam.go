package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// beam emits what beam search is made of.
func beam() {
	for _, l := range []level{avx512, avx2} {
		for _, g := range append([]int{1}, l.groups...) {
			rowTile(l, g)
		}
		addTables(l)
		atMost32(l)
	}
}

// rowTile emits the dot products of g rows, read where they stand, with the centroids of a panel.
func rowTile(l level, g int) {
	TEXT(fmt.Sprintf("rowTile%sx%d", l.name, g), NOSPLIT, "func(dst, panel, rows *float32, ld, dim, stride int)")
	Doc(fmt.Sprintf("rowTile%sx%d is rowTile for %d rows and panels of %d centroids.", l.name, g, g, 2*l.width))
	Pragma("noescape")
	panel, dim := Load(Param("panel"), GP64()), Load(Param("dim"), GP64())
	stride, stride3, rest := Load(Param("stride"), GP64()), GP64(), GP64()
	SHLQ(Imm(2), stride)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	bases := make([]reg.Register, (g+4)/5) // rows 0, 5 and 10, from which addressing reaches the next four
	bases[0] = Load(Param("rows"), GP64())
	for i := 1; i < len(bases); i++ {
		b := GP64()
		LEAQ(Mem{Base: bases[i-1], Index: stride, Scale: 4}, b)
		ADDQ(stride, b)
		bases[i] = b
	}
	at := func(j, n int) Mem {
		m := Mem{Base: bases[j/5], Disp: 4 * n}
		switch j % 5 {
		case 1, 2, 4:
			m.Index, m.Scale = stride, uint8(j%5)
		case 3:
			m.Index, m.Scale = stride3, 1
		}
		return m
	}
	sums := make([]reg.VecVirtual, 2*g)
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	c0, c1, x := l.vec(), l.vec(), l.vec()
	step := func(n int) {
		VMOVUPS(Mem{Base: panel, Disp: 2 * n * l.bytes()}, c0)
		VMOVUPS(Mem{Base: panel, Disp: (2*n + 1) * l.bytes()}, c1)
		for j := range g {
			VBROADCASTSS(at(j, n), x)
			VFMADD231PS(x, c0, sums[2*j])
			VFMADD231PS(x, c1, sums[2*j+1])
		}
	}
	advance := func(n int) {
		ADDQ(U32(2*n*l.bytes()), panel)
		for _, b := range bases {
			ADDQ(Imm(uint64(4*n)), b)
		}
	}
	MOVQ(dim, rest)
	ANDQ(U32(unroll-1), rest)
	SHRQ(U8(2), dim)
	JZ(LabelRef("rest"))
	Label("loop")
	for n := range unroll {
		step(n)
	}
	advance(unroll)
	DECQ(dim)
	JNZ(LabelRef("loop"))
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("done"))
	Label("one")
	step(0)
	advance(1)
	DECQ(rest)
	JNZ(LabelRef("one"))
	Label("done")
	dst, ld := Load(Param("dst"), GP64()), Load(Param("ld"), GP64())
	SHLQ(Imm(2), ld)
	for j := range g {
		VMOVUPS(sums[2*j], Mem{Base: dst})
		VMOVUPS(sums[2*j+1], Mem{Base: dst, Disp: l.bytes()})
		if j < g-1 {
			ADDQ(ld, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// addTables emits the scores of one candidate's successors, chunk by chunk, and their least in each lane of a chunk.
func addTables(l level) {
	TEXT("addTables"+l.name, NOSPLIT, "func(dst, least, dots *float32, tables *[]float32, n, chunks int, base float32)")
	Doc("addTables" + l.name + " is addTables for chunks of 32 scores.")
	Pragma("noescape")
	dst, least, dots := Load(Param("dst"), GP64()), Load(Param("least"), GP64()), Load(Param("dots"), GP64())
	tables, n, chunks := Load(Param("tables"), GP64()), Load(Param("n"), GP64()), Load(Param("chunks"), GP64())
	parts := 32 / l.width
	base, low, v := l.vec(), make([]reg.VecVirtual, parts), make([]reg.VecVirtual, parts)
	VBROADCASTSS(NewParamAddr("base", 48), base)
	inf := GP32()
	MOVL(U32(0x7f800000), inf)
	for i := range low {
		low[i], v[i] = l.vec(), l.vec()
		VMOVD(inf, low[i].AsX())
		VBROADCASTSS(low[i].AsX(), low[i])
	}
	off := GP64()
	XORQ(off, off)
	Label("chunk")
	for i := range v {
		VSUBPS(Mem{Base: dots, Index: off, Scale: 1, Disp: i * l.bytes()}, base, v[i])
	}
	header, left, table := GP64(), GP64(), GP64()
	MOVQ(tables, header)
	MOVQ(n, left)
	Label("table")
	MOVQ(Mem{Base: header}, table)
	for i := range v {
		VADDPS(Mem{Base: table, Index: off, Scale: 1, Disp: i * l.bytes()}, v[i], v[i])
	}
	ADDQ(Imm(24), header) // a slice is three words
	DECQ(left)
	JNZ(LabelRef("table"))
	for i := range v {
		VMOVUPS(v[i], Mem{Base: dst, Index: off, Scale: 1, Disp: i * l.bytes()})
		VMINPS(v[i], low[i], low[i])
	}
	ADDQ(U32(128), off)
	DECQ(chunks)
	JNZ(LabelRef("chunk"))
	for i := range low {
		VMOVUPS(low[i], Mem{Base: least, Disp: i * l.bytes()})
	}
	VZEROUPPER()
	RET()
}

// atMost32 emits, for 32 values a word, a bit for each value that is at most limit.
func atMost32(l level) {
	TEXT("atMost32"+l.name, NOSPLIT, "func(mask *uint32, v *float32, words int, limit float32)")
	Doc("atMost32" + l.name + " sets bit j%32 of mask[j/32] where v[j] <= limit.")
	Pragma("noescape")
	mask, v, words := Load(Param("mask"), GP64()), Load(Param("v"), GP64()), Load(Param("words"), GP64())
	limit := l.vec()
	VBROADCASTSS(NewParamAddr("limit", 24), limit)
	const lessOrEqual = 0x12 // ordered, quiet
	Label("loop")
	for i := range 32 / l.width {
		from := Mem{Base: v, Disp: i * l.bytes()}
		x := l.vec()
		VMOVUPS(from, x)
		if l.width == 16 {
			k := K()
			VCMPPS(Imm(lessOrEqual), limit, x, k)
			KMOVW(k, Mem{Base: mask, Disp: 2 * i})
		} else {
			bits := GP32()
			VCMPPS(Imm(lessOrEqual), limit, x, x)
			VMOVMSKPS(x, bits)
			MOVB(bits.As8(), Mem{Base: mask, Disp: i})
		}
	}
	ADDQ(Imm(4), mask)
	ADDQ(U32(128), v)
	DECQ(words)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
