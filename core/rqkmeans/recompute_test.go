package rqkmeans_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// TestRecomputeChangesNothing fits with what is left over kept and recomputed, and wants the same bits: with and without
// bounds and starts in subspaces, with empty clusters, over more rows than are summed or worked out at once.
func TestRecomputeChangesNothing(t *testing.T) {
	for _, c := range []struct {
		rows, cols, centers int
		clusters            []int
	}{
		{900, 7, 5, []int{20, 4, 50}},
		{3000, 64, 40, []int{40, 30}},
		{300, 48, 9, []int{9, 100, 9}},
		{67000, 4, 30, []int{8, 8, 8}},
	} {
		x := blobs(21, c.rows, c.cols, c.centers)
		weights := make([]float64, x.Rows)
		for i := range weights {
			weights[i] = float64(i%5) / 2
		}
		for _, metric := range []core.Metric{core.L2, core.Cosine} {
			for _, w := range [][]float64{nil, weights} {
				t.Run(fmt.Sprintf("%dx%d/%v/weights=%v", c.rows, c.cols, metric, w != nil), func(t *testing.T) {
					p := rqkmeans.Params{Clusters: c.clusters, Metric: metric, MaxIter: 8, Tol: 1e-6, Restarts: 2, Seed: 4}
					want, wantCodes, wantLevels, err := rqkmeans.Fit(context.Background(), x, w, p)
					if err != nil {
						t.Fatal(err)
					}
					p.Recompute = true
					got, codes, levels, err := rqkmeans.Fit(context.Background(), x, w, p)
					if err != nil {
						t.Fatal(err)
					}
					for l := range want.Books() {
						if !slices.Equal(got.Books()[l].Data, want.Books()[l].Data) {
							t.Errorf("other codebook at level %d", l)
						}
					}
					if !slices.Equal(codes.Data, wantCodes.Data) || !slices.Equal(levels, wantLevels) {
						t.Errorf("other codes or account: %v, want %v", levels, wantLevels)
					}
				})
			}
		}
	}
}

// TestFirstBadRow wants the lowest row at fault in the error, whatever goroutine finds it.
func TestFirstBadRow(t *testing.T) {
	x := blobs(22, 3000, 5, 4)
	for _, i := range []int{2999, 1300, 1301, 2000} {
		x.Row(i)[3] = float32(math.Inf(-1))
		clear(x.Row(i - 650))
	}
	for _, c := range []struct {
		metric core.Metric
		want   error
		text   string
	}{{core.L2, core.ErrNotFinite, "row 1300;"}, {core.Cosine, core.ErrZeroRow, "row 650;"}} {
		for _, recompute := range []bool{false, true} {
			p := rqkmeans.DefaultParams(2, 4)
			p.Metric, p.Recompute = c.metric, recompute
			_, _, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v, recompute %v: got error %v, want %v", c.metric, recompute, err, c.text)
			}
		}
	}
}
