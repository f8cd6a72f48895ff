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
	roughProducts = 1 << 24           // 64 MiB
	roughRows     = 4096              // rows multiplied at a time in float32, or
	byteRows      = 6 * f32.BytesStep // by a goroutine as bytes
	byteLoss      = 1e-6              // of its squared distance to its centroid, what bytes may take from a row, an element
	lookRows      = 512               // rows that a goroutine looks at at a time
	roughShare    = 0.02              // of the rows that may be too many or too few; with fewer left nothing is gained
	roughMost     = 0.06              // with more left than this share, Solve is to help
)

// Rough assigns rows to centroids nearly as Solve does with Distances, several times as fast: each goes where it is
// cheapest, by distances of rows and centroids rounded to bytes or, where these tell too little, in float32, at prices that
// leave the columns within a few hundredths of the rows that they are to have. It is for centroids that are soon to move
// on, and begins with the prices of before. Equal input gives equal output on any number of threads and every CPU.
type Rough struct {
	rows     Rows
	sizes    Sizes
	prices   []float64
	before   []float64 // the prices a time before, or nil
	reach    float64   // by how much the difference of two prices last changed
	center   []float32
	known    bool       // what follows
	bytes    *f32.Bytes // the rows; nil: they are no good as such
	square   float64    // the summed squared distances of the rows to the center, and
	lost     float64    // what bytes take from these
	norms    []float64  // |c|² of each centroid, less center if the rows are bytes
	stride   int        // from the products of one row to those of the next
	products []float32  // of each row with each centroid, likewise
	scratch  []float32
	balancer *balancer
}

// RoughFits tells whether there can be a Rough: it holds a number for each row and column.
func RoughFits(rows, columns int) bool { return rows <= roughProducts/f32.Stride(columns) }

// NewRough refers to rows, and to a center, about their mean. The sizes must be such as Sizes.Check allows.
func NewRough(rows Rows, center []float32, s Sizes) *Rough {
	n, k := rows.Len(), len(s.Lower)
	room := (n + f32.BytesStep - 1) / f32.BytesStep * f32.BytesStep
	r := &Rough{
		rows: rows, sizes: s.within(n), prices: make([]float64, k), center: center, norms: make([]float64, k),
		stride: f32.Stride(k), products: make([]float32, room*f32.Stride(k)),
	}
	r.balancer = newBalancer(r.sizes, n, r.look)
	for i := range n {
		r.balancer.second[i] = int32(min(1, k-1)) // of look, any two will do
	}
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
	if r.bytes != nil && !r.tells() {
		r.bytes, r.before = nil, nil
		copy(r.prices, was)
		return r.Assign(ctx, centroids) // in float32 from now on
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
	if err := r.know(ctx); err != nil {
		return false, err
	}
	if r.bytes != nil && !r.bytes.SetCentroids(r.norms, centroids.Data, k) {
		r.bytes = nil
	}
	if r.bytes != nil {
		return true, par.Chunks(ctx, r.rows.Len(), byteRows, func(_, lo, hi int) {
			r.bytes.Products(r.products[lo*r.stride:], r.stride, lo, hi)
		})
	}
	if r.scratch == nil {
		r.scratch = make([]float32, min(r.rows.Len(), roughRows)*centroids.Cols)
	}
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

// know rounds the rows to bytes, where these tell enough of them.
func (r *Rough) know(ctx context.Context) error {
	n, dim := r.rows.Len(), r.rows.Dim()
	if r.known || !f32.BytesFit(dim) {
		return nil
	}
	bytes := f32.NewBytes(n, r.center)
	squares, losses := make([]float64, (n+byteRows-1)/byteRows), make([]float64, (n+byteRows-1)/byteRows)
	err := par.Chunks(ctx, n, byteRows, func(_, lo, hi int) {
		row := make([]float32, dim)
		for i := lo; i < hi; i++ {
			copy(row, r.rows.Row(i, row))
			square, lost := bytes.SetRow(i, row)
			squares[lo/byteRows] += square
			losses[lo/byteRows] += lost
		}
	})
	if err != nil {
		return err
	}
	for c, square := range squares {
		r.square += square
		r.lost += losses[c]
	}
	r.known = true
	if !math.IsNaN(r.square) {
		r.bytes = bytes
	}
	return nil
}

// tells says whether bytes tell centroids apart at distances as they are: what they take from rows makes two squared
// distances that differ as much as they are long differ by 0.3 % more or less.
func (r *Rough) tells() bool {
	cost := r.square
	for i, j := range r.balancer.first {
		cost += r.norms[j] - 2*float64(r.products[i*r.stride+int(j)])
	}
	return r.lost <= byteLoss*float64(r.rows.Dim())*cost
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
	return par.Chunks(ctx, r.rows.Len(), lookRows, func(_, lo, hi int) {
		scores, least := make([]float32, r.stride), make([]float32, f32.Chunk)
		for i := lo; i < hi; i++ {
			if far := b.margin[i] - float32(moved); far > 0 { // it stays
				b.margin[i] = far
				continue
			}
			f32.AddTables(scores, least, r.products[i*r.stride:][:r.stride], tables, 0)
			// No more than the two that were cheapest, and what is cheaper, can be so now.
			limit := min(max(scores[b.first[i]], scores[max(0, b.second[i])]), math.MaxFloat32)
			first, second := f32.TwoLeast32(scores, limit)
			if first < 0 {
				continue
			}
			b.first[i], b.second[i], b.margin[i] = first, second, float32(math.Inf(1))
			if second >= 0 {
				b.margin[i] = 2 * (scores[second] - scores[first])
			}
		}
	})
}

// Moving is for exact assignments of the same rows from now on. It takes the memory of r, which is worth nothing then.
func (r *Rough) Moving() *Moving { return newMoving(r.rows, r.sizes, r.products, r.stride) }

// Warm is what Solve may start from.
func (r *Rough) Warm() *Solution { return &Solution{Prices: slices.Clone(r.prices), reach: r.reach} }
