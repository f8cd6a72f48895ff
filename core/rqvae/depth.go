package rqvae

import (
	"math/rand/v2"

	"github.com/semantic-id/semantic-id/core"
)

// Level dropout: a row goes through its first levels only, so that codes mean something without those after them (Zeghidour,
// Luebs, Omran, Skoglund, Tagliasacchi, IEEE/ACM TASLP 30, 2022; for a share of the rows: Kumar et al., NeurIPS 2023).

// drawDepths returns a function that gives a share of the rows a number of levels, each from 1 to all as likely as another, and
// the others all. seed gives that of the step that runs.
func drawDepths(share float64, levels int, seed func() uint64) func(depth []int) {
	return func(depth []int) {
		rng := rand.New(rand.NewPCG(seed(), 0x6465707468))
		for i := range depth {
			depth[i] = levels
			if rng.Float64() < share {
				depth[i] = 1 + rng.IntN(levels)
			}
		}
	}
}

// depths is how many levels each row of this run goes through; nil: all. Codebooks that are to begin with need all rows.
func (q *quantizer) depths(rows int) []int {
	if q.deepen == nil || q.begin != nil {
		return nil
	}
	depth := make([]int, rows)
	q.deepen(depth)
	return depth
}

// assignDeep is assign among the rows alone that go through the level.
func (q *quantizer) assignDeep(l int, z core.Matrix, depth []int) error {
	var rows []int
	for i, n := range depth {
		q.codes[l][i] = -1
		if n > l {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	some, codes := core.NewMatrix(len(rows), z.Cols), make([]int32, len(rows))
	gather(some, z, rows)
	if err := q.assign(l, some, codes); err != nil {
		return err
	}
	for i, row := range rows {
		q.codes[l][row] = codes[i]
	}
	return nil
}

// deep lists the rows that go through a level, by their codes.
func deep(codes []int32) []int {
	var rows []int
	for i, k := range codes {
		if k >= 0 {
			rows = append(rows, i)
		}
	}
	return rows
}
