package facade

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/sinkhorn"
)

// SinkhornSolve finds, as sinkhorn.Solver.Solve, the plan between rows and columns whose costs, float64 (rows, cols), are at
// costsAddr, with weights, float64, at aAddr and bAddr (0: equal ones). It writes the plan, float64 (rows, cols), the
// potentials of rows and columns (float64), the error (float64) and the iterations (int64).
func SinkhornSolve(costsAddr uint64, rows, cols int64, aAddr, bAddr uint64, epsilon float64, maxIter int64, tol float64,
	planOut, fOut, gOut, errorOut, itersOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		costs, err := costsAt(costsAddr, rows, cols)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		var s sinkhorn.Solver
		p := sinkhorn.Params{Epsilon: epsilon, MaxIter: int(maxIter), Tol: tol}
		r, err := s.Solve(ctx, costs, weightsAt(aAddr, rows), weightsAt(bAddr, cols), p)
		if err != nil {
			return err
		}
		copy(slice[float64](fOut, rows), r.F)
		copy(slice[float64](gOut, cols), r.G)
		put(errorOut, r.Error)
		put(itersOut, int64(r.Iters))
		return s.Plan(ctx, slice[float64](planOut, rows*cols))
	})
}

// SinkhornAssign writes the column of each row, int32, as sinkhorn.Solver.Assign finds it by costs, float64 (rows, cols).
func SinkhornAssign(costsAddr uint64, rows, cols int64, epsilon float64, maxIter int64, labelsOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		costs, err := costsAt(costsAddr, rows, cols)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		var s sinkhorn.Solver
		return s.Assign(ctx, slice[int32](labelsOut, rows), costs, sinkhorn.Params{Epsilon: epsilon, MaxIter: int(maxIter)})
	})
}

func costsAt(addr uint64, rows, cols int64) (sinkhorn.Costs, error) {
	if rows < 1 || cols < 1 || rows > maxElements/cols || addr == 0 {
		return sinkhorn.Costs{}, fmt.Errorf("%w: costs of %d rows and %d columns, want at least one of each", core.ErrShape, rows, cols)
	}
	return sinkhorn.Costs{Rows: int(rows), Cols: int(cols), Data: slice[float64](addr, rows*cols)}, nil
}
