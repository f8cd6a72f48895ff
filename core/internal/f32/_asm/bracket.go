package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// bracket emits the tile of g quantized rows and a panel of some vectors of centroids: exact dot products, then what each
// score is at least and at most. It takes four words of elements at a time.
func bracket(l level, g, vectors int) {
	TEXT(fmt.Sprintf("bracket%sx%dx%d", l.name, g, vectors), NOSPLIT,
		"func(low, up *float32, panel, rows *uint32, params, table *float32, slots, stride, words int, ahead *float32, step int)")
	Doc(fmt.Sprintf("bracket%sx%dx%d is bracketTile for %d rows and %d centroids.", l.name, g, vectors, g, vectors*l.width))
	Pragma("noescape")
	panel, words, stride, table := Load(Param("panel"), GP64()), Load(Param("words"), GP64()), Load(Param("stride"), GP64()), Load(Param("table"), GP64())
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
	column := func(h, field int) Mem { return Mem{Base: table, Disp: (5*h + field) * l.bytes()} }
	tile := newProducts(l, g, vectors, column)
	sums, c := tile.sums, tile.c
	Label("loop")
	tile.add(panel, func(i, n int) Mem {
		m := Mem{Base: bases[i/3], Disp: 4 * n}
		if i%3 > 0 {
			m.Index, m.Scale = stride, uint8(i%3)
		}
		return m
	})
	PREFETCHT1(Mem{Base: ahead})
	ADDQ(step, ahead)
	ADDQ(U32(unroll*vectors*l.bytes()), panel)
	for _, b := range bases {
		ADDQ(Imm(4*unroll), b)
	}
	SUBQ(Imm(unroll), words)
	JNZ(LabelRef("loop"))

	low, up, params, slots := Load(Param("low"), GP64()), Load(Param("up"), GP64()), Load(Param("params"), GP64()), Load(Param("slots"), GP64())
	SHLQ(Imm(2), slots)
	// AVX2 has not the registers for all sums and what follows: the sums wait in memory.
	spill := l.width == 8
	var spilled Mem
	if spill {
		spilled = AllocLocal(len(sums) * l.bytes())
		for i, s := range sums {
			VMOVDQU(s, spilled.Offset(i*l.bytes()))
		}
	}
	for i := range g {
		param := func(n int) Mem { return Mem{Base: params, Disp: 4 * (4*i + n)} }
		length, rest, best := l.vec(), l.vec(), l.vec()
		VBROADCASTSS(param(2), length)
		VBROADCASTSS(param(3), rest)
		VMOVUPS(Mem{Base: low, Disp: i * l.bytes()}, best)
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
			if spill {
				a := l.vec()
				VBROADCASTSS(param(0), a)
				VFMADD132PS(a, t, s)
			} else {
				VFMADD132PS_BCST(param(0), t, s) // s*alpha + bias
			}
			VMOVUPS(column(h, 1), t)
			if spill {
				a := l.vec()
				VBROADCASTSS(param(1), a)
				VFMADD132PS(a, rest, t)
			} else {
				VFMADD132PS_BCST(param(1), rest, t)
			}
			VFMADD231PS(column(h, 2), length, t)
			VADDPS(t, s, t) // what the score is at most, and at least
			VMOVUPS(t, Mem{Base: up, Disp: h * l.bytes()})
			VSUBPS(t, s, t) // s - (s + e)
			VADDPS(t, s, t)
			VMAXPS(t, best, best)
		}
		VMOVUPS(best, Mem{Base: low, Disp: i * l.bytes()})
		ADDQ(slots, up)
	}
	VZEROUPPER()
	RET()
}

// products is the sums of products of some rows with a panel of some vectors of centroids.
type products struct {
	l    level
	sums []reg.VecVirtual // [row][vector]
	c    []reg.VecVirtual // a word of each vector of centroids
	x    reg.VecVirtual   // a word of a row
}

// newProducts emits sums that start from what column has of the centroids.
func newProducts(l level, g, vectors int, column func(h, field int) Mem) products {
	p := products{l: l, sums: make([]reg.VecVirtual, g*vectors), c: make([]reg.VecVirtual, vectors)}
	for i := range p.sums {
		p.sums[i] = l.vec()
		load(l, column(i%vectors, 4), p.sums[i])
	}
	for h := range p.c {
		p.c[h] = l.vec()
	}
	p.x = l.vec()
	return p
}

// add emits the products of the next unroll words; word says where word n of row i is.
func (p products) add(panel reg.Register, word func(i, n int) Mem) {
	vectors := len(p.c)
	for n := range unroll {
		for h := range p.c {
			load(p.l, Mem{Base: panel, Disp: (n*vectors + h) * p.l.bytes()}, p.c[h])
		}
		for i := range len(p.sums) / vectors {
			VPBROADCASTD(word(i, n), p.x)
			for h := range p.c {
				if p.l.name == vnni.name {
					p.l.addProducts("VPDPBUSD", p.c[h], p.x, p.sums[i*vectors+h])
				} else {
					p.l.addPairs(p.x, p.c[h], p.sums[i*vectors+h])
				}
			}
		}
	}
}

// survivors emits the comparison of what scores are at most with the greatest of what they are at least.
func survivors(l level) {
	TEXT("survivors"+l.name, NOSPLIT, "func(mask *uint8, low, up *float32, vectors int)")
	Doc("survivors" + l.name + " is survivors.")
	Pragma("noescape")
	mask, up, vectors := Load(Param("mask"), GP64()), Load(Param("up"), GP64()), Load(Param("vectors"), GP64())
	limit := l.vec()
	low := GP64()
	Load(Param("low"), low)
	VMOVUPS(Mem{Base: low}, limit)
	l.fold(limit, greater)
	VBROADCASTSS(limit.AsX(), limit)
	Label("loop")
	bits := GP32()
	if l.width == 16 {
		k := K()
		VCMPPS(Imm(2), Mem{Base: up}, limit, k) // limit <= up
		KMOVW(k, bits)
		MOVW(bits.As16(), Mem{Base: mask})
		ADDQ(Imm(2), mask)
	} else {
		v := l.vec()
		VCMPPS(Imm(2), Mem{Base: up}, limit, v)
		VMOVMSKPS(v, bits)
		MOVB(bits.As8(), Mem{Base: mask})
		INCQ(mask)
	}
	ADDQ(U32(l.bytes()), up)
	DECQ(vectors)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// measure emits the sum of the squares and the greatest absolute value of a row.
func measure(l level) {
	TEXT("measure"+l.name, NOSPLIT, "func(x *float32, dim int) (sum, most float32)")
	Doc("measure" + l.name + " is measure.")
	Pragma("noescape")
	x, dim := Load(Param("x"), GP64()), Load(Param("dim"), GP64())
	rest := GP64()
	MOVQ(dim, rest)
	ANDQ(U32(l.width-1), rest)
	SHRQ(l.shift(), dim)
	partial := l.partial(rest)
	var sums, tops [2]reg.VecVirtual
	for i := range sums {
		sums[i], tops[i] = l.vec(), l.vec()
		zero(sums[i])
		zero(tops[i])
	}
	abs, v := l.vec(), l.vec()
	ones := GP32()
	MOVL(U32(0x7fffffff), ones)
	VMOVD(ones, abs.AsX())
	VPBROADCASTD(abs.AsX(), abs)
	take := func(i int) {
		VFMADD231PS(v, v, sums[i])
		if l.width == 16 {
			VPANDD(abs, v, v)
		} else {
			VANDPS(abs, v, v)
		}
		VMAXPS(v, tops[i], tops[i])
	}
	Label("pair")
	CMPQ(dim, Imm(2))
	JL(LabelRef("single"))
	for i := range 2 {
		VMOVUPS(Mem{Base: x, Disp: i * l.bytes()}, v)
		take(i)
	}
	ADDQ(U32(2*l.bytes()), x)
	SUBQ(Imm(2), dim)
	JMP(LabelRef("pair"))
	Label("single")
	TESTQ(dim, dim)
	JZ(LabelRef("rest"))
	VMOVUPS(Mem{Base: x}, v)
	take(0)
	ADDQ(U32(l.bytes()), x)
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("end"))
	partial(Mem{Base: x}, v)
	take(1)
	Label("end")
	VADDPS(sums[1], sums[0], sums[0])
	VMAXPS(tops[1], tops[0], tops[0])
	l.fold(sums[0], add)
	Store(sums[0].AsX(), ReturnIndex(0))
	l.fold(tops[0], greater)
	Store(tops[0].AsX(), ReturnIndex(1))
	VZEROUPPER()
	RET()
}

// quantize8 emits the rounding of a row to bytes, 128 standing for 0, and the sum of its squared errors. It stores whole
// vectors of 16.
func quantize8() {
	l := avx512
	TEXT("quantize8AVX512", NOSPLIT, "func(dst *uint8, row *float32, scale float32, dim int) float32")
	Doc("quantize8AVX512 is quantize8.")
	Pragma("noescape")
	dst, row, dim := Load(Param("dst"), GP64()), Load(Param("row"), GP64()), Load(Param("dim"), GP64())
	scale, zeros := l.vec(), XMM()
	VBROADCASTSS(NewParamAddr("scale", 16), scale)
	middle := GP32()
	MOVL(U32(0x80808080), middle)
	VMOVD(middle, zeros)
	VPBROADCASTD(zeros, zeros)
	var sums [2]reg.VecVirtual
	for i := range sums {
		sums[i] = l.vec()
		zero(sums[i])
	}
	rest := GP64()
	MOVQ(dim, rest)
	ANDQ(U32(l.width-1), rest)
	SHRQ(l.shift(), dim)
	partial := l.partial(rest)
	x := l.vec()
	round := func(i int) {
		q, f, b := l.vec(), l.vec(), XMM()
		VMULPS(scale, x, q)
		VCVTPS2DQ(q, q)
		VCVTDQ2PS(q, f)
		VPMOVSDB(q, b)
		VPXOR(zeros, b, b)
		VMOVDQU(b, Mem{Base: dst, Disp: 16 * i})
		VFMSUB231PS(scale, x, f)
		VFMADD231PS(f, f, sums[i])
	}
	Label("pair")
	CMPQ(dim, Imm(2))
	JL(LabelRef("single"))
	for i := range 2 {
		VMOVUPS(Mem{Base: row, Disp: i * l.bytes()}, x)
		round(i)
	}
	ADDQ(U32(2*l.bytes()), row)
	ADDQ(Imm(32), dst)
	SUBQ(Imm(2), dim)
	JMP(LabelRef("pair"))
	Label("single")
	TESTQ(dim, dim)
	JZ(LabelRef("rest"))
	VMOVUPS(Mem{Base: row}, x)
	round(0)
	ADDQ(U32(l.bytes()), row)
	ADDQ(Imm(16), dst)
	Label("rest")
	TESTQ(rest, rest)
	JZ(LabelRef("done"))
	partial(Mem{Base: row}, x)
	round(0)
	Label("done")
	s := sums[0]
	VADDPS(sums[1], s, s)
	avx512.fold(s, add)
	Store(s.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
