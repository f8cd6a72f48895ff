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
