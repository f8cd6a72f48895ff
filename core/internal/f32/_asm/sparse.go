package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sparse emits rows of a product for p panels of two vectors of columns, with those elements of a row that a set of bits names.
func sparse(l level, p int) {
	TEXT(fmt.Sprintf("sparse%sx%d", l.name, p), NOSPLIT, "func(c *float32, stride int, sets *uint64, values *float32, rows, row int, panels *float32, between int, add, relu bool, bias *float32)")
	Doc(fmt.Sprintf("sparse%sx%d is multiplyGeneric for %d panels of %d columns; stride, row and between are in bytes.", l.name, p, p, 2*l.width))
	Pragma("noescape")
	c, stride := Load(Param("c"), GP64()), Load(Param("stride"), GP64())
	sets, values := Load(Param("sets"), GP64()), Load(Param("values"), GP64())
	rows, row, between := Load(Param("rows"), GP64()), Load(Param("row"), GP64()), Load(Param("between"), GP64())
	panels := []reg.Register{Load(Param("panels"), GP64())}
	for i := 1; i < p; i++ {
		panels = append(panels, GP64())
		LEAQ(Mem{Base: panels[i-1], Index: between, Scale: 1}, panels[i])
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
	for j, s := range sums {
		zero(s)
		PREFETCHT0(Mem{Base: c, Disp: j * l.bytes()}) // by the end of the sums it is there to be written
	}
	Label("start")
	set := GP64()
	MOVQ(Mem{Base: sets}, set)
	TESTQ(set, set)
	JZ(LabelRef("done"))
	Label("loop")
	i, x := GP64(), l.vec()
	TZCNTQ(set, i)
	if value := (Mem{Base: values, Index: i, Scale: 4}); l.width == 16 { // vectors keep the ports for vectors busy
		v := GP32()
		MOVL(value, v)
		VPBROADCASTD(v, x)
	} else {
		VBROADCASTSS(value, x)
	}
	SHLQ(Imm(uint64(bits.TrailingZeros(uint(2*l.bytes())))), i)
	BLSRQ(set, set)
	for j, s := range sums {
		VFMADD231PS(Mem{Base: panels[j/2], Index: i, Scale: 1, Disp: j % 2 * l.bytes()}, x, s)
	}
	JNZ(LabelRef("loop"))
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
	ADDQ(row, values)
	ADDQ(Imm(8), sets)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// mark emits the bits of what is not 0 in v, at a place of a set.
func mark(l level, v, none reg.VecVirtual, at Mem) {
	bits := GP32()
	if l.width == 16 {
		k := K()
		VCMPPS(Imm(4), none, v, k) // not 0, or NaN
		KMOVW(k, bits)
		MOVW(bits.As16(), at)
	} else {
		on := YMM()
		VCMPPS(Imm(4), none, v, on)
		VMOVMSKPS(on, bits)
		MOVB(bits.As8(), at)
	}
}

// marks emits the sets of rows of n times sixteen values.
func marks(l level) {
	TEXT("mark"+l.name, NOSPLIT, "func(sets *uint64, src *float32, rows, n, stride int)")
	Doc("mark" + l.name + " sets the bits of what is not 0 in rows of n times sixteen values, stride bytes apart.")
	Pragma("noescape")
	sets, src := Load(Param("sets"), GP64()), Load(Param("src"), GP64())
	rows, n, stride := Load(Param("rows"), GP64()), Load(Param("n"), GP64()), Load(Param("stride"), GP64())
	none, ahead := l.vec(), GP64()
	zero(none)
	MOVQ(n, ahead)
	SHLQ(Imm(6), ahead) // the columns after these, whose turn comes next
	Label("row")
	from, at, left := GP64(), GP64(), GP64()
	MOVQ(src, from)
	MOVQ(sets, at)
	MOVQ(n, left)
	Label("loop")
	for i := range 16 / l.width {
		v := l.vec()
		VMOVUPS(Mem{Base: from, Disp: i * l.bytes()}, v)
		mark(l, v, none, Mem{Base: at, Disp: i})
	}
	PREFETCHT0(Mem{Base: from, Index: ahead, Scale: 1})
	ADDQ(Imm(64), from)
	ADDQ(Imm(2), at)
	DECQ(left)
	JNZ(LabelRef("loop"))
	ADDQ(stride, src)
	ADDQ(Imm(8), sets)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// turn emits the transposition of the sixteen rows at offsets, of four times n columns, into rows room apart, and their sets.
func turn(l level) {
	TEXT("turn"+l.name, NOSPLIT, "func(dst *float32, sets *uint16, src *float32, offsets *int, n, room int)")
	Doc("turn" + l.name + " writes four times n columns of sixteen rows, at offsets, as rows room apart, and sets bits of what is not 0; offsets and room are in bytes.")
	Pragma("noescape")
	offsets, room := Load(Param("offsets"), GP64()), Load(Param("room"), GP64())
	none := l.vec()
	zero(none)
	for h := range 16 / l.width {
		loop := fmt.Sprintf("loop%d", h)
		dst, sets, src := Load(Param("dst"), GP64()), Load(Param("sets"), GP64()), Load(Param("src"), GP64())
		n := Load(Param("n"), GP64())
		Label(loop)
		var v [4]reg.VecVirtual
		for i := range v {
			row := func(lane int) Mem {
				o := GP64()
				MOVQ(Mem{Base: offsets, Disp: 8 * (h*l.width + i + 4*lane)}, o)
				return Mem{Base: src, Index: o, Scale: 1}
			}
			v[i] = l.vec()
			if l.width == 16 {
				VBROADCASTF32X4(row(0), v[i])
			} else {
				VBROADCASTF128(row(0), v[i])
			}
			for lane := 1; lane < l.width/4; lane++ {
				insert(l, lane, row(lane), v[i])
			}
		}
		for i, column := range transpose(l, v) {
			VMOVUPS(column, Mem{Base: dst, Disp: h * l.bytes()})
			mark(l, column, none, Mem{Base: sets, Disp: 8*i + h})
			ADDQ(room, dst)
		}
		ADDQ(Imm(16), src)
		ADDQ(Imm(32), sets)
		DECQ(n)
		JNZ(LabelRef(loop))
	}
	VZEROUPPER()
	RET()
}
