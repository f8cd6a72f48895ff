package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/semantic-id/semantic-id/core"
)

// Ranking is how well the order of rows by code distance agrees with that by distance, each the mean over the queries,
// from 0 to 1.
type Ranking struct {
	Recall, NDCG float64 // of the k rows nearest in codes, ties by index

	// The same in expectation over all orders of rows that tie in code distance: equal codes for all rows score what
	// chance scores.
	ItemRecall, ItemNDCG float64
}

// Rank compares the k rows nearest to each query row in x, without itself, with the k rows nearest to it in codes.
// progress is that of Neighbors.
func Rank(ctx context.Context, x core.Matrix, c core.Codes, queries []int64, k int, distance Distance, progress func(done int)) (Ranking, error) {
	if err := checkBoth(x, c); err != nil {
		return Ranking{}, err
	}
	if err := distance.check(); err != nil {
		return Ranking{}, err
	}
	if len(queries) == 0 {
		return Ranking{}, fmt.Errorf("metrics: %w: no queries, want at least one", core.ErrParam)
	}
	if err := checkNeighbors(x, queries, k); err != nil {
		return Ranking{}, err
	}
	gains := newGains(k)
	scores := make([]Ranking, len(queries))
	r := newRanker(c, distance)
	err := eachNeighbors(ctx, x, queries, k, progress, func(lo, hi int, truth []int32, _ []float64) {
		near := make([]int32, 0, k)
		counts := make([]int, c.Levels+1)
		var s mergeScratch
		for i := lo; i < hi; i++ {
			near = r.nearest(near[:0], counts, int32(queries[i]), k, &s)
			scores[i] = gains.score(truth[(i-lo)*k:][:k], near, func(row int32) (closer, tied int) {
				d := distance.between(c.Row(int(queries[i])), c.Row(int(row)))
				for _, n := range counts[:d] {
					closer += n
				}
				return closer, counts[d]
			})
		}
	})
	if err != nil {
		return Ranking{}, err
	}
	var mean Ranking
	for _, s := range scores { // in order: the same sum on any number of threads
		mean.Recall += s.Recall
		mean.NDCG += s.NDCG
		mean.ItemRecall += s.ItemRecall
		mean.ItemNDCG += s.ItemNDCG
	}
	n := float64(len(scores))
	return Ranking{mean.Recall / n, mean.NDCG / n, mean.ItemRecall / n, mean.ItemNDCG / n}, nil
}

// gains is the weights of NDCG among k: what rank r, from 0, counts, and their sums.
type gains struct {
	k        int
	discount []float64
	sums     []float64 // sums[r]: of discount[:r]
	ideal    float64
}

func newGains(k int) *gains {
	g := &gains{k: k, discount: make([]float64, k), sums: make([]float64, k+1)}
	for r := range k {
		g.discount[r] = 1 / math.Log2(float64(r+2))
		g.sums[r+1] = g.sums[r] + g.discount[r]
		g.ideal += float64(k-r) * g.discount[r]
	}
	return g
}

// score holds near, the k rows nearest in codes, against truth, the k nearest. tie tells of a row how many are closer in
// codes and how many are as close, with itself.
func (g *gains) score(truth, near []int32, tie func(row int32) (closer, tied int)) Ranking {
	var s Ranking
	rankOf := func(row int32) int { return slices.Index(near, row) }
	if g.k > manyNear {
		ranks := make(map[int32]int, g.k)
		for rank, row := range near {
			ranks[row] = rank + 1
		}
		rankOf = func(row int32) int { return ranks[row] - 1 }
	}
	for j, row := range truth {
		relevance := float64(g.k - j)
		if rank := rankOf(row); rank >= 0 {
			s.Recall++
			s.NDCG += relevance * g.discount[rank]
		}
		if closer, tied := tie(row); closer < g.k {
			end := min(g.k, closer+tied)
			s.ItemRecall += float64(end-closer) / float64(tied)
			s.ItemNDCG += relevance * (g.sums[end] - g.sums[closer]) / float64(tied)
		}
	}
	s.Recall /= float64(g.k)
	s.ItemRecall /= float64(g.k)
	s.NDCG /= g.ideal
	s.ItemNDCG /= g.ideal
	return s
}

const manyNear = 100 // rows from which on a map finds one sooner than a look at all

// ranker finds the rows nearest to another in codes.
type ranker struct {
	codes    core.Codes
	distance Distance
	groups   []*groups // Hierarchical: by prefixes; Hamming: by the code of each level
}

func newRanker(c core.Codes, distance Distance) *ranker {
	if distance == Hamming {
		return &ranker{c, distance, columns(c)}
	}
	return &ranker{c, distance, prefixes(c)}
}

// nearest appends to near the k rows nearest to query in codes, nearest first, ties by index, without query itself, and
// sets counts[d] to the number of rows at distance d from it.
func (r *ranker) nearest(near []int32, counts []int, query int32, k int, s *mergeScratch) []int32 {
	if r.distance == Hamming {
		return r.nearestHamming(near, counts, query, k, s)
	}
	levels := r.codes.Levels
	inner := int32(-1) // no rows yet
	for d := range levels + 1 {
		g := r.groups[levels-d]
		group := g.of[query]
		counts[d] = g.size(group)
		if d == 0 {
			counts[d]-- // query itself
		} else {
			counts[d] -= r.groups[levels-d+1].size(inner)
		}
		if len(near) < k { // so fewer than k rows stand in the group within, which must be passed over
			for _, row := range g.members(group) {
				if row != query && (d == 0 || r.groups[levels-d+1].of[row] != inner) {
					if near = append(near, row); len(near) == k {
						break
					}
				}
			}
		}
		inner = group
	}
	return near
}

// mergeScratch is the memory of nearestHamming.
type mergeScratch struct {
	lists [][]int32
	first [][]int32 // per number of equal codes: the first k rows that have as many
}

// nearestHamming merges the rows that share a code with query, level by level; no other row is looked at, but for as many
// as are still wanted.
func (r *ranker) nearestHamming(near []int32, counts []int, query int32, k int, s *mergeScratch) []int32 {
	levels := r.codes.Levels
	s.lists = s.lists[:0]
	for _, g := range r.groups {
		s.lists = append(s.lists, g.members(g.of[query]))
	}
	for len(s.first) <= levels {
		s.first = append(s.first, nil)
	}
	for d := range counts {
		counts[d], s.first[d] = 0, s.first[d][:0]
	}
	others := r.codes.Rows - 1
	for {
		least := int32(math.MaxInt32)
		for _, list := range s.lists {
			if len(list) > 0 {
				least = min(least, list[0])
			}
		}
		if least == math.MaxInt32 {
			break
		}
		d := levels
		for l, list := range s.lists {
			if len(list) > 0 && list[0] == least {
				s.lists[l] = list[1:]
				d--
			}
		}
		if least == query {
			continue
		}
		counts[d]++
		others--
		if len(s.first[d]) < k {
			s.first[d] = append(s.first[d], least)
		}
	}
	counts[levels] = others
	for d := range levels {
		near = append(near, s.first[d][:min(k-len(near), len(s.first[d]))]...)
	}
	own := r.codes.Row(int(query))
	for row := int32(0); len(near) < k; row++ {
		if Hamming.between(own, r.codes.Row(int(row))) == levels {
			near = append(near, row)
		}
	}
	return near
}

// Similar returns the k rows nearest to query in codes and their distances, nearest first, ties by index. Row skip is
// left out, none if it is negative. There are fewer than k if there are not as many rows.
func Similar(c core.Codes, query []int32, skip, k int, distance Distance) (ids []int32, dists []int, err error) {
	if err := checkCodes(c); err != nil {
		return nil, nil, err
	}
	if err := distance.check(); err != nil {
		return nil, nil, err
	}
	if len(query) != c.Levels {
		return nil, nil, fmt.Errorf("metrics: %w: a query of %d codes, want %d", core.ErrShape, len(query), c.Levels)
	}
	if k < 1 {
		return nil, nil, fmt.Errorf("metrics: %w: k is %d, want at least 1", core.ErrParam, k)
	}
	first := make([][]int32, c.Levels+1)
	for i := range c.Rows {
		if i == skip {
			continue
		}
		if d := distance.between(query, c.Row(i)); len(first[d]) < k {
			first[d] = append(first[d], int32(i))
		}
	}
	for d, rows := range first {
		for _, row := range rows[:min(len(rows), k-len(ids))] {
			ids, dists = append(ids, row), append(dists, d)
		}
	}
	return ids, dists, nil
}
