package f32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/cpu/cputest"
)

// odd returns values of every kind, infinities and NaN among them.
func odd(r *rand.Rand, n int) []float32 {
	x := hostile(r, n)
	for i := range x {
		switch r.IntN(20) {
		case 0:
			x[i] = float32(math.Inf(1 - 2*r.IntN(2)))
		case 1:
			x[i] = float32(math.NaN())
		}
	}
	return x
}

func checkSame(t *testing.T, what string, got guarded[float32], want func(i int) float32) {
	t.Helper()
	got.checkIntact(t)
	for i, g := range got.in {
		if w := want(i); math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w) {
			t.Fatalf("%s, n %d, element %d: %x, want %x", what, len(got.in), i, g, w)
		}
	}
}

// TestTraining wants the bits of the definitions: each operation rounded by itself.
func TestTraining(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for n := range 130 {
			x, y := odd(r, n), odd(r, n)
			dst := guardedSlice[float32](n, -7)
			WhereOn(dst.in, x, y)
			checkSame(t, "WhereOn", dst, func(i int) float32 {
				if y[i] > 0 {
					return x[i]
				}
				return 0
			})
			copy(dst.in, x)
			WhereOn(dst.in, dst.in, y) // in place
			checkSame(t, "WhereOn in place", dst, func(i int) float32 {
				if y[i] > 0 {
					return x[i]
				}
				return 0
			})
			const c = float32(1) / 3
			TimesDiff(dst.in, x, y, c)
			checkSame(t, "TimesDiff", dst, func(i int) float32 {
				d := x[i] - y[i]
				return float32(c * d)
			})
		}
	})
}

func TestSumSqDiff(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for n := range 130 {
			for _, values := range []func(*rand.Rand, int) []float32{hostile, odd} {
				x, y := values(r, n), values(r, n)
				var lanes [dotLanes]float64
				for i := range x {
					d := float64(x[i]) - float64(y[i])
					lanes[i%dotLanes] += float64(d * d)
				}
				for half := dotLanes / 2; half > 0; half /= 2 {
					for j := range half {
						lanes[j] += lanes[j+half]
					}
				}
				got, want := SumSqDiff(x, y), lanes[0]
				if math.Float64bits(got) != math.Float64bits(want) && (got == got || want == want) {
					t.Fatalf("n %d: %x, want %x", n, got, want)
				}
				if plain := distance(x, y); !(math.Abs(got-plain) <= 1e-13*plain) && plain == plain && !math.IsInf(plain, 0) {
					t.Fatalf("n %d: %g, added up in order %g", n, got, plain)
				}
			}
		}
	})
}

// TestAdamW wants the bits of the definition on each level, and what it is in float64 to within its roundings.
func TestAdamW(t *testing.T) {
	cputest.EachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for n := range 130 {
			const steps = 3
			x, m, v := guardedSlice[float32](n, -7), guardedSlice[float32](n, -7), guardedSlice[float32](n, -7)
			copy(x.in, normals(1, n))
			clear(m.in)
			clear(v.in)
			wantX, wantM, wantV := slices.Clone(x.in), make([]float32, n), make([]float32, n)
			exactX, exactM, exactV := make([]float64, n), make([]float64, n), make([]float64, n)
			for i, w := range x.in {
				exactX[i] = float64(w)
			}
			for step := 1; step <= steps; step++ {
				g := normals(uint64(step), n)
				for i := range g {
					switch r.IntN(6) {
					case 0:
						g[i] = 0
					case 1:
						g[i] *= 1e-20 // its square is denormal
					}
				}
				const lr, decay = 1e-3, 0.01
				a := AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Keep: 1 - lr*decay,
					Rate: lr / (1 - math.Pow(0.9, float64(step))), Root: math.Sqrt(1 - math.Pow(0.999, float64(step)))}
				a.Step(x.in, m.in, v.in, g)
				for i, d := range g {
					wantM[i] += float32(0.1 * float32(d-wantM[i]))
					wantV[i] = float32(0.999*wantV[i]) + float32(float32(0.001*d)*d)
					den := float32(float32(math.Sqrt(float64(wantV[i])))/float32(a.Root)) + 1e-8
					wantX[i] = float32(float32(a.Keep)*wantX[i]) - float32(float32(a.Rate)*float32(wantM[i]/den))

					e := float64(d)
					exactM[i] = 0.9*exactM[i] + 0.1*e
					exactV[i] = 0.999*exactV[i] + 0.001*e*e
					exactX[i] = a.Keep*exactX[i] - a.Rate*exactM[i]/(math.Sqrt(exactV[i])/a.Root+a.Eps)
				}
				checkSame(t, "weights", x, func(i int) float32 { return wantX[i] })
				checkSame(t, "mean", m, func(i int) float32 { return wantM[i] })
				checkSame(t, "mean of squares", v, func(i int) float32 { return wantV[i] })
			}
			for i := range exactX { // a step moves by at most lr/(1-Beta1), known to a few parts in 10^7; small squares lose more
				if got := float64(x.in[i]); !(math.Abs(got-exactX[i]) <= steps*(0x1p-23*(1+math.Abs(got))+1e-2*1e-5)) {
					t.Fatalf("n %d, weight %d is %g, in float64 %g", n, i, got, exactX[i])
				}
			}
		}
	})
}

func TestTrainingPanics(t *testing.T) {
	two, three := make([]float32, 2), make([]float32, 3)
	for name, f := range map[string]func(){
		"WhereOn": func() { WhereOn(three, two, three) }, "TimesDiff": func() { TimesDiff(three, three, two, 1) },
		"SumSqDiff": func() { SumSqDiff(three, two) }, "AdamW": func() { AdamW{}.Step(three, three, two, three) },
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

// BenchmarkTraining lets each loop take turns with its plain twin; the best turn of each counts.
func BenchmarkTraining(b *testing.B) {
	const n = 1 << 18
	x, y, z, v := normals(1, n), normals(2, n), make([]float32, n), make([]float32, n)
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"whereon", func() { WhereOn(z, x, y) }},
		{"timesdiff", func() { TimesDiff(z, x, y, 2) }},
		{"sumsqdiff", func() { SumSqDiff(x, y) }},
		{"adamw", func() { AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Rate: 1e-3, Root: 1, Keep: 1}.Step(x, z, v, y) }},
	} {
		b.Run(fmt.Sprintf("%s/n=%d", c.name, n), func(b *testing.B) {
			clear(z)
			best := map[cpu.Level]time.Duration{cpu.Generic: 1 << 62, cpu.Supported(): 1 << 62}
			for b.Loop() {
				for l := range best {
					restore := cpu.SetForTest(l)
					start := time.Now()
					c.f()
					best[l] = min(best[l], time.Since(start))
					restore()
				}
			}
			b.ReportMetric(float64(best[cpu.Supported()].Nanoseconds())/n, "ns/value")
			b.ReportMetric(float64(best[cpu.Generic])/float64(best[cpu.Supported()]), "gain")
			b.ReportMetric(0, "ns/op")
		})
	}
}
