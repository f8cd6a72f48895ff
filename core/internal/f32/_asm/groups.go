package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// group emits the tile of g quantized rows, wherever they are, and one group of 16 centroids: exact dot products, then what
// each score is at most, the two greatest of these, and the greatest of what the scores are at least.
func group(l level, g int) {
	TEXT("group"+l.name, NOSPLIT,
		"func(best *float32, up *float32, list *int32, rows *uint32, stride int, params *float32, panel *uint32, table *float32, words int)")
	Doc(fmt.Sprintf("group%s is groupTile for %d rows.", l.name, g))
	Pragma("noescape")
	vectors := 16 / l.width
	list, stride := Load(Param("list"), GP64()), Load(Param("stride"), GP64())
	rows := Load(Param("rows"), GP64())
	at := make([]reg.GPVirtual, g)
	for i := range at {
		at[i] = GP64()
		MOVLQSX(Mem{Base: list, Disp: 4 * i}, at[i])
		IMULQ(stride, at[i])
		ADDQ(rows, at[i])
	}
	table := Load(Param("table"), GP64())
	column := func(h, field int) Mem { return Mem{Base: table, Disp: (5*h + field) * l.bytes()} }
	tile := newProducts(l, g, vectors, column)
	sums, c := tile.sums, tile.c
	panel, words, off := Load(Param("panel"), GP64()), Load(Param("words"), GP64()), GP64()
	XORQ(off, off)
	Label("loop")
	tile.add(panel, func(i, n int) Mem { return Mem{Base: at[i], Index: off, Scale: 4, Disp: 4 * n} })
	ADDQ(U32(unroll*vectors*l.bytes()), panel)
	ADDQ(Imm(unroll), off)
	CMPQ(off, words)
	JL(LabelRef("loop"))

	best, up, params := Load(Param("best"), GP64()), Load(Param("up"), GP64()), Load(Param("params"), GP64())
	// AVX2 has not the registers for all sums and what follows: the sums wait in memory.
	spill := l.width == 8
	var spilled Mem
	if spill {
		spilled = AllocLocal(len(sums) * l.bytes())
		for i, s := range sums {
			VMOVDQU(s, spilled.Offset(i*l.bytes()))
		}
	}
	lows := AllocLocal(64)
	none, bits := l.vec(), GP32()
	MOVL(U32(0xff800000), bits) // -Inf
	VMOVD(bits, none.AsX())
	VBROADCASTSS(none.AsX(), none)
	for i := range g {
		of := GP64()
		MOVLQSX(Mem{Base: list, Disp: 4 * i}, of)
		SHLQ(Imm(4), of)
		param := func(n int) Mem { return Mem{Base: params, Index: of, Scale: 1, Disp: 4 * n} }
		length, rest := l.vec(), l.vec()
		VBROADCASTSS(param(2), length)
		VBROADCASTSS(param(3), rest)
		most := make([]reg.VecVirtual, vectors)
		for h := range c {
			s, t := sums[i*vectors+h], l.vec()
			if spill {
				s = l.vec()
				VCVTDQ2PS(spilled.Offset((i*vectors+h)*l.bytes()), s)
			} else {
				VCVTDQ2PS(s, s)
			}
			VMULPS(column(h, 0), s, s)
			VMOVUPS(column(h, 3), t)
			a := l.vec()
			VBROADCASTSS(param(0), a)
			VFMADD132PS(a, t, s) // s*alpha + bias
			VMOVUPS(column(h, 1), t)
			VBROADCASTSS(param(1), a)
			VFMADD132PS(a, rest, t)
			VFMADD231PS(column(h, 2), length, t)
			most[h] = l.vec()
			VADDPS(t, s, most[h]) // what the score is at most, and at least
			VMOVUPS(most[h], Mem{Base: up, Disp: 64*i + h*l.bytes()})
			VSUBPS(most[h], s, t) // s - (s + e)
			VADDPS(t, s, t)
			VMOVUPS(t, lows.Offset(h*l.bytes()))
		}
		topTwo(l, most, lows, none, Mem{Base: best, Disp: 16 * i}, fmt.Sprintf("alone%d", i))
	}
	VZEROUPPER()
	RET()
}

// topTwo emits, to dst, the number of lows at the first place of the greatest of 16 numbers, that greatest, the greatest of
// the others, and that place.
func topTwo(l level, v []reg.VecVirtual, lows Mem, none reg.VecVirtual, dst Mem, label string) {
	join := func() reg.VecVirtual {
		m := l.vec()
		if len(v) == 2 {
			VMAXPS(v[0], v[1], m)
		} else {
			VMOVAPS(v[0], m)
		}
		l.fold(m, greater)
		return m
	}
	m := join()
	VMOVSS(m.AsX(), dst.Offset(4))
	all := l.vec()
	VBROADCASTSS(m.AsX(), all)
	place, bits := GP32(), GP32()
	if len(v) == 1 {
		k := K()
		VCMPPS(Imm(0), v[0], all, k)
		KMOVW(k, bits)
		TZCNTL(bits, place)
		BLSIL(bits, bits)
		KMOVW(bits, k)
		VMOVAPS(none, k, v[0])
	} else {
		high := GP32()
		equal := []reg.VecVirtual{l.vec(), l.vec()}
		for h := range v {
			VCMPPS(Imm(0), v[h], all, equal[h])
		}
		VMOVMSKPS(equal[0], bits)
		VMOVMSKPS(equal[1], high)
		SHLL(Imm(8), high)
		ORL(high, bits)
		TZCNTL(bits, place)
		BLSRL(bits, bits)
		for h := range v {
			VBLENDVPS(equal[h], none, v[h], v[h]) // all that are as great, if there are several
		}
	}
	MOVL(place, dst.Offset(12))
	low := lows
	low.Index, low.Scale = place.As64(), 4
	v0 := XMM()
	VMOVSS(low, v0)
	VMOVSS(v0, dst)
	second := join()
	if len(v) == 2 {
		TESTL(bits, bits)
		JZ(LabelRef(label))
		VMOVAPS(m.AsX(), second.AsX())
		Label(label)
	}
	VMOVSS(second.AsX(), dst.Offset(8))
}

// pairs emits the integer products of quantized rows and, of each, one centroid.
func pairs(l level) {
	TEXT("pairs"+l.name, NOSPLIT, "func(dst *int32, list, slots *int32, n int, rows *uint32, stride int, centroids *uint32, words int)")
	Doc("pairs" + l.name + " is pairs, for words a multiple of 16.")
	Pragma("noescape")
	dst, list, slots, n := Load(Param("dst"), GP64()), Load(Param("list"), GP64()), Load(Param("slots"), GP64()), Load(Param("n"), GP64())
	rows, stride, centroids, words := Load(Param("rows"), GP64()), Load(Param("stride"), GP64()), Load(Param("centroids"), GP64()), Load(Param("words"), GP64())
	bytes := GP64()
	MOVQ(words, bytes)
	SHLQ(Imm(2), bytes)
	parts := 16 / l.width
	Label("pair")
	row, centroid, off := GP64(), GP64(), GP64()
	MOVLQSX(Mem{Base: list}, row)
	IMULQ(stride, row)
	ADDQ(rows, row)
	MOVLQSX(Mem{Base: slots}, centroid)
	IMULQ(bytes, centroid)
	ADDQ(centroids, centroid)
	sums := make([]reg.VecVirtual, parts)
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	XORQ(off, off)
	Label("loop")
	for i := range sums {
		x, c := l.vec(), Mem{Base: centroid, Index: off, Scale: 4, Disp: i * l.bytes()}
		load(l, Mem{Base: row, Index: off, Scale: 4, Disp: i * l.bytes()}, x)
		if l.name == vnni.name {
			l.addProducts("VPDPBUSD", c, x, sums[i])
		} else {
			l.addPairs(c, x, sums[i])
		}
	}
	ADDQ(Imm(16), off)
	CMPQ(off, words)
	JL(LabelRef("loop"))
	for _, s := range sums[1:] {
		VPADDD(s, sums[0], sums[0])
	}
	l.fold(sums[0], func(a, b, c Op) { VPADDD(a, b, c) })
	VMOVD(sums[0].AsX(), Mem{Base: dst})
	ADDQ(Imm(4), dst)
	ADDQ(Imm(4), list)
	ADDQ(Imm(4), slots)
	DECQ(n)
	JNZ(LabelRef("pair"))
	VZEROUPPER()
	RET()
}
