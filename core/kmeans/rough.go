package kmeans

import (
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// rough holds centroids rounded to 16-bit integers. Distances from it cost half as much as float32 ones, and their error
// is known, so they rule out most of many centroids.
type rough struct {
	centroids []int16   // K × f32.Padded16(D)
	norms     []float32 // |c|² of each centroid
	scale     float32
	norm, err float64 // the greatest norm of a centroid, and the greatest of what rounding took from one
}

// set rounds the centroids.
func (r *rough) set(c core.Matrix) {
	padded := f32.Padded16(c.Cols)
	if r.centroids == nil {
		r.centroids, r.norms = make([]int16, c.Rows*padded), make([]float32, c.Rows)
	}
	var greatest float64
	for k := range c.Rows {
		n := norm64(c.Row(k))
		r.norms[k] = float32(n)
		greatest = max(greatest, n)
	}
	r.norm = math.Sqrt(greatest) * (1 + 0x1p-40)
	r.scale = f32.Scale16(r.norm, c.Cols)
	var worst float64
	for k := range c.Rows {
		worst = max(worst, f32.Quantize16(r.centroids[k*padded:(k+1)*padded], c.Row(k), r.scale))
	}
	r.err = math.Sqrt(worst)
}

// roughRow is a row rounded likewise.
type roughRow struct {
	ints []int16
	dots []int32
	zero []float32
}

func newRoughRow(k, dim int) roughRow {
	return roughRow{ints: make([]int16, f32.Padded16(dim)), dots: make([]int32, k), zero: make([]float32, dim)}
}

// sqDists sets dst[i] to the squared distance of row to centroid at[i], within slack of the true one.
//
// With x the row, q/s its rounding, y and r/t those of a centroid, |x-y|² = |x|² + |y|² - 2 x·y, of which x·y is off by at
// most |x| |y-r/t| + |y| |x-q/s| + |x-q/s| |y-r/t|, |x|² by a relative (D+4)·2⁻²⁴ as SqDistsAt works it out, and each of
// the seven roundings to float32 by 2⁻²⁴ of at most (|x|+|y|)².
func (r *rough) sqDists(dst, row []float32, at []int32, x *roughRow) (slack float64) {
	origin := [1]int32{}
	f32.SqDistsAt(dst[:1], row, x.zero, origin[:])
	sq := dst[0]
	norm := f32.Above(sq, len(row))
	scale := f32.Scale16(norm, len(row))
	err := math.Sqrt(f32.Quantize16(x.ints, row, scale))
	dots := x.dots[:len(at)]
	f32.Dots16At(dots, x.ints, r.centroids, at)
	factor := float32(-2 / (float64(scale) * float64(r.scale)))
	for i, j := range at {
		dst[i] = (sq + r.norms[j]) + float32(factor*float32(dots[i]))
	}
	both := norm + r.norm
	return 2*(norm*r.err+r.norm*err+err*r.err) + both*both*float64(len(row)+24)*0x1p-24
}

func norm64(row []float32) float64 {
	var s float64
	for _, v := range row {
		s += float64(float64(v) * float64(v))
	}
	return s
}
