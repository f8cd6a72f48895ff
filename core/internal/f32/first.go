package f32

import (
	"math"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// firstPass is centroids rounded to 16-bit integers. Products of these are exact, and come twice as fast as float32's: a
// search among them finds the codes of almost all rows of usual data, and leaves open the few that lie too near the
// middle between two centroids for the rounding to tell.
//
// Let x be a row and c a centroid, or the rounded differences of both to the mean, q and g their integers at scales s
// and t. As in bound, S = x·c - |c|²/2 is the exact score, but here it is computed as fl(fl(q·g) fl(1/(s t)) + fl(-|c|²/2)).
// With u = 2^-24, e = |x - q/s| and f = |c - g/t|, both of which quantize16 measures, Cauchy-Schwarz gives
//
//	|x·c - q·g/(s t)| = |(x - q/s)·c + q/s·(c - g/t)| <= e |c| + (|x| + e) f.
//
// The integer dot product is exact. Its conversion, the factor, the product and the sum round four numbers of at most
// P = (|x| + e) (|c| + f), the bias and the sum also two of at most |c|²/2, and in a centered search the differences are
// worth another 2u (|x||c| + |c|²/2). With what bound adds for codes being float64 sums, g (|x|+|c|)²/2 = define (|x|+|c|)²,
//
//	|s - S| + define (|x|+|c|)² <= e |c| + (|x| + e) f + u (7 P + 2.1 |c|²) + define (|x|+|c|)² = E,
//
// |c| and f being the largest of the codebook, and a row is certain of its code if the best score is above the second by
// more than 2E. Where rows and centroids spread evenly over the columns, e is |x|/160,000 √dim, 1.2e-4 |x| with 384.
type firstPass struct {
	kind   kind16
	dim    int
	pairs  int      // of elements, up to a multiple of pairs16
	stride int      // elements from one quantized row to the next
	panels []uint32 // pairs, as tile16.go describes; the last panel is one vector of centroids if that is enough
	bias   []float32
	ids    []int32 // per slot: the centroid
	scale  float32 // t

	norm     float64 // |c|
	perRow   float64 // f + 7u (|c| + f)
	constant float64 // 2.1u |c|²
	define   float64
}

// kind16 is a set of kernels for 16-bit integers.
type kind16 int

const (
	none16 kind16 = iota
	go16          // plain Go, for tests: it would take longer than float32
	avx216
	vnni16
)

// choose16 says which kernels gain by a first pass among k centroids of dim elements: what it takes for each row, about
// 50 ns and 0.2 ns an element, has to come in again. AVX-512 without VNNI takes as long for integers as for floats. Tests
// choose otherwise.
var choose16 = func(l cpu.Level, k, dim int) kind16 {
	switch {
	case cpu.VNNI() && k >= 32 && dim >= 48:
		return vnni16
	case l == cpu.AVX2 && k >= 64 && dim >= 96:
		return avx216
	}
	return none16
}

// Norms between these keep clear of overflow and underflow.
const (
	least16 = 0x1p-40
	most16  = 0x1p40
)

// set prepares f for the distinct centroids of s.
func (f *firstPass) set(l cpu.Level, s *space, dim int) {
	ids := s.distinct
	f.kind = choose16(l, len(ids), dim)
	c := s.bound.c
	if !(c > least16 && c < most16) {
		f.kind = none16
	}
	if f.kind == none16 {
		f.panels = nil
		return
	}
	lanes := shapes16[f.kind].lanes
	slots := (len(ids) + lanes - 1) / lanes * lanes
	f.dim, f.pairs = dim, (dim+2*pairs16-1)/(2*pairs16)*pairs16
	f.stride = Padded16(dim) | 32 // an odd number of cache lines: rows do not compete for the same places in the cache
	f.panels = resize(f.panels, slots*f.pairs)
	f.bias, f.ids = resize(f.bias, slots), resize(f.ids, slots)
	f.scale = Scale16(c, dim)

	row := make([]int16, Padded16(dim))
	var lost float32
	for slot := range slots {
		if slot < len(ids) {
			j := ids[slot]
			f.ids[slot], f.bias[slot] = j, float32(s.half[j])
			lost = max(lost, quantize16(row, s.centroids[int(j)*dim:][:dim], f.scale))
		} else {
			f.ids[slot], f.bias[slot] = 0, float32(math.Inf(-1))
			clear(row)
		}
		first := slot / (2 * lanes) * (2 * lanes) // of the panel
		width := min(2*lanes, slots-first)
		dst := f.panels[first*f.pairs+slot-first:]
		for p := range f.pairs {
			dst[p*width] = uint32(uint16(row[2*p])) | uint32(uint16(row[2*p+1]))<<16
		}
	}
	e := math.Sqrt(sqError16(lost, dim)) / float64(f.scale) * slack
	f.norm = c
	f.perRow = e + 7*unit*(c+e)*slack
	f.constant = 2.1 * unit * c * c
	f.define = s.bound.define
}

// quantize rounds a row. It returns what its dot products are to be multiplied by, and E: +Inf for a row that is too
// long or short or not finite.
func (f *firstPass) quantize(dst []int16, row []float32) (alpha float32, e float64) {
	var sum [1]float32
	dots(cpu.Use(), sum[:], row, row, f.dim)
	r := math.Sqrt(sqError16(sum[0], f.dim)) * slack
	if !(r > least16 && r < most16) {
		clear(dst)
		return 0, math.Inf(1)
	}
	scale := Scale16(r, f.dim)
	lost := math.Sqrt(sqError16(quantize16(dst, row, scale), f.dim)) / float64(scale)
	e = lost*f.norm + (r+lost)*f.perRow + f.constant + f.define*(r+f.norm)*(r+f.norm)
	return float32(1 / (float64(scale) * float64(f.scale))), e * slack
}

// search writes the codes of the first rows as far as they are certain, and adds the others to t.open, where the first row
// is number base. Rows are shifted by mean unless that is nil. What comes after them is fetched ahead.
func (f *firstPass) search(t *scratch16, mean []float32, codes []int32, rows []float32, base int) {
	shape := shapes16[f.kind]
	lanes, n, slots := shape.lanes, len(codes), len(f.bias)
	room := (n + shape.rows[0] - 1) / shape.rows[0] * shape.rows[0]
	t.rows, t.alpha, t.errs = resize(t.rows, room*f.stride), resize(t.alpha, room), resize(t.errs, n)
	t.state, t.best = resize(t.state, room*3*lanes), resize(t.best, 3*n)
	padded := Padded16(f.dim)
	for i := range n {
		x := rows[i*f.dim:][:f.dim]
		if mean != nil {
			t.shifted = append(t.shifted[:0], x...)
			x = t.shifted
			Sub(x, mean)
		}
		t.alpha[i], t.errs[i] = f.quantize(t.rows[i*f.stride:][:padded], x)
		state := t.state[i*3*lanes:][:2*lanes]
		for j := range state {
			state[j] = float32(math.Inf(-1))
		}
	}
	steps := room / shape.rows[0] * ((slots + 2*lanes - 1) / (2 * lanes)) * (f.pairs / pairs16)
	stride := min(64, n*f.dim*4/steps+1) // bytes each four pairs of a tile
	ahead := rows[min(n*f.dim, len(rows)-1):]
	for slot := 0; slot < slots; slot += 2 * lanes {
		bias := f.bias[slot:min(slot+2*lanes, slots)]
		panel := f.panels[slot*f.pairs:][:len(bias)*f.pairs]
		for i := 0; i < n; {
			size := shape.take(n - i)
			nearestTile16(f.kind, t.state[i*3*lanes:], panel, t.rows[i*f.stride:], t.alpha[i:][:size], bias, f.stride, slot, ahead, stride)
			ahead = ahead[min(stride*f.pairs/pairs16/4, len(ahead)-1):]
			i += size
		}
	}
	best16(f.kind, t.best, t.state)
	for i := range n {
		b := t.best[3*i:][:3]
		if float64(b[0])-float64(b[1]) > 2*t.errs[i] {
			codes[i] = f.ids[math.Float32bits(b[2])]
		} else { // so written, NaN is open too
			t.open = append(t.open, int32(base+i))
		}
	}
}

// blockRows is how many rows to search at once: up to 192 KiB of quantized rows, for which each panel of centroids is read
// once.
func (f *firstPass) blockRows() int {
	most := shapes16[f.kind].rows[0]
	return most * min(max(1, 192<<10/(2*f.stride*most)), 512/most)
}

const (
	few16  = 4  // rows from which on a tile costs less than as many single rows in float32
	many16 = 64 // open rows from which on float32 does not wait for more
)

// nearestFirst searches with the first pass, and what that leaves open in float32. It returns the rows it did not come to:
// the last few, or, so that data which the first pass is no good for costs no more than a few rows, all others once
// most were left open.
func (b *Codebook) nearestFirst(s *scratch, codes []int32, rows []float32) ([]int32, []float32) {
	f, t := &b.first, &s.first
	var mean []float32
	if b.centered != nil {
		mean = b.mean
	}
	done, open := 0, 0
	t.open, t.openRows = t.open[:0], t.openRows[:0]
	for n := shapes16[f.kind].rows[0]; len(codes)-done >= few16 && open <= done/2; n = f.blockRows() {
		n = min(n, len(codes)-done)
		was := len(t.open)
		f.search(t, mean, codes[done:done+n], rows[done*b.Dim:], done)
		for _, i := range t.open[was:] {
			t.openRows = append(t.openRows, rows[int(i)*b.Dim:][:b.Dim]...)
		}
		done, open = done+n, open+len(t.open)-was
		if len(t.open) >= many16 {
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

// scratch16 is the memory of one first pass.
type scratch16 struct {
	rows    []int16
	shifted []float32 // one row, less the centroids' mean
	alpha   []float32 // per row, as are errs and best
	errs    []float64
	best    []float32 // score, second score and slot
	state   []float32 // per row and lane: the same

	open      []int32 // rows left open, then these rows and their codes
	openRows  []float32
	openCodes []int32
}
