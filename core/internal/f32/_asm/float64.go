package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// doubles emits loops over float64 that round each product before it is added.
func doubles() {
	TEXT("dot64AVX2", NOSPLIT, "func(sums, x, y *float64, n int)")
	Doc("dot64AVX2 writes sixteen sums, of every sixteenth product, for n times sixteen elements.")
	Pragma("noescape")
	dst, x, y, n := Load(Param("sums"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64()), Load(Param("n"), GP64())
	var sums [4]reg.VecVirtual
	for i := range sums {
		sums[i] = YMM()
		zero(sums[i])
	}
	Label("loop")
	for i, s := range sums {
		p := YMM()
		VMOVUPD(Mem{Base: x, Disp: 32 * i}, p)
		VMULPD(Mem{Base: y, Disp: 32 * i}, p, p)
		VADDPD(p, s, s)
	}
	ADDQ(U32(128), x)
	ADDQ(U32(128), y)
	DECQ(n)
	JNZ(LabelRef("loop"))
	for i, s := range sums {
		VMOVUPD(s, Mem{Base: dst, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()

	TEXT("addTimes64AVX2", NOSPLIT, "func(dst, x *float64, w float64, n int)")
	Doc("addTimes64AVX2 adds w times x to dst, for n times sixteen elements.")
	Pragma("noescape")
	dst, x, n = Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	w := YMM()
	VBROADCASTSD(NewParamAddr("w", 16), w)
	Label("loop")
	for i := range 4 {
		p := YMM()
		VMULPD(Mem{Base: x, Disp: 32 * i}, w, p)
		VADDPD(Mem{Base: dst, Disp: 32 * i}, p, p)
		VMOVUPD(p, Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(U32(128), dst)
	ADDQ(U32(128), x)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()

	TEXT("addRows64AVX2", NOSPLIT, "func(dst *float64, x *float32, stride int, w *float64, n int)")
	Doc("addRows64AVX2 adds to 32 sums the n rows of x, stride elements apart, each times its w.")
	Pragma("noescape")
	dst, x, stride := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("stride"), GP64())
	weight, n := Load(Param("w"), GP64()), Load(Param("n"), GP64())
	SHLQ(Imm(2), stride)
	var eight [8]reg.VecVirtual
	for i := range eight {
		eight[i] = YMM()
		VMOVUPD(Mem{Base: dst, Disp: 32 * i}, eight[i])
	}
	w = YMM()
	Label("loop")
	VBROADCASTSD(Mem{Base: weight}, w)
	for i, s := range eight {
		p := YMM()
		VCVTPS2PD(Mem{Base: x, Disp: 16 * i}, p)
		VMULPD(w, p, p)
		VADDPD(p, s, s)
	}
	ADDQ(stride, x)
	ADDQ(U32(8), weight)
	DECQ(n)
	JNZ(LabelRef("loop"))
	for i, s := range eight {
		VMOVUPD(s, Mem{Base: dst, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()
}
