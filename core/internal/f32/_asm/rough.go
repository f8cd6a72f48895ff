package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rough emits the search among centroids of 7 bits.
func rough() {
	ones := GLOBL("roughOnes", RODATA|NOPTR) // 16-bit
	for i := range 16 {
		DATA(4*i, U32(0x00010001))
	}
	for _, t := range []struct {
		l    level
		rows []int // in a tile
	}{
		{vnni, []int{14, 4}},   // 28 sums + 2 vectors of centroids + 1 of a row
		{avx512, []int{12, 4}}, // 24 sums + 4 vectors of centroids + 2 of a row + 2 of products
		{avx2, []int{4, 2}},    // 8 sums + 4 vectors of centroids + 2 of a row + 2 of products
	} {
		for _, g := range t.rows {
			for _, vectors := range []int{2, 1} {
				roughTile(t.l, g, vectors, ones)
			}
		}
	}
	for _, l := range []level{avx512, avx2} {
		roughCodes(l)
		roughRow(l)
	}
}

// roughTile emits the tile of g rounded rows and a panel of some vectors of centroids: exact dot products, then scores, then
// a running argmax in each lane of each row. It takes four quads of elements at a time.
//
// Without VNNI two quads are added in 16 bits, which hold 4 * 127 * 63, before they become 32: three multiplications for
// what takes four in 16-bit integers.
func roughTile(l level, g, vectors int, ones Mem) {
	TEXT(fmt.Sprintf("roughTile%sx%dx%d", l.name, g, vectors), NOSPLIT,
		"func(state *float32, panel *uint32, rows *uint8, alpha *float32, starts *int32, weight, bias *float32, stride, quads, slot int, ahead *float32, step int)")
	Doc(fmt.Sprintf("roughTile%sx%dx%d is roughTile for %d rows and %d centroids.", l.name, g, vectors, g, vectors*l.width))
	Pragma("noescape")
	panel, quads, stride := Load(Param("panel"), GP64()), Load(Param("quads"), GP64()), Load(Param("stride"), GP64())
	ahead, step := Load(Param("ahead"), GP64()), Load(Param("step"), GP64())
	bases := []reg.Register{Load(Param("rows"), GP64())} // of every third row
	for i := 3; i < g; i += 3 {
		b := GP64()
		LEAQ(Mem{Base: bases[len(bases)-1], Index: stride, Scale: 2}, b)
		ADDQ(stride, b)
		bases = append(bases, b)
	}
	starts := Load(Param("starts"), GP64())
	sums := make([]reg.VecVirtual, g*vectors)
	for i := range sums {
		sums[i] = l.vec()
		load(l, Mem{Base: starts, Disp: i % vectors * l.bytes()}, sums[i])
	}
	depth := 2 // quads
	if l.name == vnni.name {
		depth = 1
	}
	vecs := func(n int) []reg.VecVirtual {
		v := make([]reg.VecVirtual, n)
		for i := range v {
			v[i] = l.vec()
		}
		return v
	}
	c, x, products := vecs(depth*vectors), vecs(depth), vecs(2)
	Label("loop")
	for n := 0; n < unroll; n += depth {
		for j := range c {
			load(l, Mem{Base: panel, Disp: (n*vectors + j) * l.bytes()}, c[j])
		}
		for i := range g {
			for d := range x {
				m := Mem{Base: bases[i/3], Disp: 4 * (n + d)}
				if i%3 > 0 {
					m.Index, m.Scale = stride, uint8(i%3)
				}
				VPBROADCASTD(m, x[d])
			}
			for h := range vectors {
				sum := sums[i*vectors+h]
				if depth == 1 {
					Instruction(&ir.Instruction{ // avo does not know it, Go's assembler does
						Opcode: "VPDPBUSD", Operands: []Op{c[h], x[0], sum}, Inputs: []Op{c[h], x[0], sum}, Outputs: []Op{sum},
						ISA: []string{"AVX512F", "AVX512_VNNI"},
					})
					continue
				}
				for d, p := range products {
					VPMADDUBSW(c[d*vectors+h], x[d], p)
				}
				VPADDW(products[1], products[0], products[0])
				VPMADDWD(ones, products[0], products[0])
				VPADDD(products[0], sum, sum)
			}
		}
		if n%2 == 0 {
			PREFETCHT1(Mem{Base: ahead})
			ADDQ(step, ahead)
		}
	}
	ADDQ(U32(unroll*vectors*l.bytes()), panel)
	for _, b := range bases {
		ADDQ(Imm(4*unroll), b)
	}
	SUBQ(Imm(unroll), quads)
	JNZ(LabelRef("loop"))

	state, alpha, slot := Load(Param("state"), GP64()), Load(Param("alpha"), GP64()), Load(Param("slot"), GP64())
	weight, bias := Load(Param("weight"), GP64()), Load(Param("bias"), GP64())
	slots := vecs(vectors)
	for h, v := range slots {
		if h > 0 {
			ADDQ(Imm(uint64(l.width)), slot)
		}
		VMOVD(slot.(reg.GPVirtual).As32(), v.AsX())
		VPBROADCASTD(v.AsX(), v)
	}
	for i := range g {
		best, id := Mem{Base: state, Disp: 2 * i * l.bytes()}, Mem{Base: state, Disp: (2*i + 1) * l.bytes()}
		a, most, at := l.vec(), l.vec(), l.vec()
		if l.width == 8 {
			VBROADCASTSS(Mem{Base: alpha, Disp: 4 * i}, a)
		}
		VMOVUPS(best, most)
		VMOVUPS(id, at)
		for h := range vectors {
			s := sums[i*vectors+h]
			VCVTDQ2PS(s, s)
			VMULPS(Mem{Base: weight, Disp: h * l.bytes()}, s, s)
			if l.width == 16 { // which has no register to spare
				VMULPS_BCST(Mem{Base: alpha, Disp: 4 * i}, s, s)
			} else {
				VMULPS(a, s, s)
			}
			VSUBPS(Mem{Base: bias, Disp: h * l.bytes()}, s, s)
			if l.width == 16 {
				k := K()
				VCMPPS(Imm(0x1e), most, s, k) // s > most
				VMOVDQA32(slots[h], k, at)
			} else {
				greater := l.vec()
				VCMPPS(Imm(0x1e), most, s, greater)
				VBLENDVPS(greater, slots[h], at, at)
			}
			VMAXPS(s, most, most)
		}
		VMOVUPS(most, best)
		VMOVUPS(at, id)
	}
	VZEROUPPER()
	RET()
}

// roughCodes emits the end of a row's search: the lowest slot of those lanes whose best score is the best of all.
func roughCodes(l level) {
	TEXT("roughCodes"+l.name, NOSPLIT, "func(codes *int32, state *float32, rows int)")
	Doc("roughCodes" + l.name + " is roughCodes.")
	Pragma("noescape")
	codes, state, rows := Load(Param("codes"), GP64()), Load(Param("state"), GP64()), Load(Param("rows"), GP64())
	iota, none, ramp := l.vec(), l.vec(), GP64()
	MOVQ(U64(0x0706050403020100), ramp)
	VMOVQ(ramp, iota.AsX())
	if l.width == 16 {
		MOVQ(U64(0x0f0e0d0c0b0a0908), ramp)
		VPINSRQ(Imm(1), ramp, iota.AsX(), iota.AsX())
	}
	VPMOVZXBD(iota.AsX(), iota)
	MOVL(U32(0x7fffffff), ramp.As32())
	VMOVD(ramp.As32(), none.AsX())
	VPBROADCASTD(none.AsX(), none)
	// fold joins all lanes into lane 0 of v, through w.
	fold := func(v, w reg.VecVirtual, join func(ops ...Op)) {
		if l.width == 16 {
			VEXTRACTF64X4(Imm(1), v, w.AsY())
			join(w.AsY(), v.AsY(), v.AsY())
		}
		VEXTRACTF128(Imm(1), v.AsY(), w.AsX())
		join(w.AsX(), v.AsX(), v.AsX())
		VPERMILPS(Imm(0b1110), v.AsX(), w.AsX())
		join(w.AsX(), v.AsX(), v.AsX())
		VPERMILPS(Imm(0b01), v.AsX(), w.AsX())
		join(w.AsX(), v.AsX(), v.AsX())
	}
	Label("loop")
	best, most, slot, t := l.vec(), l.vec(), l.vec(), l.vec()
	VMOVUPS(Mem{Base: state}, best)
	VMOVUPS(best, most)
	load(l, Mem{Base: state, Disp: l.bytes()}, slot)
	VPADDD(iota, slot, slot)
	fold(most, t, VMAXPS)
	VBROADCASTSS(most.AsX(), most)
	if l.width == 16 {
		k := K()
		VCMPPS(Imm(0), most, best, k)
		VPBLENDMD(slot, none, k, slot)
	} else {
		VCMPPS(Imm(0), most, best, most)
		VBLENDVPS(most, slot, none, slot)
	}
	fold(slot, t, VPMINSD)
	VMOVD(slot.AsX(), Mem{Base: codes})
	ADDQ(U32(2*l.bytes()), state)
	ADDQ(Imm(4), codes)
	DECQ(rows)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// roughRow emits the rounding of a row's differences to the mean. It stores whole vectors, and reads whole ones of mean.
func roughRow(l level) {
	TEXT("roughRow"+l.name, NOSPLIT, "func(dst *uint8, row, mean *float32, dim int) float32")
	Doc("roughRow" + l.name + " is roughRow.")
	Pragma("noescape")
	dst, row, mean, dim := Load(Param("dst"), GP64()), Load(Param("row"), GP64()), Load(Param("mean"), GP64()), Load(Param("dim"), GP64())
	bits := GP32()
	constant := func(v uint64) reg.VecVirtual {
		c := l.vec()
		MOVL(U32(v), bits)
		VMOVD(bits, c.AsX())
		VPBROADCASTD(c.AsX(), c)
		return c
	}
	abs, middle, top := constant(0x7fffffff), constant(64), constant(0x427c0000) // 63
	integer := constant(0x4b400040)                                              // 1.5 * 2^23 + 64
	rest, whole := GP64(), GP64()
	MOVQ(dim, rest)
	ANDQ(U32(l.width-1), rest)
	SHRQ(l.shift(), dim)
	partial := l.partial(rest)

	// each emits f for all vectors of the row less the mean, by twos, pos bytes from the start.
	pos := GP64()
	each := func(tag string, f func(x reg.VecVirtual, i int)) {
		x := []reg.VecVirtual{l.vec(), l.vec()}
		XORQ(pos, pos)
		MOVQ(dim, whole)
		at := func(base reg.Register, i int) Mem {
			return Mem{Base: base, Index: pos, Scale: 1, Disp: i * l.bytes()}
		}
		one := func(i int) {
			VMOVUPS(at(row, i), x[i])
			VSUBPS(at(mean, i), x[i], x[i])
			f(x[i], i)
		}
		Label(tag + "Pair")
		CMPQ(whole, Imm(2))
		JL(LabelRef(tag + "Single"))
		one(0)
		one(1)
		ADDQ(U32(2*l.bytes()), pos)
		SUBQ(Imm(2), whole)
		JMP(LabelRef(tag + "Pair"))
		Label(tag + "Single")
		TESTQ(whole, whole)
		JZ(LabelRef(tag + "Rest"))
		one(0)
		ADDQ(U32(l.bytes()), pos)
		Label(tag + "Rest")
		TESTQ(rest, rest)
		JZ(LabelRef(tag + "End"))
		partial(at(row, 0), x[0])
		VSUBPS(at(mean, 0), x[0], x[0])
		f(x[0], 0)
		Label(tag + "End")
	}
	most := []reg.VecVirtual{l.vec(), l.vec()}
	zero(most[0])
	zero(most[1])
	each("most", func(x reg.VecVirtual, i int) {
		if l.width == 16 {
			VRANGEPS(Imm(0b1011), x, most[i], most[i]) // the greater magnitude, without its sign
		} else {
			VANDPS(abs, x, x)
			VMAXPS(x, most[i], most[i])
		}
	})
	m, high := most[0], l.vec()
	VMAXPS(most[1], m, m)
	if l.width == 16 {
		VEXTRACTF64X4(Imm(1), m, high.AsY())
		VMAXPS(high.AsY(), m.AsY(), m.AsY())
	}
	VEXTRACTF128(Imm(1), m.AsY(), high.AsX())
	VMAXPS(high.AsX(), m.AsX(), m.AsX())
	VPERMILPS(Imm(0b1110), m.AsX(), high.AsX())
	VMAXPS(high.AsX(), m.AsX(), m.AsX())
	VPERMILPS(Imm(0b01), m.AsX(), high.AsX())
	VMAXPS(high.AsX(), m.AsX(), m.AsX())
	Store(m.AsX(), ReturnIndex(0))
	VDIVPS(m.AsX(), top.AsX(), m.AsX()) // 63 / most
	scale := l.vec()
	VBROADCASTSS(m.AsX(), scale)
	each("round", func(x reg.VecVirtual, _ int) {
		VMULPS(scale, x, x)
		if l.width == 16 {
			VADDPS(integer, x, x) // rounds; the lowest byte is q+64
			VPMOVDB(x, Mem{Base: dst})
		} else {
			VCVTPS2DQ(x, x)
			VPADDD(middle, x, x)
			high := XMM()
			VEXTRACTI128(Imm(1), x, high)
			VPACKSSDW(high, x.AsX(), x.AsX())
			VPACKUSWB(x.AsX(), x.AsX(), x.AsX())
			VMOVQ(x.AsX(), Mem{Base: dst})
		}
		ADDQ(Imm(uint64(l.width)), dst)
	})
	VZEROUPPER()
	RET()
}
