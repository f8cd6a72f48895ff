package f32

import (
	"fmt"
	"math"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// Nearest writes to codes[i] the code of row i of rows. It panics unless len(rows) is len(codes)*Dim.
func (b *Codebook) Nearest(codes []int32, rows []float32) {
	b.check(len(codes), rows)
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	if b.first.kind != noIntegers {
		codes, rows = b.nearestFirst(s, codes, rows)
	}
	b.nearest32(s, codes, rows)
}

// nearest32 is Nearest without the first pass.
func (b *Codebook) nearest32(s *scratch, codes []int32, rows []float32) {
	few := fewRows(b.level, b.Dim)
	for len(codes) >= few {
		lanes := shapes[b.level].lanes
		n := min(blockRows(b.level, b.Dim), len(codes))
		if n > lanes && n%lanes < few {
			n -= n % lanes
		}
		b.nearestBlock(s, codes[:n], rows)
		codes, rows = codes[n:], rows[n*b.Dim:]
	}
	for ; len(codes) > 1; codes, rows = codes[2:], rows[2*b.Dim:] {
		b.nearestRows(s, codes[:2], rows[:2*b.Dim])
	}
	b.nearestRows(s, codes, rows)
}

// Scores sets dst[j*p.Rows+i] to the score r·c - |c|²/2 of row i and centroid j, in float32: half of |r|² less the squared
// distance. No score of row i is off by more than errs[i], which is +Inf where float32 may overflow; errs may be nil. It
// panics if the lengths do not fit.
func (b *Codebook) Scores(dst, errs []float32, p *Panels) {
	b.checkPanels(len(dst)/b.K, p)
	lanes, n := shapes[b.level].lanes, p.Rows
	b.plain.pack(b.level, b.Dim)
	var tile [maxLanes * maxGroup]float32
	for first := 0; first < n; first += lanes {
		panel := p.data[first*b.Dim:][:lanes*b.Dim]
		for _, g := range b.plain.groups {
			scoresTile(b.level, tile[:], panel, b.plain.packed[g.first*b.Dim:][:g.size*b.Dim], b.plain.bias[g.first:][:g.size], b.Dim)
			for i := range min(g.size, len(b.plain.distinct)-g.first) {
				copy(dst[int(b.plain.ids[g.first+i])*n:][:n][first:], tile[i*lanes:][:lanes])
			}
		}
	}
	for i, j := range b.copies {
		copy(dst[int(j)*n:][:n], dst[int(b.originals[i])*n:][:n])
	}
	if errs != nil {
		for i := range errs[:n] {
			e := b.plain.bound.row(p.normsOf(i))
			errs[i] = float32(e*(1+0x1p-22) + 0x1p-149)
			if !(e < math.MaxFloat32) {
				errs[i] = float32(math.Inf(1))
			}
		}
	}
}

func (b *Codebook) checkPanels(rows int, p *Panels) {
	if p.Dim != b.Dim || p.Rows != rows || p.level != b.level {
		panic(fmt.Sprintf("f32: panels of %d rows of %d elements for %v, room for %d rows, centroids of %d elements for %v",
			p.Rows, p.Dim, p.level, rows, b.Dim, b.level))
	}
}

func (b *Codebook) check(codes int, rows []float32) {
	if len(rows) != codes*b.Dim {
		panic(fmt.Sprintf("f32: %d values for %d rows of %d elements", len(rows), codes, b.Dim))
	}
}

// fewRows is the number of rows from which on a panel costs less than as many single rows. Per row and centroid, a full
// panel takes 0.019 ns a dimension, and single rows taken two by two 0.02 ns and 3 ns once (Zen 4, 256 centroids). In
// plain Go a panel gains nothing.
func fewRows(l cpu.Level, dim int) int {
	if l == cpu.Generic {
		return math.MaxInt
	}
	return shapes[l].lanes*dim/(dim+150) + 1
}

// nearestBlock finds the codes of the first rows. What comes after them is fetched ahead.
func (b *Codebook) nearestBlock(s *scratch, codes []int32, rows []float32) {
	block, space := rows[:len(codes)*b.Dim], &b.plain
	if b.centered != nil {
		space = b.centered
		s.shifted = resize(s.shifted, len(block))
		copy(s.shifted, block)
		for i := range codes {
			Sub(s.shifted[i*b.Dim:][:b.Dim], b.mean)
		}
		s.panels.packAll(b.level, s.shifted, b.Dim)
	} else {
		s.panels.packAll(b.level, block, b.Dim)
	}
	space.search(s, b.level, &s.panels, rows[min(len(block), len(rows)-1):])
	s.certify(space, &s.panels)
	for i := range codes {
		if codes[i] = s.ids[i]; s.flagged[i] {
			b.nearestRows(s, codes[i:i+1], block[i*b.Dim:][:b.Dim])
		}
	}
}

// search runs all groups over all panels and leaves best, second and id of each row in t.state. Meanwhile it fetches the
// memory from ahead on, as much as the panels hold, into the cache.
func (s *space) search(t *scratch, l cpu.Level, p *Panels, ahead []float32) {
	lanes, dim := shapes[l].lanes, p.Dim
	s.pack(l, dim)
	t.state = resize(t.state, p.count()*3*lanes)
	for q := range p.count() {
		state := t.state[q*3*lanes:][:3*lanes]
		for i := range lanes {
			state[i], state[lanes+i], state[2*lanes+i] = float32(math.Inf(-1)), float32(math.Inf(-1)), 0
		}
	}
	stride := min(64, 16*lanes/len(s.groups)+1) // bytes each four steps of a tile: Dim steps for each group and panel
	for _, g := range s.groups {
		packed, end := s.packed[g.first*dim:][:g.size*dim], g.first+g.size
		for q := range p.count() {
			nearestTile(l, t.state[q*3*lanes:], p.data[q*lanes*dim:][:lanes*dim], packed,
				s.bias[g.first:end], s.ids[g.first:end], dim, ahead, stride)
			ahead = ahead[min(stride*dim/16, len(ahead)-1):]
		}
	}
}

// certify works out, for each row that search went over, its best score and id, and whether float64 must settle it.
func (t *scratch) certify(s *space, p *Panels) {
	n, lanes := p.Rows, shapes[p.level].lanes
	t.ids, t.flagged = resize(t.ids, n), resize(t.flagged, n)
	for first := 0; first < n; first += lanes {
		state, norms := t.state[3*first:][:3*lanes], p.norms[2*first:][:2*lanes]
		for i := range min(lanes, n-first) {
			best, second, norm := float64(state[i]), float64(state[lanes+i]), norms[i]
			e := s.bound.row(norm, norms[lanes+i])
			t.ids[first+i] = int32(math.Float32bits(state[2*lanes+i]))
			t.flagged[first+i] = !(best-second > 2*e) // so written, NaN is flagged too
		}
	}
}

// nearestRows finds the codes of up to two rows: float32 dot products with all centroids, then float64 distances to those
// within the error of the best. That error is far smaller than a tile's, as dots sums in many short chains.
func (b *Codebook) nearestRows(s *scratch, codes []int32, rows []float32) {
	if len(codes) == 0 {
		return
	}
	space, x := &b.plain, rows
	if b.centered != nil {
		space = b.centered
		s.shiftedRows = append(s.shiftedRows[:0], rows...)
		x = s.shiftedRows
		for i := range codes {
			Sub(x[i*b.Dim:][:b.Dim], b.mean)
		}
	}
	s.scores = resize(s.scores, len(codes)*b.K)
	dots(b.level, s.scores, x, space.centroids, b.Dim)
	for i := range codes {
		row := x[i*b.Dim:][:b.Dim]
		var norm [1]float32
		dots(b.level, norm[:], row, row, b.Dim)
		s.near = space.near(s.near[:0], s.scores[i*b.K:][:b.K], norm[0], dotsDepth(b.level, b.Dim))
		switch row := rows[i*b.Dim:][:b.Dim]; len(s.near) {
		case 0:
			codes[i] = b.nearestExact(s, row)
		case 1:
			codes[i] = s.near[0]
		default:
			if len(s.near) > manyNear {
				codes[i] = b.nearestExact(s, row)
			} else {
				codes[i] = b.settle(row, s.near)
			}
		}
	}
}

// near appends to ids the centroids, in ascending order, whose scores lie within their error of the best, or nothing
// where float32 may have overflowed. dots holds the row's dot products, norm that with itself.
func (s *space) near(ids []int32, dots []float32, norm float32, depth int) []int32 {
	perNorm, rest := s.bound.single(norm, depth)
	if !(perNorm+rest < math.Inf(1)) {
		return ids
	}
	best, code := math.Inf(-1), 0
	for j, dot := range dots {
		if v := float64(dot) + s.half[j]; v > best {
			best, code = v, j
		}
	}
	least := best - perNorm*s.norm[code] - 2*rest
	for j, dot := range dots {
		if v := float64(dot) + s.half[j]; v+perNorm*s.norm[j] >= least {
			ids = append(ids, int32(j))
		}
	}
	return ids
}

// manyNear is the number of centroids from which on the float64 distances to all of 256 come sooner than to these.
const manyNear = 32

// settle returns the one of the listed centroids, in ascending order, that is nearest by definition.
func (b *Codebook) settle(row []float32, ids []int32) int32 {
	best, code := math.Inf(1), int32(0)
	for len(ids) >= 4 {
		d := sqDist64x4(row, b.centroid(int(ids[0])), b.centroid(int(ids[1])), b.centroid(int(ids[2])), b.centroid(int(ids[3])))
		for i, v := range d {
			if v < best {
				best, code = v, ids[i]
			}
		}
		ids = ids[4:]
	}
	for _, j := range ids {
		if d := SqDist64(row, b.centroid(int(j))); d < best {
			best, code = d, j
		}
	}
	return code
}

// nearestExact is the definition.
func (b *Codebook) nearestExact(s *scratch, row []float32) int32 {
	b.exactOnce.Do(func() { b.exact.packAll(b.level, b.centroids, b.Dim) })
	s.distances = resize(s.distances, b.K)
	b.exact.SqDists64(s.distances, row)
	best, code := math.Inf(1), int32(0)
	for j, d := range s.distances {
		if d < best {
			best, code = d, int32(j)
		}
	}
	return code
}

// scratch is the memory of one search.
type scratch struct {
	panels  Panels
	state   []float32 // per panel: best, second and id of each lane
	ids     []int32   // per row, as are the next two
	flagged []bool

	shifted, shiftedRows []float32 // less the centroids' mean
	row                  []float32
	scores               []float32 // of one or two rows
	near                 []int32   // the centroids that may be its nearest
	distances, points    []float64

	first scratchInt
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}
