package f32

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestNeighbors holds every kind of search to the definition, on data made to be hard for it.
func TestNeighbors(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	data := map[string]func(n, dim int) []float32{
		"normal":       func(n, dim int) []float32 { return fill(n*dim, normal(r, 1)) },
		"large":        func(n, dim int) []float32 { return fill(n*dim, normal(r, 1e37)) },
		"small":        func(n, dim int) []float32 { return fill(n*dim, normal(r, 1e-37)) },
		"below normal": func(n, dim int) []float32 { return fill(n*dim, normal(r, 1e-43)) },
		"constant":     func(n, dim int) []float32 { return fill(n*dim, func() float32 { return 0.3 }) },
		"zero":         func(n, dim int) []float32 { return make([]float32, n*dim) },
		"few values":   func(n, dim int) []float32 { return fill(n*dim, func() float32 { return float32(r.IntN(2)) }) },
		"far from origin": func(n, dim int) []float32 {
			return fill(n*dim, func() float32 { return float32(100 + 1e-3*r.NormFloat64()) })
		},
		"nearer and nearer": func(n, dim int) []float32 {
			x := make([]float32, n*dim)
			for i := range n {
				x[i*dim] = float32(n - i)
			}
			return x
		},
		"one far away": func(n, dim int) []float32 {
			x := fill(n*dim, normal(r, 1e-3))
			x[(n/2)*dim] = 1e9
			return x
		},
		"copies": func(n, dim int) []float32 {
			x := fill(n*dim, normal(r, 1))
			for i := range n {
				if i%3 > 0 {
					copy(x[i*dim:][:dim], x[i%7*dim:][:dim])
				}
			}
			return x
		},
	}
	const k = 7
	forEachSearch(t, func(t *testing.T) {
		for name, made := range data {
			for _, size := range [][2]int{{8, 3}, {40, 1}, {700, 5}, {1100, 33}, {530, 64}} {
				if testing.Short() && size[0] > 700 {
					continue
				}
				rows, dim := size[0], size[1]
				x := made(rows, dim)
				n := NewNeighbors(x, dim)
				for b := range n.Blocks() {
					n.Prepare(b)
				}
				queries, skip := []float32{}, []int32{}
				for i := 0; i < rows; i += 1 + rows/20 {
					queries, skip = append(queries, x[i*dim:][:dim]...), append(skip, int32(i))
				}
				for range max(5, 100-dim*16) { // some that are none of the rows, some times more than a block takes
					queries, skip = append(queries, made(rows, dim)[:dim]...), append(skip, -1)
				}
				ids, dists := guardedSlice[int32](len(skip)*k, -7), guardedSlice[float64](len(skip)*k, -7)
				n.Search(ids.in, dists.in, queries, skip, k)
				ids.checkIntact(t)
				dists.checkIntact(t)
				for i, own := range skip {
					wantIDs, wantDists := neighborsOracle(x, dim, queries[i*dim:][:dim], own, k)
					if !slices.Equal(ids.in[i*k:][:k], wantIDs) || !slices.Equal(dists.in[i*k:][:k], wantDists) {
						t.Fatalf("%s, %d x %d, query %d (row %d): %v at %v, want %v at %v",
							name, rows, dim, i, own, ids.in[i*k:][:k], dists.in[i*k:][:k], wantIDs, wantDists)
					}
				}
			}
		}
	})
}

func neighborsOracle(x []float32, dim int, query []float32, skip int32, k int) ([]int32, []float64) {
	type row struct {
		id   int32
		dist float64
	}
	var all []row
	for i := range len(x) / dim {
		if i != int(skip) {
			all = append(all, row{int32(i), distance(query, x[i*dim:][:dim])})
		}
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Or(cmp.Compare(a.dist, b.dist), cmp.Compare(a.id, b.id)) })
	var ids []int32
	var dists []float64
	for _, a := range all[:k] {
		ids, dists = append(ids, a.id), append(dists, a.dist)
	}
	return ids, dists
}

// TestNeighborsLeavesFewOpen sees to it that the bounds are of use: of rows in many dimensions few get a float32 distance.
func TestNeighborsLeavesFewOpen(t *testing.T) {
	const rows, dim, k = 5120, 128, 10
	r := rand.New(rand.NewPCG(5, 6))
	x := fill(rows*dim, normal(r, 1))
	for i := range rows { // in 200 lumps, far from the origin
		for d := range dim {
			x[i*dim+d] = 20 + x[i*dim+d]*0.5 + x[(i%200)*dim+d]
		}
	}
	forEachSearch(t, func(t *testing.T) {
		n := NewNeighbors(x, dim)
		for b := range n.Blocks() {
			n.Prepare(b)
		}
		s := new(neighborSearch)
		const count = 4
		queries, skip := x[:count*dim], []int32{0, 1, 2, 3}
		ids, dists := make([]int32, count*k), make([]float64, count*k)
		n.search(s, ids, dists, queries, skip, k)
		n.measureQueries(s, queries)
		open := 0
		for b := range n.blocks {
			block := &n.blocks[b]
			for i := range count {
				if block.first.kind != noIntegers {
					n.scoreIntegers(s, block, count)
					n.openIntegers(s, block, i, 0, block.hi-block.lo, dists[i*k+k-1])
				} else {
					n.scoreFloats(s, block, queries, count)
					n.openFloats(s, i, 0, block.hi-block.lo, count, dists[i*k+k-1])
				}
				open += len(s.at)
			}
		}
		if open > count*rows/20 {
			t.Errorf("%d of %d open", open, count*rows)
		}
	})
}

func BenchmarkNeighbors(b *testing.B) {
	for _, dim := range []int{64, 384, 768} {
		const rows, count, k = 1 << 14, 112, 10
		r := rand.New(rand.NewPCG(1, 2))
		x := fill(rows*dim, normal(r, 1))
		for i := range rows {
			for d := range dim {
				x[i*dim+d] = 0.7*x[i*dim+d] + x[(i%500)*dim+d]
			}
		}
		n := NewNeighbors(x, dim)
		for i := range n.Blocks() {
			n.Prepare(i)
		}
		skip := make([]int32, count)
		for i := range skip {
			skip[i] = int32(i)
		}
		ids, dists := make([]int32, count*k), make([]float64, count*k)
		b.Run(fmt.Sprintf("rows=%d/dim=%d/k=%d", rows, dim, k), func(b *testing.B) {
			for b.Loop() {
				n.Search(ids, dists, x[:count*dim], skip, k)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count/rows, "ns/pair")
			b.ReportMetric(math.Sqrt(dists[k-1]), "farthest")
		})
	}
}
