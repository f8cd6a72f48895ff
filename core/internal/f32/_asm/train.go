package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// training emits loops over n vectors of eight floats for what a step of training does beside its products. They round
// after each operation, as plain Go does.
func training() {
	// each emits a loop over the arrays and advances them.
	each := func(n reg.Register, arrays []reg.Register, body func()) {
		Label("loop")
		body()
		for _, a := range arrays {
			ADDQ(U32(32), a)
		}
		DECQ(n)
		JNZ(LabelRef("loop"))
		VZEROUPPER()
		RET()
	}
	load := func(names ...string) (registers []reg.Register) {
		for _, name := range names {
			registers = append(registers, Load(Param(name), GP64()))
		}
		return registers
	}

	TEXT("whereOnAVX2", NOSPLIT, "func(dst, x, y *float32, n int)")
	Doc("whereOnAVX2 is WhereOn for n vectors of eight elements.")
	Pragma("noescape")
	a := load("dst", "x", "y")
	n := Load(Param("n"), GP64())
	none, v := YMM(), YMM()
	zero(none)
	each(n, a, func() {
		VMOVUPS(Mem{Base: a[2]}, v)
		VCMPPS(Imm(0x1e), none, v, v) // y > 0
		VANDPS(Mem{Base: a[1]}, v, v)
		VMOVUPS(v, Mem{Base: a[0]})
	})

	TEXT("timesDiffAVX2", NOSPLIT, "func(dst, x, y *float32, c float32, n int)")
	Doc("timesDiffAVX2 is TimesDiff for n vectors of eight elements.")
	Pragma("noescape")
	a = load("dst", "x", "y")
	n = Load(Param("n"), GP64())
	c := YMM()
	v = YMM()
	VBROADCASTSS(NewParamAddr("c", 24), c)
	each(n, a, func() {
		VMOVUPS(Mem{Base: a[1]}, v)
		VSUBPS(Mem{Base: a[2]}, v, v)
		VMULPS(c, v, v)
		VMOVUPS(v, Mem{Base: a[0]})
	})

	TEXT("sqDiff64AVX2", NOSPLIT, "func(sums *float64, x, y *float32, n int)")
	Doc("sqDiff64AVX2 writes sixteen sums, of every sixteenth squared difference, for n times sixteen elements.")
	Pragma("noescape")
	sums, x, y := Load(Param("sums"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	n = Load(Param("n"), GP64())
	var s [4]reg.VecVirtual
	for i := range s {
		s[i] = YMM()
		zero(s[i])
	}
	Label("loop")
	for i := range s {
		p, q := YMM(), YMM()
		VCVTPS2PD(Mem{Base: x, Disp: 16 * i}, p)
		VCVTPS2PD(Mem{Base: y, Disp: 16 * i}, q)
		VSUBPD(q, p, p)
		VMULPD(p, p, p)
		VADDPD(p, s[i], s[i])
	}
	ADDQ(U32(64), x)
	ADDQ(U32(64), y)
	DECQ(n)
	JNZ(LabelRef("loop"))
	for i := range s {
		VMOVUPD(s[i], Mem{Base: sums, Disp: 32 * i})
	}
	VZEROUPPER()
	RET()

	TEXT("adamAVX2", NOSPLIT, "func(x, m, v, grad, c *float32, n int)")
	Doc("adamAVX2 is AdamW.Step for n vectors of eight elements; c is what AdamW.constants returns.")
	Pragma("noescape")
	a = load("x", "m", "v", "grad")
	consts, n := Load(Param("c"), GP64()), Load(Param("n"), GP64())
	var k [7]reg.VecVirtual
	for i := range k {
		k[i] = YMM()
		VBROADCASTSS(Mem{Base: consts, Disp: 4 * i}, k[i])
	}
	toward, beta2, square, keep, rate, root, eps := k[0], k[1], k[2], k[3], k[4], k[5], k[6]
	each(n, a, func() {
		g, m, v, x := YMM(), YMM(), YMM(), YMM()
		VMOVUPS(Mem{Base: a[3]}, g)
		VMOVUPS(Mem{Base: a[1]}, m)
		t := YMM()
		VSUBPS(m, g, t) // g - m
		VMULPS(toward, t, t)
		VADDPS(t, m, m)
		VMOVUPS(m, Mem{Base: a[1]})
		VMULPS(square, g, t)
		VMULPS(g, t, t)
		VMULPS(Mem{Base: a[2]}, beta2, v)
		VADDPS(t, v, v)
		VMOVUPS(v, Mem{Base: a[2]})
		VSQRTPS(v, v)
		VDIVPS(root, v, v)
		VADDPS(eps, v, v)
		VDIVPS(v, m, m)
		VMULPS(rate, m, m)
		VMULPS(Mem{Base: a[0]}, keep, x)
		VSUBPS(m, x, x)
		VMOVUPS(x, Mem{Base: a[0]})
	})
}
