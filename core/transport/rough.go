package transport

import (
	"context"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	roughProducts = 1 << 24 // 64 MiB
	roughRows     = 1024    // rows taken at a time
	roughShare    = 0.01    // of the rows that may be too many or too few; with fewer left nothing is gained
	roughMost     = 0.06    // with more left than this share, Solve is to help
)

// Rough assigns rows to centroids nearly as Solve does with Distances, several times as fast: each goes where it is
// cheapest, by distances in float32, at prices that leave the columns within a few hundredths of the rows that they are to
// have. It is for centroids that are soon to move on, and begins with the prices of before. Equal input gives equal output
// on any number of threads and every CPU.
type Rough struct {
	rows     Rows
	sizes    Sizes
	prices   []float64
	before   []float64 // the prices a time before, or nil
	reach    float64   // by how much the difference of two prices last changed
	norms    []float64 // |c|² of each centroid
	stride   int       // from the products of one row to those of the next
	products []float32 // of each row with each centroid
	scratch  []float32
	balancer *balancer
}

// RoughFits tells whether there can be a Rough: it holds a number for each row and column.
func RoughFits(rows, columns int) bool { return rows <= roughProducts/roughStride(columns) }

func roughStride(columns int) int { return (columns + f32.Chunk - 1) / f32.Chunk * f32.Chunk }

// NewRough refers to rows. The sizes must be such as Sizes.Check allows.
func NewRough(rows Rows, s Sizes) *Rough {
	n, k := rows.Len(), len(s.Lower)
	r := &Rough{
		rows: rows, sizes: s.within(n), prices: make([]float64, k), norms: make([]float64, k),
		stride: roughStride(k), products: make([]float32, n*roughStride(k)), scratch: make([]float32, min(n, roughRows)*rows.Dim()),
	}
	r.balancer = newBalancer(r.sizes, n, r.look)
	return r
}

// Assign returns the column of each row, for as many centroids as there are sizes. Its errors are those of Distances and Solve.
func (r *Rough) Assign(ctx context.Context, centroids core.Matrix) ([]int32, error) {
	n := r.rows.Len()
	finite, err := r.multiply(ctx, centroids)
	if err != nil {
		return nil, err
	}
	was := slices.Clone(r.prices)
	for j, p := range r.before { // centroids that step beyond the means come and go, and so do prices
		r.prices[j] = (r.prices[j] + p) / 2
	}
	if r.reach > 0 { // else these were none
		r.before = was
	}
	surplus := n
	if finite {
		if surplus, err = r.balancer.balance(ctx, r.prices, int(roughShare*float64(n))); err != nil {
			return nil, err
		}
	}
	columns := r.balancer.first
	if surplus > int(roughMost*float64(n)) {
		costs, err := Distances(r.rows, centroids)
		if err != nil {
			return nil, err
		}
		s, err := Solve(ctx, costs, r.sizes, r.Warm())
		if err != nil {
			return nil, err
		}
		copy(r.prices, s.Prices)
		columns = s.Columns
	}
	if moved := spread(was, r.prices); moved > 0 {
		r.reach = moved
	}
	return slices.Clone(columns), nil
}

// multiply sets norms and products. It returns false if some are not finite.
func (r *Rough) multiply(ctx context.Context, centroids core.Matrix) (bool, error) {
	k, finite := centroids.Rows, true
	for j := range k {
		r.norms[j] = f32.SqNorm64(centroids.Row(j))
		finite = finite && r.norms[j] <= math.MaxFloat32/4
	}
	book := f32.NewDense(k, centroids.Cols, centroids.Data).T()
	for lo := 0; lo < r.rows.Len(); lo += roughRows {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		hi := min(r.rows.Len(), lo+roughRows)
		x := f32.NewDense(hi-lo, centroids.Cols, r.rows.Block(lo, hi, r.scratch))
		products := r.products[lo*r.stride : hi*r.stride]
		f32.Gemm(f32.Dense{Rows: hi - lo, Cols: k, Stride: r.stride, Data: products}, x, book, f32.Then{})
		finite = finite && f32.NotFinite(products) < 0
	}
	return finite, nil
}

// look finds the two cheapest columns of each row, by (|c|² + price)/2 - x·c: half of what it costs, less half of |x|².
func (r *Rough) look(ctx context.Context, prices []float64, moved float64) error {
	half := make([]float32, r.stride)
	for j := range half {
		half[j] = float32(math.Inf(1))
		if j < len(prices) {
			half[j] = float32((r.norms[j] + prices[j]) / 2)
		}
	}
	b, tables := r.balancer, [][]float32{half}
	return par.Chunks(ctx, r.rows.Len(), roughRows, func(_, lo, hi int) {
		scores, least := make([]float32, r.stride), make([]float32, f32.Chunk)
		for i := lo; i < hi; i++ {
			if far := b.margin[i] - float32(moved); far > 0 { // it stays
				b.margin[i] = far
				continue
			}
			f32.AddTables(scores, least, r.products[i*r.stride:][:r.stride], tables, 0)
			b.first[i], b.second[i], b.margin[i] = cheapestTwo(scores, least)
		}
	})
}

// cheapestTwo are the columns of the two least scores, the second -1 if there is one column, and by how much the cost of
// the second is more. least[l] is the least score of columns l, l+f32.Chunk and so on, as AddTables finds it.
func cheapestTwo(scores, least []float32) (first, second int32, margin float32) {
	none := key(float32(math.Inf(1)), 0)
	one, two := none, none
	for l, v := range least {
		k := key(v, l)
		one, two = min(one, k), min(two, max(one, k)) // branches would be as often wrong as right
	}
	at := func(k uint64) (int, float32) {
		j := int(uint32(k))
		v := least[j]
		for scores[j] != v {
			j += f32.Chunk
		}
		return j, v
	}
	j, v := at(one)
	other, w := -1, float32(math.Inf(1))
	if two < none {
		other, w = at(two)
	}
	for l := j % f32.Chunk; l < len(scores); l += f32.Chunk {
		if l != j && scores[l] < w {
			other, w = l, scores[l]
		}
	}
	if other < 0 {
		return int32(j), -1, float32(math.Inf(1))
	}
	return int32(j), int32(other), 2 * (w - v)
}

// key orders numbers, and equal ones by place.
func key(v float32, place int) uint64 {
	b := math.Float32bits(v + 0) // which is not -0
	return uint64(b^(uint32(int32(b)>>31)|1<<31))<<32 | uint64(place)
}

// Warm is what Solve may start from.
func (r *Rough) Warm() *Solution { return &Solution{Prices: slices.Clone(r.prices), reach: r.reach} }
