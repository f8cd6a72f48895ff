package f32

import (
	"math"
	"slices"
	"testing"
)

// TestBytes wants products of what rounding makes of rows and centroids, the same with all kernels.
func TestBytes(t *testing.T) {
	for _, c := range []struct {
		rows, k, dim int
		away         float32 // of the center from the origin
	}{{1, 1, 48, 0}, {85, 33, 50, 3}, {100, 64, 100, 0}, {170, 7, 384, -1}} {
		rows, centroids, center := normals(1, c.rows*c.dim), normals(2, c.k*c.dim), make([]float32, c.dim)
		for d := range center {
			center[d] = c.away
		}
		for _, x := range [][]float32{rows, centroids} {
			for i := range x {
				x[i] += c.away
			}
		}
		copy(rows, center) // nothing to round
		stride := (c.k + Chunk - 1) / Chunk * Chunk
		var want []float32
		forEachGroups(t, func(t *testing.T) {
			b := NewBytes(c.rows, center)
			for i := range c.rows {
				row := slices.Clone(rows[i*c.dim:][:c.dim])
				square, lost := b.SetRow(i, row)
				if exact := SqDist64(rows[i*c.dim:][:c.dim], center); !(math.Abs(square-exact) <= 1e-6*exact) || !(lost <= 2e-4*square || i == 0) {
					t.Fatalf("%+v, row %d: square %g, want %g; lost %g", c, i, square, exact, lost)
				}
			}
			norms := make([]float64, c.k)
			if !b.SetCentroids(norms, centroids, c.k) {
				t.Fatalf("%+v: no good", c)
			}
			products := guardedSlice[float32](ceil(c.rows, BytesStep)*BytesStep*stride, -7)
			for lo := 0; lo < c.rows; lo += BytesStep {
				b.Products(products.in[lo*stride:], stride, lo, min(c.rows, lo+BytesStep))
			}
			products.checkIntact(t)
			var got []float32
			for i := range c.rows {
				got = append(got, products.in[i*stride:][:c.k]...)
				for j := range c.k {
					var exact, x, y float64
					for d := range c.dim {
						v, w := float64(rows[i*c.dim+d]-center[d]), float64(centroids[j*c.dim+d]-center[d])
						exact, x, y = exact+v*w, x+v*v, y+w*w
					}
					if j < 2 && !(math.Abs(norms[j]-y) <= 1e-9*y) {
						t.Fatalf("%+v, centroid %d: norm %g, want %g", c, j, norms[j], y)
					}
					// Elements are off by a 1/254 of the largest at most: some 4 of the mean ones.
					if off := math.Abs(float64(products.in[i*stride+j]) - exact); !(off <= 0.05*math.Sqrt(x*y/float64(c.dim))+0.01*math.Sqrt(x*y)) {
						t.Fatalf("%+v, row %d, centroid %d: %g, want %g", c, i, j, products.in[i*stride+j], exact)
					}
				}
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: other products than with the first kernels", c)
			}
		})
	}
}

func TestBytesNoGood(t *testing.T) {
	center := make([]float32, 48)
	b := NewBytes(1, center)
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), 0x1p31} {
		x := make([]float32, 48)
		x[5] = v
		if square, lost := b.SetRow(0, slices.Clone(x)); !math.IsNaN(square) || !math.IsNaN(lost) {
			t.Errorf("row of %g: square %g, lost %g, want NaN", v, square, lost)
		}
		if b.SetCentroids(make([]float64, 1), x, 1) {
			t.Errorf("centroid of %g is taken", v)
		}
	}
	if BytesFit(47) || !BytesFit(48) || BytesFit(1<<16+1) {
		t.Error("fit or not")
	}
}

func BenchmarkBytes(b *testing.B) {
	const rows, k, dim = 42 * BytesStep, 64, 384
	x, centroids := normals(1, rows*dim), normals(2, k*dim)
	bytes, norms, dst := NewBytes(rows, make([]float32, dim)), make([]float64, k), make([]float32, rows*k)
	for i := range rows {
		bytes.SetRow(i, x[i*dim:][:dim])
	}
	for b.Loop() {
		bytes.SetCentroids(norms, centroids, k)
		bytes.Products(dst, k, 0, rows)
	}
	b.ReportMetric(float64(rows*k*dim)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gmul/s")
}
