package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dots emits the dot products of one row with rows of a matrix, eight of them at a time, then one by one.
func dots(l level) {
	TEXT("dots"+l.name, NOSPLIT, "func(dst, row, matrix *float32, n, dim int)")
	Doc("dots" + l.name + " is dots.")
	Pragma("noescape")
	dst, matrix, n, dim := Load(Param("dst"), GP64()), Load(Param("matrix"), GP64()), Load(Param("n"), GP64()), Load(Param("dim"), GP64())
	stride, stride3, rest := GP64(), GP64(), GP64()
	MOVQ(dim, stride)
	SHLQ(Imm(2), stride)
	LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, stride3)
	MOVQ(dim, rest)
	ANDQ(Imm(uint64(l.width-1)), rest)
	SHRQ(Imm(uint64(map[int]int{16: 4, 8: 3}[l.width])), dim)

	var k reg.OpmaskVirtual
	var mask reg.VecVirtual
	if l.width == 16 {
		one, bits := GP64(), GP64()
		MOVQ(U32(1), one)
		SHLXQ(rest, one, bits)
		DECQ(bits)
		k = K()
		KMOVW(bits.As32(), k)
	} else {
		mask = YMM()
		count, iota := YMM(), YMM()
		VMOVD(rest.As32(), count.AsX())
		VPBROADCASTD(count.AsX(), count)
		ramp := GP64()
		MOVQ(U64(0x0706050403020100), ramp)
		VMOVQ(ramp, iota.AsX())
		VPMOVZXBD(iota.AsX(), iota)
		VPCMPGTD(iota, count, mask)
	}
	partial := func(m Mem, v reg.VecVirtual) {
		if l.width == 16 {
			VMOVUPS_Z(m, k, v)
		} else {
			VMASKMOVPS(m, mask, v)
		}
	}

	for _, g := range []int{8, 1} {
		name := map[int]string{8: "eight", 1: "one"}[g]
		Label(name)
		CMPQ(n, Imm(uint64(g)))
		JL(LabelRef(name + "_end"))
		row, c0, c4, left := GP64(), GP64(), GP64(), GP64()
		Load(Param("row"), row)
		MOVQ(matrix, c0)
		LEAQ(Mem{Base: matrix, Index: stride, Scale: 4}, c4)
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
		sums := make([]reg.VecVirtual, g)
		for j := range sums {
			sums[j] = l.vec()
			zero(sums[j])
		}
		r := l.vec()
		MOVQ(dim, left)
		TESTQ(left, left)
		JZ(LabelRef(name + "_rest"))
		Label(name + "_loop")
		VMOVUPS(Mem{Base: row}, r)
		for j := range sums {
			VFMADD231PS(at(j), r, sums[j])
		}
		ADDQ(U32(l.bytes()), row)
		ADDQ(U32(l.bytes()), c0)
		if g == 8 {
			ADDQ(U32(l.bytes()), c4)
		}
		DECQ(left)
		JNZ(LabelRef(name + "_loop"))
		Label(name + "_rest")
		TESTQ(rest, rest)
		JZ(LabelRef(name + "_sum"))
		partial(Mem{Base: row}, r)
		c := l.vec()
		for j := range sums {
			partial(at(j), c)
			VFMADD231PS(c, r, sums[j])
		}
		Label(name + "_sum")
		y := make([]reg.VecVirtual, g)
		for j := range y {
			y[j] = sums[j]
			if l.width == 16 {
				high := YMM()
				VEXTRACTF32X8(Imm(1), sums[j], high)
				VADDPS(sums[j].AsY(), high, sums[j].AsY()) // in place: VHADDPS knows the first 16 registers only
			}
		}
		if g == 8 {
			add := func(a, b reg.VecVirtual) reg.VecVirtual {
				VHADDPS(b.AsY(), a.AsY(), a.AsY())
				return a
			}
			a := add(add(y[0], y[1]), add(y[2], y[3]))
			b := add(add(y[4], y[5]), add(y[6], y[7]))
			low, high := YMM(), YMM()
			VPERM2F128(Imm(0x20), b.AsY(), a.AsY(), low)
			VPERM2F128(Imm(0x31), b.AsY(), a.AsY(), high)
			VADDPS(low, high, low)
			VMOVUPS(low, Mem{Base: dst})
		} else {
			high := XMM()
			VEXTRACTF128(Imm(1), y[0].AsY(), high)
			VADDPS(y[0].AsX(), high, high)
			VHADDPS(high, high, high)
			VHADDPS(high, high, high)
			VMOVSS(high, Mem{Base: dst})
		}
		ADDQ(U32(4*g), dst)
		if g == 8 {
			LEAQ(Mem{Base: matrix, Index: stride, Scale: 8}, matrix)
		} else {
			ADDQ(stride, matrix)
		}
		SUBQ(Imm(uint64(g)), n)
		JMP(LabelRef(name))
		Label(name + "_end")
	}
	VZEROUPPER()
	RET()
}
