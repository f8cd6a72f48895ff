package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// peak emits nothing but independent fused multiply-adds on registers.
func peak(l level) {
	TEXT("peak"+l.name, NOSPLIT, "func(n int)")
	Doc("peak" + l.name + " does n times twelve fused multiply-adds: what benchmarks compare with.")
	n := Load(Param("n"), GP64())
	var sums [12]reg.VecVirtual
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	x := l.vec()
	zero(x)
	Label("loop")
	for _, s := range sums {
		VFMADD231PS(x, x, s)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
