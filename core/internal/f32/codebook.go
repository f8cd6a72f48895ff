package f32

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"unsafe"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// Codebook is K centroids made ready for nearest-centroid search over many rows. Set prepares it; after that any
// number of goroutines may search at once.
//
// A code is argmin over j of sum over i of (r[i]-c[j][i])², evaluated in float64, i ascending, each product rounded
// before it is added; ties go to the lowest j. Every CPU level gives exactly these codes.
//
// A row first gets float32 scores against all centroids, of which only the best, its id and the second best are kept.
// Where those two lie closer than the error of a score (see bound), float64 settles it.
type Codebook struct {
	K, Dim    int
	centroids []float32 // K*Dim, row-major

	level  cpu.Level
	groups []group
	packed []float32 // the groups' centroids, each group [Dim][size]
	bias   []float32 // per packed centroid: -|c|²/2, and -Inf where a group is filled up
	ids    []int32   // per packed centroid: its index
	bound  bound
	half   []float64 // per centroid: -|c|²/2, and -Inf for a copy of an earlier one
	norm   []float64 // per centroid: |c|, rounded up

	exactOnce sync.Once // packs exact, which few codebooks ever need
	exact     Panels    // the centroids, as rows
}

// group is size packed centroids, from slot first on.
type group struct{ first, size int }

// NewCodebook prepares k centroids of dim elements, row-major in centroids, which must not change while in use.
func NewCodebook(centroids []float32, k, dim int) *Codebook {
	b := &Codebook{}
	b.Set(centroids, k, dim)
	return b
}

// Set prepares b for other centroids, keeping its memory where it fits.
func (b *Codebook) Set(centroids []float32, k, dim int) {
	if len(centroids) != k*dim || k < 1 || dim < 1 {
		panic(fmt.Sprintf("f32: %d values for %d centroids of %d elements", len(centroids), k, dim))
	}
	b.K, b.Dim, b.centroids, b.level = k, dim, centroids, cpu.Use()
	b.exactOnce = sync.Once{}
	b.half, b.norm = resize(b.half, k), resize(b.norm, k)

	distinct := b.distinct()
	var c, w float64
	for j := range k {
		b.half[j] = math.Inf(-1)
	}
	for _, j := range distinct {
		norm, prefix := 0.0, 0.0
		for _, v := range b.centroid(int(j)) {
			norm += float64(float64(v) * float64(v))
			prefix += norm
		}
		b.half[j] = -norm / 2
		b.norm[j] = math.Sqrt(norm) * slack
		c, w = max(c, b.norm[j]), max(w, math.Sqrt(prefix)*slack) // max keeps a NaN
	}
	b.bound = newBound(dim, c, w)
	b.pack(distinct)
}

func (b *Codebook) centroid(j int) []float32 { return b.centroids[j*b.Dim:][:b.Dim] }

var seed = maphash.MakeSeed()

// distinct lists the centroids in ascending order, leaving out those equal to an earlier one: no code names them.
func (b *Codebook) distinct() []int32 {
	ids := make([]int32, 0, b.K)
	seen := make(map[uint64]int32, b.K)
	plus := make([]float32, b.Dim)
next:
	for j := range b.K {
		c := b.centroid(j)
		for i, v := range c {
			plus[i] = v + 0 // -0 becomes 0
		}
		h := maphash.Bytes(seed, unsafe.Slice((*byte)(unsafe.Pointer(&plus[0])), 4*b.Dim))
		if i, ok := seen[h]; !ok {
			seen[h] = int32(j)
		} else if equal(c, b.centroid(int(i))) {
			continue next
		}
		ids = append(ids, int32(j))
	}
	return ids
}

func equal(x, y []float32) bool {
	for i, v := range x {
		if v != y[i] {
			return false
		}
	}
	return true
}

// pack lays out the listed centroids in groups: as many of the largest size as there are, then the smallest one that
// takes the rest, filled up with zeros whose bias keeps them from winning.
func (b *Codebook) pack(ids []int32) {
	sizes := shapes[b.level].sizes
	b.groups = b.groups[:0]
	slots := 0
	for left := len(ids); left > 0; {
		size := sizes[0]
		for _, s := range sizes[1:] {
			if left <= s {
				size = s
			}
		}
		b.groups = append(b.groups, group{slots, size})
		slots += size
		left -= size
	}
	if cap(b.packed) < slots*b.Dim {
		b.packed = aligned(slots * b.Dim)
	}
	b.packed = b.packed[:slots*b.Dim]
	b.bias, b.ids = resize(b.bias, slots), resize(b.ids, slots)
	for _, g := range b.groups {
		for i := range g.size {
			slot := g.first + i
			dst := b.packed[g.first*b.Dim+i:]
			if slot >= len(ids) {
				b.bias[slot], b.ids[slot] = float32(math.Inf(-1)), 0
				for d := range b.Dim {
					dst[d*g.size] = 0
				}
				continue
			}
			j := ids[slot]
			b.bias[slot], b.ids[slot] = float32(b.half[j]), j
			for d, v := range b.centroid(int(j)) {
				dst[d*g.size] = v
			}
		}
	}
}

// Nearest writes to codes[i] the code of row i of rows. It panics unless len(rows) is len(codes)*Dim.
func (b *Codebook) Nearest(codes []int32, rows []float32) {
	if len(rows) != len(codes)*b.Dim {
		panic(fmt.Sprintf("f32: %d values for %d rows of %d elements", len(rows), len(codes), b.Dim))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	block := blockRows(b.level, b.Dim)
	for len(codes) >= b.fewRows() {
		n := min(block, len(codes))
		if n > shapes[b.level].lanes && n%shapes[b.level].lanes < b.fewRows() {
			n -= n % shapes[b.level].lanes
		}
		s.panels.Pack(rows[:n*b.Dim], b.Dim)
		b.nearestPanels(s, codes[:n], rows)
		codes, rows = codes[n:], rows[n*b.Dim:]
	}
	for i := range codes {
		codes[i] = b.nearestRow(s, rows[i*b.Dim:][:b.Dim])
	}
}

// fewRows is the number of rows from which on a panel costs less than as many single rows. In plain Go none does.
func (b *Codebook) fewRows() int {
	if b.level == cpu.Generic {
		return math.MaxInt
	}
	return shapes[b.level].lanes/3 + 1
}

// nearestPanels finds the codes of the rows in s.panels, which rows also holds row-major.
func (b *Codebook) nearestPanels(s *scratch, codes []int32, rows []float32) {
	b.search(s, rows[min(len(codes)*b.Dim, len(rows)-1):])
	lanes := shapes[b.level].lanes
	for i := range codes {
		p, lane := i/lanes, i%lanes
		state := s.state[p*3*lanes:][:3*lanes]
		norms := s.panels.norms[p*2*lanes:][:2*lanes]
		e := b.bound.row(b.bound.norms(norms[lane], norms[lanes+lane]))
		if gap := float64(state[lane]) - float64(state[lanes+lane]); gap > 2*e {
			codes[i] = int32(math.Float32bits(state[2*lanes+lane]))
		} else {
			codes[i] = b.nearestRow(s, rows[i*b.Dim:][:b.Dim])
		}
	}
}

// search runs all groups over all panels of s and leaves best, second and id of each row in s.state. Meanwhile it
// fetches the memory from ahead on, as much as the panels hold, into the cache.
func (b *Codebook) search(s *scratch, ahead []float32) {
	lanes := shapes[b.level].lanes
	panels := s.panels.count()
	s.state = resize(s.state, panels*3*lanes)
	for p := range panels {
		state := s.state[p*3*lanes:][:3*lanes]
		for i := range lanes {
			state[i], state[lanes+i], state[2*lanes+i] = float32(math.Inf(-1)), float32(math.Inf(-1)), 0
		}
	}
	size := lanes * b.Dim
	stride := min(64, 16*lanes/len(b.groups)+1) // bytes each four steps of a tile, of which there are Dim for each group and panel
	for _, g := range b.groups {
		packed, end := b.packed[g.first*b.Dim:][:g.size*b.Dim], g.first+g.size
		for p := range panels {
			nearestTile(b.level, s.state[p*3*lanes:], s.panels.data[p*size:][:size], packed,
				b.bias[g.first:end], b.ids[g.first:end], b.Dim, ahead, stride)
			ahead = ahead[min(stride*b.Dim/16, len(ahead)-1):]
		}
	}
}

// nearestRow returns the code of one row: float32 dot products with all centroids, then float64 distances to those
// within the error of the best. That error is far smaller than a tile's, as dots sums in many short chains.
func (b *Codebook) nearestRow(s *scratch, row []float32) int32 {
	s.scores = resize(s.scores, b.K+1)
	scores := s.scores[:b.K]
	dots(b.level, scores, row, b.centroids)
	dots(b.level, s.scores[b.K:], row, row)
	r := math.Sqrt(float64(s.scores[b.K])*b.bound.grow + b.bound.tiny)
	if !(r*b.bound.c+b.bound.c*b.bound.c < 0x1p126) {
		return b.nearestExact(s, row)
	}
	// A score's error is at most perNorm |c| + rest: as in bound, with each product rounded by itself and added
	// dotsDepth-1 times, each time to a sum of at most |r||c|; the bias is added in float64.
	perNorm := b.bound.growth * unit * float64(dotsDepth(b.level, b.Dim)+1) * r
	rest := (b.bound.growth*float64(2*b.Dim+8)*0x1p-149 + b.bound.define*(r+b.bound.c)*(r+b.bound.c)) * slack

	best, code := math.Inf(-1), 0
	for j, dot := range scores {
		if v := float64(dot) + b.half[j]; v > best {
			best, code = v, j
		}
	}
	least := best - (perNorm*b.norm[code] + rest) - rest
	s.near = s.near[:0]
	for j, dot := range scores {
		if v := float64(dot) + b.half[j]; v+perNorm*b.norm[j] >= least {
			s.near = append(s.near, int32(j))
		}
	}
	switch {
	case len(s.near) == 1:
		return int32(code)
	case len(s.near) > manyNear:
		return b.nearestExact(s, row)
	}
	return b.settle(row, s.near)
}

// manyNear is the number of centroids from which on the float64 distances to all of them come sooner than to these.
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
	b.exactOnce.Do(func() { b.exact.Pack(b.centroids, b.Dim) })
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
	panels Panels
	state  []float32 // per panel: best, second and id of each lane
	scores []float32
	near   []int32

	points    []float64 // see Panels.SqDists64
	distances []float64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}
