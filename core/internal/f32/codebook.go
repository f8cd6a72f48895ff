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
// Where integers gain, they first leave each row the few centroids that may be its nearest (see firstPass). Otherwise, and
// where they leave many, a row gets float32 scores against all centroids, of which only the best, its id and the second best
// are kept. Where those two lie closer than the error of a score (see bound), float64 settles it.
type Codebook struct {
	K, Dim    int
	centroids []float32 // K*Dim, row-major
	level     cpu.Level
	copies    []int32 // the centroids equal to an earlier one, which no code names
	originals []int32 // and that earlier one

	plain space
	// Rows and centroids far from the origin and close to one another would all lie within the error of a score, which
	// grows with their norms. Then the search is among their differences to the centroids' mean, as float32.
	mean     []float32
	centered *space // nil: the search is in plain

	first firstPass // kind noIntegers: the search starts in float32

	exactOnce sync.Once // packs exact, which few codebooks ever need
	exact     Panels    // the centroids, as rows
}

// space is centroids as the kernels take them.
type space struct {
	centroids []float32 // row-major
	distinct  []int32   // those that are no copies, in ascending order
	half      []float64 // per centroid: -|c|²/2, and -Inf for a copy of an earlier one
	norm      []float64 // per centroid: |c|, rounded up
	bound     bound

	once   sync.Once // packs what follows; few searches need it after a first pass
	groups []group
	packed []float32 // the groups' centroids, each group [Dim][size]
	bias   []float32 // per packed centroid: -|c|²/2, and -Inf where a group is filled up
	ids    []int32   // per packed centroid: its index
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
	ids := b.setPlain(centroids, k, dim)
	b.center(ids)
	space := &b.plain
	if b.centered != nil {
		space = b.centered
	}
	b.first.set(b.level, space, dim)
}

// SetScores prepares b for other centroids as Set does, but for Scores alone, in a third of the time.
func (b *Codebook) SetScores(centroids []float32, k, dim int) { b.setPlain(centroids, k, dim) }

// setPlain sets up the search among the centroids as they are and returns those that are no copies.
func (b *Codebook) setPlain(centroids []float32, k, dim int) []int32 {
	if k < 1 || dim < 1 || len(centroids) != k*dim {
		panic(fmt.Sprintf("f32: %d values for %d centroids of %d elements", len(centroids), k, dim))
	}
	b.K, b.Dim, b.centroids, b.level = k, dim, centroids, cpu.Use()
	b.exactOnce = sync.Once{}
	ids := b.distinct()
	b.plain.set(b.level, centroids, ids, b.copies, k, dim)
	return ids
}

func (b *Codebook) centroid(j int) []float32 { return b.centroids[j*b.Dim:][:b.Dim] }

var seed = maphash.MakeSeed()

// distinct lists the centroids in ascending order, leaving out copies of an earlier one: no code names them.
func (b *Codebook) distinct() []int32 {
	ids := make([]int32, 0, b.K)
	seen := make(map[uint64]int32, b.K)
	b.copies, b.originals = b.copies[:0], b.originals[:0]
	for j := range b.K {
		c := b.centroid(j)
		h := maphash.Bytes(seed, unsafe.Slice((*byte)(unsafe.Pointer(&c[0])), 4*b.Dim))
		if i, ok := seen[h]; !ok {
			seen[h] = int32(j)
		} else if equal(c, b.centroid(int(i))) {
			b.copies, b.originals = append(b.copies, int32(j)), append(b.originals, i)
			continue
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

// center sets up the search among differences to the mean where that halves the norms.
func (b *Codebook) center(ids []int32) {
	b.centered = nil
	sums := make([]float64, b.Dim)
	for _, j := range ids {
		Add64(sums, b.centroid(int(j)), 1/float64(len(ids)))
	}
	b.mean = resize(b.mean, b.Dim)
	norm := 0.0
	for i, s := range sums {
		b.mean[i] = float32(s)
		norm += s * s
	}
	if len(ids) == 1 || norm < b.plain.bound.c*b.plain.bound.c/4 { // the largest norm cannot come down to half
		return
	}
	shifted := append([]float32(nil), b.centroids...)
	for j := range b.K {
		Sub(shifted[j*b.Dim:][:b.Dim], b.mean)
	}
	s := new(space)
	s.set(b.level, shifted, ids, b.copies, b.K, b.Dim)
	if s.bound.c < b.plain.bound.c/2 {
		b.centered = s
	}
}

// set prepares s for k centroids: ids, in ascending order, and the copies of some of these.
func (s *space) set(l cpu.Level, centroids []float32, ids, copies []int32, k, dim int) {
	s.centroids, s.distinct = centroids, ids
	s.once = sync.Once{}
	s.half, s.norm = resize(s.half, k), resize(s.norm, k)
	t := scratches.Get().(*scratch)
	defer scratches.Put(t)
	t.row = resize(t.row, dim)
	clear(t.row)
	var c, w float64
	block := blockRows(l, dim)
	for first := 0; first < k; first += block {
		n := min(block, k-first)
		t.panels.packAll(l, centroids[first*dim:][:n*dim], dim)
		t.distances = resize(t.distances, n)
		t.panels.SqDists64(t.distances, t.row)
		for j, d := range t.distances {
			_, prefix := t.panels.normsOf(j)
			s.half[first+j], s.norm[first+j] = -d/2, math.Sqrt(d)*slack
			c, w = max(c, s.norm[first+j]), max(w, prefixNorm(prefix, dim)) // max keeps a NaN
		}
	}
	for _, j := range copies {
		s.half[j] = math.Inf(-1)
	}
	s.bound = newBound(dim, c, w)
}

// pack lays out the distinct centroids in groups, if that is not done yet: as many of the largest size as there are, then
// the smallest one that takes the rest, filled up with zeros whose bias keeps them from winning.
func (s *space) pack(l cpu.Level, dim int) {
	s.once.Do(func() { s.packGroups(l, dim) })
}

func (s *space) packGroups(l cpu.Level, dim int) {
	sizes, ids := shapes[l].sizes, s.distinct
	s.groups = s.groups[:0]
	slots := 0
	for left := len(ids); left > 0; {
		size := sizes[0]
		for _, z := range sizes[1:] {
			if left <= z {
				size = z
			}
		}
		s.groups = append(s.groups, group{slots, size})
		slots += size
		left -= size
	}
	if cap(s.packed) < slots*dim {
		s.packed = aligned(slots * dim)
	}
	s.packed = s.packed[:slots*dim]
	s.bias, s.ids = resize(s.bias, slots), resize(s.ids, slots)
	for _, g := range s.groups {
		for i := range g.size {
			slot := g.first + i
			dst := s.packed[g.first*dim+i:]
			if slot >= len(ids) {
				s.bias[slot], s.ids[slot] = float32(math.Inf(-1)), 0
				for d := range dim {
					dst[d*g.size] = 0
				}
				continue
			}
			j := int(ids[slot])
			s.bias[slot], s.ids[slot] = float32(s.half[j]), ids[slot]
			for d, v := range s.centroids[j*dim:][:dim] {
				dst[d*g.size] = v
			}
		}
	}
}
