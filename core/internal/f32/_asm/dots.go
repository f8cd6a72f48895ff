package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dots emits the dot products of one or two rows with those of a matrix, eight sums at a time, then one row by one.
func dots(l level, rows int) {
	TEXT(fmt.Sprintf("dots%sx%d", l.name, rows), NOSPLIT, "func(dst, row, matrix *float32, n, dim int)")
	Doc(fmt.Sprintf("dots%sx%d is dots for %d rows.", l.name, rows, rows))
	Pragma("noescape")
	dst, matrix, n, dim := Load(Param("dst"), GP64()), Load(Param("matrix"), GP64()), Load(Param("n"), GP64()), Load(Param("dim"), GP64())
	stride, stride3, rest := GP64(), GP64(), GP64()
	MOVQ(dim, stride)
	SHLQ(Imm(2), stride)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	dsts := []reg.Register{dst, nil}[:rows]
	if rows == 2 {
		dsts[1] = GP64()
		LEAQ(Mem{Base: dst, Index: n, Scale: 4}, dsts[1])
	}
	MOVQ(dim, rest)
	ANDQ(Imm(uint64(l.width-1)), rest)
	SHRQ(l.shift(), dim)
	partial := l.partial(rest)
	for _, g := range []int{8 / rows, 1} { // rows of the matrix
		name := fmt.Sprintf("by%d", g)
		Label(name)
		CMPQ(n, Imm(uint64(g)))
		JL(LabelRef(name + "_end"))
		row, c0, c4, left := GP64(), GP64(), GP64(), GP64()
		Load(Param("row"), row)
		MOVQ(matrix, c0)
		if g > 4 {
			LEAQ(Mem{Base: matrix, Index: stride, Scale: 4}, c4)
		}
		at := func(j int) Mem {
			m := Mem{Base: c0}
			if j >= 4 {
				m.Base = c4
			}
			switch j % 4 {
			case 1:
				m.Index, m.Scale = stride, 1
			case 2:
				m.Index, m.Scale = stride, 2
			case 3:
				m.Index, m.Scale = stride3, 1
			}
			return m
		}
		rowAt := func(i int) Mem {
			if i == 0 {
				return Mem{Base: row}
			}
			return Mem{Base: row, Index: stride, Scale: 1}
		}
		sums := make([]reg.VecVirtual, g*rows)
		for i := range sums {
			sums[i] = l.vec()
			zero(sums[i])
		}
		x := make([]reg.VecVirtual, rows)
		for i := range x {
			x[i] = l.vec()
		}
		c := l.vec()
		MOVQ(dim, left)
		TESTQ(left, left)
		JZ(LabelRef(name + "_rest"))
		Label(name + "_loop")
		for i := range x {
			VMOVUPS(rowAt(i), x[i])
		}
		for j := range g {
			if rows == 1 {
				VFMADD231PS(at(j), x[0], sums[j])
				continue
			}
			VMOVUPS(at(j), c)
			for i := range x {
				VFMADD231PS(c, x[i], sums[i*g+j])
			}
		}
		ADDQ(U32(l.bytes()), row)
		ADDQ(U32(l.bytes()), c0)
		if g > 4 {
			ADDQ(U32(l.bytes()), c4)
		}
		DECQ(left)
		JNZ(LabelRef(name + "_loop"))
		Label(name + "_rest")
		TESTQ(rest, rest)
		JZ(LabelRef(name + "_sum"))
		for i := range x {
			partial(rowAt(i), x[i])
		}
		for j := range g {
			partial(at(j), c)
			for i := range x {
				VFMADD231PS(c, x[i], sums[i*g+j])
			}
		}
		Label(name + "_sum")
		if l.width == 16 {
			for _, s := range sums {
				high := YMM()
				VEXTRACTF32X8(Imm(1), s, high)
				VADDPS(s.AsY(), high, s.AsY()) // in place: VHADDPS knows the first 16 registers only
			}
		}
		if g > 1 {
			add := func(a, b reg.VecVirtual) reg.VecVirtual {
				VHADDPS(b.AsY(), a.AsY(), a.AsY())
				return a
			}
			a := add(add(sums[0], sums[1]), add(sums[2], sums[3]))
			b := add(add(sums[4], sums[5]), add(sums[6], sums[7]))
			low, high := YMM(), YMM()
			VPERM2F128(Imm(0x20), b.AsY(), a.AsY(), low)
			VPERM2F128(Imm(0x31), b.AsY(), a.AsY(), high)
			VADDPS(low, high, low)
			if rows == 1 {
				VMOVUPS(low, Mem{Base: dst})
			} else {
				VMOVUPS(low.AsX(), Mem{Base: dst})
				VEXTRACTF128(Imm(1), low, Mem{Base: dsts[1]})
			}
		} else {
			for i, s := range sums {
				high := XMM()
				VEXTRACTF128(Imm(1), s.AsY(), high)
				VADDPS(s.AsX(), high, high)
				VHADDPS(high, high, high)
				VHADDPS(high, high, high)
				VMOVSS(high, Mem{Base: dsts[i]})
			}
		}
		for _, d := range dsts {
			ADDQ(U32(4*g), d)
		}
		if g == 1 {
			ADDQ(stride, matrix)
		} else {
			LEAQ(Mem{Base: matrix, Index: stride, Scale: uint8(g)}, matrix)
		}
		SUBQ(Imm(uint64(g)), n)
		JMP(LabelRef(name))
		Label(name + "_end")
	}
	VZEROUPPER()
	RET()
}
