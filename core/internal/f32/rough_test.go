package f32

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// roughOracle is the definition of Rough8, written as plainly as can be.
func roughOracle(rows, centroids []float32, k, dim int) []int32 {
	mean := make([]float32, dim)
	for i := range mean {
		var s float64
		for j := range k {
			s += float64(1 / float64(k) * float64(centroids[j*dim+i]))
		}
		mean[i] = float32(s)
	}
	round := func(x []float32) (q []int, r float32) {
		q = make([]int, dim)
		for i, v := range x {
			r = max(r, float32(math.Abs(float64(v-mean[i]))))
		}
		if r < 0x1p-100 || r > math.MaxFloat32 {
			return q, 0
		}
		for i, v := range x {
			d := v - mean[i]
			q[i] = int(math.RoundToEven(float64(d * (63 / r))))
		}
		return q, r
	}
	quantized, rs, most := make([][]int, k), make([]float32, k), 0.0
	for j := range k {
		quantized[j], rs[j] = round(centroids[j*dim:][:dim])
		most = max(most, float64(rs[j]))
	}
	weight, bias := make([]float32, k), make([]float32, k)
	for j, r := range rs {
		if most > 0 {
			w, norm := float64(r)/(63*most), 0
			for _, q := range quantized[j] {
				norm += q * q
			}
			weight[j], bias[j] = float32(w), float32(float64(norm)*w*w/2)
		}
	}
	codes := make([]int32, len(rows)/dim)
	for i := range codes {
		q, r := round(rows[i*dim:][:dim])
		a := float32(0x1p80)
		if most > 0 || r == 0 {
			a = float32(min(float64(r)/(63*max(most, math.SmallestNonzeroFloat64)), 0x1p80))
		}
		best := float32(math.Inf(-1))
		for j := range k {
			dot := 0
			for d, v := range q {
				dot += v * quantized[j][d]
			}
			score := float32(float32(dot) * weight[j])
			score = float32(score * a)
			if score -= bias[j]; score > best {
				best, codes[i] = score, int32(j)
			}
		}
	}
	return codes
}

func checkRough(t *testing.T, what string, r *Rough8, rows, centroids []float32, k, dim int) {
	t.Helper()
	n := len(rows) / dim
	codes := guardedSlice[int32](n, -7)
	r.Set(centroids, k, dim)
	r.Nearest(codes.in, rows)
	codes.checkIntact(t)
	for i, want := range roughOracle(rows, centroids, k, dim) {
		if got := codes.in[i]; got != want {
			t.Fatalf("%s: dim %d, K %d, row %d of %d: code %d, want %d", what, dim, k, i, n, got, want)
		}
	}
}

func TestRough8(t *testing.T) {
	forEachInt16(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var b Rough8 // one for all: its memory is used again
		for dim := 1; dim <= 200; dim++ {
			k, n := 1+dim%40, 1+dim*7%33
			checkRough(t, "normal", &b, fill(n*dim, normal(r, 1)), fill(k*dim, normal(r, 1)), k, dim)
		}
		for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 47, 48, 49, 255, 256, 257} {
			for _, dim := range []int{3, 20, 64} {
				checkRough(t, "normal", &b, fill(30*dim, normal(r, 1)), fill(k*dim, normal(r, 1)), k, dim)
			}
		}
		for n := range 62 {
			checkRough(t, "rows", &b, fill(n*24, normal(r, 1)), fill(40*24, normal(r, 1)), 40, 24)
		}
		checkRough(t, "several blocks", &b, fill(2500*8, normal(r, 1)), fill(40*8, normal(r, 1)), 40, 8)
		checkRough(t, "long rows", &b, fill(20*3000, normal(r, 1)), fill(20*3000, normal(r, 1)), 20, 3000)
	})
}

// TestRough8Extremes takes values at which a sum in too few bits, a scale or a score would overflow or vanish.
func TestRough8Extremes(t *testing.T) {
	const n, k = 40, 35
	signs := func(r *rand.Rand, scale float32) func() float32 {
		return func() float32 { return scale * float32(2*r.IntN(2)-1) }
	}
	forEachInt16(t, func(t *testing.T) {
		var b Rough8
		for _, dim := range []int{1, 7, 16, 77, 384} {
			r := rand.New(rand.NewPCG(uint64(dim), 2))
			few := func() float32 { return float32(r.IntN(3) - 1) }
			mixed := func() float32 { return float32(math.Ldexp(r.NormFloat64(), r.IntN(250)-140)) }
			for _, c := range []struct {
				name            string
				rows, centroids func() float32
			}{
				{"all as large as can be", signs(r, 1), signs(r, 1)},
				{"ties", few, few},
				{"huge rows", normal(r, 5e37), normal(r, 1)},
				{"huge centroids", normal(r, 1), normal(r, 5e37)},
				{"huge", normal(r, 5e37), normal(r, 5e37)},
				{"overflow", signs(r, math.MaxFloat32), signs(r, math.MaxFloat32)},
				{"denormal rows", normal(r, 1e-41), normal(r, 1)},
				{"denormal", normal(r, 1e-41), normal(r, 1e-41)},
				{"tiny", normal(r, 1e-30), normal(r, 1e-30)},
				{"zero rows", signs(r, 0), normal(r, 1)},
				{"zero centroids", normal(r, 1), signs(r, 0)},
				{"all magnitudes", mixed, mixed},
			} {
				name, rows, centroids := c.name, fill(n*dim, c.rows), fill(k*dim, c.centroids)
				checkRough(t, name, &b, rows, centroids, k, dim)
				copy(rows, centroids) // some rows are centroids
				clear(rows[(n-1)*dim:])
				checkRough(t, name+", rows that are centroids", &b, rows, centroids, k, dim)
				for j := 0; j < k; j += 3 {
					copy(centroids[j*dim:][:dim], centroids[(k-1)*dim:])
				}
				checkRough(t, name+", duplicates", &b, rows, centroids, k, dim)
			}
		}
	})
}

// clusters returns n rows around centers, and k of the rows as centroids.
func clusters(n, k, dim int, spread float32) (rows, centroids []float32) {
	r := rand.New(rand.NewPCG(uint64(n), uint64(dim)))
	centers := fill(k*dim, normal(r, 1))
	rows = fill(n*dim, normal(r, float64(spread)))
	for i := range n {
		Add(rows[i*dim:][:dim], centers[r.IntN(k)*dim:][:dim])
	}
	return rows, append([]float32(nil), rows[:k*dim]...)
}

// TestRough8IsNear holds how far the codes may be from those of the nearest centroids.
func TestRough8IsNear(t *testing.T) {
	const n, k, dim = 2000, 64, 128
	for _, offset := range []float32{0, 100} {
		rows, centroids := clusters(n, k, dim, 1)
		for _, x := range [][]float32{rows, centroids} {
			for i := range x {
				x[i] += offset
			}
		}
		exact, codes := make([]int32, n), make([]int32, n)
		NewCodebook(centroids, k, dim).Nearest(exact, rows)
		forEachInt16(t, func(t *testing.T) {
			var r Rough8
			r.Set(centroids, k, dim)
			r.Nearest(codes, rows)
			same, sum, best := 0, 0.0, 0.0
			for i, c := range codes {
				if c == exact[i] {
					same++
				}
				sum += distance(rows[i*dim:][:dim], centroids[int(c)*dim:][:dim])
				best += distance(rows[i*dim:][:dim], centroids[int(exact[i])*dim:][:dim])
			}
			t.Logf("around %v: %.2f %% of the codes are the nearest centroid's, distances sum up to %.4f %% more", offset, 100*float64(same)/n, 100*(sum/best-1))
			if same < n*95/100 || sum > best*1.001 {
				t.Errorf("around %v: %d of %d codes are the nearest centroid's, distances %g, want %g", offset, same, n, sum, best)
			}
		})
	}
}

func TestRough8Concurrent(t *testing.T) {
	const n, k, dim, workers = 300, 40, 40, 4
	rows, centroids := normals(1, n*dim), normals(2, k*dim)
	want := roughOracle(rows, centroids, k, dim)
	forEachInt16(t, func(t *testing.T) {
		var r Rough8
		r.Set(centroids, k, dim)
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				codes := make([]int32, n-w)
				r.Nearest(codes, rows[w*dim:])
				for i, c := range codes {
					if c != want[w+i] {
						t.Errorf("worker %d, row %d: code %d, want %d", w, w+i, c, want[w+i])
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestRough8DoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops memory under the race detector")
	}
	const n, k, dim = 100, 40, 40
	rows, centroids, codes := normals(1, n*dim), normals(2, k*dim), make([]int32, n)
	forEachInt16(t, func(t *testing.T) {
		var r Rough8
		f := func() {
			r.Set(centroids, k, dim)
			r.Nearest(codes, rows)
		}
		f()
		if a := testing.AllocsPerRun(20, f); a >= 1 {
			t.Errorf("%v allocations", a)
		}
	})
}

func TestRough8Panics(t *testing.T) {
	for name, f := range map[string]func(r *Rough8){
		"no centroids":    func(r *Rough8) { r.Set(nil, 0, 4) },
		"missing values":  func(r *Rough8) { r.Set(make([]float32, 7), 2, 4) },
		"too many values": func(r *Rough8) { r.Set(make([]float32, MaxRough8Dim+1), 1, MaxRough8Dim+1) },
		"missing rows":    func(r *Rough8) { r.Nearest(make([]int32, 2), make([]float32, 7)) },
	} {
		t.Run(name, func(t *testing.T) {
			var r Rough8
			r.Set(make([]float32, 8), 2, 4)
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(&r)
		})
	}
}

// TestRough8LongestRow takes the greatest sums there are.
func TestRough8LongestRow(t *testing.T) {
	const k, dim = 3, MaxRough8Dim
	centroids := make([]float32, k*dim) // the mean is 0
	for i := range dim {
		centroids[i], centroids[dim+i] = 1, -1
	}
	forEachInt16(t, func(t *testing.T) {
		var r Rough8
		checkRough(t, "longest", &r, centroids, centroids, k, dim)
	})
}
