package facade

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/metrics"
)

// Distances of rows of codes, in all calls that take one.
const (
	DistanceHierarchical = iota // levels less the common prefix
	DistanceHamming             // levels that differ
)

// MetricsCheckFinite returns KindNotFinite, with the first row, if x, float32 (rows, dim), holds NaN or infinity.
func MetricsCheckFinite(xAddr uint64, rows, dim int64, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		return metrics.CheckFinite(ctx, x)
	})
}

// MetricsRank compares, for rows of x, float32 (rows, dim) and finite, the k nearest rows with the k nearest in codes,
// int32 (rows, levels). queriesAddr holds the numbers of the queries' rows, int64. It writes four float64: recall, NDCG,
// and both in expectation over rows that tie in codes. ControlDone counts queries.
func MetricsRank(xAddr uint64, rows, dim int64, codesAddr uint64, levels int64, queriesAddr uint64, queries, k, distance int64,
	out, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, c, err := matrixAndCodes(xAddr, rows, dim, codesAddr, levels)
		if err != nil {
			return err
		}
		if err := checkCount("queries", queries); err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, int(queries))
		r, err := metrics.Rank(ctx, x, c, slice[int64](queriesAddr, queries), intOf(k), metrics.Distance(distance),
			func(done int) { control.set(ControlDone, done) })
		if err != nil {
			return err
		}
		putAll(out, r.Recall, r.NDCG, r.ItemRecall, r.ItemNDCG)
		return nil
	})
}

// MetricsNeighbors writes, for rows of x, float32 (rows, dim) and finite, the numbers (int32) of the k rows nearest to each,
// nearest first, ties to the lowest number and without the row itself, and their squared Euclidean distances (float64), k of
// each a query. queriesAddr holds the numbers of the queries' rows, int64. ControlDone counts queries.
func MetricsNeighbors(xAddr uint64, rows, dim int64, queriesAddr uint64, queries, k int64, idsOut, distsOut, controlAddr uint64,
	errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		if err := checkCount("queries", queries); err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, int(queries))
		ids, dists, err := metrics.Neighbors(ctx, x, slice[int64](queriesAddr, queries), intOf(k),
			func(done int) { control.set(ControlDone, done) })
		if err != nil {
			return err
		}
		copy(slice[int32](idsOut, queries*k), ids)
		copy(slice[float64](distsOut, queries*k), dists)
		return nil
	})
}

// MetricsCorrelation writes the rank correlation (float64, NaN where it is not defined) between Euclidean distance in x and
// distance in codes, over pairs of rows whose numbers, int64, are at aAddr and bAddr.
func MetricsCorrelation(xAddr uint64, rows, dim int64, codesAddr uint64, levels int64, aAddr, bAddr uint64, pairs, distance int64,
	out, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, c, err := matrixAndCodes(xAddr, rows, dim, codesAddr, levels)
		if err != nil {
			return err
		}
		if err := checkCount("pairs", pairs); err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		rho, err := metrics.Correlation(ctx, x, c, slice[int64](aAddr, pairs), slice[int64](bAddr, pairs), metrics.Distance(distance))
		put(out, rho)
		return err
	})
}

// MetricsSumSquares writes the sum (float64) of the squared differences of x and y, float32 (rows, dim). metric 1 divides
// the rows of x by their norm before.
func MetricsSumSquares(xAddr, yAddr uint64, rows, dim, metric int64, out, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		y, err := matrix(yAddr, rows, dim)
		if err != nil {
			return err
		}
		ctx, stop := controlAt(controlAddr).context()
		defer stop()
		sum, err := metrics.SumSquares(ctx, x, y, core.Metric(metric))
		put(out, sum)
		return err
	})
}

// Numbers that MetricsUse writes.
const (
	UseIDs   = 7 // of all ids: different ones, collision rate, singleton rate, largest bucket, Gini, entropy, perplexity
	UseLevel = 9 // of each level: clusters, used, dead, utilization, Gini, entropy, perplexity, collision rate, fan-out
)

// MetricsUse writes how codes are used, as UseIDs float64 to idsOut and UseLevel float64 a level to levelsOut. clustersAddr
// holds the codebook sizes, int64, or is 0 for the largest code + 1.
func MetricsUse(codesAddr uint64, rows, levels int64, clustersAddr uint64, idsOut, levelsOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		var clusters []int
		if clustersAddr != 0 {
			for _, k := range slice[int64](clustersAddr, levels) {
				clusters = append(clusters, intOf(k))
			}
		}
		u, err := metrics.Use(c, clusters)
		if err != nil {
			return err
		}
		putAll(idsOut, float64(u.Unique), u.CollisionRate, u.SingletonRate, float64(u.LargestBucket), u.Gini, u.Entropy, u.Perplexity)
		for l, v := range u.Levels {
			putAll(levelsOut+uint64(8*l*UseLevel), float64(v.Clusters), float64(v.Used), float64(v.Dead), v.Utilization, v.Gini, v.Entropy,
				v.Perplexity, v.CollisionRate, v.FanOut)
		}
		return nil
	})
}

// MetricsSimilar writes the numbers (int64, room for k) of the rows nearest in codes to a query of levels codes at
// queryAddr, their distances (int64, room for k), and how many they are. Row skip is left out, none if it is -1.
func MetricsSimilar(codesAddr uint64, rows, levels int64, queryAddr uint64, skip, k, distance int64, idsOut, distsOut, countOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		ids, dists, err := metrics.Similar(c, slice[int32](queryAddr, levels), intOf(skip), intOf(k), metrics.Distance(distance))
		if err != nil {
			return err
		}
		for i, id := range ids {
			slice[int64](idsOut, k)[i], slice[int64](distsOut, k)[i] = int64(id), int64(dists[i])
		}
		put(countOut, int64(len(ids)))
		return nil
	})
}

// MetricsLabels holds the prefixes of codes against a label per row, int32, -1 where there is none: it writes, for prefixes
// of 0 to levels codes, purity and normalised mutual information (float64), and how many rows have a label (int64).
func MetricsLabels(codesAddr uint64, rows, levels int64, labelsAddr uint64, purityOut, nmiOut, rowsOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		m, err := metrics.Labels(c, slice[int32](labelsAddr, rows))
		if err != nil {
			return err
		}
		copy(slice[float64](purityOut, levels+1), m.Purity)
		copy(slice[float64](nmiOut, levels+1), m.NMI)
		put(rowsOut, int64(m.Rows))
		return nil
	})
}

// MetricsPairs holds codes against pairs of rows, int64 at aAddr and bAddr: it writes for each level the share of the pairs
// whose codes are equal up to it and that of all pairs (float64), and the probability that a given pair is closer.
func MetricsPairs(codesAddr uint64, rows, levels int64, aAddr, bAddr uint64, pairs int64, sharedOut, chanceOut, aucOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		if err := checkCount("pairs", pairs); err != nil {
			return err
		}
		r, err := metrics.Pairs(c, slice[int64](aAddr, pairs), slice[int64](bAddr, pairs))
		if err != nil {
			return err
		}
		copy(slice[float64](sharedOut, levels), r.Shared)
		copy(slice[float64](chanceOut, levels), r.Chance)
		put(aucOut, r.AUC)
		return nil
	})
}

// MetricsAgree compares two sets of codes of the same rows: it writes, for prefixes of 1 to the fewer levels of both, the share of
// rows whose prefix differs and the mutual information of the prefixes (float64).
func MetricsAgree(aAddr uint64, aLevels int64, bAddr uint64, bLevels, rows int64, movedOut, nmiOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		a, err := codes(aAddr, rows, aLevels)
		if err != nil {
			return err
		}
		b, err := codes(bAddr, rows, bLevels)
		if err != nil {
			return err
		}
		r, err := metrics.Agree(a, b)
		if err != nil {
			return err
		}
		copy(slice[float64](movedOut, int64(len(r.Moved))), r.Moved)
		copy(slice[float64](nmiOut, int64(len(r.NMI))), r.NMI)
		return nil
	})
}

// MetricsShift compares how new and old rows use the codes of each level: it writes the population stability index, and the
// share of the codebook that as many rows as the new ones would use if they were like the old (float64). oldRows 0 stands
// for equally used codes.
func MetricsShift(newAddr uint64, newRows int64, oldAddr uint64, oldRows, levels int64, clustersAddr uint64, psiOut, utilizationOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		fresh, err := codes(newAddr, newRows, levels)
		if err != nil {
			return err
		}
		var old core.Codes
		if oldRows != 0 {
			if old, err = codes(oldAddr, oldRows, levels); err != nil {
				return err
			}
		}
		var clusters []int
		for _, k := range slice[int64](clustersAddr, levels) {
			clusters = append(clusters, intOf(k))
		}
		s, err := metrics.Shifted(fresh, old, clusters)
		if err != nil {
			return err
		}
		copy(slice[float64](psiOut, levels), s.PSI)
		copy(slice[float64](utilizationOut, levels), s.Utilization)
		return nil
	})
}

func matrixAndCodes(xAddr uint64, rows, dim int64, codesAddr uint64, levels int64) (core.Matrix, core.Codes, error) {
	x, err := matrix(xAddr, rows, dim)
	if err != nil {
		return core.Matrix{}, core.Codes{}, err
	}
	c, err := codes(codesAddr, rows, levels)
	return x, c, err
}

// putAll writes values one after the other.
func putAll(addr uint64, values ...float64) {
	if addr == 0 {
		return
	}
	for i, v := range values {
		put(addr+uint64(8*i), v)
	}
}

func checkCount(what string, n int64) error {
	if n < 1 || n > maxElements {
		return fmt.Errorf("%w: %d %s, want at least one", core.ErrParam, n, what)
	}
	return nil
}

// intOf is n as an int, or the nearest there is.
func intOf(n int64) int { return int(min(max(n, math.MinInt), math.MaxInt)) }
