package kmeans

import (
	"context"

	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

const (
	chunkRows = 65536 // rows summed into one partial sum; part of the definition of a fit, never to be changed
	taskRows  = 512   // rows one goroutine takes at a time where the order does not matter

	taskCentroids = 16 // the same of centroids
	scatterParts  = 64 // of the rows, each with sums of its own; part of the definition of a fit, too

	rowsAhead   = 8  // of one that is added to a sum, rows here and there are asked for
	remakeEvery = 64 // sums are updated in place at most this often less one before they are remade
)

// sums holds, for each cluster, the weighted sum of its rows in float64 and their weight.
type sums struct {
	rows    []float64 // K*D
	weight  []float64 // K
	count   []int     // rows of positive weight in each cluster
	partial []float64 // K*D, of one chunk; nil while there was only one
	updates int       // since the last remake
	changed []int32   // the rows of the last update; kept, as memory is promised
	piece   []float32 // scratch of Rows.pieces
}

func newSums(k, dim int) *sums {
	return &sums{rows: make([]float64, k*dim), weight: make([]float64, k), count: make([]int, k)}
}

// remake sums all rows anew: each entry over a chunk in row order, the chunks in their order.
func (s *sums) remake(ctx context.Context, x Rows, weights []float64, labels []int32) error {
	s.weigh(weights, labels)
	s.updates = 0
	clear(s.rows)
	dim := x.Dim()
	for first := 0; first < x.Len(); first += chunkRows {
		n := min(x.Len()-first, chunkRows)
		sum := s.rows // the first chunk needs no other place
		if first > 0 {
			if s.partial == nil {
				s.partial = make([]float64, len(s.rows))
			}
			sum = s.partial
			clear(sum)
		}
		at := func(j int) int { return first + j }
		err := x.pieces(ctx, n, at, &s.piece, func(lo, hi int, row func(j int) []float32) error {
			return s.columns(ctx, dim, func(c0, c1 int) {
				for j := lo; j < hi; j++ {
					i := first + j
					k := int(labels[i]) * dim
					f32.Add64(sum[k+c0:k+c1], row(j)[c0:c1], weightOf(weights, i))
				}
			})
		})
		if err != nil {
			return err
		}
		if first > 0 {
			for c, v := range sum {
				s.rows[c] += v
			}
		}
	}
	return nil
}

// update brings the sums from labels before to labels now: each row that changed is taken out of one sum and added to
// another, in row order. Now and then, or where many rows changed, the sums are remade, so that rounding cannot build
// up. When that happens depends on the labels alone, so a fit stays a function of its data.
func (s *sums) update(ctx context.Context, x Rows, weights []float64, before, now []int32) error {
	s.changed = s.changed[:0]
	for i, l := range now {
		if before[i] != l {
			s.changed = append(s.changed, int32(i))
		}
	}
	if s.updates++; s.updates == remakeEvery || len(s.changed) > x.Len()/2 {
		return s.remake(ctx, x, weights, now)
	}
	s.weigh(weights, now)
	at := func(j int) int { return int(s.changed[j]) }
	return x.pieces(ctx, len(s.changed), at, &s.piece, func(lo, hi int, row func(j int) []float32) error {
		return s.columns(ctx, x.Dim(), func(c0, c1 int) {
			for j := lo; j < hi; j++ {
				f32.Prefetch(row(min(j+rowsAhead, hi-1))[c0:c1])
				i := at(j)
				s.move(row(j), weightOf(weights, i), int(before[i]), int(now[i]), c0, c1)
			}
		})
	})
}

// move takes columns c0 to c1-1 of a row out of one sum and adds them to another.
func (s *sums) move(row []float32, w float64, from, to, c0, c1 int) {
	from, to = from*len(row), to*len(row)
	f32.Add64(s.rows[from+c0:from+c1], row[c0:c1], -w)
	f32.Add64(s.rows[to+c0:to+c1], row[c0:c1], w)
}

// shift moves a whole row of positive weight, its weight and its count from one cluster to another.
func (s *sums) shift(row []float32, w float64, from, to int) {
	s.move(row, w, from, to, 0, len(row))
	s.weight[from] -= w
	s.count[from]--
	s.weight[to] += w
	s.count[to]++
}

// weigh makes weight and count anew.
func (s *sums) weigh(weights []float64, labels []int32) {
	clear(s.weight)
	clear(s.count)
	for i, l := range labels {
		if w := weightOf(weights, i); w > 0 {
			s.weight[l] += w
			s.count[l]++
		}
	}
}

// columns shares the columns out among the goroutines, in wide blocks: rows are read in long runs then.
func (s *sums) columns(ctx context.Context, dim int, f func(c0, c1 int)) error {
	size := max(64, (dim+par.Threads()-1)/par.Threads())
	return par.Chunks(ctx, dim, (size+15)&^15, func(_, c0, c1 int) { f(c0, c1) })
}

// within is the weighted sum of the squared distances of the rows to the means of their clusters, scatter being that to
// the mean of all: what the means are apart is the difference.
func (s *sums) within(ctx context.Context, scatter float64) (float64, error) {
	dim := len(s.rows) / len(s.weight)
	center := make([]float64, dim)
	var weight float64
	for k, w := range s.weight {
		weight += w
		for c, v := range s.rows[k*dim : (k+1)*dim] {
			center[c] += v
		}
	}
	for c := range center {
		center[c] /= weight
	}
	between := make([]float64, len(s.weight))
	err := par.Chunks(ctx, len(between), taskCentroids, func(_, lo, hi int) {
		for k := lo; k < hi; k++ {
			w := s.weight[k]
			if w == 0 {
				continue
			}
			inverse := 1 / w
			var sq float64
			for c, v := range s.rows[k*dim : (k+1)*dim] {
				d := float64(v*inverse) - center[c]
				sq += float64(d * d)
			}
			between[k] = float64(sq * w)
		}
	})
	var total float64
	for _, b := range between {
		total += b
	}
	return scatter - total, err
}

// mean writes the mean of cluster k to dst.
func (s *sums) mean(dst []float32, k int) {
	for c, v := range s.rows[k*len(dst) : (k+1)*len(dst)] {
		dst[c] = float32(v / s.weight[k])
	}
}

func weightOf(weights []float64, i int) float64 {
	if weights == nil {
		return 1
	}
	return weights[i]
}

// sumRows adds f(i, row i) over all rows, chunk by chunk in row order, each worked out on some goroutine.
func sumRows(ctx context.Context, x Rows, f func(i int, row []float32) float64) (float64, error) {
	part := make([]float64, (x.Len()+taskRows-1)/taskRows)
	err := x.each(ctx, func(i int, row []float32) { part[i/taskRows] += f(i, row) })
	var total float64
	for _, s := range part {
		total += s
	}
	return total, err
}

// scatterOf is the weighted sum of the squared distances of the rows to their mean, the sum of the weights, and the mean
// rounded. One reading of the rows does: squared distances to any point are those to the mean, and that of the mean for
// each. The point is a row, of which the others are not far.
func scatterOf(ctx context.Context, x Rows, weights []float64) (scatter, weight float64, center []float32, err error) {
	dim, n := x.Dim(), x.Len()
	first := 0
	for weightOf(weights, first) == 0 {
		first++
	}
	point := append([]float32(nil), x.Row(first, make([]float32, dim))...)
	type part struct {
		sums           []float64
		square, weight float64
	}
	size := max(taskRows, (n+scatterParts-1)/scatterParts)
	parts := make([]part, (n+size-1)/size)
	scratch := x.Scratch(1)
	err = par.Chunks(ctx, n, size, func(worker, lo, hi int) {
		p := part{sums: make([]float64, dim)}
		for i := lo; i < hi; i++ {
			row, w := x.Row(i, scratch[worker]), weightOf(weights, i)
			f32.Add64(p.sums, row, w)
			p.square += float64(sqDist(row, point) * w)
			p.weight += w
		}
		parts[lo/size] = p
	})
	if err != nil {
		return 0, 0, nil, err
	}
	mean := make([]float64, dim)
	for _, p := range parts {
		scatter += p.square
		weight += p.weight
		for c, v := range p.sums {
			mean[c] += v
		}
	}
	center = make([]float32, dim)
	for c := range mean {
		mean[c] /= weight
		center[c] = float32(mean[c])
	}
	return max(0, scatter-float64(sqDist(point, mean)*weight)), weight, center, nil
}

// sqDist is the squared distance of x and y in float64, for sums over rows. It keeps four sums: one would wait for itself.
func sqDist[T float32 | float64](x []float32, y []T) float64 {
	var s0, s1, s2, s3 float64
	y = y[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b := x[i:i+4:i+4], y[i:i+4:i+4]
		d0, d1, d2, d3 := float64(a[0])-float64(b[0]), float64(a[1])-float64(b[1]), float64(a[2])-float64(b[2]), float64(a[3])-float64(b[3])
		s0 += float64(d0 * d0)
		s1 += float64(d1 * d1)
		s2 += float64(d2 * d2)
		s3 += float64(d3 * d3)
	}
	for ; i < len(x); i++ {
		d := float64(x[i]) - float64(y[i])
		s0 += float64(d * d)
	}
	return s0 + s1 + (s2 + s3)
}
