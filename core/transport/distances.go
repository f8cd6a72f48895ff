package transport

import (
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// Rows are rows of float32, stored or worked out when asked for; kmeans.Rows are such.
type Rows interface {
	// Len is the number of rows.
	Len() int
	// Dim is the number of columns of a row.
	Dim() int
	// Stored tells whether rows are read as they lie in memory, so that Row and Block need no scratch.
	Stored() bool
	// Row is row i: where it is stored, or worked out in scratch, which has room for it.
	Row(i int, scratch []float32) []float32
	// Block is rows lo to hi-1, row after row: where they are stored, or worked out in scratch, which has room for them.
	Block(lo, hi int, scratch []float32) []float32
}

// Stored are the rows of a matrix.
func Stored(x core.Matrix) Rows { return stored{x} }

type stored struct{ x core.Matrix }

func (s stored) Len() int                                { return s.x.Rows }
func (s stored) Dim() int                                { return s.x.Cols }
func (s stored) Stored() bool                            { return true }
func (s stored) Row(i int, _ []float32) []float32        { return s.x.Row(i) }
func (s stored) Block(lo, hi int, _ []float32) []float32 { return s.x.Slice(lo, hi).Data }

// Distances are the squared Euclidean distances of rows to centroids, in float64 as they define codes. Both are referred
// to. It returns a core.ErrShape unless they have equally many columns, at least one, and there is a centroid, and a
// core.ErrNotFinite for a centroid that is not finite; Solve returns one for such a row.
func Distances(rows Rows, centroids core.Matrix) (Costs, error) {
	d, err := distancesTo(rows, centroids)
	if err != nil {
		return nil, err
	}
	d.products = f32.NewProducts(centroids.Data, centroids.Rows, centroids.Cols)
	return d, nil
}

// distancesTo leaves products to the caller.
func distancesTo(rows Rows, centroids core.Matrix) (*distances, error) {
	if err := centroids.Check(); err != nil {
		return nil, fmt.Errorf("transport: centroids: %w", err)
	}
	if rows.Dim() != centroids.Cols {
		return nil, fmt.Errorf("transport: %w: rows of %d columns, centroids of %d", core.ErrShape, rows.Dim(), centroids.Cols)
	}
	if err := centroids.CheckFinite(); err != nil {
		return nil, fmt.Errorf("transport: centroids: %w", err)
	}
	d := &distances{rows: rows, centroids: centroids}
	origin := make([]float32, centroids.Cols)
	for j := range centroids.Rows {
		norm := f32.SqDist64(centroids.Row(j), origin)
		d.norms = append(d.norms, norm)
		d.norm = max(d.norm, math.Sqrt(norm)*(1+0x1p-20))
		d.all = append(d.all, int32(j))
	}
	return d, nil
}

// distances finds the columns in a window by scores in float32 and settles in float64 which they are, so that they are the
// same on every CPU. A score is (|c|² + price)/2 - x·c: half of the distance and the price, less half of |x|².
type distances struct {
	rows      Rows
	centroids core.Matrix
	products  *f32.Products
	moving    *Moving   // or nil: has products, and knows some distances
	norms     []float64 // |c|² of each centroid
	norm      float64   // the largest |c|, rounded up
	all       []int32   // 0 to K-1
}

func (d *distances) Rows() int    { return d.rows.Len() }
func (d *distances) Columns() int { return d.centroids.Rows }

func (d *distances) Row(dst []float64, i int) {
	f32.SqDists64At(dst, d.rows.Row(i, make([]float32, d.rows.Dim())), d.centroids.Data, d.all)
}

// scoredRows is how many rows get scores at a time: whole tiles of all kernels.
const scoredRows = 84

// offering implements source.
func (d *distances) offering(prices []float64, w window) func(rows []int32, found func(r int, offers []offer)) error {
	dim, k := d.rows.Dim(), d.centroids.Rows
	stride := f32.Stride(k)
	s := scorer{distances: d, prices: prices, w: w, half: make([]float32, stride), least: make([]float32, f32.Chunk), scores: make([]float32, stride)}
	s.tables = [][]float32{s.half}
	s.share, s.tiny = f32.DotError(dim)
	for j := range s.half {
		s.half[j] = float32(math.Inf(1))
		if j < k {
			half := (d.norms[j] + prices[j]) / 2
			s.half[j] = float32(half)
			s.most = max(s.most, math.Abs(half))
		}
	}
	var products []float32
	if d.moving == nil {
		products = make([]float32, scoredRows*stride)
	}
	return func(rows []int32, found func(r int, offers []offer)) error {
		for first := 0; first < len(rows); first += scoredRows {
			part := rows[first:min(len(rows), first+scoredRows)]
			block := s.block(part)
			if d.moving == nil && !w.all(k) {
				d.products.Dots(products, stride, block)
			}
			for r, i := range part {
				at, of := products, r
				if d.moving != nil {
					at, of = d.moving.products, int(i)
				}
				offers, ok := s.offers(i, block[r*dim:(r+1)*dim], at[of*stride:(of+1)*stride])
				if !ok {
					return fmt.Errorf("transport: %w: row %d; remove or impute such rows", core.ErrNotFinite, i)
				}
				found(first+r, offers)
			}
		}
		return nil
	}
}

// paying implements source.
func (d *distances) paying(columns []int32) func(dst []float64, i int32) {
	scratch := make([]float32, d.rows.Dim())
	return func(dst []float64, i int32) {
		f32.SqDists64At(dst, d.rows.Row(int(i), scratch), d.centroids.Data, columns)
	}
}

// scorer is what one goroutine finds offers with.
type scorer struct {
	*distances
	prices []float64
	w      window
	half   []float32 // (|c|² + price)/2 of each centroid
	most   float64   // the largest of these

	share, tiny float64 // f32.DotError

	tables [][]float32

	rowsRead      []float32 // where rows are not stored, or not one after another
	scores, least []float32
	keys          []uint64
	ranks         ranks[float32]
	order         ranks[uint64]
	near, unknown []int32
	costs         []float64 // of unknown
	made          []offer
}

// block is some rows, row after row.
func (s *scorer) block(rows []int32) []float32 {
	n, lo, dim := len(rows), int(rows[0]), s.rows.Dim()
	together := int(rows[n-1])-lo == n-1 // they are ascending
	if s.rowsRead == nil && !(together && s.rows.Stored()) {
		s.rowsRead = make([]float32, scoredRows*dim)
	}
	if together {
		return s.distances.rows.Block(lo, lo+n, s.rowsRead)
	}
	block := s.rowsRead[:n*dim]
	for r, i := range rows {
		row := block[r*dim : (r+1)*dim]
		copy(row, s.distances.rows.Row(int(i), row))
	}
	return block
}

// offers makes the offers of row i, given its products with the centroids; it returns false if the row is not finite.
func (s *scorer) offers(i int32, row, products []float32) ([]offer, bool) {
	near := s.all
	if !s.w.all(len(near)) {
		f32.AddTables(s.scores, s.least, products, s.tables, 0)
		if e := s.error(s.sqNorm(i, row)); e < math.MaxFloat32/16 {
			near = s.inWindow(e)
		}
	}
	s.made, s.unknown = s.made[:0], s.unknown[:0]
	for _, j := range near {
		o := offer{math.NaN(), j}
		if s.moving != nil {
			o.cost = s.moving.cost(i, j)
		}
		if math.IsNaN(o.cost) {
			s.unknown = append(s.unknown, j)
		}
		s.made = append(s.made, o)
	}
	s.costs = slices.Grow(s.costs[:0], len(s.unknown))[:len(s.unknown)]
	f32.SqDists64At(s.costs, row, s.centroids.Data, s.unknown)
	next := 0
	for x := range s.made {
		if o := &s.made[x]; math.IsNaN(o.cost) {
			if o.cost = s.costs[next]; !(o.cost <= math.MaxFloat64) {
				return nil, false
			}
			next++
		}
	}
	return s.made, true
}

// sqNorm is at least |x|² of row i.
func (s *scorer) sqNorm(i int32, row []float32) float64 {
	if s.moving != nil {
		return s.moving.norms[i]
	}
	return f32.SqNorm(row)
}

// error bounds by how much a score may differ from half of what the row costs in the column, price included, as float64
// has it, and a number that is the same for all columns, or what counts as the same (see sameShare). It is +Inf or NaN where float32 may overflow, or the row is not finite.
//
// Let u = 2^-24, x the norm of the row, c the largest of a centroid and h the largest of half: the product is off by
// DotError, half by u h, and the sum of the two by u (xc + h). On the other side the distance in float64 is off by
// (dim+8) 2^-53 (x+c)², its sum with the price by 2^-53 (2h + (x+c)²).
func (s *scorer) error(sqNorm float64) float64 {
	const u = 0x1p-24
	x := math.Sqrt(sqNorm)
	n := x + s.norm
	return sameShare*n*n + ((s.share+u)*x*s.norm+2*u*s.most+float64(s.rows.Dim()+10)*0x1p-53*(n*n+s.most)+s.tiny)*(1+0x1p-10)
}

// inWindow lists the columns whose scores, off by e at most, leave it open whether they are in the window, and those that are.
func (s *scorer) inWindow(e float64) []int32 {
	best := s.least[0]
	for _, v := range s.least {
		best = min(best, v)
	}
	limit := float64(best) + s.w.width/2
	if s.w.most < f32.Chunk && f32.CountAtMost32(s.scores, float32(limit)) > 4*s.w.most {
		// Scores of as many columns: no more than most columns are below the one of that rank.
		limit = min(limit, float64(s.ranks.nth(s.least, s.w.most)))
	}
	atMost := math.Nextafter32(float32(limit+2*e), float32(math.Inf(1)))
	s.keys = f32.AppendAtMost32(s.keys[:0], s.scores, atMost, 0)
	if len(s.keys) > s.w.most+1 {
		last, _ := f32.Unkey32(s.order.nth(s.keys, s.w.most))
		s.keys = slices.DeleteFunc(s.keys, func(key uint64) bool {
			v, _ := f32.Unkey32(key)
			return float64(v) > float64(last)+2*e
		})
	}
	s.near = s.near[:0]
	for _, key := range s.keys {
		if _, j := f32.Unkey32(key); j < len(s.all) {
			s.near = append(s.near, int32(j))
		}
	}
	return s.near
}
