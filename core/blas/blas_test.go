package blas_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/semantic-id/semantic-id/core/blas"
)

// counting counts the products that go through ours.
type counting struct {
	blas.Implementation
	calls *int
}

func (c counting) Sgemm(tA, tB gonumblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, d []float32, ldd int) {
	*c.calls++
	c.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, d, ldd)
}

func values(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// TestSgemm holds it against gonum's own, to within the roundings of both.
func TestSgemm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for number := range 400 {
		m, n, k := 1+r.IntN(40), 1+r.IntN(80), r.IntN(50)
		tA, tB := []gonumblas.Transpose{'N', 'T', 'C'}[r.IntN(3)], []gonumblas.Transpose{'N', 'T', 'C'}[r.IntN(3)]
		alpha, beta := []float32{1, 1, 0, -0.3}[r.IntN(4)], []float32{0, 1, 2.5}[r.IntN(3)]
		rowsA, colsA, rowsB, colsB := m, k, k, n
		if tA != 'N' {
			rowsA, colsA = k, m
		}
		if tB != 'N' {
			rowsB, colsB = n, k
		}
		lda, ldb, ldc := max(1, colsA)+r.IntN(3), max(1, colsB)+r.IntN(3), n+r.IntN(3)
		a, b, c := values(r, rowsA*lda), values(r, rowsB*ldb), values(r, m*ldc)
		if beta == 0 {
			c[0] = float32(math.NaN())
		}
		got, want := append([]float32(nil), c...), append([]float32(nil), c...)
		if alpha == 0 && len(a) > 0 { // as in BLAS, it is not looked at; gonum does look
			a[0] = float32(math.NaN())
		}
		blas.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, got, ldc)
		if alpha == 0 && len(a) > 0 {
			a[0] = 0
		}
		gonum.Implementation{}.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, want, ldc)
		for i := range want {
			size := 5.0 * 5 * float64(k+1) // no deviate here is above 5
			if d := float64(got[i]) - float64(want[i]); !(math.Abs(d) <= float64(k+3)*0x1p-23*size) {
				t.Fatalf("%d: %c%c %d x %d x %d, alpha %g, beta %g: element %d is %g, gonum's %g", number, tA, tB, m, n, k, alpha, beta, i, got[i], want[i])
			}
		}
	}
}

func TestSgemmPanicsAsGonum(t *testing.T) {
	x := make([]float32, 12)
	for _, c := range []struct {
		name             string
		tA               gonumblas.Transpose
		m, n, k          int
		lda, ldb, ldc    int
		lenA, lenB, lenC int
	}{
		{"transpose", 'X', 2, 3, 4, 4, 3, 3, 8, 12, 6},
		{"m", 'N', -2, 3, 4, 4, 3, 3, 8, 12, 6},
		{"n", 'N', 2, -3, 4, 4, 3, 3, 8, 12, 6},
		{"k", 'N', 2, 3, -4, 4, 3, 3, 8, 12, 6},
		{"lda", 'N', 2, 3, 4, 3, 3, 3, 8, 12, 6},
		{"ldb", 'N', 2, 3, 4, 4, 2, 3, 8, 12, 6},
		{"ldc", 'N', 2, 3, 4, 4, 3, 2, 8, 12, 6},
		{"a", 'N', 2, 3, 4, 4, 3, 3, 7, 12, 6},
		{"b", 'N', 2, 3, 4, 4, 3, 3, 8, 11, 6},
		{"c", 'N', 2, 3, 4, 4, 3, 3, 8, 12, 5},
	} {
		for _, alpha := range []float32{1, 2} {
			for _, s := range []gonumblas.Float32Level3{blas.Implementation{}, gonum.Implementation{}} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s, alpha %g: %T does not panic", c.name, alpha, s)
						}
					}()
					s.Sgemm(c.tA, 'N', c.m, c.n, c.k, alpha, x[:c.lenA], c.lda, x[:c.lenB], c.ldb, 0, x[:c.lenC], c.ldc)
				}()
			}
		}
	}
}

// TestGonumAndGorgoniaUseIt: gonum's blas32, gorgonia's tensors, and a graph of gorgonia with its gradients.
func TestGonumAndGorgoniaUseIt(t *testing.T) {
	calls := 0
	ours := counting{calls: &calls}
	blas32.Use(ours)
	gorgonia.Use(ours) // and tensor.Use
	defer blas32.Use(gonum.Implementation{})
	defer gorgonia.Use(gonum.Implementation{})

	const m, n, k = 5, 7, 3
	r := rand.New(rand.NewPCG(3, 4))
	a, b := values(r, m*k), values(r, k*n)
	want := make([]float32, m*n)
	blas.Implementation{}.Sgemm('N', 'N', m, n, k, 1, a, k, b, n, 0, want, n)
	check := func(what string, got []float32, least int) {
		t.Helper()
		if calls < least {
			t.Errorf("%s: %d calls of our Sgemm, want %d", what, calls, least)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: element %d is %x, want %x", what, i, got[i], want[i])
			}
		}
		calls = 0
	}

	c := blas32.General{Rows: m, Cols: n, Stride: n, Data: make([]float32, m*n)}
	blas32.Gemm('N', 'N', 1, blas32.General{Rows: m, Cols: k, Stride: k, Data: a}, blas32.General{Rows: k, Cols: n, Stride: n, Data: b}, 0, c)
	check("blas32.Gemm", c.Data, 1)

	x, y := tensor.New(tensor.WithShape(m, k), tensor.WithBacking(a)), tensor.New(tensor.WithShape(k, n), tensor.WithBacking(b))
	product, err := x.MatMul(y)
	if err != nil {
		t.Fatal(err)
	}
	check("tensor", product.Data().([]float32), 1)

	g := gorgonia.NewGraph()
	nodeX := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithValue(x), gorgonia.WithName("x"))
	nodeY := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithValue(y), gorgonia.WithName("y"))
	z := gorgonia.Must(gorgonia.Mul(nodeX, nodeY))
	if _, err := gorgonia.Grad(gorgonia.Must(gorgonia.Sum(z)), nodeX, nodeY); err != nil {
		t.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	defer machine.Close()
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	check("graph", z.Value().Data().([]float32), 3) // forward, and one for each gradient
}

func ExampleImplementation() {
	blas32.Use(blas.Implementation{})
	c := blas32.General{Rows: 1, Cols: 1, Stride: 1, Data: make([]float32, 1)}
	blas32.Gemm(gonumblas.NoTrans, gonumblas.NoTrans, 1,
		blas32.General{Rows: 1, Cols: 2, Stride: 2, Data: []float32{3, 4}},
		blas32.General{Rows: 2, Cols: 1, Stride: 1, Data: []float32{5, 6}}, 0, c)
	fmt.Println(c.Data)
	blas32.Use(gonum.Implementation{})
	// Output: [39]
}

// BenchmarkSgemm lets it take turns with gonum's own; the best turn of each counts.
func BenchmarkSgemm(b *testing.B) {
	const n = 512
	r := rand.New(rand.NewPCG(5, 6))
	x, y, z := values(r, n*n), values(r, n*n), make([]float32, n*n)
	both := []gonumblas.Float32Level3{blas.Implementation{}, gonum.Implementation{}}
	best := []time.Duration{1 << 62, 1 << 62}
	for b.Loop() {
		for i, s := range both {
			start := time.Now()
			s.Sgemm('N', 'T', n, n, n, 1, x, n, y, n, 0, z, n)
			best[i] = min(best[i], time.Since(start))
		}
	}
	b.ReportMetric(2*n*n*n/float64(best[0]), "GFLOPS")
	b.ReportMetric(float64(best[1])/float64(best[0]), "gain")
	b.ReportMetric(0, "ns/op")
}
