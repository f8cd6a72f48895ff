package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sparse emits rows of a product for p panels of two vectors of columns, where only the elements of a row that are not 0
// are there, each with the offset of its row in the panels.
func sparse(l level, p int) {
	TEXT(fmt.Sprintf("sparse%sx%d", l.name, p), NOSPLIT, "func(c *float32, stride int, values *float32, offsets, counts *int32, rows, room int, panels *float32, between int, add, relu bool, bias *float32)")
	Doc(fmt.Sprintf("sparse%sx%d is sparseRows for %d panels of %d columns; stride, room and between are in bytes.", l.name, p, p, 2*l.width))
	Pragma("noescape")
	c, stride := Load(Param("c"), GP64()), Load(Param("stride"), GP64())
	values, offsets, counts := Load(Param("values"), GP64()), Load(Param("offsets"), GP64()), Load(Param("counts"), GP64())
	rows, panels, between := Load(Param("rows"), GP64()), Load(Param("panels"), GP64()), Load(Param("between"), GP64())
	between3 := GP64()
	LEAQ(Mem{Base: between, Index: between, Scale: 2}, between3)
	column := func(j int, base reg.Register) Mem {
		m := Mem{Base: base, Disp: j % 2 * l.bytes()}
		switch j / 2 {
		case 1, 2:
			m.Index, m.Scale = between, uint8(j/2)
		case 3:
			m.Index, m.Scale = between3, 1
		}
		return m
	}
	var sums []reg.VecVirtual
	for range 2 * p {
		sums = append(sums, l.vec())
	}
	Label("row")
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JZ(LabelRef("zero"))
	for j, s := range sums {
		VMOVUPS(Mem{Base: c, Disp: j * l.bytes()}, s)
	}
	JMP(LabelRef("start"))
	Label("zero")
	for _, s := range sums {
		zero(s)
	}
	Label("start")
	n, i := GP64(), GP64()
	MOVLQSX(Mem{Base: counts}, n)
	XORQ(i, i)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("loop")
	at, x := GP64(), l.vec()
	MOVLQSX(Mem{Base: offsets, Index: i, Scale: 4}, at)
	VBROADCASTSS(Mem{Base: values, Index: i, Scale: 4}, x)
	ADDQ(panels, at)
	INCQ(i)
	for j, s := range sums {
		VFMADD231PS(column(j, at), x, s)
	}
	CMPQ(i, n)
	JNE(LabelRef("loop"))
	Label("done")
	bias := Load(Param("bias"), GP64())
	TESTQ(bias, bias)
	JZ(LabelRef("unbiased"))
	for j, s := range sums {
		VADDPS(Mem{Base: bias, Disp: j * l.bytes()}, s, s)
	}
	Label("unbiased")
	relu := Load(Param("relu"), GP8())
	TESTB(relu, relu)
	JZ(LabelRef("store"))
	none := l.vec()
	zero(none)
	for _, s := range sums {
		VMAXPS(s, none, s) // in this order NaN and -0 stay
	}
	Label("store")
	for j, s := range sums {
		VMOVUPS(s, Mem{Base: c, Disp: j * l.bytes()})
	}
	ADDQ(stride, c)
	room := Load(Param("room"), GP64())
	ADDQ(room, values)
	ADDQ(room, offsets)
	ADDQ(Imm(4), counts)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// compress emits the lists of what is not 0 in rows of n times sixteen values.
func compress(l level) {
	signature := "func(values *float32, offsets, counts *int32, src *float32, rows, n, stride, between, room, step int)"
	if l.width == 8 {
		signature = signature[:len(signature)-1] + ", orders *[8]int32)"
	}
	TEXT("compress"+l.name, NOSPLIT, signature)
	Doc("compress" + l.name + " is compress for rows of n times sixteen values; stride, between, room and step are in bytes.")
	Pragma("noescape")
	values, offsets, counts := Load(Param("values"), GP64()), Load(Param("offsets"), GP64()), Load(Param("counts"), GP64())
	src, rows, n := Load(Param("src"), GP64()), Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	stride, between, room := Load(Param("stride"), GP64()), Load(Param("between"), GP64()), Load(Param("room"), GP64())
	var orders reg.Register
	if l.width == 8 {
		orders = Load(Param("orders"), GP64())
	}
	first, by, none := l.vec(), l.vec(), l.vec()
	ramp, half := GP64(), XMM()
	MOVQ(U64(0x0706050403020100), ramp)
	VMOVQ(ramp, half)
	if l.width == 16 {
		high := XMM()
		MOVQ(U64(0x0f0e0d0c0b0a0908), ramp)
		VMOVQ(ramp, high)
		VPUNPCKLQDQ(high, half, half)
	}
	VPMOVZXBD(half, first)
	VPBROADCASTD(NewParamAddr("step", 72), by)
	VPMULLD(by, first, first)
	VPSLLD(l.shift(), by, by)
	zero(none)
	Label("row")
	at, from, left, where := GP64(), GP64(), GP64(), l.vec()
	XORQ(at, at)
	MOVQ(src, from)
	MOVQ(n, left)
	VMOVUPS(first, where)
	Label("loop")
	for i := range 16 / l.width {
		v, w, m := l.vec(), l.vec(), GP64()
		VMOVUPS(Mem{Base: from, Disp: i * l.bytes()}, v)
		if l.width == 16 {
			k := K()
			VCMPPS(Imm(4), none, v, k) // not 0, or NaN
			VPCOMPRESSD_Z(v, k, v)
			VPCOMPRESSD_Z(where, k, w)
			KMOVW(k, m.As32())
		} else {
			order, which := YMM(), GP64()
			VCMPPS(Imm(4), none, v, w)
			VMOVMSKPS(w, m.As32())
			MOVQ(m, which)
			SHLQ(Imm(5), which)
			VMOVDQU(Mem{Base: orders, Index: which, Scale: 1}, order)
			VPERMPS(v, order, v)
			VPERMD(where, order, w)
		}
		VMOVUPS(v, Mem{Base: values, Index: at, Scale: 4})
		VMOVUPS(w, Mem{Base: offsets, Index: at, Scale: 4})
		POPCNTL(m.As32(), m.As32())
		ADDQ(m, at)
		VPADDD(by, where, where)
	}
	ADDQ(between, from)
	DECQ(left)
	JNZ(LabelRef("loop"))
	MOVL(at.As32(), Mem{Base: counts})
	ADDQ(Imm(4), counts)
	ADDQ(room, values)
	ADDQ(room, offsets)
	ADDQ(stride, src)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
