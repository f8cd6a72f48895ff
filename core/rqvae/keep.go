package rqvae

import (
	"math"
	"slices"
)

// An epoch is worth keeping while its error is within closeTo of the best.
const closeTo = 1.05

// snapshot is the weights after an epoch and what it is judged by, the less the better.
type snapshot struct {
	epoch             int // from 0
	error, rate, loss float64
	weights           *weights
}

// dominates tells whether s is at least as good as o in all.
func (s *snapshot) dominates(o *snapshot) bool {
	return s.error <= o.error && s.rate <= o.rate && s.loss <= o.loss
}

// kept are the epochs that may still turn out to be the one to keep: those near the best error that no other dominates.
type kept []*snapshot

// add keeps s, with a copy of w, if it may be the one, and lets go of those that can no longer be.
func (k *kept) add(s snapshot, w *weights) {
	if slices.ContainsFunc(*k, func(o *snapshot) bool { return o.dominates(&s) }) {
		return
	}
	*k = slices.DeleteFunc(*k, func(o *snapshot) bool { return s.dominates(o) })
	*k = append(*k, &s)
	limit := k.limit()
	*k = slices.DeleteFunc(*k, func(o *snapshot) bool { return o.error > limit })
	if s.error <= limit {
		s.weights = w.clone()
	}
}

func (k kept) limit() float64 {
	best := math.Inf(1)
	for _, s := range k {
		best = min(best, s.error)
	}
	return closeTo * best
}

// best is the epoch of the lowest collision rate, then loss, then the earliest; nil if there is none.
func (k kept) best() *snapshot {
	var best *snapshot
	for _, s := range k {
		if best == nil || s.rate < best.rate || s.rate == best.rate && s.loss < best.loss {
			best = s
		}
	}
	return best
}
