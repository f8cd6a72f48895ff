package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// pack emits the transposition of rows into a panel, four dimensions at a time: a vector takes four floats of every
// fourth row in each of its 128-bit lanes, and four such vectors are transposed lane by lane.
func pack(l level) {
	TEXT("pack"+l.name, NOSPLIT, "func(panel, norms, rows *float32, offsets *int, dim int)")
	Doc("pack" + l.name + " is packPanel.")
	Pragma("noescape")
	norms, offsets, dim := Load(Param("norms"), GP64()), Load(Param("offsets"), GP64()), Load(Param("dim"), GP64())
	rest := GP64()
	MOVQ(dim, rest)
	ANDQ(Imm(3), rest)
	SHRQ(Imm(2), dim)

	// mask picks the last dim%4 floats: as a k register, or as a vector whose high bits are set.
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
		mask = XMM()
		count, iota, step := XMM(), XMM(), GP64()
		VMOVD(rest.As32(), count)
		VPBROADCASTD(count, count)
		MOVQ(U64(0x0000000100000000), step)
		VMOVQ(step, iota)
		MOVQ(U64(0x0000000300000002), step)
		VPINSRQ(Imm(1), step, iota, iota)
		VPCMPGTD(iota, count, mask)
	}

	panel, rows := GP64(), GP64()
	for h := range 2 {
		half := [2]string{"low", "high"}[h]
		Load(Param("panel"), panel)
		Load(Param("rows"), rows)
		ADDQ(U32(h*l.bytes()), panel)
		norm, prefix := l.vec(), l.vec()
		zero(norm)
		zero(prefix)
		n := GP64()
		MOVQ(dim, n)
		offset := func(row int) reg.Register {
			o := GP64()
			MOVQ(Mem{Base: offsets, Disp: 8 * (h*l.width + row)}, o)
			return o
		}
		// column stores one dimension and adds its squares to the four dimensions' sum.
		column := func(i int, v, sum reg.VecVirtual) {
			VMOVUPS(v, Mem{Base: panel, Disp: 2 * l.bytes() * i})
			if i == 0 {
				VMULPS(v, v, sum)
			} else {
				VFMADD231PS(v, v, sum)
			}
		}
		finish := func(sum reg.VecVirtual) {
			VADDPS(sum, norm, norm)
			VADDPS(norm, prefix, prefix)
		}

		TESTQ(n, n)
		JZ(LabelRef(half + "_rest"))
		Label(half + "_loop")
		var v [4]reg.VecVirtual
		for i := range v {
			v[i] = l.vec()
			if m := (Mem{Base: rows, Index: offset(i), Scale: 1}); l.width == 16 {
				VBROADCASTF32X4(m, v[i])
			} else {
				VBROADCASTF128(m, v[i])
			}
			for lane := 1; lane < l.width/4; lane++ {
				insert(l, lane, Mem{Base: rows, Index: offset(i + 4*lane), Scale: 1}, v[i])
			}
		}
		sum := l.vec()
		for i, c := range transpose(l, v) {
			column(i, c, sum)
		}
		finish(sum)
		ADDQ(Imm(16), rows)
		ADDQ(U32(8*l.bytes()), panel)
		DECQ(n)
		JNZ(LabelRef(half + "_loop"))

		Label(half + "_rest")
		TESTQ(rest, rest)
		JZ(LabelRef(half + "_done"))
		for i := range v {
			v[i] = l.vec()
			zero(v[i])
			for lane := range l.width / 4 {
				x := XMM()
				if m := (Mem{Base: rows, Index: offset(i + 4*lane), Scale: 1}); l.width == 16 {
					VMOVUPS_Z(m, k, x)
				} else {
					VMASKMOVPS(m, mask, x)
				}
				insert(l, lane, x, v[i])
			}
		}
		sum = l.vec()
		t := transpose(l, v)
		column(0, t[0], sum)
		for i := 1; i < 3; i++ {
			CMPQ(rest, Imm(uint64(i)))
			JE(LabelRef(half + "_sum"))
			column(i, t[i], sum)
		}
		Label(half + "_sum")
		finish(sum)
		Label(half + "_done")
		VMOVUPS(norm, Mem{Base: norms, Disp: h * l.bytes()})
		VMOVUPS(prefix, Mem{Base: norms, Disp: (2 + h) * l.bytes()})
	}
	VZEROUPPER()
	RET()
}

func insert(l level, lane int, src Op, dst reg.VecVirtual) {
	if l.width == 16 {
		VINSERTF32X4(Imm(uint64(lane)), src, dst, dst)
	} else {
		VINSERTF128(Imm(uint64(lane)), src, dst, dst)
	}
}

// transpose turns each 4x4 block of floats in the 128-bit lanes of v.
func transpose(l level, v [4]reg.VecVirtual) (t [4]reg.VecVirtual) {
	var u [4]reg.VecVirtual
	for i := range u {
		u[i], t[i] = l.vec(), l.vec()
	}
	VUNPCKLPS(v[1], v[0], u[0]) // 00 10 01 11
	VUNPCKHPS(v[1], v[0], u[1]) // 02 12 03 13
	VUNPCKLPS(v[3], v[2], u[2]) // 20 30 21 31
	VUNPCKHPS(v[3], v[2], u[3]) // 22 32 23 33
	VUNPCKLPD(u[2], u[0], t[0])
	VUNPCKHPD(u[2], u[0], t[1])
	VUNPCKLPD(u[3], u[1], t[2])
	VUNPCKHPD(u[3], u[1], t[3])
	return t
}
