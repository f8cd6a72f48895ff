package rqkmeans

import (
	"context"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/fault"
	"github.com/semantic-id/semantic-id/core/kmeans"
	"github.com/semantic-id/semantic-id/core/transport"
)

// Certificate is the proof that no balanced codes of a level leave less than these, given its codebook and what the levels
// before left over.
type Certificate struct {
	Primal float64 // the sum of the squared distances between what is left of the rows and the centroids of their codes
	Dual   float64 // no balanced codes have a smaller sum than this
	Gap    float64 // (Primal - Dual) / Primal, at most transport.MaxGap
}

func certify(s *transport.Solution) Certificate {
	return Certificate{Primal: s.Primal, Dual: s.Dual, Gap: s.Gap}
}

// EncodeBalanced writes into dst codes of the rows of x that use all centroids of a level equally often, to within one,
// and of all such codes some of the least sum of squared distances; level after level, as in Encode. A code depends on
// the other rows of x. progress, unless nil, is called with the number of levels done.
//
// Beside x it needs once its memory, or with recompute little: see Params.Recompute.
func (m *Model) EncodeBalanced(ctx context.Context, x core.Matrix, dst core.Codes, recompute bool, progress func(levels int)) (_ []Certificate, err error) {
	defer fault.Panic()()
	defer fault.Recover(&err, x.Data)
	if err := m.check(x, dst); err != nil {
		return nil, err
	}
	if err := checkRows(ctx, x, m.metric); err != nil {
		return nil, err
	}
	rest := newLeftover(kmeans.RowsOf(x), m.metric, dst, recompute)
	proofs := make([]Certificate, len(m.books))
	for l, book := range m.books {
		left, err := rest.of(ctx, m.books[:l])
		if err != nil {
			return nil, err
		}
		costs, err := transport.Distances(left, book)
		if err != nil {
			return nil, fmt.Errorf("level %d: %w", l, err)
		}
		s, err := transport.Solve(ctx, costs, transport.Balanced(x.Rows, book.Rows), nil)
		if err != nil {
			return nil, fmt.Errorf("level %d: %w", l, err)
		}
		proofs[l] = certify(s)
		for i, k := range s.Columns {
			dst.Data[i*dst.Levels+l] = k
		}
		if progress != nil {
			progress(l + 1)
		}
	}
	return proofs, nil
}
