package f32

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// firstPass is centroids rounded to integers, of 8 bits with VNNI and of 16 otherwise. Products of these are exact, and
// come four times or twice as fast as float32's. They leave a row one centroid, or a few that may be nearest, of which
// float32 and float64 then find the one that is.
//
// Let x be a row and c a centroid, or the rounded differences of both to the mean, q and g their integers at scales s
// and t. As in bound, S = x·c - |c|²/2 is the exact score, but here it is computed as fl(fl(fl(q·g) fl(1/t)) fl(1/s) + b)
// with b = fl(-|c|²/2). With u = 2^-24, and e = |x - q/s| and f = |c - g/t|, which the rounding measures, Cauchy-Schwarz
// gives
//
//	|x·c - q·g/(s t)| = |(x - q/s)·c + q/s·(c - g/t)| <= e |c| + (|x| + e) f.
//
// The integer dot product is exact. Five roundings and the last addition, of numbers of at most P = (|x| + e) (|c| + f),
// the rounding of b and its part of the addition, and in a centered search 2u (|x||c| + |c|²/2) for the differences add up
// to u (8 P + 2|c|²); adding and subtracting E takes 2u (P + |c|²/2) more, and 3u E. With what bound adds for codes being
// float64 sums, g (|x|+|c|)²/2 = define (|x|+|c|)²,
//
//	E = e |c| + (|x| + e) f + u (11 P + 3.2 |c|²) + define (|x|+|c|)²
//
// for each row and centroid, the last two terms with the codebook's greatest |c|. A centroid whose s + E is less than
// another's s - E is not the nearest one.
type firstPass struct {
	kind   integers
	bytes  bool // hold what would fit into a byte, whatever the kind
	dim    int
	words  int      // of a row or centroid, up to a multiple of unroll
	stride int      // words from one quantized row to the next
	slots  int      // centroids, filled up to whole vectors
	panel  int      // centroids in a panel
	panels []uint32 // see bracket.go; the last panel is one vector of centroids if that is enough
	table  []float32
	ids    []int32 // per slot: the centroid

	norm     float64 // the greatest |c|
	constant float64 // 3.2u |c|²
	define   float64
}

// chooseIntegers says which kernels gain by a first pass among k centroids of dim elements: what it takes for each row,
// about 60 ns and 0.2 ns an element, has to come in again. AVX-512 without VNNI takes as long for integers as for
// floats. Tests choose otherwise.
var chooseIntegers = func(l cpu.Level, k, dim int) integers {
	switch {
	case cpu.VNNI() && k >= 32 && dim >= 48 && dim <= 1<<16:
		return vnni8
	case l == cpu.AVX2 && k >= 64 && dim >= 96:
		return avx2x16
	}
	return noIntegers
}

// Norms between these keep clear of overflow and underflow, and noBias is far below all scores.
const (
	leastNorm = 0x1p-40
	mostNorm  = 0x1p40
	noBias    = -0x1p120
)

// set prepares f for the distinct centroids of s.
func (f *firstPass) set(l cpu.Level, s *space, dim int) {
	f.kind = chooseIntegers(l, len(s.distinct), dim)
	if f.kind == noIntegers || !f.within(s) {
		f.kind, f.panels = noIntegers, nil
		return
	}
	f.lay(s, s.distinct, dim, 2*shapesInt[f.kind].lanes, shapesInt[f.kind].lanes)
}

// within tells whether the centroids of s are neither too long nor too short for integers.
func (f *firstPass) within(s *space) bool { return s.bound.c > leastNorm && s.bound.c < mostNorm }

// size sets up f for so many elements.
func (f *firstPass) size(dim int) {
	whole := unroll * shapesInt[f.kind].perWord
	f.dim, f.words = dim, ceil(dim, whole)*unroll
	f.stride = (f.words+15)&^15 | 16 // an odd number of cache lines: rows do not compete for the same places in the cache
}

// lay rounds the centroids ids of s and lays them out in panels, filled up to a multiple of whole centroids.
func (f *firstPass) lay(s *space, ids []int32, dim, panel, whole int) {
	shape := shapesInt[f.kind]
	f.size(dim)
	f.norm, f.ids, f.panel = s.bound.c, ids, panel
	f.slots = (len(ids) + whole - 1) / whole * whole
	f.panels = resize(f.panels, f.slots*f.words)
	f.table = resize(f.table, f.slots*perCentroid)
	f.constant = 3.2 * unit * f.norm * f.norm
	f.define = s.bound.define
	row := make([]uint32, (f.words+15)&^15)
	for slot := range f.slots {
		scale, sum, norm, bias, offset := float32(1), float32(0), 0.0, float32(noBias), int32(0)
		clear(row)
		if slot < len(ids) {
			j := int(ids[slot])
			c := s.centroids[j*dim:][:dim]
			norm, scale, sum = f.round(row, c)
			bias = float32(s.half[j])
			if shape.perWord == 4 {
				for w, v := range row[:f.words] { // to signed bytes, each 128 less
					offset += 4*128 - int32(v&255+v>>8&255+v>>16&255+v>>24)
					row[w] = v ^ 0x80808080
				}
				offset *= 128 // rows hold 128 for 0
			}
		}
		lost := math.Sqrt(sqError16(sum, dim)) / float64(scale) * slack
		first := slot / panel * panel // of the panel
		width := min(panel, f.slots-first)
		dst := f.panels[first*f.words+slot-first:]
		for w, v := range row[:f.words] {
			dst[w*width] = v
		}
		for i, v := range [perCentroid]float32{
			float32(1 / float64(scale)), upward(norm), upward(lost + 11*unit*(norm+lost)), bias, math.Float32frombits(uint32(offset)),
		} {
			f.table[(slot/shape.lanes*perCentroid+i)*shape.lanes+slot%shape.lanes] = v
		}
	}
}

// upward returns a float32 greater than x, which is neither huge nor tiny, by enough for the sums made of it.
func upward(x float64) float32 { return float32(x * (1 + 0x1p-20)) }

// round quantizes a row or centroid. It returns a bound of the norm, the scale, and the sum of the squared errors in steps.
func (f *firstPass) round(dst []uint32, row []float32) (norm float64, scale, sum float32) {
	square, most := measure(row)
	norm = math.Sqrt(sqError16(square, f.dim)) * slack
	scale, sum = f.roundAt(dst, row, norm, most)
	return norm, scale, sum
}

// roundAt is round for a row whose norm is at most norm and whose greatest element is most.
func (f *firstPass) roundAt(dst []uint32, row []float32, norm float64, most float32) (scale, sum float32) {
	wide := shapesInt[f.kind].perWord == 2
	if wide && !f.bytes {
		scale = scale16(max(norm, leastNorm), f.dim)
	} else {
		scale = float32(127 * (1 - 0x1p-20) / max(float64(most), leastNorm))
	}
	if wide {
		return scale, quantize16(as16(dst)[:padded16(f.dim)], row, scale)
	}
	return scale, quantize8(as8(dst), row, scale)
}

// quantize rounds a row into dst, and sets x to what bracketTile wants to know of it. It returns false for a row that is too
// long or short or not finite.
func (f *firstPass) quantize(dst []uint32, x, row []float32) bool {
	norm, scale, sum := f.round(dst, row)
	if !(norm > leastNorm && norm < mostNorm) {
		clear(x)
		return false
	}
	e := math.Sqrt(sqError16(sum, f.dim)) / float64(scale)
	x[0], x[1], x[2] = 1/scale, upward(e), upward(norm+e)
	x[3] = upward(f.constant + f.define*(norm+f.norm)*(norm+f.norm))
	return true
}

// searchIntegers writes the codes of the first rows as far as one centroid is left of each, or a few, of which it takes the nearest.
// It adds the others to t.open, where the first row is number base. Rows are shifted by mean unless that is nil. What
// comes after them is fetched ahead.
func (b *Codebook) searchIntegers(t *scratchInt, codes []int32, rows []float32, base int) {
	f := &b.first
	shape := shapesInt[f.kind]
	lanes, n := shape.lanes, len(codes)
	room := (n + shape.rows[0] - 1) / shape.rows[0] * shape.rows[0]
	t.rows, t.params = resize(t.rows, room*f.stride), resize(t.params, room*perRow)
	t.low, t.up = resize(t.low, room*lanes), resize(t.up, room*f.slots)
	t.bad = resize(t.bad, n)
	for i := range n {
		x := rows[i*f.dim:][:f.dim]
		if b.centered != nil {
			t.shifted = append(t.shifted[:0], x...)
			x = t.shifted
			Sub(x, b.mean)
		}
		t.bad[i] = !f.quantize(t.rows[i*f.stride:][:f.stride], t.params[i*perRow:][:perRow], x)
	}
	for i := range t.low {
		t.low[i] = float32(math.Inf(-1))
	}
	steps := room / shape.rows[0] * ((f.slots + 2*lanes - 1) / (2 * lanes)) * (f.words / unroll)
	stride := min(64, n*f.dim*4/steps+1) // bytes each four words of a tile
	ahead := rows[min(n*f.dim, len(rows)-1):]
	for slot := 0; slot < f.slots; slot += 2 * lanes {
		width := min(2*lanes, f.slots-slot)
		panel, table := f.panels[slot*f.words:][:width*f.words], f.table[slot*perCentroid:][:width*perCentroid]
		for i := 0; i < n; {
			size := shape.take(n - i)
			bracketTile(f.kind, t.low[i*lanes:], t.up[i*f.slots+slot:], panel, t.rows[i*f.stride:], t.params[i*perRow:][:size*perRow],
				table, f.slots, f.stride, ahead, stride)
			ahead = ahead[min(stride*f.words/unroll/4, len(ahead)-1):]
			i += size
		}
	}
	t.mask = resize(t.mask, (f.slots+63)/64*8)
	clear(t.mask) // survivors leaves the end as it is
	for i := range n {
		if t.bad[i] {
			t.open = append(t.open, int32(base+i))
			continue
		}
		survivors(f.kind, t.mask, t.low[i*lanes:][:lanes], t.up[i*f.slots:][:f.slots])
		t.near = t.near[:0]
		for w := 0; w < len(t.mask); w += 8 {
			for m := binary.LittleEndian.Uint64(t.mask[w:]); m != 0; m &= m - 1 {
				t.near = append(t.near, f.ids[8*w+bits.TrailingZeros64(m)])
			}
		}
		switch {
		case len(t.near) == 1:
			codes[i] = t.near[0]
		case len(t.near) == 0 || len(t.near) > len(f.ids)/8+4:
			t.open = append(t.open, int32(base+i))
		default:
			codes[i] = b.nearestOf(t, rows[i*f.dim:][:f.dim], t.near)
		}
	}
}

// nearestOf returns the one of the listed centroids, in ascending order, that is nearest by definition.
func (b *Codebook) nearestOf(t *scratchInt, row []float32, ids []int32) int32 {
	t.dists = resize(t.dists, len(ids))
	SqDistsAt(t.dists, row, b.centroids, ids)
	best := t.dists[0]
	for _, d := range t.dists[1:] {
		best = min(best, d)
	}
	least := Within(Above(best, b.Dim), b.Dim)
	n := 0
	for i, d := range t.dists {
		if !(d > least) {
			ids[n] = ids[i]
			n++
		}
	}
	if n == 1 {
		return ids[0]
	}
	return b.settle(row, ids[:n])
}

// blockRows is how many rows to search at once: up to 192 KiB of quantized rows and what their scores are at most. Each
// panel of centroids is read once for all of them.
func (f *firstPass) blockRows() int {
	most := shapesInt[f.kind].rows[0]
	return most * min(max(1, 192<<10/(4*(f.stride+f.slots)*most)), 512/most)
}

const (
	fewTile  = 4  // rows from which on a tile costs less than as many single rows in float32
	manyOpen = 64 // open rows from which on float32 does not wait for more
)

// nearestFirst searches with the first pass, and what that leaves open in float32. It returns the rows it did not come to:
// the last few, or, so that data which the first pass is no good for costs no more than a few rows, all others once
// most were left open.
func (b *Codebook) nearestFirst(s *scratch, codes []int32, rows []float32) ([]int32, []float32) {
	f, t := &b.first, &s.first
	done, open := 0, 0
	t.open, t.openRows = t.open[:0], t.openRows[:0]
	for n := shapesInt[f.kind].rows[0]; len(codes)-done >= fewTile && open <= done/2; n = f.blockRows() {
		n = min(n, len(codes)-done)
		was := len(t.open)
		b.searchIntegers(t, codes[done:done+n], rows[done*b.Dim:], done)
		for _, i := range t.open[was:] {
			t.openRows = append(t.openRows, rows[int(i)*b.Dim:][:b.Dim]...)
		}
		done, open = done+n, open+len(t.open)-was
		if len(t.open) >= manyOpen {
			b.nearestOpen(s, codes)
		}
	}
	b.nearestOpen(s, codes)
	return codes[done:], rows[done*b.Dim:]
}

// nearestOpen finds the codes of the rows left open.
func (b *Codebook) nearestOpen(s *scratch, codes []int32) {
	t := &s.first
	t.openCodes = resize(t.openCodes, len(t.open))
	b.nearest32(s, t.openCodes, t.openRows)
	for j, i := range t.open {
		codes[i] = t.openCodes[j]
	}
	t.open, t.openRows = t.open[:0], t.openRows[:0]
}

// scratchInt is the memory of one first pass.
type scratchInt struct {
	rows    []uint32
	shifted []float32 // one row, less the centroids' mean
	params  []float32 // per row
	bad     []bool    // per row: not for integers
	low     []float32 // per row and lane: what the best score is at least
	up      []float32 // per row and slot: what the score is at most
	mask    []uint8   // of one row, and
	near    []int32   // the centroids that are left, and
	dists   []float32 // their squared distances

	open      []int32 // rows left open, then these rows and their codes
	openRows  []float32
	openCodes []int32
}
