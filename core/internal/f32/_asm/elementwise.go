package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// elementwise emits loops over n vectors of eight floats. They wait for memory, so AVX-512 would gain nothing.
func elementwise() {
	inPlace("subAVX2", "subtracts y from x", func(x Mem, y, v reg.VecVirtual) { VMOVUPS(x, v); VSUBPS(y, v, v) })
	inPlace("addAVX2", "adds y to x", func(x Mem, y, v reg.VecVirtual) { VADDPS(x, y, v) })

	TEXT("add64AVX2", NOSPLIT, "func(dst *float64, x *float32, w float64, n int)")
	Doc("add64AVX2 adds w times x to dst, for n vectors of eight elements.")
	Pragma("noescape")
	dst, x, n := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	w := YMM()
	VBROADCASTSD(NewParamAddr("w", 16), w)
	Label("loop")
	for i := range 2 {
		v := YMM()
		VCVTPS2PD(Mem{Base: x, Disp: 16 * i}, v)
		VMULPD(w, v, v)
		VADDPD(Mem{Base: dst, Disp: 32 * i}, v, v)
		VMOVUPD(v, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(U32(64), dst)
	ADDQ(U32(32), x)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()

	TEXT("timesZeroAVX2", NOSPLIT, "func(x *float32, n int) float32")
	Doc("timesZeroAVX2 returns the sum of x times 0, for n times four vectors of eight elements: NaN if one is not finite.")
	Pragma("noescape")
	x, n = Load(Param("x"), GP64()), Load(Param("n"), GP64())
	none := YMM()
	zero(none)
	var sums [4]reg.VecVirtual
	for i := range sums {
		sums[i] = YMM()
		zero(sums[i])
	}
	Label("loop")
	for i, s := range sums {
		VFMADD231PS(Mem{Base: x, Disp: 32 * i}, none, s)
	}
	ADDQ(U32(128), x)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VADDPS(sums[1], sums[0], sums[0])
	VADDPS(sums[3], sums[2], sums[2])
	VADDPS(sums[2], sums[0], sums[0])
	high := XMM()
	VEXTRACTF128(Imm(1), sums[0], high)
	VADDPS(sums[0].AsX(), high, high)
	VHADDPS(high, high, high)
	VHADDPS(high, high, high)
	Store(high, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func inPlace(name, doc string, op func(x Mem, y, v reg.VecVirtual)) {
	TEXT(name, NOSPLIT, "func(x, y *float32, n int)")
	Doc(name + " " + doc + ", for n vectors of eight elements.")
	Pragma("noescape")
	x, y, n := Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("n"), GP64())
	Label("loop")
	u, v := YMM(), YMM()
	VMOVUPS(Mem{Base: y}, u)
	op(Mem{Base: x}, u, v)
	VMOVUPS(v, Mem{Base: x})
	ADDQ(U32(32), x)
	ADDQ(U32(32), y)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
