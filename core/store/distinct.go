package store

import (
	"slices"
	"strings"
)

// distinct returns the keys that there are, sorted, and for each of keys which of them it is.
func distinct(keys []string) (sorted []string, at []int) {
	seen := make(map[string]int, len(keys))
	at = make([]int, len(keys))
	var found []string
	for i, key := range keys {
		k, ok := seen[key]
		if !ok {
			k = len(found)
			seen[key] = k
			found = append(found, key)
		}
		at[i] = k
	}
	order := make([]int, len(found))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(found[a], found[b]) })
	sorted, rank := make([]string, len(found)), make([]int, len(found))
	for r, k := range order {
		sorted[r], rank[k] = found[k], r
	}
	for i, k := range at {
		at[i] = rank[k]
	}
	return sorted, at
}
