package rqvae

import (
	"math"
	"math/rand/v2"

	"github.com/semantic-id/semantic-id/core/internal/f32"
)

// clip scales gradients down to a norm of most, all together, if it is larger.
func clip(grads [][]float32, most float64) {
	var squares float64
	for _, g := range grads {
		squares += parallelSum(len(g), partValues, func(lo, hi int) float64 { return f32.SqNorm64(g[lo:hi]) })
	}
	norm := math.Sqrt(squares)
	if norm <= most {
		return
	}
	scale := float32(most / norm)
	for _, g := range grads {
		parallel(len(g), partValues, func(lo, hi int) {
			for i := lo; i < hi; i++ {
				g[i] *= scale
			}
		})
	}
}

// stale tells whether neither the least error nor the least collision rate is of the last n epochs.
func stale(history []Epoch, n int) bool {
	least, rate := 0, 0
	for i, e := range history {
		if e.Error < history[least].Error {
			least = i
		}
		if e.CollisionRate < history[rate].CollisionRate {
			rate = i
		}
	}
	return max(least, rate) < len(history)-n
}

// count counts the codes of a batch.
func (t *trainer) count(q *quantizer) {
	if t.used == nil {
		t.used = make([][]int, len(q.books))
		for l, b := range q.books {
			t.used[l] = make([]int, b.Rows)
		}
	}
	for l, codes := range q.codes {
		for _, k := range codes {
			if k >= 0 {
				t.used[l][k]++
			}
		}
	}
}

// restart moves the vectors that no row of the epoch had as its code to where rows of the last batch are, as a level sees
// them, and forgets what AdamW or the running means have of them.
func (t *trainer) restart(q *quantizer, epoch int) {
	rng := rand.New(rand.NewPCG(t.Seed^0x64656164, uint64(epoch)))
	for l, book := range q.books {
		rows := deep(q.codes[l])
		if len(rows) == 0 {
			clear(t.used[l])
			continue
		}
		var m, v []float32
		if t.ema == nil {
			m, v = t.adam.of(t.weights, book.Data)
		}
		for k, n := range t.used[l] {
			if n > 0 {
				t.used[l][k] = 0
				continue
			}
			row := rows[rng.IntN(len(rows))]
			vector := append([]float32(nil), q.left[l].Row(row)...)
			f32.Add(vector, book.Row(int(q.codes[l][row])))
			copy(book.Row(k), vector)
			if t.ema != nil {
				t.ema.counts[l][k] = float32(total(t.ema.counts[l]) / float64(book.Rows))
				continue
			}
			clear(m[k*book.Cols : (k+1)*book.Cols])
			clear(v[k*book.Cols : (k+1)*book.Cols])
		}
	}
}
