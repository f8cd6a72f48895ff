package f32

import (
	"fmt"
	"math"
	"sync"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// Rough8 searches for nearest centroids in integers of 7 bits. It gives the same codes on every CPU level, as Codebook does,
// but not always those of the nearest centroids: of usual rows, one in a hundred gets another one about as near. That is
// enough for the first steps of an iteration whose later steps are exact. A pass takes 0.7 times as long as Codebook's with
// VNNI, 0.65 with AVX2, 0.4 with AVX-512 only, and as long in plain Go (63,666 rows of 384 elements, 256 centroids, Zen 4).
// Set prepares it; after that any number of goroutines may search at once.
//
// Let m be the mean of the centroids, a float64 sum in order, as float32. For a row or centroid x, with each step rounded to
// float32,
//
//	d_i = x_i - m_i,  r(x) = max |d_i|,  q_i(x) = d_i (63 / r(x)) rounded to the nearest integer, even where two are.
//
// So x is about m + q(x) r(x)/63. With R the greatest r of the centroids, the code of x is the lowest j of the greatest
//
//	score = (q(x)·q(c_j)) w_j a - b_j,  w_j = r(c_j)/(63 R),  a = r(x)/(63 R),  b_j = |q(c_j)|² w_j²/2,
//
// half of |x - m|² less the squared distance of the rounded vectors, in units of R². The dot product is exact; w, a and b are
// worked out in float64 and rounded, a held below 2^80, and the score is rounded after each step. A vector of which r is
// less than 2^-100 or overflows counts as m.
type Rough8 struct {
	k, dim int
	kind   roughKind
	quads  int       // of elements, up to a multiple of roughUnroll
	stride int       // bytes from one rounded row to the next
	panels []uint32  // quads; the last panel is one vector of centroids if that is enough
	floats []float32 // in place of panels for plain Go
	starts []int32   // per slot, as are the next two: what makes up for rows being q+64
	weight []float32
	bias   []float32 // +Inf where a panel is filled up
	mean   []float32 // zeros at the end
	unit   float64   // 63 R

	sums  []float64
	most  []float32 // per slot, as are bytes: r of the centroid
	bytes []uint8   // its q+64
}

// MaxRough8Dim is the largest dimension whose dot products fit 32 bits.
const MaxRough8Dim = math.MaxInt32 / (63 * 63)

const (
	roughMiddle = 64 // rows are unsigned, as the instructions want it
	roughMost   = 63
	roughLeast  = 0x1p-100 // of r: 63/r does not overflow
)

// Set prepares r for k centroids of dim elements, row-major in centroids, and keeps its memory where it fits. It panics if
// the lengths do not fit or dim is more than MaxRough8Dim.
func (r *Rough8) Set(centroids []float32, k, dim int) {
	if k < 1 || dim < 1 || dim > MaxRough8Dim || len(centroids) != k*dim {
		panic(fmt.Sprintf("f32: %d values for %d centroids of %d elements, of which there may be %d", len(centroids), k, dim, MaxRough8Dim))
	}
	r.k, r.dim, r.kind = k, dim, chooseRough()
	lanes := roughShapes[r.kind].lanes
	slots := (k + lanes - 1) / lanes * lanes
	r.quads = (dim + 4*roughUnroll - 1) / (4 * roughUnroll) * roughUnroll
	r.stride = 64 * ((4*r.quads+63)/64 | 1) // an odd number of cache lines: rows do not compete for the same places in the cache

	r.sums, r.mean = resize(r.sums, dim), resize(r.mean, 4*r.quads)
	clear(r.sums)
	clear(r.mean)
	for j := range k {
		Add64(r.sums, centroids[j*dim:][:dim], 1/float64(k))
	}
	for i, s := range r.sums {
		r.mean[i] = float32(s)
	}

	r.bytes, r.most = resize(r.bytes, slots*4*r.quads), resize(r.most, slots)
	clear(r.most)
	var most float32
	for j := range k {
		m := roughRow(r.kind, r.bytes[j*4*r.quads:][:4*r.quads], centroids[j*dim:][:dim], r.mean)
		if !(m >= roughLeast && m <= math.MaxFloat32) {
			m = 0
		}
		r.most[j], most = m, max(most, m)
	}
	r.unit = roughMost * max(float64(most), roughLeast)

	if r.kind == roughGo {
		r.floats = resize(r.floats, slots*4*r.quads)
	} else {
		r.panels = resize(r.panels, slots*r.quads)
	}
	r.starts, r.weight, r.bias = resize(r.starts, slots), resize(r.weight, slots), resize(r.bias, slots)
	for slot := range slots {
		r.pack(slot)
	}
}

// panel returns the panel whose first slot is given.
func (r *Rough8) panel(slot int) roughPanel {
	end := min(slot+2*roughShapes[r.kind].lanes, len(r.bias))
	p := roughPanel{starts: r.starts[slot:end], weight: r.weight[slot:end], bias: r.bias[slot:end], slot: slot}
	if r.kind == roughGo {
		p.floats = r.floats[slot*4*r.quads : end*4*r.quads]
	} else {
		p.quads = r.panels[slot*r.quads : end*r.quads]
	}
	return p
}

// pack fills a slot with its centroid, or with zeros that cannot win.
func (r *Rough8) pack(slot int) {
	lanes := roughShapes[r.kind].lanes
	p := r.panel(slot / (2 * lanes) * (2 * lanes))
	bytes, used := r.bytes[slot*4*r.quads:][:4*r.quads], r.dim
	if r.most[slot] == 0 {
		used = 0
	}
	for i := used; i < len(bytes); i++ {
		bytes[i] = roughMiddle
	}
	sum, norm := p.set(slot-p.slot, bytes)
	w := float64(r.most[slot]) / r.unit
	r.starts[slot], r.weight[slot], r.bias[slot] = int32(-roughMiddle*sum), float32(w), float32(float64(norm)*w*w/2)
	if slot >= r.k {
		r.bias[slot] = float32(math.Inf(1))
	}
}

// Nearest writes to codes[i] the code of row i of rows. It panics unless len(rows) is len(codes) times the dimension.
func (r *Rough8) Nearest(codes []int32, rows []float32) {
	if len(rows) != len(codes)*r.dim {
		panic(fmt.Sprintf("f32: %d values for %d rows of %d elements", len(rows), len(codes), r.dim))
	}
	t := roughScratches.Get().(*roughScratch)
	defer roughScratches.Put(t)
	for block := r.blockRows(); len(codes) > 0; {
		n := min(block, len(codes))
		r.search(t, codes[:n], rows)
		codes, rows = codes[n:], rows[n*r.dim:]
	}
}

// blockRows is how many rows to search at once: up to 48 KiB of rounded rows, for which each panel of centroids is read
// once.
func (r *Rough8) blockRows() int {
	most := roughShapes[r.kind].rows[0]
	return most * min(max(1, 48<<10/(r.stride*most)), 1024/most)
}

// search writes the codes of the first rows. What comes after them is fetched ahead.
func (r *Rough8) search(t *roughScratch, codes []int32, rows []float32) {
	shape := roughShapes[r.kind]
	lanes, n, slots := shape.lanes, len(codes), len(r.bias)
	room := (n + shape.rows[0] - 1) / shape.rows[0] * shape.rows[0]
	t.rows, t.alpha, t.state = resize(t.rows, room*r.stride), resize(t.alpha, room), resize(t.state, room*2*lanes)
	for i := range n {
		most := roughRow(r.kind, t.rows[i*r.stride:][:4*r.quads], rows[i*r.dim:][:r.dim], r.mean)
		t.alpha[i] = 0
		if most >= roughLeast && most <= math.MaxFloat32 {
			t.alpha[i] = float32(min(float64(most)/r.unit, 0x1p80))
		}
		copy(t.state[i*2*lanes:][:lanes], noScores[:])
	}
	steps := room / shape.rows[0] * ((slots + 2*lanes - 1) / (2 * lanes)) * (r.quads / 2)
	step := min(64, n*r.dim*4/steps+1) // bytes each two quads of a tile
	ahead := rows[min(n*r.dim, len(rows)-1):]
	for slot := 0; slot < slots; slot += 2 * lanes {
		panel := r.panel(slot)
		for i := 0; i < n; {
			size := shape.take(n - i)
			roughTile(r.kind, t.state[i*2*lanes:], panel, t.rows[i*r.stride:], t.alpha[i:][:size], r.stride, ahead, step)
			ahead = ahead[min(step*r.quads/8, len(ahead)-1):]
			i += size
		}
	}
	roughCodes(r.kind, codes, t.state)
}

// noScores is where a row's best scores start.
var noScores = func() (s [16]float32) {
	for i := range s {
		s[i] = float32(math.Inf(-1))
	}
	return s
}()

// roughScratch is the memory of one search.
type roughScratch struct {
	rows  []uint8
	alpha []float32 // per row
	state []float32 // per row and lane: the best score and its slot
}

var roughScratches = sync.Pool{New: func() any { return new(roughScratch) }}

// roughKind is a set of kernels.
type roughKind int

const (
	roughGo roughKind = iota
	roughAVX2
	roughAVX512
	roughVNNI
)

func chooseRough() roughKind {
	switch {
	case cpu.VNNI():
		return roughVNNI
	case cpu.Use() == cpu.AVX512:
		return roughAVX512
	case cpu.Use() == cpu.AVX2:
		return roughAVX2
	}
	return roughGo
}
