// Package f32 holds the float32 kernels. The one that matters is nearest-centroid search: see Codebook.
package f32

import (
	"fmt"
	"math"
)

// Codebook is K centroids made ready for nearest-centroid search over many rows. Set prepares it; after that any
// number of goroutines may search at once.
//
// A code is argmin over j of sum over i of (r[i]-c[j][i])², evaluated in float64, i ascending, each product rounded
// before it is added; ties go to the lowest j. Every CPU level gives exactly these codes.
type Codebook struct {
	K, Dim    int
	centroids []float32 // K*Dim, row-major
}

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
	b.K, b.Dim, b.centroids = k, dim, centroids
}

// Nearest writes to codes[i] the code of row i of rows. It panics unless len(rows) is len(codes)*Dim.
func (b *Codebook) Nearest(codes []int32, rows []float32) {
	if len(rows) != len(codes)*b.Dim {
		panic(fmt.Sprintf("f32: %d values for %d rows of %d elements", len(rows), len(codes), b.Dim))
	}
	for i := range codes {
		codes[i] = b.nearestExact(rows[i*b.Dim : (i+1)*b.Dim])
	}
}

func (b *Codebook) nearestExact(row []float32) int32 {
	best, code := math.Inf(1), int32(0)
	for j := range b.K {
		if d := SqDist64(row, b.centroids[j*b.Dim:(j+1)*b.Dim]); d < best {
			best, code = d, int32(j)
		}
	}
	return code
}

// SqDist64 is the distance that defines codes: sum over i of (x[i]-y[i])² in float64, i ascending.
func SqDist64(x, y []float32) float64 {
	var s float64
	for i, v := range x {
		d := float64(v) - float64(y[i])
		s += float64(d * d)
	}
	return s
}
