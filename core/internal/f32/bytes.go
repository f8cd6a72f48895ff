package f32

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

// BytesStep is what a piece of rows that Bytes takes is a multiple of, and room for its rows and products is made up to.
const BytesStep = 84 // a multiple of the rows in each tile

// Bytes is rows less a center, rounded to integers of 127 at most, for dot products with centroids rounded likewise: a
// quarter or half of the time of float32, and the same bits on every CPU.
type Bytes struct {
	first   firstPass
	center  []float32
	rows    []uint32
	params  []float32
	shifted []float32 // the centroids less the center
}

// BytesFit tells whether rows of so many elements are for Bytes.
func BytesFit(dim int) bool { return dim >= 48 && dim <= 1<<16 }

// NewBytes has room for so many rows of as many elements as center.
func NewBytes(rows int, center []float32) *Bytes {
	b := &Bytes{center: center}
	b.first = firstPass{kind: chooseGroups(cpu.Use()), bytes: true}
	b.first.size(len(center))
	rows = ceil(rows, BytesStep) * BytesStep
	b.rows, b.params = make([]uint32, rows*b.first.stride), make([]float32, rows*perRow)
	return b
}

// SetRow rounds row i, whose memory it changes. It returns the square of its distance to the center, and about that of
// what rounding takes from it: one twelfth of a step, squared, an element. Both are NaN for a row that is no good.
func (b *Bytes) SetRow(i int, row []float32) (square, lost float64) {
	f := &b.first
	if square = SumSqDiff(row, b.center); !(square < mostByte*mostByte) {
		return math.NaN(), math.NaN()
	}
	Sub(row, b.center)
	_, most := measure(row)
	scale, _ := f.roundAt(b.rows[i*f.stride:][:f.stride], row, 0, most)
	b.params[i*perRow] = 1 / scale
	return square, float64(f.dim) / 12 / (float64(scale) * float64(scale))
}

const mostByte = 0x1p30 // the greatest norm

// SetCentroids takes k centroids, row-major, and sets norms to their squared distances to the center. It returns false
// where they are no good.
func (b *Bytes) SetCentroids(norms []float64, centroids []float32, k int) bool {
	f := &b.first
	dim := len(b.center)
	if len(centroids) != k*dim || len(norms) != k {
		panic(fmt.Sprintf("f32: %d values and %d norms for %d centroids of %d elements", len(centroids), len(norms), k, dim))
	}
	b.shifted = append(b.shifted[:0], centroids...)
	ids := make([]int32, k)
	for j := range k {
		c := b.shifted[j*dim:][:dim]
		Sub(c, b.center)
		if norms[j] = SqNorm64(c); !(norms[j] < mostByte*mostByte) {
			return false
		}
		ids[j] = int32(j)
	}
	lanes := shapesInt[f.kind].lanes
	f.lay(&space{centroids: b.shifted, half: make([]float64, k)}, ids, dim, 2*lanes, lanes)
	return true
}

// Products sets dst[(i-lo)*stride+j] to the dot product of row i and centroid j, both less the center, for rows lo to hi-1;
// hi-lo must be a multiple of BytesStep, or dst have room for rows up to one. What follows, up to a multiple of Chunk
// of j, it may set to anything.
func (b *Bytes) Products(dst []float32, stride, lo, hi int) {
	f := &b.first
	shape := shapesInt[f.kind]
	low := make([]float32, shape.rows[0]*shape.lanes)
	for slot := 0; slot < f.slots; slot += f.panel {
		width := min(f.panel, f.slots-slot)
		panel, table := f.panels[slot*f.words:][:width*f.words], f.table[slot*perCentroid:][:width*perCentroid]
		for i := lo; i < hi; {
			size := shape.take(hi - i)
			bracketTile(f.kind, low, dst[(i-lo)*stride+slot:], panel, b.rows[i*f.stride:], b.params[i*perRow:][:size*perRow],
				table, stride, f.stride, low, 0)
			i += size
		}
	}
}
