package f32

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

func TestProducts(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for dim := 1; dim < 40; dim++ { // each tail of the loop over dimensions
			for _, k := range []int{1, 5, 8, 9, 16, 33, 70} {
				for _, n := range []int{1, 2, 3, 7, 14, 31} { // each number of rows of a tile
					rows, centroids := normals(1, n*dim), normals(2, k*dim)
					p := NewProducts(centroids, k, dim)
					ld := p.Stride() + 3
					dst := guardedSlice[float32](n*ld-3, -7)
					p.Dots(dst.in, ld, rows)
					dst.checkIntact(t)
					share, tiny := DotError(dim)
					for i := range n {
						for j := range k {
							var want, x, y float64
							for d := range dim {
								r, c := float64(rows[i*dim+d]), float64(centroids[j*dim+d])
								want, x, y = want+r*c, x+r*r, y+c*c
							}
							got := float64(dst.in[i*ld+j])
							if tol := share*math.Sqrt(x*y) + tiny; !(math.Abs(got-want) <= tol) {
								t.Fatalf("dim %d, row %d of %d, centroid %d of %d: got %g, want %g ± %g", dim, i, n, j, k, got, want, tol)
							}
						}
						if i < n-1 && dst.in[i*ld+p.Stride()] != -7 {
							t.Fatalf("dim %d, row %d of %d, %d centroids: wrote beyond the stride", dim, i, n, k)
						}
					}
				}
			}
		}
	})
}

func TestSqNorm(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for dim := range 200 {
			for _, by := range []float32{1, 1e-22, 1e18} {
				x := scale(normals(3, dim), by)
				var want float64
				for _, v := range x {
					want += float64(v) * float64(v)
				}
				if got := SqNorm(x); !(got >= want && got <= want*(1+1e-4)+1e-38) {
					t.Errorf("dim %d, scale %g: got %g, want no less than %g, and hardly more", dim, by, got, want)
				}
			}
		}
	})
}

// TestAddTables: the sums go step by step, so every level gives the twin's, bit by bit.
func TestAddTables(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for n := Chunk; n <= 5*Chunk; n += Chunk {
			for tables := 1; tables < 6; tables++ {
				dots, sums := normals(4, n), make([][]float32, tables)
				for i := range sums {
					sums[i] = normals(uint64(5+i), n)
					sums[i][n-1-i] = float32(math.Inf(1))
				}
				dst, least := guardedSlice[float32](n, -7), guardedSlice[float32](Chunk, -7)
				AddTables(dst.in, least.in, dots, sums, 0.1)
				dst.checkIntact(t)
				least.checkIntact(t)
				want, wantLeast := make([]float32, n), make([]float32, Chunk)
				addTablesGeneric(want, wantLeast, dots, sums, 0.1)
				if !slices.Equal(dst.in, want) || !slices.Equal(least.in, wantLeast) {
					t.Errorf("%d scores of %d tables differ from the twin's", n, tables)
				}
				for i, got := range want {
					s := 0.1 - float64(dots[i])
					for _, table := range sums {
						s += float64(table[i])
					}
					if s < 1e9 && math.Abs(float64(got)-s) > 1e-5 || s > 1e9 && !math.IsInf(float64(got), 1) {
						t.Errorf("score %d of %d tables: got %g, want %g", i, tables, got, s)
					}
					if wantLeast[i%Chunk] > got {
						t.Errorf("score %d is %g, less than the least of its lane, %g", i, got, wantLeast[i%Chunk])
					}
				}
				for i, v := range wantLeast {
					if !slices.Contains(want, v) {
						t.Errorf("the least of lane %d, %g, is no score", i, v)
					}
				}
			}
		}
	})
}

func TestAtMost32(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		for n := 0; n <= 40*Chunk; n += 3 * Chunk { // more than a mask block holds
			v := normals(6, n)
			for i := range v {
				switch i % 11 {
				case 3:
					v[i] = float32(math.NaN())
				case 7:
					v[i] = float32(math.Inf(i%2*2 - 1))
				case 9:
					v[i] = 0.25
				}
			}
			for _, limit := range []float32{float32(math.Inf(-1)), -1, 0, 0.25, math.MaxFloat32} {
				var want []int
				for i, x := range v {
					if x <= limit {
						want = append(want, i)
					}
				}
				keys := AppendAtMost32([]uint64{42}, v, limit, 1000)
				var got []int
				for _, key := range keys[1:] {
					x, i := Unkey32(key)
					if got = append(got, i-1000); x != v[i-1000] {
						t.Fatalf("value %d is %g, its key says %g", i-1000, v[i-1000], x)
					}
				}
				slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(v[a], v[b]) })
				two := append(slices.Clone(want[:min(2, len(want))]), -1, -1)
				if first, second := TwoLeast32(v, limit); int(first) != two[0] || int(second) != two[1] {
					t.Errorf("%d values, limit %g: the least are %d and %d, want %v", n, limit, first, second, two[:2])
				}
				slices.Sort(want)
				if keys[0] != 42 || !slices.Equal(got, want) || CountAtMost32(v, limit) != len(want) {
					t.Errorf("%d values, limit %g: got %v and %d, want %v", n, limit, got, CountAtMost32(v, limit), want)
				}
			}
		}
	})
}

func TestKeysSortAsValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	v := []float32{float32(math.Inf(-1)), -math.MaxFloat32, -1, -math.SmallestNonzeroFloat32, 0, math.SmallestNonzeroFloat32, 1, math.MaxFloat32, float32(math.Inf(1))}
	for range 100 {
		v = append(v, math.Float32frombits(rng.Uint32()))
	}
	for i, x := range v {
		for j, y := range v {
			if x < y && key32(x, j) >= key32(y, i) || x == y && x != 0 && (key32(x, i) < key32(y, j)) != (i < j) {
				t.Errorf("keys of %g at %d and %g at %d do not sort as these do", x, i, y, j)
			}
		}
	}
}
