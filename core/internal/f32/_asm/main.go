// Command _asm writes the AVX2 and AVX-512 kernels of package f32. Run it with go generate in the package's folder.
package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	for _, l := range []level{avx512, avx2} {
		for _, g := range l.groups {
			nearest(l, g)
		}
		for _, g := range l.groups {
			scores(l, g)
		}
		pack(l)
		dots(l, 1)
		dots(l, 2)
		exact(l, 1)
		exact(l, 2)
		peak(l)
		sqDistsAt(l)
		stepsOfScores(l)
		quantize16(l)
		measure(l)
		survivors(l)
		for _, g := range l.groups {
			gemm(l, g)
		}
		for _, p := range []int{4, 2, 1} {
			sparse(l, p)
		}
		marks(l)
		turn(l)
		columns(l, l.groups[0])
		columns(l, 2*l.width)
	}
	quantize8()
	for _, l := range []level{vnni, avx2} {
		for _, g := range l.rows {
			for _, vectors := range []int{2, 1} {
				bracket(l, g, vectors)
			}
		}
	}
	group(vnni, 8)
	group(avx2, 4)
	pairs(vnni)
	pairs(avx2)
	exactAt(1)
	exactAt(2)
	atMost()
	listAtMost()
	prefetch()
	elementwise()
	doubles()
	training()
	beam()
	Generate()
}

// level is what differs between the two instruction sets.
type level struct {
	name   string
	width  int   // float32 lanes in a vector
	groups []int // centroids that one tile takes; a tile is two vectors of rows by that many centroids
	rows   []int // quantized rows that one tile takes; a tile is one or two vectors of centroids by that many rows
}

var (
	avx512 = level{"AVX512", 16, []int{14, 8, 4, 2}, nil}     // 28 sums + 2 vectors of rows + 2 = 32 registers
	avx2   = level{"AVX2", 8, []int{6, 4, 2}, []int{6, 4, 2}} // 12 sums + 2 vectors of rows + 2 = 16 registers
)

func (l level) vec() reg.VecVirtual {
	if l.width == 16 {
		return ZMM()
	}
	return YMM()
}

func (l level) bytes() int { return 4 * l.width }

// shift is the binary logarithm of the lanes.
func (l level) shift() Constant { return Imm(uint64(bits.TrailingZeros(uint(l.width)))) }

// partial emits a mask of the first rest lanes, rest being less than all, and returns what emits a load under it; the
// other lanes become 0.
func (l level) partial(rest reg.GPVirtual) func(m Mem, v reg.VecVirtual) {
	if l.width == 16 {
		one, bits, k := GP64(), GP64(), K()
		MOVQ(U32(1), one)
		SHLXQ(rest, one, bits)
		DECQ(bits)
		KMOVW(bits.As32(), k)
		return func(m Mem, v reg.VecVirtual) { VMOVUPS_Z(m, k, v) }
	}
	mask, count, iota, ramp := YMM(), YMM(), YMM(), GP64()
	VMOVD(rest.As32(), count.AsX())
	VPBROADCASTD(count.AsX(), count)
	MOVQ(U64(0x0706050403020100), ramp)
	VMOVQ(ramp, iota.AsX())
	VPMOVZXBD(iota.AsX(), iota)
	VPCMPGTD(iota, count, mask)
	return func(m Mem, v reg.VecVirtual) { VMASKMOVPS(m, mask, v) }
}

// fold emits what joins all lanes of v into its first: halves, then halves of those, down to one.
func (l level) fold(v reg.VecVirtual, join func(a, b, c Op)) {
	if l.width == 16 {
		high := YMM()
		VEXTRACTF64X4(Imm(1), v, high)
		join(high, v.AsY(), v.AsY())
	}
	high := XMM()
	VEXTRACTF128(Imm(1), v.AsY(), high)
	join(high, v.AsX(), v.AsX())
	VPERMILPS(Imm(0b1110), v.AsX(), high)
	join(high, v.AsX(), v.AsX())
	VPERMILPS(Imm(0b01), v.AsX(), high)
	join(high, v.AsX(), v.AsX())
}

func add(a, b, c Op)     { VADDPS(a, b, c) }
func greater(a, b, c Op) { VMAXPS(a, b, c) }

func zero(v reg.VecVirtual) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}
