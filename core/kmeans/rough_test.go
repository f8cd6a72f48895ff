package kmeans

import (
	"math"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// TestRoughDistances wants each within its slack of the true one, and the slack to be of use.
func TestRoughDistances(t *testing.T) {
	for name, c := range map[string]struct {
		x      core.Matrix
		offset float32
	}{
		"around zero": {clouds(1, 60, 384, 5, 1, 1), 0},
		"odd width":   {clouds(2, 60, 67, 5, 1, 1), 0},
		"far away":    {clouds(3, 60, 100, 5, 1, 1), 50},
		"small":       {clouds(4, 60, 100, 5, 1, 1e-9), 0},
		"large":       {clouds(5, 60, 100, 5, 1, 1e9), 0},
		"zero":        {core.NewMatrix(60, 33), 0},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.x.Data {
				c.x.Data[i] += c.offset
			}
			centroids := c.x.Slice(0, 20)
			var r rough
			r.set(centroids)
			at, dst, row := make([]int32, 20), make([]float32, 20), newRoughRow(20, c.x.Cols)
			for k := range at {
				at[k] = int32(19 - k)
			}
			for i := range c.x.Rows {
				slack := r.sqDists(dst, c.x.Row(i), at, &row)
				norm := math.Sqrt(norm64(c.x.Row(i))) + r.norm
				if !(slack <= 0.002*norm*norm+1e-40) {
					t.Errorf("row %d: slack %g, norms of %g", i, slack, norm)
				}
				for k, d := range dst {
					if want := f32.SqDist64(c.x.Row(i), centroids.Row(int(at[k]))); !(math.Abs(float64(d)-want) <= slack) {
						t.Errorf("row %d, centroid %d: %g, want %g within %g", i, at[k], d, want, slack)
					}
				}
			}
		})
	}
}
