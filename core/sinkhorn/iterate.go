package sinkhorn

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/f32"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Scalings and sums between these leave entries of the kernel that underflow without weight.
const tiny, huge = 1e-100, 1e100

// chunk is how many rows are summed into one partial sum, part of the definition of a result.
func (s *Solver) chunk() int { return max(64, (s.costs.Rows+255)/256) }

// exponent is a cost in units of epsilon, above the least.
func (s *Solver) exponent(cost float64) float64 { return float64((cost - s.base) * s.inverse) }

// begin sets up the kernel, with a largest entry of 1 in each row.
func (s *Solver) begin(ctx context.Context, costs Costs, a, b []float64, low, high, inverse float64) error {
	if spread := (high/2 - low/2) * 2 * inverse; !(spread <= maxSpread) {
		return fmt.Errorf("sinkhorn: %w: costs from %g to %g differ by %g Epsilon, want at most %g: a larger Epsilon", core.ErrParam, low, high, spread, maxSpread)
	}
	n, k := costs.Rows, costs.Cols
	s.costs, s.base, s.inverse = costs, low, inverse
	s.kernel = resize(s.kernel, n*k)
	s.a, s.b = weights(s.a, a, n), weights(s.b, b, k)
	s.alpha, s.u, s.nextU = resize(s.alpha, n), resize(s.u, n), resize(s.nextU, n)
	s.beta, s.v, s.total, s.most = resize(s.beta, k), resize(s.v, k), resize(s.total, k), resize(s.most, k)
	chunks := (n + s.chunk() - 1) / s.chunk()
	s.sums, s.maxima = resize(s.sums, chunks*k), resize(s.maxima, chunks*k)
	s.errs, s.strange = resize(s.errs, chunks), resize(s.strange, chunks)
	clear(s.beta)
	err := par.Chunks(ctx, n, s.chunk(), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			s.alpha[i] = s.exponent(slices.Min(costs.Data[i*k : (i+1)*k]))
		}
	})
	if err != nil {
		return err
	}
	return s.absorb(ctx)
}

// weights copies w to dst, or n equal ones.
func weights(dst, w []float64, n int) []float64 {
	dst = resize(dst, n)
	for i := range dst {
		dst[i] = 1 / float64(n)
	}
	copy(dst, w)
	return dst
}

// absorb makes the kernel anew from alpha and beta, and all scalings 1.
func (s *Solver) absorb(ctx context.Context) error {
	k := s.costs.Cols
	for _, w := range [][]float64{s.u, s.v} {
		for i := range w {
			w[i] = 1
		}
	}
	return par.Chunks(ctx, s.costs.Rows, s.chunk(), func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			kernel := s.kernel[i*k : (i+1)*k]
			for j, c := range s.costs.Data[i*k : (i+1)*k] {
				kernel[j] = exp(s.alpha[i] + s.beta[j] - s.exponent(c))
			}
		}
	})
}

// iterate scales the rows to their weights and then the columns, unless stop says no when it is told by how much the rows
// were off before. It returns that, and whether all iterations to come would change nothing.
func (s *Solver) iterate(ctx context.Context, stop func(off float64) bool) (off float64, settled bool, err error) {
	k := s.costs.Cols
	err = par.Chunks(ctx, s.costs.Rows, s.chunk(), func(_, lo, hi int) {
		c := lo / s.chunk()
		sums := s.sums[c*k : (c+1)*k]
		clear(sums)
		var off float64
		strange := false
		for i := lo; i < hi; i++ {
			kernel := s.kernel[i*k : (i+1)*k]
			sum := f32.Dot64(kernel, s.v)
			off += math.Abs(float64(s.u[i]*sum) - s.a[i])
			u := s.a[i] / sum
			if !(sum > tiny && sum < huge && u > tiny && u < huge) {
				strange = true
			}
			s.nextU[i] = u
			f32.AddTimes64(sums, kernel, u)
		}
		s.errs[c], s.strange[c] = off, strange
	})
	if err != nil {
		return 0, false, err
	}
	for _, e := range s.errs {
		off += e
	}
	if stop(off) {
		return off, true, nil
	}
	strange, changed := slices.Contains(s.strange, true), false
	copy(s.total, s.sums)
	for c := k; c < len(s.sums); c += k {
		for j, t := range s.sums[c : c+k] {
			s.total[j] += t
		}
	}
	for j, t := range s.total {
		v := s.b[j] / t
		strange = strange || !(t > tiny && t < huge && v > tiny && v < huge)
	}
	if strange {
		return off, false, s.iterateLogs(ctx)
	}
	for j, t := range s.total {
		v := s.b[j] / t
		changed = changed || v != s.v[j]
		s.v[j] = v
	}
	changed = changed || !slices.Equal(s.nextU, s.u)
	s.u, s.nextU, s.inLogs = s.nextU, s.u, false
	return off, !changed, nil
}

// share is what part of column j row i has after an iteration.
func (s *Solver) share(i, j int) float64 {
	at := i*s.costs.Cols + j
	if s.inLogs {
		return exp(s.alpha[i]-s.exponent(s.costs.Data[at])-s.most[j]) / s.total[j]
	}
	return float64(s.kernel[at]*s.u[i]) / s.total[j]
}

// iterateLogs is iterate in logarithms, from the scalings before it; all of them end in the kernel.
func (s *Solver) iterateLogs(ctx context.Context) error {
	k := s.costs.Cols
	for j, v := range s.v {
		s.beta[j] += log(v)
	}
	err := par.Chunks(ctx, s.costs.Rows, s.chunk(), func(_, lo, hi int) {
		c := lo / s.chunk()
		sums, maxima := s.sums[c*k:(c+1)*k], s.maxima[c*k:(c+1)*k]
		for j := range sums {
			sums[j], maxima[j] = 0, math.Inf(-1)
		}
		for i := lo; i < hi; i++ {
			costs := s.costs.Data[i*k : (i+1)*k]
			most := math.Inf(-1)
			for j, c := range costs {
				most = max(most, s.beta[j]-s.exponent(c))
			}
			var sum float64
			for j, c := range costs {
				sum += exp(s.beta[j] - s.exponent(c) - most)
			}
			s.alpha[i] = log(s.a[i]) - log(sum) - most
			for j, c := range costs {
				join(&sums[j], &maxima[j], 1, s.alpha[i]-s.exponent(c))
			}
		}
	})
	if err != nil {
		return err
	}
	for j := range k {
		sum, most := s.sums[j], s.maxima[j]
		for c := k; c < len(s.sums); c += k {
			join(&sum, &most, s.sums[c+j], s.maxima[c+j])
		}
		s.beta[j] = log(s.b[j]) - log(sum) - most
		s.total[j], s.most[j] = sum, most
	}
	s.inLogs = true
	return s.absorb(ctx)
}

// join adds x e^y to sum e^most, whose most becomes the larger exponent.
func join(sum, most *float64, x, y float64) {
	if y > *most {
		*sum = float64(*sum*exp(*most-y)) + x
		*most = y
	} else {
		*sum += float64(x * exp(y-*most))
	}
}
