package rqvae

// averages keep codebooks as running means of what their vectors stand for, instead of moving them by gradients (van den Oord,
// Vinyals, Kavukcuoglu, NeurIPS 2017, appendix A.1). A vector's sum and count both decay; the vector is their quotient, its
// count smoothed by Laplace's rule, so that one which nothing chooses any more is never divided by 0 (Razavi, van den Oord,
// Vinyals, NeurIPS 2019). The sum is not kept: it is the vector times the smoothed count.
type averages struct {
	decay  float64
	counts [][]float32 // per level: running mean of how many rows of a batch choose each vector
}

const smoothing = 1e-5 // added to counts, as the papers' authors do

// newAverages lets every vector begin as the mean of its even share of a batch.
func newAverages(p Params, rows int) *averages {
	a := &averages{decay: p.EMA}
	for _, k := range p.Clusters {
		counts := make([]float32, k)
		fill(counts, float32(min(rows, p.BatchSize))/float32(k))
		a.counts = append(a.counts, counts)
	}
	return a
}

func total(counts []float32) (sum float64) {
	for _, n := range counts {
		sum += float64(n)
	}
	return sum
}

func smoothed(n float32, total float64, k int) float64 {
	return (float64(n) + smoothing) * total / (total + float64(smoothing*float64(k)))
}

// step takes in the last run of q.
func (a *averages) step(q *quantizer) {
	for l, book := range q.books {
		counts, left, chosen := a.counts[l], q.leftSums(l), make([]int, book.Rows)
		for _, k := range q.codes[l] {
			if k >= 0 {
				chosen[k]++
			}
		}
		before := total(counts)
		was := make([]float64, book.Rows)
		for k, n := range counts {
			was[k] = smoothed(n, before, book.Rows)
			counts[k] = float32(float64(a.decay*float64(n)) + float64((1-a.decay)*float64(chosen[k])))
		}
		now := total(counts)
		for k, n := range counts {
			// what chose the vector adds up to what it left over and the vector as often
			per := 1 / smoothed(n, now, book.Rows)
			keep := (float64(a.decay*was[k]) + float64((1-a.decay)*float64(chosen[k]))) * per
			move := (1 - a.decay) * per
			for j, v := range book.Row(k) {
				book.Row(k)[j] = float32(float64(keep*float64(v)) + float64(move*left[k*book.Cols+j]))
			}
		}
	}
}
