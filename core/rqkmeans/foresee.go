package rqkmeans

import (
	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/kmeans"
)

const (
	garbage      = 3.2e6 // bytes that are no longer used when the runtime begins to look for such
	threadMemory = 7e5   // bytes of a thread, of what the kernels work in, and of garbage while threads leave no time to collect it
)

// Memory foresees the most bytes that Fit needs beside x, with the codebooks and codes it returns and a copy of them, for
// so many rows of dim columns. Of p it takes Clusters, Metric and Recompute. Where that is megabytes, it is some 10 % off.
func Memory(rows, dim int, p Params) float64 {
	n, d := float64(rows), float64(dim)
	held, most, made := 8*n*float64(len(p.Clusters)), 0.0, 0.0 // held: codes
	if !p.Recompute && (len(p.Clusters) > 1 || p.Metric == core.Cosine) {
		held += 4 * n * d // what a level leaves over
	}
	for _, k := range p.Clusters {
		level := kmeans.Memory(rows, dim, k, p.Recompute)
		most, made = max(most, level), made+level
		held += 8 * d * float64(k)
	}
	unused := garbage
	if !kmeans.GivesBack(rows, dim) {
		unused = max(unused, held+most) // the runtime lets it grow to as much as is used
	}
	return held + most + min(unused, 1.65*made-most) + threadMemory*float64(par.Threads())
}
