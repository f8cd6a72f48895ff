package facade

import (
	"fmt"
	"runtime"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/kmeans"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

// Bits of flagsOut of RQKMeansFit and RQKMeansRefine.
const (
	FlagNotConverged = 1 << iota // the level used up maxIter
	FlagNotDistinct              // fewer distinct rows than centroids; of balanced clusters, equal centroids
)

// RQKMeansFit fits residual k-means to x, float32 (rows, dim), with a float64 weight per row at weightsAddr (0: equal
// weights). ksAddr holds levels int64, the centroids of each level. recompute is 1 for data that memory cannot
// hold twice (rqkmeans.Params), balanced 1 for clusters whose sizes differ by at most one, without weights. On success it
// writes the codebooks (booksAddr holds levels uint64 addresses, level l taking float32 (ks[l], dim)), the codes of x (int32
// (rows, levels), unless codesAddr is 0) and per level the inertia (float64), the iterations (int64), the flags (int64) and,
// with balanced, the certificate (certificatesAddr, unless 0: float64 (levels, 3), see rqkmeans.Certificate); otherwise nothing.
func RQKMeansFit(xAddr uint64, rows, dim int64, weightsAddr uint64, levels int64, ksAddr uint64, metric, maxIter int64, tol float64,
	restarts int64, seed uint64, recompute, balanced int64, booksAddr, codesAddr, inertiaAddr, itersAddr, flagsAddr, certificatesAddr, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		if levels < 1 || levels > maxLevels {
			return fmt.Errorf("%w: %d levels, want 1 to %d", core.ErrParam, levels, maxLevels)
		}
		p := rqkmeans.Params{Metric: core.Metric(metric), MaxIter: int(maxIter), Tol: tol, Restarts: int(restarts), Seed: seed, Balanced: balanced != 0, Recompute: recompute != 0}
		for _, k := range slice[int64](ksAddr, levels) {
			p.Clusters = append(p.Clusters, int(k))
		}
		if p.Balanced {
			defer runtime.KeepAlive(ballast())
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, int(levels))
		control.set(ControlTotal, int(maxIter*restarts))
		p.Progress = func(level, done int) {
			control.set(ControlLevel, level)
			control.set(ControlDone, done)
		}
		m, fitted, account, err := rqkmeans.Fit(ctx, x, weightsAt(weightsAddr, rows), p)
		if err != nil {
			return err
		}
		out, err := codebooks(levels, dim, ksAddr, booksAddr)
		if err != nil {
			return err
		}
		for l, b := range m.Books() {
			copy(out[l].Data, b.Data)
		}
		if codesAddr != 0 {
			copy(slice[int32](codesAddr, rows*levels), fitted.Data)
		}
		for l, a := range account {
			slice[float64](inertiaAddr, levels)[l] = a.Inertia
			slice[int64](itersAddr, levels)[l] = int64(a.Iters)
			var flags int64
			if !a.Converged {
				flags |= FlagNotConverged
			}
			if !a.Distinct {
				flags |= FlagNotDistinct
			}
			slice[int64](flagsAddr, levels)[l] = flags
			if balanced != 0 {
				putCertificate(certificatesAddr, levels, l, a.Certificate)
			}
		}
		return nil
	})
}

// RQKMeansForesee foresees a fit of so many rows of dim columns: it writes the most bytes that it needs beside them
// (float64, as rqkmeans.Memory), and per level the kmeans.Way it goes (int64) and the work of its start (float64, as
// kmeans.StartWork). ksAddr holds levels int64, each from 1 to rows.
func RQKMeansForesee(rows, dim, levels int64, ksAddr uint64, recompute int64, bytesOut, waysOut, workOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		if rows < 1 || dim < 1 || levels < 1 || levels > maxLevels {
			return fmt.Errorf("%w: %d rows of %d columns, %d levels, want at least one of each and at most %d levels", core.ErrParam, rows, dim, levels, maxLevels)
		}
		p := rqkmeans.Params{Recompute: recompute != 0}
		for l, k := range slice[int64](ksAddr, levels) {
			if k < 1 || k > rows {
				return fmt.Errorf("%w: level %d has %d centroids, want 1 to %d", core.ErrParam, l, k, rows)
			}
			p.Clusters = append(p.Clusters, int(k))
			slice[int64](waysOut, levels)[l] = int64(kmeans.WayOf(int(rows), int(dim), int(k)))
			slice[float64](workOut, levels)[l] = kmeans.StartWork(int(rows), int(dim), int(k))
		}
		put(bytesOut, rqkmeans.Memory(int(rows), int(dim), p))
		return nil
	})
}

// RQKMeansRefine refines a quantizer for encoding with a beam, as rqkmeans.Refine says, on x, float32 (rows, dim), with a
// float64 weight per row at weightsAddr (0: equal weights). On success it writes the codebooks (booksAddr holds an uint64
// address for each level, level l taking float32 (ks[l], dim)), per level the inertia (float64), the errors (float64, room
// for maxIter + 2), how many of them there are (int64) and the flags (int64); otherwise nothing. The handle's model stays.
func RQKMeansRefine(handle int64, xAddr uint64, rows, dim int64, weightsAddr uint64, beam, maxIter int64, tol float64, seed uint64,
	booksAddr, inertiaAddr, errorsAddr, errorsLenOut, flagsOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		control := controlAt(controlAddr)
		ctx, stop := control.context()
		defer stop()
		control.set(ControlLevels, 1)
		control.set(ControlTotal, int(maxIter))
		p := rqkmeans.RefineParams{Beam: int(beam), MaxIter: int(maxIter), Tol: tol, Seed: seed}
		p.Progress = func(done int) { control.set(ControlDone, done) }
		refined, account, err := m.Refine(ctx, x, weightsAt(weightsAddr, rows), p)
		if err != nil {
			return err
		}
		addrs := slice[uint64](booksAddr, int64(len(refined.Books())))
		for l, b := range refined.Books() {
			out, err := matrix(addrs[l], int64(b.Rows), int64(b.Cols))
			if err != nil {
				return fmt.Errorf("codebook %d: %w", l, err)
			}
			copy(out.Data, b.Data)
		}
		copy(slice[float64](inertiaAddr, int64(len(account.Inertia))), account.Inertia)
		copy(slice[float64](errorsAddr, maxIter+2), account.Errors)
		put(errorsLenOut, int64(len(account.Errors)))
		var flags int64
		if !account.Converged {
			flags |= FlagNotConverged
		}
		put(flagsOut, flags)
		return nil
	})
}

// putCertificate writes the three numbers of level l, unless the address is 0.
func putCertificate(addr uint64, levels int64, l int, c rqkmeans.Certificate) {
	if addr != 0 {
		copy(slice[float64](addr, 3*levels)[3*l:], []float64{c.Primal, c.Dual, c.Gap})
	}
}

// weightsAt are the weights of rows at an address, nil at 0.
func weightsAt(addr uint64, rows int64) []float64 {
	if addr == 0 {
		return nil
	}
	return slice[float64](addr, rows)
}
