package f32

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// Neighbors is rows made ready for the search of those nearest to others. NewNeighbors and then Prepare for each block
// make it ready; after that any number of goroutines may search at once.
//
// Near is, as for codes, what the sum over i of (x[i]-y[i])² says, evaluated in float64, i ascending; of equally near rows the
// one of lower index comes first. Every CPU level gives exactly these neighbors.
//
// Blocks of rows are scored as the centroids of a Codebook are: in integers where these gain (see firstPass), else in
// float32. Rows whose score leaves them a chance against the k best so far get a float32 distance, and those that still have
// one the float64 distance. Let d be the k-th best distance so far, x and y a query and a row as they are scored, and r what
// rounding them there has moved both by at most. A row that is nearer than d has
//
//	|x-y| < d + r, so a score x·y - |y|²/2 = (|x|² - |x-y|²)/2 > (|x|² - (d+r)²)/2.
type Neighbors struct {
	Rows, Dim int

	rows   []float32
	level  cpu.Level
	scale  float32   // a power of 2 that keeps norms clear of overflow and underflow
	mean   []float32 // of some scaled rows: what integers are made of is scale*row - mean
	blocks []neighborBlock
}

// neighborBlock is neighboring rows, some at a time.
type neighborBlock struct {
	lo, hi int
	first  firstPass // kind noIntegers: scores are those of book
	book   *Codebook
}

const (
	neighborRows    = 512 // in a block: what 112 queries score in it fits into an L2 cache
	neighborQueries = 112 // 8 tiles of 14
	meanRows        = 4096
)

// NewNeighbors takes rows of dim elements, row-major, all finite, which must not change while in use. Prepare must be
// called for each of its blocks before the first search.
func NewNeighbors(rows []float32, dim int) *Neighbors {
	if dim < 1 || len(rows) < dim || len(rows)%dim != 0 || len(rows)/dim > math.MaxInt32 {
		panic(fmt.Sprintf("f32: %d values for rows of %d elements", len(rows), dim))
	}
	n := &Neighbors{Rows: len(rows) / dim, Dim: dim, rows: rows, level: cpu.Use(), mean: make([]float32, dim)}
	n.blocks = make([]neighborBlock, (n.Rows+neighborRows-1)/neighborRows)
	var most float32
	for i := range n.Rows {
		_, m := measure(n.row(i))
		most = max(most, m)
	}
	n.scale = 1
	if most < 0x1p-20 || most > 0x1p20 { // else the norms are well within float32's range
		_, exp := math.Frexp(float64(most))
		n.scale = float32(math.Ldexp(1, min(max(-exp, -126), 126)))
	}
	sums, step := make([]float64, dim), max(1, n.Rows/meanRows)
	for i := 0; i < n.Rows; i += step {
		Add64(sums, n.row(i), float64(n.scale))
	}
	for d, s := range sums {
		n.mean[d] = float32(s / float64((n.Rows+step-1)/step))
	}
	return n
}

func (n *Neighbors) row(i int) []float32 { return n.rows[i*n.Dim:][:n.Dim] }

// Blocks returns the number of blocks.
func (n *Neighbors) Blocks() int { return len(n.blocks) }

// Prepare makes block i ready. Different goroutines may prepare different blocks.
func (n *Neighbors) Prepare(i int) {
	b := &n.blocks[i]
	b.lo, b.hi = i*neighborRows, min(n.Rows, (i+1)*neighborRows)
	size := b.hi - b.lo
	if chooseIntegers(n.level, size, n.Dim) != noIntegers {
		s := neighborSearches.Get().(*neighborSearch)
		defer neighborSearches.Put(s)
		s.shifted = resize(s.shifted, size*n.Dim)
		ids := make([]int32, size) // which first keeps
		for j := range ids {
			ids[j] = int32(j)
			n.shift(s.shifted[j*n.Dim:][:n.Dim], n.row(b.lo+j))
		}
		s.space.set(n.level, s.shifted, ids, nil, size, n.Dim)
		b.first.set(n.level, &s.space, n.Dim)
	}
	if b.first.kind == noIntegers {
		b.book = &Codebook{}
		b.book.SetScores(n.rows[b.lo*n.Dim:b.hi*n.Dim], size, n.Dim)
	}
}

// shift sets dst to scale*row - mean, each product and difference rounded once.
func (n *Neighbors) shift(dst, row []float32) {
	copy(dst, row)
	if n.scale != 1 {
		for d := range dst {
			dst[d] *= n.scale
		}
	}
	Sub(dst, n.mean)
}

// neighborSearch is the memory of one search.
type neighborSearch struct {
	panels Panels // the queries, for blocks scored in float32
	packed bool
	scores []float32 // [row of the block][query]
	errs   []float32

	shifted  []float32 // one query; in Prepare the rows of a block, and
	space    space     // what is known of them
	integers []uint32  // the queries, for blocks scored in integers, and
	params   []float32 // what bracketTile wants to know of them
	low, up  []float32
	norms    []float64 // per query: |x|² of the shifted one and of the plain one, both from below, then |x| of the shifted one
	mask     []uint8

	at    []int32
	dists []float32
}

var neighborSearches = sync.Pool{New: func() any { return new(neighborSearch) }}

// Search writes to ids[i*k:][:k] the k rows nearest to query i, nearest first, and to dists their squared distances. Row
// skip[i], unless that is negative, is left out: a query that is one of the rows is not its own neighbor. It panics if the
// lengths do not fit, or k is more than the rows that are left.
func (n *Neighbors) Search(ids []int32, dists []float64, queries []float32, skip []int32, k int) {
	count := len(skip)
	if len(queries) != count*n.Dim || k < 1 || k > n.Rows || len(ids) != count*k || len(dists) != count*k {
		panic(fmt.Sprintf("f32: %d values for %d queries of %d elements, room for %d and %d neighbors, want %d of %d rows each",
			len(queries), count, n.Dim, len(ids), len(dists), k, n.Rows))
	}
	s := neighborSearches.Get().(*neighborSearch)
	defer neighborSearches.Put(s)
	for count > 0 {
		m := min(count, neighborQueries)
		n.search(s, ids[:m*k], dists[:m*k], queries[:m*n.Dim], skip[:m], k)
		ids, dists, queries, skip, count = ids[m*k:], dists[m*k:], queries[m*n.Dim:], skip[m:], count-m
	}
}

func (n *Neighbors) search(s *neighborSearch, ids []int32, dists []float64, queries []float32, skip []int32, k int) {
	for i := range ids {
		ids[i], dists[i] = -1, math.Inf(1)
	}
	n.measureQueries(s, queries)
	for b := range n.blocks {
		block := &n.blocks[b]
		size := block.hi - block.lo
		if block.first.kind != noIntegers {
			n.scoreIntegers(s, block, len(skip))
		} else {
			n.scoreFloats(s, block, queries, len(skip))
		}
		// As long as few rows have been seen, many are among the k best so far: then the limit is set anew more often.
		step := min(max(64, block.lo/8&^63), size)
		for i, own := range skip {
			query := queries[i*n.Dim:][:n.Dim]
			for lo := 0; lo < size; lo += step {
				hi := min(size, lo+step)
				worst := dists[i*k+k-1]
				if worst == 0 { // rows come in ascending order, so no other takes the place of an equal one
					break
				}
				if block.first.kind != noIntegers {
					n.openIntegers(s, block, i, lo, hi, worst)
				} else {
					n.openFloats(s, i, lo, hi, len(skip), worst)
				}
				if j := int(own) - block.lo; j >= lo && j < hi {
					s.at = without(s.at, int32(j))
				}
				n.insert(s, block, ids[i*k:][:k], dists[i*k:][:k], query)
			}
		}
	}
	if ids[len(ids)-1] < 0 || ids[k-1] < 0 {
		panic(fmt.Sprintf("f32: %d neighbors wanted of %d rows", k, n.Rows))
	}
}

// measureQueries works out what all blocks need to know of the queries.
func (n *Neighbors) measureQueries(s *neighborSearch, queries []float32) {
	count := len(queries) / n.Dim
	s.packed = false
	s.norms = resize(s.norms, 3*count)
	s.shifted = resize(s.shifted, n.Dim)
	var f *firstPass
	for b := range n.blocks {
		if n.blocks[b].first.kind != noIntegers {
			f = &n.blocks[b].first // rounding a row is the same for all
			break
		}
	}
	if f != nil {
		s.integers = resize(s.integers, (count+shapesInt[f.kind].rows[0])*f.stride)
		s.params = resize(s.params, (count+shapesInt[f.kind].rows[0])*perRow)
	}
	for i := range count {
		query, norms := queries[i*n.Dim:][:n.Dim], s.norms[3*i:][:3]
		norms[1] = SqNorm64(query) * (1 - float64(n.Dim+8)*0x1p-52)
		if f == nil {
			continue
		}
		n.shift(s.shifted, query)
		norms[0] = SqNorm64(s.shifted) * (1 - float64(n.Dim+8)*0x1p-52)
		norm, scale, sum := f.round(s.integers[i*f.stride:][:f.stride], s.shifted)
		norms[2] = norm
		e := math.Sqrt(sqError16(sum, n.Dim)) / float64(scale)
		x := s.params[i*perRow:][:perRow]
		x[0], x[1], x[2] = 1/scale, upward(e), upward(norm+e)
	}
}

// scoreIntegers sets s.up to what the scores of count queries and a block's rows are at most.
func (n *Neighbors) scoreIntegers(s *neighborSearch, b *neighborBlock, count int) {
	f := &b.first
	shape := shapesInt[f.kind]
	lanes := shape.lanes
	room := (count + shape.rows[0] - 1) / shape.rows[0] * shape.rows[0]
	s.low, s.up = resize(s.low, room*lanes), resize(s.up, room*f.slots)
	for i := range count {
		norm := s.norms[3*i+2]
		s.params[i*perRow+3] = upward(f.constant + f.define*(norm+f.norm)*(norm+f.norm))
	}
	for slot := 0; slot < f.slots; slot += f.panel {
		width := min(f.panel, f.slots-slot)
		panel, table := f.panels[slot*f.words:][:width*f.words], f.table[slot*perCentroid:][:width*perCentroid]
		for i := 0; i < count; {
			size := shape.take(count - i)
			bracketTile(f.kind, s.low[i*lanes:], s.up[i*f.slots+slot:], panel, s.integers[i*f.stride:], s.params[i*perRow:][:size*perRow],
				table, f.slots, f.stride, n.rows, 0)
			i += size
		}
	}
}

// openIntegers sets s.at to the rows lo to hi-1 of a block that may be nearer to query i than worst, the squared distance.
func (n *Neighbors) openIntegers(s *neighborSearch, b *neighborBlock, i, lo, hi int, worst float64) {
	f := &b.first
	lanes := shapesInt[f.kind].lanes
	norms := s.norms[3*i:][:3]
	reach := math.Sqrt(worst)*float64(n.scale)*(1+float64(n.Dim+8)*0x1p-52) + 0x1p-23*(norms[2]+f.norm) + 0x1p-100
	limit := float32(math.Inf(-1))
	if v := (norms[0] - reach*reach) / 2; v > -math.MaxFloat32 {
		limit = float32(v - math.Abs(v)*0x1p-22 - 0x1p-100)
	}
	for l := range lanes {
		s.low[l] = limit // what is there is not used
	}
	size := (hi - lo + lanes - 1) / lanes * lanes // lo is a multiple of lanes
	s.mask = resize(s.mask, (size+63)/64*8)
	clear(s.mask)
	survivors(f.kind, s.mask, s.low[:lanes], s.up[i*f.slots+lo:][:size])
	s.at = s.at[:0]
	for w := 0; w < len(s.mask); w += 8 {
		for m := binary.LittleEndian.Uint64(s.mask[w:]); m != 0; m &= m - 1 {
			if j := lo + 8*w + bits.TrailingZeros64(m); j < hi {
				s.at = append(s.at, int32(j))
			}
		}
	}
}

// scoreFloats sets s.scores to the scores of count queries and a block's rows.
func (n *Neighbors) scoreFloats(s *neighborSearch, b *neighborBlock, queries []float32, count int) {
	if !s.packed {
		s.panels.packAll(n.level, queries, n.Dim)
		s.packed = true
	}
	s.scores, s.errs = resize(s.scores, (b.hi-b.lo)*count), resize(s.errs, count)
	b.book.Scores(s.scores, s.errs, &s.panels)
}

// openFloats is openIntegers for a block scored in float32.
func (n *Neighbors) openFloats(s *neighborSearch, i, lo, hi, count int, worst float64) {
	limit := (s.norms[3*i+1]-worst*(1+float64(n.Dim+8)*0x1p-50))/2 - float64(s.errs[i])
	s.at = s.at[:0]
	for j := lo; j < hi; j++ {
		if v := float64(s.scores[j*count+i]); !(v < limit) { // so written, NaN is open too
			s.at = append(s.at, int32(j))
		}
	}
}

// insert puts those of the rows s.at of a block that are nearer than the last of the k best in their place among them.
func (n *Neighbors) insert(s *neighborSearch, b *neighborBlock, ids []int32, dists []float64, query []float32) {
	if len(s.at) == 0 {
		return
	}
	s.dists = resize(s.dists, len(s.at))
	SqDistsAt(s.dists, query, n.rows[b.lo*n.Dim:b.hi*n.Dim], s.at)
	last := len(dists) - 1
	limit := Within(math.Sqrt(dists[last]), n.Dim)
	for c, j := range s.at {
		if s.dists[c] > limit {
			continue
		}
		d := SqDist64(query, n.row(b.lo+int(j)))
		if !(d < dists[last]) {
			continue
		}
		p := last
		for ; p > 0 && dists[p-1] > d; p-- {
			ids[p], dists[p] = ids[p-1], dists[p-1]
		}
		ids[p], dists[p] = int32(b.lo)+j, d
		limit = Within(math.Sqrt(dists[last]), n.Dim)
	}
}

// without removes v from the ascending list at.
func without(at []int32, v int32) []int32 {
	for i, j := range at {
		if j == v {
			return append(at[:i], at[i+1:]...)
		}
	}
	return at
}
