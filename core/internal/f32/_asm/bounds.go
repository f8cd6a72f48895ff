package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sqDistsAt emits the squared distances of one row to chosen rows of a matrix, four of them at a time, then one by one.
func sqDistsAt(l level) {
	TEXT("sqDistsAt"+l.name, NOSPLIT, "func(dst, x, rows *float32, at *int32, n, dim int)")
	Doc("sqDistsAt" + l.name + " is sqDistsAt.")
	Pragma("noescape")
	dst, x, rows, at := Load(Param("dst"), GP64()), Load(Param("x"), GP64()), Load(Param("rows"), GP64()), Load(Param("at"), GP64())
	n, dim := Load(Param("n"), GP64()), Load(Param("dim"), GP64())
	stride, rest := GP64(), GP64()
	MOVQ(dim, stride)
	SHLQ(Imm(2), stride)
	MOVQ(dim, rest)
	ANDQ(U32(l.width-1), rest)
	SHRQ(l.shift(), dim) // whole vectors

	partial := l.partial(rest) // what is not there reads as 0 in both rows
	for _, g := range []int{4, 1} {
		tag := map[int]string{4: "four", 1: "one"}[g]
		Label(tag)
		CMPQ(n, Imm(uint64(g)))
		JL(LabelRef(tag + "End"))
		row := make([]reg.GPVirtual, g)
		sum := make([]reg.VecVirtual, 2*g)
		for j := range row {
			row[j] = GP64()
			MOVLQSX(Mem{Base: at, Disp: 4 * j}, row[j])
			IMULQ(stride, row[j])
			ADDQ(rows, row[j])
			for h := range 2 {
				sum[2*j+h] = l.vec()
				zero(sum[2*j+h])
			}
		}
		off, left := GP64(), GP64()
		XORQ(off, off)
		MOVQ(dim, left)
		step := func(h int) {
			v, d := l.vec(), l.vec()
			VMOVUPS(Mem{Base: x, Index: off, Scale: 1, Disp: l.bytes() * h}, v)
			for j := range row {
				VSUBPS(Mem{Base: row[j], Index: off, Scale: 1, Disp: l.bytes() * h}, v, d)
				VFMADD231PS(d, d, sum[2*j+h])
			}
		}
		Label(tag + "Pair")
		CMPQ(left, Imm(2))
		JL(LabelRef(tag + "Single"))
		step(0)
		step(1)
		ADDQ(U32(2*l.bytes()), off)
		SUBQ(Imm(2), left)
		JMP(LabelRef(tag + "Pair"))
		Label(tag + "Single")
		TESTQ(left, left)
		JZ(LabelRef(tag + "Rest"))
		step(0)
		ADDQ(U32(l.bytes()), off)
		Label(tag + "Rest")
		TESTQ(rest, rest)
		JZ(LabelRef(tag + "Add"))
		v, y := l.vec(), l.vec()
		partial(Mem{Base: x, Index: off, Scale: 1}, v)
		for j := range row {
			partial(Mem{Base: row[j], Index: off, Scale: 1}, y)
			VSUBPS(y, v, y)
			VFMADD231PS(y, y, sum[2*j])
		}
		Label(tag + "Add")
		for j := range row {
			VADDPS(sum[2*j], sum[2*j+1], sum[2*j])
			l.fold(sum[2*j], add)
			VMOVSS(sum[2*j].AsX(), Mem{Base: dst, Disp: 4 * j})
		}
		ADDQ(Imm(uint64(4*g)), dst)
		ADDQ(Imm(uint64(4*g)), at)
		SUBQ(Imm(uint64(g)), n)
		JMP(LabelRef(tag))
		Label(tag + "End")
	}
	VZEROUPPER()
	RET()
}

// atMost emits, for 32 bounds a word, a bit for each bound that is at most limit + offset, the sum saturated.
func atMost() {
	TEXT("atMostAVX2", NOSPLIT, "func(mask *uint32, bound, offset *uint16, limit, words int)")
	Doc("atMostAVX2 sets bit j%32 of mask[j/32] where bound[j] <= limit + offset[j], the sum held at 65535.")
	Pragma("noescape")
	mask, bound, offset := Load(Param("mask"), GP64()), Load(Param("bound"), GP64()), Load(Param("offset"), GP64())
	limit, words := GP64(), Load(Param("words"), GP64())
	Load(Param("limit"), limit)
	lim, bits := YMM(), GP32()
	VMOVD(limit.As32(), lim.AsX())
	VPBROADCASTW(lim.AsX(), lim)
	Label("loop")
	TESTQ(words, words)
	JZ(LabelRef("end"))
	half := [2]reg.VecVirtual{YMM(), YMM()}
	for h := range 2 {
		b := YMM()
		VPADDUSW(Mem{Base: offset, Disp: 32 * h}, lim, half[h])
		VMOVDQU(Mem{Base: bound, Disp: 32 * h}, b)
		VPMINUW(b, half[h], half[h])
		VPCMPEQW(b, half[h], half[h])
	}
	VPACKSSWB(half[1], half[0], half[0])
	VPERMQ(Imm(0b11011000), half[0], half[0])
	VPMOVMSKB(half[0], bits)
	MOVL(bits, Mem{Base: mask})
	ADDQ(Imm(4), mask)
	ADDQ(Imm(64), bound)
	ADDQ(Imm(64), offset)
	DECQ(words)
	JMP(LabelRef("loop"))
	Label("end")
	VZEROUPPER()
	RET()
}

// listAtMost emits the numbers of the bounds that are at most limit + offset, 16 bounds a word; it writes up to 16 numbers
// more than it counts.
func listAtMost() {
	TEXT("atMostAVX512", NOSPLIT, "func(at *int32, bound, offset *uint16, limit, words int) int")
	Doc("atMostAVX512 is atMost for words times 16 bounds. It writes whole vectors, of which no more than counted are meant.")
	Pragma("noescape")
	at, bound, offset := Load(Param("at"), GP64()), Load(Param("bound"), GP64()), Load(Param("offset"), GP64())
	limit, words := GP64(), Load(Param("words"), GP64())
	Load(Param("limit"), limit)
	lim, numbers, step := YMM(), ZMM(), ZMM()
	VMOVD(limit.As32(), lim.AsX())
	VPBROADCASTW(lim.AsX(), lim)
	ramp := GLOBL("ramp16", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(i))
	}
	VMOVDQU32(ramp, numbers)
	MOVL(U32(16), limit.As32())
	VPBROADCASTD(limit.As32(), step)
	n, bits := GP64(), GP64()
	XORQ(n, n)
	Label("loop")
	TESTQ(words, words)
	JZ(LabelRef("end"))
	v, list, k := YMM(), ZMM(), K()
	VPADDUSW(Mem{Base: offset}, lim, v)
	VPCMPUW(Imm(5), Mem{Base: bound}, v, k) // v not less than the bound
	VPCOMPRESSD_Z(numbers, k, list)         // to memory it would take ten times as long
	KMOVW(k, bits.As32())
	POPCNTQ(bits, bits)
	VMOVDQU32(list, Mem{Base: at, Index: n, Scale: 4})
	ADDQ(bits, n)
	VPADDD(step, numbers, numbers)
	ADDQ(Imm(32), bound)
	ADDQ(Imm(32), offset)
	DECQ(words)
	JMP(LabelRef("loop"))
	Label("end")
	Store(n, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// stepsOfScores emits the roots of least - 2*score, or of 0 if that is negative, in steps of 1/scale, rounded down and
// held at 65535, whole vectors of them.
func stepsOfScores(l level) {
	TEXT("stepsOfScores"+l.name, NOSPLIT, "func(dst *int32, scores, least *float32, scale float32, n int)")
	Doc("stepsOfScores" + l.name + " is stepsOfScores for n a multiple of the lanes.")
	Pragma("noescape")
	dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
	scores, least := Load(Param("scores"), GP64()), Load(Param("least"), GP64())
	scale, most, none, bits := l.vec(), l.vec(), l.vec(), GP32()
	VBROADCASTSS(NewParamAddr("scale", 24), scale)
	MOVL(U32(0x477fff00), bits) // 65535
	VMOVD(bits, most.AsX())
	VBROADCASTSS(most.AsX(), most)
	zero(none)
	Label("loop")
	TESTQ(n, n)
	JZ(LabelRef("end"))
	s, v := l.vec(), l.vec()
	VMOVUPS(Mem{Base: scores}, s)
	VADDPS(s, s, s)
	VMOVUPS(Mem{Base: least}, v)
	VSUBPS(s, v, v)
	VMAXPS(none, v, v)
	VSQRTPS(v, v)
	VMULPS(scale, v, v)
	VMINPS(most, v, v)
	VCVTTPS2DQ(v, v)
	VMOVUPS(v, Mem{Base: dst})
	ADDQ(U32(l.bytes()), scores)
	ADDQ(U32(l.bytes()), least)
	ADDQ(U32(l.bytes()), dst)
	SUBQ(U32(l.width), n)
	JMP(LabelRef("loop"))
	Label("end")
	VZEROUPPER()
	RET()
}

// prefetch emits a hint for each cache line.
func prefetch() {
	TEXT("prefetchLines", NOSPLIT, "func(x *byte, lines int)")
	Doc("prefetchLines asks for cache lines from x on.")
	Pragma("noescape")
	x, lines := Load(Param("x"), GP64()), Load(Param("lines"), GP64())
	Label("loop")
	PREFETCHT0(Mem{Base: x})
	ADDQ(Imm(64), x)
	DECQ(lines)
	JNZ(LabelRef("loop"))
	RET()
}
