package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Correlation is Spearman's rank correlation, from -1 to 1, between the Euclidean distance of rows a[i] and b[i] of x and
// their code distance. It is NaN where either is the same for all pairs. x must be finite.
func Correlation(ctx context.Context, x core.Matrix, c core.Codes, a, b []int64, distance Distance) (rho float64, err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := checkBoth(x, c); err != nil {
		return 0, err
	}
	if err := distance.check(); err != nil {
		return 0, err
	}
	if len(a) == 0 || len(a) != len(b) {
		return 0, fmt.Errorf("metrics: %w: %d rows on one side of the pairs, %d on the other, want equally many, at least one", core.ErrParam, len(a), len(b))
	}
	for _, side := range [][]int64{a, b} {
		if err := checkRows("pair", side, x.Rows); err != nil {
			return 0, err
		}
	}
	near, codes := make([]float64, len(a)), make([]float64, len(a))
	err = par.Chunks(ctx, len(a), 256, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			near[i] = f32.SqDist64(x.Row(int(a[i])), x.Row(int(b[i])))
			codes[i] = float64(distance.between(c.Row(int(a[i])), c.Row(int(b[i]))))
		}
	})
	return Spearman(near, codes), err
}

// Spearman returns the correlation of the ranks of x and y, which are equally long; ties share the mean of their ranks
// (Spearman, Am. J. Psychol. 15(1), 1904). It is NaN where all of x or all of y is equal.
func Spearman(x, y []float64) float64 {
	a, b := ranks(x), ranks(y)
	mean := float64(len(x)-1) / 2
	var ab, aa, bb float64
	for i := range a {
		u, v := a[i]-mean, b[i]-mean
		ab, aa, bb = ab+u*v, aa+u*u, bb+v*v
	}
	if aa == 0 || bb == 0 {
		return math.NaN()
	}
	return max(-1, min(1, ab/math.Sqrt(aa)/math.Sqrt(bb)))
}

// ranks returns the rank of each value, from 0; equal values share the mean of theirs.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case x[i] < x[j]:
			return -1
		case x[i] > x[j]:
			return 1
		}
		return 0
	})
	r := make([]float64, len(x))
	for lo := 0; lo < len(x); {
		hi := lo + 1
		for hi < len(x) && x[order[hi]] == x[order[lo]] {
			hi++
		}
		for _, i := range order[lo:hi] {
			r[i] = float64(lo+hi-1) / 2
		}
		lo = hi
	}
	return r
}
