package f32

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

func TestNearestTails(t *testing.T) {
	step := 1
	if testing.Short() { // the race detector takes long
		step = 7
	}
	forEachSearch(t, func(t *testing.T) {
		for dim := 1; dim <= 130; dim += step {
			for _, k := range []int{1, 2, 3, 5, 7, 13, 14, 15, 29, 33} {
				rows := 1 + (dim*7+k*3)%70
				checkNearest(t, "normal", normals(1, rows*dim), normals(2, k*dim), k, dim)
			}
		}
		for rows := 0; rows <= 140; rows++ {
			checkNearest(t, "normal", normals(3, rows*5), normals(4, 17*5), 17, 5)
		}
		for k := 1; k <= 60; k++ { // each way to fill up the last group
			checkNearest(t, "normal", normals(5, 50*9), normals(6, k*9), k, 9)
		}
		checkNearest(t, "several blocks", normals(7, 2100*3), normals(8, 30*3), 30, 3)
		checkNearest(t, "several blocks", normals(9, 150*700), normals(10, 6*700), 6, 700)
	})
}

// hardCase makes rows and centroids that tempt a float32 search to err.
type hardCase struct {
	name string
	make func(r *rand.Rand, n, k, dim int) (rows, centroids []float32)
}

func fill(n int, f func() float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = f()
	}
	return x
}

func normal(r *rand.Rand, scale float64) func() float32 {
	return func() float32 { return float32(r.NormFloat64() * scale) }
}

// anyFloat returns finite floats of every exponent, denormals and zeros included.
func anyFloat(r *rand.Rand) func() float32 {
	return func() float32 {
		for {
			if v := math.Float32frombits(r.Uint32()); v-v == 0 {
				return v
			}
		}
	}
}

func atScale(rows, centroids float64) func(r *rand.Rand, n, k, dim int) (x, c []float32) {
	return func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		return fill(n*dim, normal(r, rows)), fill(k*dim, normal(r, centroids))
	}
}

// around puts each of k centroids at row 0 plus a vector that move makes, and the other rows a few ulps beside row 0.
func around(move func(r *rand.Rand, j int, v []float32)) func(r *rand.Rand, n, k, dim int) (x, c []float32) {
	return func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		row := fill(dim, normal(r, 1))
		for i := range n {
			x = append(x, row...)
			if i > 0 {
				at := i*dim + r.IntN(dim)
				x[at] = math.Nextafter32(x[at], float32(2*r.IntN(2)-1)*100)
			}
		}
		v := make([]float32, dim)
		for j := range k {
			move(r, j, v)
			for i := range v {
				c = append(c, row[i]+v[i])
			}
		}
		return x, c
	}
}

// onTop writes a and b over the first elements of v, as far as there are.
func onTop(v []float32, a, b float32) []float32 {
	copy(v, []float32{a, b})
	return v
}

// eachStep makes vectors that begin with 1 and go on with v, and differ in the last element: the sums of their products
// and squares start at 1, and are rounded the same way step after step. The centroids are then scaled.
func eachStep(v, by float32) func(r *rand.Rand, n, k, dim int) (x, c []float32) {
	return func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func(m int) (x []float32) {
			for range m {
				for range dim - 1 {
					x = append(x, v)
				}
				x = append(x, float32(r.NormFloat64()*1e-3))
				x[len(x)-dim] = 1
			}
			return x
		}
		return f(n), scale(f(k), by)
	}
}

var hardCases = []hardCase{
	{"two near-ties", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		// Each row is the rounded middle of two centroids, moved by an ulp now and then.
		c = fill(k*dim, normal(r, 1))
		for range n {
			a, b := r.IntN(k)*dim, r.IntN(k)*dim
			for i := range dim {
				v := (c[a+i] + c[b+i]) / 2
				if r.IntN(2*dim) == 0 {
					v = math.Nextafter32(v, float32(r.NormFloat64()))
				}
				x = append(x, v)
			}
		}
		return x, c
	}},
	{"three near-ties", around(func(r *rand.Rand, j int, v []float32) {
		// Centroids 1, 5 and 9 lie at one distance but for the order of the sum; the others lie farther out.
		for i := range v {
			v[i] = float32(i%5) + 1
		}
		r.Shuffle(len(v), func(a, b int) { v[a], v[b] = v[b], v[a] })
		if j%4 != 1 || j > 9 {
			scale(v, 1.25)
		}
	})},
	{"all near-ties", around(func(r *rand.Rand, _ int, v []float32) {
		// The same offsets in another order: equal in exact arithmetic but for the rounding of row + offset.
		for i := range v {
			v[i] = float32(i) * 0.37
		}
		r.Shuffle(len(v), func(a, b int) { v[a], v[b] = v[b], v[a] })
	})},
	{"one ulp apart", around(func(r *rand.Rand, _ int, v []float32) {
		clear(v)
		v[r.IntN(len(v))] = float32(r.IntN(3)-1) * 0x1p-23
	})},
	{"small integers, true ties", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func() float32 { return float32(r.IntN(3) - 1) }
		return fill(n*dim, f), fill(k*dim, f)
	}},
	{"duplicates", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		some := fill(3*dim, normal(r, 1))
		some[0] = 0
		for range k {
			c = append(c, some[r.IntN(3)*dim:][:dim]...)
			if at := len(c) - dim; c[at] == 0 && r.IntN(2) == 0 {
				c[at] = float32(math.Copysign(0, -1))
			}
		}
		return fill(n*dim, normal(r, 1)), c
	}},
	{"one centroid many times", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		for range k {
			c = append(c, make([]float32, dim)...)
		}
		return fill(n*dim, normal(r, 1)), c
	}},
	{"rows are centroids", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		c = fill(k*dim, normal(r, 1))
		for range n {
			x = append(x, c[r.IntN(k)*dim:][:dim]...)
		}
		return x, c
	}},
	{"zero rows", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		return make([]float32, n*dim), fill(k*dim, normal(r, 1))
	}},
	{"zeros", func(_ *rand.Rand, n, k, dim int) (x, c []float32) {
		return make([]float32, n*dim), make([]float32, k*dim)
	}},
	{"scale 1e-19, squares denormal", atScale(1e-19, 1e-19)},
	{"scale 4e-23, squares are the smallest denormals", atScale(4e-23, 4e-23)},
	{"scale 1e-30, squares vanish", atScale(1e-30, 1e-30)},
	{"denormals", atScale(1e-42, 1e-42)},
	{"smallest denormals", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func() float32 { return float32(r.IntN(5)-2) * 0x1p-149 }
		return fill(n*dim, f), fill(k*dim, f)
	}},
	{"scale 1e17", atScale(1e17, 1e17)},
	{"scale 1e19, squares overflow", atScale(1e19, 1e19)},
	{"scale 1e38", atScale(1e37, 1e38)},
	{"huge rows, small centroids", atScale(1e38, 1)},
	{"small rows, huge centroids", atScale(1, 1e38)},
	{"float64 distances tie by rounding", atScale(1e12, 1e-4)},
	{"tiny rows, usual centroids", atScale(1e-40, 1)},
	{"usual rows, tiny centroids", atScale(1, 1e-40)},
	{"far from the origin", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func() float32 { return float32(1000 + r.NormFloat64()) }
		return fill(n*dim, f), fill(k*dim, f)
	}},
	{"far from the origin in one dimension", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		x, c = fill(n*dim, normal(r, 1)), fill(k*dim, normal(r, 1))
		for i := 0; i < len(x); i += dim {
			x[i] += 1000
		}
		for i := 0; i < len(c); i += dim {
			c[i] += 1000
		}
		return x, c
	}},
	{"one huge centroid", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		c = fill(k*dim, normal(r, 1))
		scale(c[(k-1)*dim:], 1e30)
		return fill(n*dim, normal(r, 1)), c
	}},
	{"another scale for each vector", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		for range n {
			x = append(x, fill(dim, normal(r, math.Pow(10, float64(r.IntN(80)-42))))...)
		}
		for range k {
			c = append(c, fill(dim, normal(r, math.Pow(10, float64(r.IntN(80)-42))))...)
		}
		return x, c
	}},
	{"any finite floats", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		return fill(n*dim, anyFloat(r)), fill(k*dim, anyFloat(r))
	}},
	{"NaN and infinities", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func() float32 {
			switch r.IntN(8 * dim) {
			case 0:
				return float32(math.NaN())
			case 1:
				return float32(math.Inf(1))
			case 2:
				return float32(math.Inf(-1))
			}
			return float32(r.NormFloat64())
		}
		return fill(n*dim, f), fill(k*dim, f)
	}},
	{"partial sums overflow", func(_ *rand.Rand, n, k, dim int) (x, c []float32) {
		// The nearest centroid's dot product passes through -Inf on the way to 0.
		for range n {
			x = append(x, onTop(make([]float32, dim), 1e20, 1e20)...)
		}
		for j := range k {
			if v := make([]float32, dim); j == k/2 {
				c = append(c, onTop(v, -4e18, 4e18)...)
			} else {
				c = append(c, onTop(v, 0, -1e18)...)
			}
		}
		return x, c
	}},
	{"the bound is reached", func(_ *rand.Rand, n, k, dim int) (x, c []float32) {
		// Each product with centroid k/2 is just over half an ulp of the sum and is rounded up to one; those with centroid
		// k-1 are just under and vanish. The two lie equally far, but for the last element.
		vector := func(v, last float32) []float32 {
			x := make([]float32, dim)
			for i := range x {
				x[i] = v
			}
			x[dim-1] = last
			x[0] = 1
			return x
		}
		for range n {
			x = append(x, vector(0x1p-12, 0x1p-12)...)
		}
		for j := range k {
			switch j {
			case k - 1:
				c = append(c, vector(0x0.ffcp-12, 0x1p-12)...)
			case k / 2:
				c = append(c, vector(0x1.004p-12, 0x1.004p-12)...)
			default:
				c = append(c, scale(vector(0x1p-12, 0), -1)...)
			}
		}
		return x, c
	}},
	{"each step rounds up", eachStep(0x1.001p-12, 1)},
	{"each step rounds down", eachStep(0x0.fffp-12, 1)},
	{"norms round up", eachStep(0x1.001p-13, 1e-3)},
	{"norms round down", eachStep(0x0.fffp-13, 1e-3)},
	{"largest finite floats", func(r *rand.Rand, n, k, dim int) (x, c []float32) {
		f := func() float32 { return math.MaxFloat32 * float32(2*r.IntN(2)-1) }
		return fill(n*dim, f), fill(k*dim, f)
	}},
}

func TestNearestHard(t *testing.T) {
	shapes := []struct{ n, k, dim int }{{70, 40, 1}, {70, 3, 2}, {70, 40, 7}, {70, 14, 16}, {70, 33, 33}, {40, 100, 64}, {20, 17, 130}, {20, 5, 384}}
	for _, c := range hardCases {
		t.Run(c.name, func(t *testing.T) {
			forEachSearch(t, func(t *testing.T) {
				for _, s := range shapes {
					r := rand.New(rand.NewPCG(uint64(s.k), uint64(s.dim)))
					rows, centroids := c.make(r, s.n, s.k, s.dim)
					checkNearest(t, "all rows at once", rows, centroids, s.k, s.dim)
					for i := range 4 { // and the way that single rows go
						checkNearest(t, "one row", rows[i*s.dim:][:s.dim], centroids, s.k, s.dim)
					}
				}
			})
		})
	}
}

// TestSetAgain holds that a codebook set to other centroids remembers nothing of the earlier ones, whichever way the
// search went: far from the origin it is centered, and at 1e38 all in float64.
func TestSetAgain(t *testing.T) {
	forEachSearch(t, func(t *testing.T) {
		var b Codebook
		for i, s := range []struct {
			n, k, dim  int
			offset, by float32
		}{
			{40, 50, 20, 0, 1}, {40, 3, 5, 0, 1}, {64, 29, 20, 0, 1}, {7, 1, 1, 0, 1}, {33, 61, 33, 0, 1}, {40, 30, 33, 0, 1e38},
			{40, 30, 33, 100, 1}, {40, 30, 33, 0, 1}, {40, 30, 33, -100, 1}, {40, 30, 33, 0, 1e38}, {40, 31, 33, 0, -1e38},
		} {
			rows, centroids := scale(normals(1, s.n*s.dim), s.by), scale(normals(uint64(i), s.k*s.dim), s.by)
			for _, x := range [][]float32{rows, centroids} {
				for i := range x {
					x[i] += s.offset
				}
			}
			b.Set(centroids, s.k, s.dim)
			if centered := b.centered != nil; centered != (s.offset != 0) {
				t.Errorf("%+v: centered: %v", s, centered)
			}
			codes := make([]int32, s.n)
			b.Nearest(codes, rows)
			for i, got := range codes {
				if want := oracle(rows[i*s.dim:][:s.dim], centroids, s.k); got != want {
					t.Fatalf("%+v, row %d: code %d, want %d", s, i, got, want)
				}
			}
		}
	})
}

// TestCopiesCostNothing holds that copies of a centroid are not searched, and leave no row open.
func TestCopiesCostNothing(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		const n, k, dim = 40, 100, 8
		some := normals(1, 3*dim)
		var centroids []float32
		for j := range k {
			centroids = append(centroids, some[j%3*dim:][:dim]...)
		}
		b := NewCodebook(centroids, k, dim)
		if got := len(b.plain.distinct); got != 3 {
			t.Errorf("%d centroids are searched, want 3", got)
		}
		var s scratch
		b.nearestBlock(&s, make([]int32, n), normals(2, n*dim))
		for i, f := range s.flagged {
			if f {
				t.Errorf("row %d is left open", i)
			}
		}
	})
}

func TestNearestConcurrent(t *testing.T) {
	forEachSearch(t, func(t *testing.T) {
		const n, k, dim = 100, 30, 24
		rows, centroids := hardCases[0].make(rand.New(rand.NewPCG(1, 2)), n, k, dim)
		b := NewCodebook(centroids, k, dim)
		want := make([]int32, n)
		for i := range want {
			want[i] = oracle(rows[i*dim:][:dim], centroids, k)
		}
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range 20 {
					lo := (g + i) % 50
					codes := make([]int32, n-lo)
					b.Nearest(codes, rows[lo*dim:])
					for i, got := range codes {
						if got != want[lo+i] {
							t.Errorf("row %d: code %d, want %d", lo+i, got, want[lo+i])
							return
						}
					}
				}
			}()
		}
		wg.Wait()
	})
}

func TestNearestAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const n, k, dim = 100, 30, 24
	rows, codes := normals(1, n*dim), make([]int32, n)
	b := NewCodebook(normals(2, k*dim), k, dim)
	if got := testing.AllocsPerRun(100, func() { b.Nearest(codes, rows) }); got >= 1 {
		t.Errorf("%v allocations a call, want 0", got)
	}
}

func TestLengthsPanic(t *testing.T) {
	b := NewCodebook(normals(1, 6), 3, 2)
	for name, f := range map[string]func(){
		"Nearest, short rows": func() { b.Nearest(make([]int32, 2), make([]float32, 3)) },
		"Nearest, long rows":  func() { b.Nearest(make([]int32, 2), make([]float32, 5)) },
		"Set, short":          func() { new(Codebook).Set(make([]float32, 5), 3, 2) },
		"Set, none":           func() { new(Codebook).Set(nil, 0, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// FuzzNearest reads a shape and floats of any kind from the input and compares all levels with the definition.
func FuzzNearest(f *testing.F) {
	for i, c := range hardCases {
		rows, centroids := c.make(rand.New(rand.NewPCG(1, uint64(i))), 40, 5, 4)
		in := []byte{5, 4}
		for _, v := range append(centroids, rows...) {
			in = binary.LittleEndian.AppendUint32(in, math.Float32bits(v))
		}
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 2 {
			return
		}
		k, dim := 1+int(in[0])%40, 1+int(in[1])%40
		var x []float32
		for in = in[2:]; len(in) >= 4; in = in[4:] {
			x = append(x, math.Float32frombits(binary.LittleEndian.Uint32(in)))
		}
		if len(x) < k*dim {
			return
		}
		centroids, rows := x[:k*dim:k*dim], x[k*dim:]
		rows = rows[:len(rows)/dim*dim]
		forEachSearch(t, func(t *testing.T) {
			checkNearest(t, fmt.Sprintf("fuzz, %d rows", len(rows)/dim), rows, centroids, k, dim)
		})
	})
}
