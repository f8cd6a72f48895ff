package metrics

import (
	"fmt"
	"math"

	"github.com/semantic-id/semantic-id/core"
)

// Meaning holds prefixes against labels, for prefixes of 0 to all levels.
type Meaning struct {
	Rows   int       // that have a label
	Purity []float64 // share of the rows whose label is the commonest among those with the same prefix
	NMI    []float64 // mutual information of prefix and label over the mean of their entropies, from 0 to 1
}

// Labels holds the prefixes of codes against a label per row, at least 0, or -1 where there is none; such rows do not
// count. If no row has a label, all is NaN.
func Labels(c core.Codes, labels []int32) (Meaning, error) {
	if err := checkCodes(c); err != nil {
		return Meaning{}, err
	}
	if len(labels) != c.Rows {
		return Meaning{}, fmt.Errorf("metrics: %w: %d labels for %d rows of codes, want one for each", core.ErrShape, len(labels), c.Rows)
	}
	var m Meaning
	for i, label := range labels {
		if label < -1 || int(label) >= c.Rows {
			return Meaning{}, fmt.Errorf("metrics: %w: label %d at row %d, want -1 to %d", core.ErrParam, label, i, c.Rows-1)
		}
		if label >= 0 {
			m.Rows++
		}
	}
	for _, g := range prefixes(c) {
		t := newTable(g, labels)
		m.Purity = append(m.Purity, t.purity())
		m.NMI = append(m.NMI, t.nmi())
	}
	return m, nil
}

// table counts the rows of each pair of a group and a label, without those that have no label.
type table struct {
	cells  []cell
	groups []int64 // rows of each group
	labels []int64 // rows of each label
	rows   float64
}

type cell struct {
	group, label int32
	rows         int64
}

// newTable takes labels below the number of rows.
func newTable(g *groups, labels []int32) *table {
	t := &table{groups: make([]int64, g.count()), labels: make([]int64, len(labels))}
	counts := make([]int64, len(labels))
	var seen []int32
	for group := range int32(g.count()) {
		for _, row := range g.members(group) {
			label := labels[row]
			if label < 0 {
				continue
			}
			if counts[label] == 0 {
				seen = append(seen, label)
			}
			counts[label]++
			t.groups[group]++
			t.labels[label]++
			t.rows++
		}
		for _, label := range seen {
			t.cells = append(t.cells, cell{group, label, counts[label]})
			counts[label] = 0
		}
		seen = seen[:0]
	}
	return t
}

// purity is that of Zhao and Karypis (Machine Learning 55(3), 2004).
func (t *table) purity() float64 {
	most := make([]int64, len(t.groups))
	for _, c := range t.cells {
		most[c.group] = max(most[c.group], c.rows)
	}
	var sum int64
	for _, n := range most {
		sum += n
	}
	return float64(sum) / t.rows
}

// nmi is the mutual information over the arithmetic mean of the entropies (Strehl, Ghosh, JMLR 3, 2002, but for the mean).
// Of one group and one label it is 1, as both say the same; where only one of both tells nothing, 0.
func (t *table) nmi() float64 {
	if t.rows == 0 {
		return math.NaN()
	}
	groups, labels := Entropy(t.groups), Entropy(t.labels)
	if groups == 0 && labels == 0 {
		return 1
	}
	var mutual float64
	for _, c := range t.cells {
		n := float64(c.rows)
		mutual += n / t.rows * math.Log(n*t.rows/(float64(t.groups[c.group])*float64(t.labels[c.label])))
	}
	return max(0, min(1, 2*mutual/(groups+labels)))
}

// Alignment is how much closer in codes the rows of given pairs are than those of any two rows.
type Alignment struct {
	Shared []float64 // per level: share of the given pairs with equal codes up to it
	Chance []float64 // the same of all pairs of two different rows
	// AUC is the probability that a given pair has a longer common prefix than any two different rows, plus half of that
	// of an equally long one: 0.5 is chance (Mann, Whitney, Ann. Math. Stat. 18(1), 1947).
	AUC float64
}

// Pairs holds codes against pairs of rows that belong together, such as items bought together: rows a[i] and b[i].
// A pair that is given more than once counts as often.
func Pairs(c core.Codes, a, b []int64) (Alignment, error) {
	if err := checkCodes(c); err != nil {
		return Alignment{}, err
	}
	if len(a) == 0 || len(a) != len(b) {
		return Alignment{}, fmt.Errorf("metrics: %w: %d rows on one side of the pairs, %d on the other, want equally many, at least one", core.ErrParam, len(a), len(b))
	}
	for _, side := range [][]int64{a, b} {
		if err := checkRows("pair", side, c.Rows); err != nil {
			return Alignment{}, err
		}
	}
	given, any := make([]float64, c.Levels+1), make([]float64, c.Levels+1) // share of the pairs with d equal codes at least
	for i := range a {
		if a[i] == b[i] {
			return Alignment{}, fmt.Errorf("metrics: %w: pair %d is of row %d and itself", core.ErrParam, i, a[i])
		}
		same := c.Levels - Hierarchical.between(c.Row(int(a[i])), c.Row(int(b[i])))
		for d := range same + 1 {
			given[d]++
		}
	}
	for d, g := range prefixes(c) {
		given[d] /= float64(len(a))
		for _, size := range g.sizes() {
			any[d] += float64(size) * float64(size-1) / (float64(c.Rows) * float64(c.Rows-1))
		}
	}
	r := Alignment{Shared: given[1:], Chance: any[1:]}
	for d := range given {
		exactly, same, fewer := given[d], any[d], 1-any[d]
		if d < c.Levels {
			exactly, same = exactly-given[d+1], same-any[d+1]
		}
		r.AUC += exactly * (fewer + same/2)
	}
	return r, nil
}

// Agreement is how two sets of codes of the same rows differ, for prefixes of 1 to as many levels as both have.
type Agreement struct {
	Moved []float64 // share of the rows whose prefix is not the same
	NMI   []float64 // mutual information of the two prefixes over the mean of their entropies: 1 where they group rows alike
}

// Agree compares two sets of codes of the same rows.
func Agree(a, b core.Codes) (Agreement, error) {
	for _, c := range []core.Codes{a, b} {
		if err := checkCodes(c); err != nil {
			return Agreement{}, err
		}
	}
	if a.Rows != b.Rows {
		return Agreement{}, fmt.Errorf("metrics: %w: codes of %d and of %d rows, want the same rows", core.ErrShape, a.Rows, b.Rows)
	}
	var r Agreement
	of, by := prefixes(a), prefixes(b)
	for d := 1; d <= min(a.Levels, b.Levels); d++ {
		moved := 0
		for i := range a.Rows {
			if Hierarchical.between(a.Row(i)[:d], b.Row(i)[:d]) > 0 {
				moved++
			}
		}
		r.Moved = append(r.Moved, float64(moved)/float64(a.Rows))
		r.NMI = append(r.NMI, newTable(of[d], by[d].of).nmi())
	}
	return r, nil
}
