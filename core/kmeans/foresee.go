package kmeans

// Way is how Fit goes about its rows, which decides what time it takes.
type Way int

const (
	ByRow    Way = iota // single rows are moved: there are few a centroid
	ByBounds            // Lloyd, skipping distances by bounds
	Plainly             // Lloyd, measuring every distance
)

// WayOf foresees the way of Fit. Data that is all but points, or spread beyond float32's squares, goes without bounds.
func WayOf(rows, dim, k int) Way {
	switch {
	case rows < exchangeBelow*k:
		return ByRow
	case boundsFit(dim, k, false):
		return ByBounds
	}
	return Plainly
}

// Memory foresees the most bytes that Fit holds beside its rows, with what it is done with but has not given back. lean is
// as for Rows.Lean.
func Memory(rows, dim, k int, lean bool) float64 {
	n, book := float64(rows), 4*float64(dim)*float64(k)
	sums := 2 * book // in float64
	if rows > chunkRows {
		sums *= 2 // and those of one chunk
	}
	start, rest := startMemory(rows, dim, k), 0.0
	switch WayOf(rows, dim, k) {
	case ByRow:
		rest = 12*n + 3*book // labels, norms, sums, and the centroids as the kernels want them
	case ByBounds:
		rest = boundsMemory(rows, dim, k, lean)
	}
	most := start + rest
	if GivesBack(rows, dim) {
		most = max(start, rest)
	}
	return 8*n + sums + 2*book + most // labels of two iterations; centroids, also as the kernels want them
}

// StartWork foresees the work of finding first centroids, for which Fit takes a sample of the rows. The unit is a
// multiplication of those that covariances and projections take; the others are weighed as measured (Zen 4).
func StartWork(rows, dim, k int) float64 {
	const (
		seed  = 128 // for each row and centroid of k-means++, candidates and all
		visit = 3   // for each row and centroid of an iteration in a subspace
	)
	d, c := float64(dim), float64(k)
	work := seed * c * float64(seedsOf(rows, dim, k, rows < exchangeBelow*k))
	if rows >= exchangeBelow*k && dim >= progressDim {
		widest := 0.0
		for s := smallestDim; s <= min(largestDim, dim/2); s *= 2 {
			widest = float64(s)
			work += visit * c * sampledOf(rows, k) * (stageIters + 1)
		}
		work += d*d*min(float64(rows), subspaceRows)/2 + subspaceSteps*d*d*widest + sampledOf(rows, k)*d*widest
	}
	return work
}

// sampledOf is how many rows the start looks at.
func sampledOf(rows, k int) float64 { return float64(min(rows, max(startRows*k, 4096))) }

// startMemory is what a starter holds, and what it leaves behind until that is given back.
func startMemory(rows, dim, k int) float64 {
	n, d, sampled := float64(rows), float64(dim), sampledOf(rows, k)
	bytes, seeded := 0.0, dim // the columns that k-means++ works on
	switch {
	case sketched(dim, rows < exchangeBelow*k):
		seeded = sketchDim
		bytes = 4 * sketchDim * sampled
	case rows >= exchangeBelow*k && dim >= progressDim:
		seeded = smallestDim
		for s := smallestDim; s <= min(largestDim, dim/2); s *= 2 {
			bytes += 4 * float64(s) * sampled
		}
		bytes += 8*d*d + 8*d*min(n, subspaceRows) // the covariance, and the rows it is taken from
	}
	if seeded < dim && sampled < n {
		bytes += 4 * d * sampled
	}
	return bytes + float64(seedsOf(rows, dim, k, rows < exchangeBelow*k))*float64(8*seeded+4*candidates(k)+40) // rows as they are and as the kernels want them, scores
}
