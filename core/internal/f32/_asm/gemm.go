package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// gemm emits the tile of a product: g rows by two vectors of columns, each element one chain of fused multiply-adds.
func gemm(l level, g int) {
	TEXT(fmt.Sprintf("gemm%sx%d", l.name, g), NOSPLIT, "func(c *float32, stride int, a *float32, row, step int, panel *float32, depth int, add, relu bool, bias *float32)")
	Doc(fmt.Sprintf("gemm%sx%d is gemmTile for %d rows and panels of %d columns; stride, row and step are in bytes.", l.name, g, g, 2*l.width))
	Pragma("noescape")
	c, stride := Load(Param("c"), GP64()), Load(Param("stride"), GP64())
	a, row, step := Load(Param("a"), GP64()), Load(Param("row"), GP64()), Load(Param("step"), GP64())
	panel, depth := Load(Param("panel"), GP64()), Load(Param("depth"), GP64())

	// eachRow runs do at every row of c.
	eachRow := func(do func(j int, at reg.Register)) {
		at := GP64()
		MOVQ(c, at)
		for j := range g {
			do(j, at)
			if j < g-1 {
				ADDQ(stride, at)
			}
		}
	}
	var sums []reg.VecVirtual
	for range 2 * g {
		sums = append(sums, l.vec())
	}
	add := Load(Param("add"), GP8())
	TESTB(add, add)
	JZ(LabelRef("zero"))
	eachRow(func(j int, at reg.Register) {
		VMOVUPS(Mem{Base: at}, sums[2*j])
		VMOVUPS(Mem{Base: at, Disp: l.bytes()}, sums[2*j+1])
	})
	JMP(LabelRef("start"))
	Label("zero")
	for _, s := range sums {
		zero(s)
	}
	eachRow(func(_ int, at reg.Register) { // by the end of the sums they are there to be written
		PREFETCHT0(Mem{Base: at})
		PREFETCHT0(Mem{Base: at, Disp: l.bytes()})
	})
	Label("start")

	// Rows of a are reached from two bases, seven rows apart, and three registers: 0, 1, 2, 4, 3, 6 and 5 times row.
	bases := []reg.Register{a}
	if g > 7 {
		second := GP64()
		IMUL3Q(Imm(7), row, second)
		ADDQ(a, second)
		bases = append(bases, second)
	}
	row3, row5 := GP64(), GP64()
	if g > 3 {
		LEAQ(Mem{Base: row, Index: row, Scale: 2}, row3)
	}
	if g > 5 {
		LEAQ(Mem{Base: row, Index: row, Scale: 4}, row5)
	}
	element := func(j int) Mem {
		base := bases[j/7]
		switch j % 7 {
		case 1, 2, 4:
			return Mem{Base: base, Index: row, Scale: uint8(j % 7)}
		case 3, 6:
			return Mem{Base: base, Index: row3, Scale: uint8(j % 7 / 3)}
		case 5:
			return Mem{Base: base, Index: row5, Scale: 1}
		}
		return Mem{Base: base}
	}
	r0, r1, x := l.vec(), l.vec(), l.vec()
	one := func(n int) {
		VMOVUPS(Mem{Base: panel, Disp: 2 * n * l.bytes()}, r0)
		VMOVUPS(Mem{Base: panel, Disp: (2*n + 1) * l.bytes()}, r1)
		for j := range g {
			VBROADCASTSS(element(j), x)
			VFMADD231PS(x, r0, sums[2*j])
			VFMADD231PS(x, r1, sums[2*j+1])
		}
		for _, b := range bases {
			ADDQ(step, b)
		}
	}
	rest := GP64()
	MOVQ(depth, rest)
	ANDQ(U32(unroll-1), rest)
	SHRQ(U8(bits.TrailingZeros(unroll)), depth)
	JZ(LabelRef("rest"))
	Label("loop")
	for n := range unroll {
		one(n)
	}
	ADDQ(U32(2*unroll*l.bytes()), panel)
	DECQ(depth)
	JNZ(LabelRef("loop"))
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("done"))
	Label("one")
	one(0)
	ADDQ(U32(2*l.bytes()), panel)
	DECQ(rest)
	JNZ(LabelRef("one"))
	Label("done")

	bias := Load(Param("bias"), GP64())
	TESTQ(bias, bias)
	JZ(LabelRef("unbiased"))
	VMOVUPS(Mem{Base: bias}, r0)
	VMOVUPS(Mem{Base: bias, Disp: l.bytes()}, r1)
	for j := range g {
		VADDPS(r0, sums[2*j], sums[2*j])
		VADDPS(r1, sums[2*j+1], sums[2*j+1])
	}
	Label("unbiased")
	relu := Load(Param("relu"), GP8())
	TESTB(relu, relu)
	JZ(LabelRef("store"))
	zero(r0)
	for _, s := range sums {
		VMAXPS(s, r0, s) // in this order NaN and -0 stay
	}
	Label("store")
	eachRow(func(j int, at reg.Register) {
		VMOVUPS(sums[2*j], Mem{Base: at})
		VMOVUPS(sums[2*j+1], Mem{Base: at, Disp: l.bytes()})
	})
	VZEROUPPER()
	RET()
}

// columns emits the copy of rows that lie stride bytes apart, cut into pieces of size values, each piece below the one of
// the row before.
func columns(l level, size int) {
	TEXT(fmt.Sprintf("columns%sx%d", l.name, size), NOSPLIT, "func(dst, src *float32, pieces, depth, stride int)")
	Doc(fmt.Sprintf("columns%sx%d copies piece p of row d, of %d values, to dst[p*depth+d], also of so many. Rows are stride bytes apart.", l.name, size, size))
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	pieces, depth, stride := Load(Param("pieces"), GP64()), Load(Param("depth"), GP64()), Load(Param("stride"), GP64())
	far, left := GP64(), GP64() // from a piece to the next one of the row
	IMUL3Q(U32(4*size), depth, far)
	MOVQ(depth, left)
	ahead := GP64()
	MOVQ(stride, ahead)
	SHLQ(Imm(4), ahead) // sixteen rows
	Label("row")
	from, to, n := GP64(), GP64(), GP64()
	MOVQ(src, from)
	MOVQ(dst, to)
	MOVQ(pieces, n)
	Label("piece")
	for at := 0; at < size; at += 16 { // rows begin too far apart for the CPU to foresee them
		PREFETCHT0(Mem{Base: from, Index: ahead, Scale: 1, Disp: 4 * at})
	}
	for at := 0; at < size; {
		v := l.vec()
		switch rest := size - at; {
		case rest >= 16 && l.width == 16:
			VMOVUPS(Mem{Base: from, Disp: 4 * at}, v)
			VMOVUPS(v, Mem{Base: to, Disp: 4 * at})
			at += 16
		case rest >= 8:
			VMOVUPS(Mem{Base: from, Disp: 4 * at}, v.AsY())
			VMOVUPS(v.AsY(), Mem{Base: to, Disp: 4 * at})
			at += 8
		case rest >= 4:
			VMOVUPS(Mem{Base: from, Disp: 4 * at}, v.AsX())
			VMOVUPS(v.AsX(), Mem{Base: to, Disp: 4 * at})
			at += 4
		default:
			VMOVSD(Mem{Base: from, Disp: 4 * at}, v.AsX())
			VMOVSD(v.AsX(), Mem{Base: to, Disp: 4 * at})
			at += 2
		}
	}
	ADDQ(U32(4*size), from)
	ADDQ(far, to)
	DECQ(n)
	JNZ(LabelRef("piece"))
	ADDQ(stride, src)
	ADDQ(U32(4*size), dst)
	DECQ(left)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
