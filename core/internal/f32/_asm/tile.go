package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// unroll is how many dimensions the hot loop takes at a time.
const unroll = 4

// product emits the hot loop: sums[2*j+h] = dot products of vector h of the panel's rows with centroid j, each one
// chain of fused multiply-adds from zero, the dimension ascending. With prefetch, every fourth step also asks for the
// cache line at ahead and advances it by stride bytes.
func product(l level, g int, prefetch bool) (sums []reg.VecVirtual) {
	panel, group, dim := Load(Param("panel"), GP64()), Load(Param("group"), GP64()), Load(Param("dim"), GP64())
	var ahead, stride reg.Register
	if prefetch {
		ahead, stride = Load(Param("ahead"), GP64()), Load(Param("stride"), GP64())
	}
	for range 2 * g {
		v := l.vec()
		zero(v)
		sums = append(sums, v)
	}
	r0, r1, c := l.vec(), l.vec(), l.vec()
	step := func(n int) {
		VMOVUPS(Mem{Base: panel, Disp: 2 * n * l.bytes()}, r0)
		VMOVUPS(Mem{Base: panel, Disp: (2*n + 1) * l.bytes()}, r1)
		for j := range g {
			VBROADCASTSS(Mem{Base: group, Disp: 4 * (n*g + j)}, c)
			VFMADD231PS(c, r0, sums[2*j])
			VFMADD231PS(c, r1, sums[2*j+1])
		}
	}
	advance := func(n int) {
		ADDQ(U32(2*n*l.bytes()), panel)
		ADDQ(U32(4*n*g), group)
	}
	rest := GP64()
	MOVQ(dim, rest)
	ANDQ(U32(unroll-1), rest)
	SHRQ(U8(bits.TrailingZeros(unroll)), dim)
	JZ(LabelRef("rest"))
	Label("loop")
	for n := range unroll {
		step(n)
	}
	if prefetch {
		PREFETCHT1(Mem{Base: ahead})
		ADDQ(stride, ahead)
	}
	advance(unroll)
	DECQ(dim)
	JNZ(LabelRef("loop"))
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("done"))
	Label("one")
	step(0)
	advance(1)
	DECQ(rest)
	JNZ(LabelRef("one"))
	Label("done")
	return sums
}

// nearest emits the tile that ends in a running argmax, lane by lane.
func nearest(l level, g int) {
	TEXT(fmt.Sprintf("nearest%sx%d", l.name, g), NOSPLIT, "func(state, panel, group, bias *float32, ids *int32, dim int, ahead *float32, stride int)")
	Doc(fmt.Sprintf("nearest%sx%d is nearestTile for panels of %d rows and groups of %d centroids.", l.name, g, 2*l.width, g))
	Pragma("noescape")
	sums := product(l, g, true)
	state, bias, ids := Load(Param("state"), GP64()), Load(Param("bias"), GP64()), Load(Param("ids"), GP64())

	// AVX2 has not the registers for all sums and the running values: the second half waits in memory.
	spill := l.width == 8
	var spilled Mem
	if spill {
		spilled = AllocLocal(g * l.bytes())
		for j := range g {
			VMOVUPS(sums[2*j+1], spilled.Offset(j*l.bytes()))
		}
	}
	for h := range 2 {
		at := func(field int) Mem { return Mem{Base: state, Disp: (2*field + h) * l.bytes()} }
		best, second, id := l.vec(), l.vec(), l.vec()
		VMOVUPS(at(0), best)
		VMOVUPS(at(1), second)
		VMOVUPS(at(2), id)
		for j := range g {
			b, i, m := Mem{Base: bias, Disp: 4 * j}, Mem{Base: ids, Disp: 4 * j}, l.vec()
			s := sums[2*j+h]
			if l.width == 16 {
				VADDPS_BCST(b, s, s)
				k := K()
				VCMPPS(Imm(0x1e), best, s, k) // s > best
				VMINPS(s, best, m)
				VMAXPS(s, best, best)
				VMAXPS(m, second, second)
				VPBROADCASTD(i, k, id)
				continue
			}
			if h == 1 {
				s = l.vec()
				VBROADCASTSS(b, s)
				VADDPS(spilled.Offset(j*l.bytes()), s, s)
			} else {
				VBROADCASTSS(b, m)
				VADDPS(m, s, s)
			}
			VMINPS(s, best, m)
			VMAXPS(m, second, second)
			c := l.vec()
			VCMPPS(Imm(0x1e), best, s, c)
			VMAXPS(s, best, best)
			n := l.vec()
			VPBROADCASTD(i, n)
			VBLENDVPS(c, n, id, id)
		}
		VMOVUPS(best, at(0))
		VMOVUPS(second, at(1))
		VMOVUPS(id, at(2))
	}
	VZEROUPPER()
	RET()
}

// scores emits the tile that writes every score out.
func scores(l level, g int) {
	TEXT(fmt.Sprintf("scores%sx%d", l.name, g), NOSPLIT, "func(dst, panel, group, bias *float32, dim int)")
	Doc(fmt.Sprintf("scores%sx%d is scoresTile for panels of %d rows and groups of %d centroids.", l.name, g, 2*l.width, g))
	Pragma("noescape")
	sums := product(l, g, false)
	dst, bias := Load(Param("dst"), GP64()), Load(Param("bias"), GP64())
	b := l.vec()
	for j := range g {
		VBROADCASTSS(Mem{Base: bias, Disp: 4 * j}, b)
		for h := range 2 {
			VADDPS(b, sums[2*j+h], sums[2*j+h])
			VMOVUPS(sums[2*j+h], Mem{Base: dst, Disp: (2*j + h) * l.bytes()})
		}
	}
	VZEROUPPER()
	RET()
}
