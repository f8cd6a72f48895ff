package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// exact emits the distances that define codes, of a panel's rows to g points: float64, and no fused multiply-add, as
// that would leave out a rounding.
func exact(l level, g int) {
	TEXT(fmt.Sprintf("exact%sx%d", l.name, g), NOSPLIT, "func(dst *float64, panel *float32, points *float64, dim int)")
	Doc(fmt.Sprintf("exact%sx%d is exactTile for panels of %d rows and %d points.", l.name, g, 2*l.width, g))
	Pragma("noescape")
	dst, panel, points, dim := Load(Param("dst"), GP64()), Load(Param("panel"), GP64()), Load(Param("points"), GP64()), Load(Param("dim"), GP64())
	sums := make([]reg.VecVirtual, 4*g)
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	var rows [4]reg.VecVirtual // of width/2 rows each
	for i := range rows {
		rows[i] = l.vec()
	}
	Label("loop")
	for i, r := range rows {
		VCVTPS2PD(Mem{Base: panel, Disp: i * l.bytes() / 2}, r)
	}
	for j := range g {
		p := l.vec()
		VBROADCASTSD(Mem{Base: points, Disp: 8 * j}, p)
		for i, r := range rows {
			d := l.vec()
			VSUBPD(p, r, d)
			VMULPD(d, d, d)
			VADDPD(d, sums[4*j+i], sums[4*j+i])
		}
	}
	ADDQ(U32(2*l.bytes()), panel)
	ADDQ(U32(8*g), points)
	DECQ(dim)
	JNZ(LabelRef("loop"))
	for i, s := range sums {
		VMOVUPD(s, Mem{Base: dst, Disp: i * l.bytes()})
	}
	VZEROUPPER()
	RET()
}

// exactAt emits the distances that define codes, of one row to 4*g others, g vectors of them: squares of four dimensions of
// a row are worked out at a time, and turned so that each lane sums those of one row in order. The additions wait for one
// another, so AVX-512 would gain little.
func exactAt(g int) {
	name := fmt.Sprintf("exactAtAVX2x%d", 4*g)
	TEXT(name, NOSPLIT, "func(dst *float64, x, rows *float32, offsets *int, n int)")
	Doc(fmt.Sprintf("%s sets dst to the squared distances of x to %d rows at the given offsets, in bytes, over 4n dimensions.", name, 4*g))
	Pragma("noescape")
	x, rows, offsets := Load(Param("x"), GP64()), Load(Param("rows"), GP64()), Load(Param("offsets"), GP64())
	row := make([]reg.GPVirtual, 4*g)
	for j := range row {
		row[j] = GP64()
		MOVQ(Mem{Base: offsets, Disp: 8 * j}, row[j])
		ADDQ(rows, row[j])
	}
	n, off := Load(Param("n"), GP64()), GP64()
	XORQ(off, off)
	sums := make([]reg.VecVirtual, g)
	for i := range sums {
		sums[i] = YMM()
		zero(sums[i])
	}
	v := YMM()
	Label("loop")
	VCVTPS2PD(Mem{Base: x, Index: off, Scale: 1}, v)
	for i, sum := range sums {
		var sq, pair, turned [4]reg.VecVirtual
		for j := range sq {
			sq[j], pair[j], turned[j] = YMM(), YMM(), YMM()
			VCVTPS2PD(Mem{Base: row[4*i+j], Index: off, Scale: 1}, sq[j])
			VSUBPD(sq[j], v, sq[j])
			VMULPD(sq[j], sq[j], sq[j])
		}
		for j := 0; j < 4; j += 2 {
			VUNPCKLPD(sq[j+1], sq[j], pair[j])
			VUNPCKHPD(sq[j+1], sq[j], pair[j+1])
		}
		for d, half := range []uint64{0x20, 0x20, 0x31, 0x31} {
			VPERM2F128(Imm(half), pair[2+d%2], pair[d%2], turned[d])
			VADDPD(turned[d], sum, sum)
		}
	}
	ADDQ(Imm(16), off)
	DECQ(n)
	JNZ(LabelRef("loop"))
	dst := Load(Param("dst"), GP64())
	for i, sum := range sums {
		VMOVUPD(sum, Mem{Base: dst, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()
}
