package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// nearest16 emits the tile of g quantized rows and a panel of some vectors of centroids: exact dot products, then scores,
// then a running argmax in each lane of each row. It takes four pairs of elements at a time.
func nearest16(l level, g, vectors int) {
	TEXT(fmt.Sprintf("nearest16%sx%dx%d", l.name, g, vectors), NOSPLIT,
		"func(state *float32, panel *uint32, rows *int16, alpha, bias *float32, stride, pairs, slot int, ahead *float32, step int)")
	Doc(fmt.Sprintf("nearest16%sx%dx%d is nearestTile16 for %d rows and %d centroids.", l.name, g, vectors, g, vectors*l.width))
	Pragma("noescape")
	panel, pairs, stride := Load(Param("panel"), GP64()), Load(Param("pairs"), GP64()), Load(Param("stride"), GP64())
	ahead, step := Load(Param("ahead"), GP64()), Load(Param("step"), GP64())
	var bases []reg.GPVirtual // of every third row
	for i := 0; i < g; i += 3 {
		b := GP64()
		if i == 0 {
			Load(Param("rows"), b)
		} else {
			LEAQ(Mem{Base: bases[len(bases)-1], Index: stride, Scale: 2}, b)
			ADDQ(stride, b)
		}
		bases = append(bases, b)
	}
	sums := make([]reg.VecVirtual, g*vectors)
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	c := make([]reg.VecVirtual, vectors)
	for h := range c {
		c[h] = l.vec()
	}
	x := l.vec()
	Label("loop")
	for n := range unroll {
		for h := range c {
			load(l, Mem{Base: panel, Disp: (n*vectors + h) * l.bytes()}, c[h])
		}
		for i := range g {
			m := Mem{Base: bases[i/3], Disp: 4 * n}
			if i%3 > 0 {
				m.Index, m.Scale = stride, uint8(i%3)
			}
			VPBROADCASTD(m, x)
			for h := range c {
				l.addPairs(x, c[h], sums[i*vectors+h])
			}
		}
	}
	PREFETCHT1(Mem{Base: ahead})
	ADDQ(step, ahead)
	ADDQ(U32(unroll*vectors*l.bytes()), panel)
	for _, b := range bases {
		ADDQ(Imm(4*unroll), b)
	}
	SUBQ(Imm(unroll), pairs)
	JNZ(LabelRef("loop"))

	state, alpha, bias, slot := Load(Param("state"), GP64()), Load(Param("alpha"), GP64()), Load(Param("bias"), GP64()), Load(Param("slot"), GP64())
	slots := []reg.Register{slot}
	if vectors == 2 {
		next := GP64()
		LEAQ(Mem{Base: slot, Disp: l.width}, next)
		slots = append(slots, next)
	}
	// AVX2 has not the registers for all sums and the running values: the sums wait in memory.
	spill := l.width == 8
	var spilled Mem
	if spill {
		spilled = AllocLocal(len(sums) * l.bytes())
		for i, s := range sums {
			VMOVDQU(s, spilled.Offset(i*l.bytes()))
		}
	}
	for i := range g {
		at := func(field int) Mem { return Mem{Base: state, Disp: (3*i + field) * l.bytes()} }
		a := l.vec()
		VBROADCASTSS(Mem{Base: alpha, Disp: 4 * i}, a)
		for h := range c {
			s := sums[i*vectors+h]
			if spill {
				s = l.vec()
				VCVTDQ2PS(spilled.Offset((i*vectors+h)*l.bytes()), s)
				sums[i*vectors+h] = s
			} else {
				VCVTDQ2PS(s, s)
			}
			VFMADD213PS(Mem{Base: bias, Disp: h * l.bytes()}, a, s) // s*a + bias
		}
		best, second, id := l.vec(), l.vec(), l.vec()
		VMOVUPS(at(0), best)
		VMOVUPS(at(1), second)
		VMOVUPS(at(2), id)
		for h := range c {
			s, m := sums[i*vectors+h], l.vec()
			VMINPS(s, best, m)
			VMAXPS(m, second, second)
			if l.width == 16 {
				k := K()
				VCMPPS(Imm(0x1e), best, s, k) // s > best
				VPBROADCASTD(slots[h].(reg.GPVirtual).As32(), k, id)
			} else {
				greater, n := l.vec(), l.vec()
				VCMPPS(Imm(0x1e), best, s, greater)
				VMOVD(slots[h].(reg.GPVirtual).As32(), n.AsX())
				VPBROADCASTD(n.AsX(), n)
				VBLENDVPS(greater, n, id, id)
			}
			VMAXPS(s, best, best)
		}
		VMOVUPS(best, at(0))
		VMOVUPS(second, at(1))
		VMOVUPS(id, at(2))
	}
	VZEROUPPER()
	RET()
}

// best16 emits the end of a row's search: the lanes' best scores against one another.
func best16(l level) {
	TEXT("best16"+l.name, NOSPLIT, "func(best *float32, state *float32, rows int)")
	Doc("best16" + l.name + " is best16.")
	Pragma("noescape")
	dst, state, rows := Load(Param("best"), GP64()), Load(Param("state"), GP64()), Load(Param("rows"), GP64())
	iota, ramp := l.vec(), GP64()
	MOVQ(U64(0x0706050403020100), ramp)
	if l.width == 16 {
		VMOVQ(ramp, iota.AsX())
		MOVQ(U64(0x0f0e0d0c0b0a0908), ramp)
		VPINSRQ(Imm(1), ramp, iota.AsX(), iota.AsX())
	} else {
		VMOVQ(ramp, iota.AsX())
	}
	VPMOVZXBD(iota.AsX(), iota)
	Label("loop")
	var v, w [3]reg.VecVirtual
	for i := range v {
		v[i], w[i] = l.vec(), l.vec()
		VMOVUPS(Mem{Base: state, Disp: i * l.bytes()}, v[i])
	}
	VPADDD(iota, v[2], v[2])
	for n := l.width / 2; n > 0; n /= 2 { // the upper n lanes join the lower
		for i := range v {
			switch n {
			case 8:
				VEXTRACTF64X4(Imm(1), v[i], w[i].AsY())
			case 4:
				VEXTRACTF128(Imm(1), v[i].AsY(), w[i].AsX())
			case 2:
				VPERMILPS(Imm(0b1110), v[i].AsX(), w[i].AsX())
			case 1:
				VPERMILPS(Imm(0b01), v[i].AsX(), w[i].AsX())
			}
		}
		part := func(r reg.VecVirtual) reg.VecVirtual {
			if n == 8 {
				return r.AsY().(reg.VecVirtual)
			}
			return r.AsX().(reg.VecVirtual)
		}
		lost, greater := YMM(), YMM()
		VMINPS(part(w[0]), part(v[0]), part(lost))
		VMAXPS(part(w[1]), part(v[1]), part(v[1]))
		VMAXPS(part(lost), part(v[1]), part(v[1]))
		VCMPPS(Imm(0x1e), part(v[0]), part(w[0]), part(greater))
		VBLENDVPS(part(greater), part(w[2]), part(v[2]), part(v[2]))
		VMAXPS(part(w[0]), part(v[0]), part(v[0]))
	}
	for i := range v {
		VMOVSS(v[i].AsX(), Mem{Base: dst, Disp: 4 * i})
	}
	ADDQ(U32(3*l.bytes()), state)
	ADDQ(Imm(12), dst)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
