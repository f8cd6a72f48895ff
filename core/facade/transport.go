package facade

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/transport"
)

// TransportCosts sends rows to columns at the least summed cost, as transport.Solve does. costs is float64 (rows, columns),
// +Inf where a row cannot go; lower and upper hold columns int64, the sizes; startAddr columns float64, prices to start from
// (0: none). On success it writes the column of each row (int32), the price of each column (float64) and three float64: cost,
// bound and gap. It is for tests.
func TransportCosts(costsAddr uint64, rows, columns int64, lowerAddr, upperAddr, startAddr, columnsOut, pricesOut, proofOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		if rows < 0 || columns < 0 || columns > 0 && rows > maxElements/columns {
			return fmt.Errorf("%w: costs of %d rows and %d columns", core.ErrShape, rows, columns)
		}
		costs := table{int(rows), int(columns), slice[float64](costsAddr, rows*columns)}
		return solve(costs, lowerAddr, upperAddr, startAddr, columnsOut, pricesOut, proofOut, controlAddr)
	})
}

// TransportDistances is TransportCosts for the squared distances of x, float32 (rows, dim), to centroids, float32 (columns,
// dim).
func TransportDistances(xAddr uint64, rows, dim int64, centroidsAddr uint64, columns int64, lowerAddr, upperAddr, startAddr, columnsOut, pricesOut, proofOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		centroids, err := matrix(centroidsAddr, columns, dim)
		if err != nil {
			return err
		}
		costs, err := transport.Distances(transport.Stored(x), centroids)
		if err != nil {
			return err
		}
		return solve(costs, lowerAddr, upperAddr, startAddr, columnsOut, pricesOut, proofOut, controlAddr)
	})
}

func solve(costs transport.Costs, lowerAddr, upperAddr, startAddr, columnsOut, pricesOut, proofOut, controlAddr uint64) error {
	k := int64(costs.Columns())
	s := transport.Sizes{Lower: ints(lowerAddr, k), Upper: ints(upperAddr, k)}
	var start *transport.Solution
	if startAddr != 0 {
		start = &transport.Solution{Prices: slice[float64](startAddr, k)}
	}
	ctx, stop := controlAt(controlAddr).context()
	defer stop()
	r, err := transport.Solve(ctx, costs, s, start)
	if err != nil {
		return err
	}
	copy(slice[int32](columnsOut, int64(costs.Rows())), r.Columns)
	copy(slice[float64](pricesOut, k), r.Prices)
	proof := slice[float64](proofOut, 3)
	proof[0], proof[1], proof[2] = r.Primal, r.Dual, r.Gap
	return nil
}

// ints is n int64 at an address.
func ints(addr uint64, n int64) []int {
	s := make([]int, n)
	for i, v := range slice[int64](addr, n) {
		s[i] = int(v)
	}
	return s
}

// table is costs in the caller's memory.
type table struct {
	rows, columns int
	costs         []float64
}

func (t table) Rows() int                { return t.rows }
func (t table) Columns() int             { return t.columns }
func (t table) Row(dst []float64, i int) { copy(dst, t.costs[i*t.columns:(i+1)*t.columns]) }
