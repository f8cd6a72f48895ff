package transport

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

// workedOut are rows that are not stored.
type workedOut struct{ stored }

func (w workedOut) Stored() bool { return false }

func (w workedOut) Row(i int, scratch []float32) []float32 {
	return scratch[:copy(scratch, w.x.Row(i))]
}

func (w workedOut) Block(lo, hi int, scratch []float32) []float32 {
	return scratch[:copy(scratch, w.x.Slice(lo, hi).Data)]
}

// TestMoving moves all, some, one and none of the centroids, and wants what Solve makes of Distances, to the bit.
func TestMoving(t *testing.T) {
	for name, cloud := range clouds {
		t.Run(name, func(t *testing.T) {
			shapes := [][3]int{{90, 7, 3}, {601, 20, 17}, {900, 40, 20}}
			if testing.Short() {
				shapes = shapes[:2]
			}
			for _, shape := range shapes {
				rng := rand.New(rand.NewPCG(8, 8))
				x, first := core.NewMatrix(shape[0], shape[2]), core.NewMatrix(shape[1], shape[2])
				cloud(rng, x, first)
				sizes := Balanced(x.Rows, first.Rows)
				if rng.IntN(2) == 0 {
					sizes = Between(first.Rows, x.Rows/first.Rows/2, 2*(x.Rows/first.Rows+1))
				}
				seed := rng.Uint64()
				forEachCPU(func(where string) {
					rng := rand.New(rand.NewPCG(seed, 0))
					c := core.NewMatrix(first.Rows, first.Cols)
					copy(c.Data, first.Data)
					r := NewRough(workedOut{stored{x}}, meanOf(x), sizes)
					if _, err := r.Assign(context.Background(), c); err != nil {
						t.Fatal(err)
					}
					m, warm := r.Moving(), r.Warm()
					for time, some := range []int{c.Rows, c.Rows / 2, 1, 0, 3, c.Rows} {
						for _, j := range rng.Perm(c.Rows)[:some] {
							to := x.Row(rng.IntN(x.Rows))
							for d, v := range c.Row(j) {
								c.Row(j)[d] = v + (to[d]-v)/4
							}
						}
						costs, err := Distances(Stored(x), c)
						if err != nil {
							t.Fatal(err)
						}
						want, err := Solve(context.Background(), costs, sizes, warm)
						if err != nil {
							t.Fatal(err)
						}
						got, err := m.Assign(context.Background(), c, warm)
						if err != nil || !reflect.DeepEqual(got, want) {
							t.Fatalf("%v, %s, time %d, %d moved: error %v, cost %g, want %g", shape, where, time, some, err, got.Primal, want.Primal)
						}
						warm = got
					}
				})
			}
		})
	}
}

// TestMovingAfterError wants an assignment that ended early to leave nothing that the next one believes in.
func TestMovingAfterError(t *testing.T) {
	x, c := mixture(12, 900, 20, 12)
	m := NewRough(Stored(x), meanOf(x), Balanced(900, 12)).Moving()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for time, ctx := range []context.Context{context.Background(), ended, context.Background()} {
		for i := range c.Data {
			if time < 2 {
				c.Data[i] *= -1.01
			}
		}
		costs, err := Distances(Stored(x), c)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Solve(context.Background(), costs, Balanced(900, 12), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Assign(ctx, c, nil)
		if !errors.Is(err, ctx.Err()) || err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("error %v, assignment %v, want %v", err, got, want)
		}
	}
	x.Data[77] = float32(math.Inf(1))
	if _, err := NewRough(Stored(x), meanOf(x), Balanced(900, 12)).Moving().Assign(context.Background(), c, nil); !errors.Is(err, core.ErrNotFinite) {
		t.Errorf("error %v with an infinity", err)
	}
}
