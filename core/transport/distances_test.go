package transport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// clouds are kinds of rows and centroids.
var clouds = map[string]func(rng *rand.Rand, x, c core.Matrix){
	"normal": func(rng *rand.Rand, x, c core.Matrix) { fill(rng, x, 1, 0); fill(rng, c, 1, 0) },
	"grid": func(rng *rand.Rand, x, c core.Matrix) { // ties everywhere
		for _, m := range []core.Matrix{x, c} {
			for i := range m.Data {
				m.Data[i] = float32(rng.IntN(3))
			}
		}
	},
	"copies": func(rng *rand.Rand, x, c core.Matrix) {
		fill(rng, x, 1, 0)
		for i := range x.Rows {
			copy(x.Row(i), x.Row(i%7))
		}
		for j := range c.Rows {
			copy(c.Row(j), x.Row(j%5))
		}
	},
	"all equal": func(_ *rand.Rand, x, c core.Matrix) { // zeros
	},
	"one far centroid": func(rng *rand.Rand, x, c core.Matrix) {
		fill(rng, x, 1, 0)
		fill(rng, c, 1, 0)
		for d := range c.Row(0) {
			c.Row(0)[d] = 1e4
		}
	},
	"one far row":     func(rng *rand.Rand, x, c core.Matrix) { fill(rng, x, 1, 0); fill(rng, c, 1, 0); x.Data[0] = 1e8 },
	"far from origin": func(rng *rand.Rand, x, c core.Matrix) { fill(rng, x, 1, 3000); fill(rng, c, 1, 3000) },
	"huge":            func(rng *rand.Rand, x, c core.Matrix) { fill(rng, x, 1e25, 0); fill(rng, c, 1e25, 0) },
	"tiny":            func(rng *rand.Rand, x, c core.Matrix) { fill(rng, x, 1e-30, 0); fill(rng, c, 1e-30, 0) },
	"magnitudes": func(rng *rand.Rand, x, c core.Matrix) {
		fill(rng, x, 1, 0)
		fill(rng, c, 1, 0)
		for i := range x.Rows {
			for d := range x.Row(i) {
				x.Row(i)[d] *= float32(math.Pow(10, float64(i%9-4)))
			}
		}
	},
}

func fill(rng *rand.Rand, m core.Matrix, scale, offset float64) {
	for i := range m.Data {
		m.Data[i] = float32(scale*rng.NormFloat64() + offset)
	}
}

// distancesOf is the table of distances as they are defined.
func distancesOf(x, c core.Matrix) table {
	t := table{x.Rows, c.Rows, make([]float64, x.Rows*c.Rows)}
	for i := range x.Rows {
		for j := range c.Rows {
			for d, v := range x.Row(i) {
				e := float64(v) - float64(c.Row(j)[d])
				t.cost[i*c.Rows+j] += float64(e * e)
			}
		}
	}
	return t
}

// forEachCPU runs f at every level this CPU and build have, on one thread and on three.
func forEachCPU(f func(where string)) {
	defer par.SetThreads(0)
	for l := cpu.Generic; l <= cpu.Supported(); l++ {
		for _, threads := range []int{1, 3} {
			func() {
				defer cpu.SetForTest(l)()
				par.SetThreads(threads)
				f(fmt.Sprintf("%v, %d threads", l, threads))
			}()
		}
	}
}

func TestDistances(t *testing.T) {
	forEachWay(t, func(t *testing.T) {
		for name, cloud := range clouds {
			t.Run(name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(4, 4))
				shapes := [][3]int{{1, 1, 1}, {40, 40, 3}, {90, 7, 3}, {601, 20, 17}, {300, 70, 33}}
				if testing.Short() {
					shapes = shapes[:3]
				}
				for _, shape := range shapes {
					x, c := core.NewMatrix(shape[0], shape[2]), core.NewMatrix(shape[1], shape[2])
					cloud(rng, x, c)
					plain := distancesOf(x, c)
					sizes := Balanced(x.Rows, c.Rows)
					if rng.IntN(2) == 0 {
						sizes = randomSizes(rng, x.Rows, c.Rows)
					}
					want, err := Solve(context.Background(), plain, sizes, nil)
					if err != nil {
						t.Fatal(err)
					}
					var first *Solution
					forEachCPU(func(where string) {
						costs, err := Distances(Stored(x), c)
						if err != nil {
							t.Fatal(err)
						}
						got, err := Solve(context.Background(), costs, sizes, nil)
						if err != nil {
							t.Fatal(err)
						}
						if err := checkSolution(plain, sizes, got); err != nil {
							t.Fatalf("%d x %d, K = %d, %s: %v", x.Rows, x.Cols, c.Rows, where, err)
						}
						if first == nil {
							first = got
						}
						if !reflect.DeepEqual(got, first) {
							t.Fatalf("%d x %d, K = %d, %s: another solution than at first", x.Rows, x.Cols, c.Rows, where)
						}
						if !(math.Abs(got.Primal-want.Primal) <= 1e-9*want.Primal) {
							t.Fatalf("%d x %d, K = %d, %s: cost %g, from a table %g", x.Rows, x.Cols, c.Rows, where, got.Primal, want.Primal)
						}
					})
				}
			})
		}
	})
}

// As large as samples, bounds and windows are for, with prices carried from one set of centroids to the next.
func TestManyRows(t *testing.T) {
	rows := 30_000
	if testing.Short() {
		rows = 7_000
	}
	x, c := mixture(7, rows, 9, 40)
	sizes := Balanced(x.Rows, c.Rows)
	rng := rand.New(rand.NewPCG(7, 7))
	var warm *Solution
	for range 4 {
		plain := distancesOf(x, c)
		var first *Solution
		forEachCPU(func(where string) {
			costs, err := Distances(Stored(x), c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Solve(context.Background(), costs, sizes, warm)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = got
				if err := checkSolution(plain, sizes, got); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(got, first) {
				t.Fatalf("%s: another solution than at first", where)
			}
		})
		warm = first
		for i := range c.Data {
			c.Data[i] += 0.05 * float32(rng.NormFloat64())
		}
	}
}

func TestBadRows(t *testing.T) {
	forEachWay(t, func(t *testing.T) {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			forEachCPU(func(where string) {
				x, c := mixture(8, 900, 5, 6)
				x.Row(700)[3] = float32(bad)
				x.Row(701)[3] = float32(bad)
				costs, err := Distances(Stored(x), c)
				if err != nil {
					t.Fatal(err)
				}
				_, err = Solve(context.Background(), costs, Balanced(900, 6), nil)
				if want := "row 700;"; !errors.Is(err, core.ErrNotFinite) || !contains(err, want) {
					t.Errorf("%g, %s: error %v, want %q", bad, where, err, want)
				}
				c.Row(2)[0] = float32(bad)
				if _, err := Distances(Stored(x), c); !errors.Is(err, core.ErrNotFinite) || !contains(err, "centroids: ") {
					t.Errorf("a centroid of %g: error %v", bad, err)
				}
			})
		}
	})
	if _, err := Distances(Stored(core.NewMatrix(2, 3)), core.NewMatrix(2, 4)); !errors.Is(err, core.ErrShape) {
		t.Errorf("centroids of another width: error %v", err)
	}
	if _, err := Distances(Stored(core.NewMatrix(2, 3)), core.Matrix{}); !errors.Is(err, core.ErrShape) {
		t.Errorf("no centroids: error %v", err)
	}
}

func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}
