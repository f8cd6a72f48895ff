package metrics

import "github.com/semantic-id/semantic-id/core"

// groups is rows grouped by something they share.
type groups struct {
	of    []int32 // per row: its group
	start []int32 // per group: where its rows begin in rows; and the end
	rows  []int32 // group by group, ascending in each
}

func (g *groups) count() int { return len(g.start) - 1 }

func (g *groups) size(group int32) int { return int(g.start[group+1] - g.start[group]) }

// members returns the rows of a group, ascending.
func (g *groups) members(group int32) []int32 { return g.rows[g.start[group]:g.start[group+1]] }

// sizes returns the sizes of all groups.
func (g *groups) sizes() []int64 {
	sizes := make([]int64, g.count())
	for i := range sizes {
		sizes[i] = int64(g.size(int32(i)))
	}
	return sizes
}

// one puts n rows into one group.
func one(n int) *groups {
	g := &groups{of: make([]int32, n), start: []int32{0, int32(n)}, rows: make([]int32, n)}
	for i := range g.rows {
		g.rows[i] = int32(i)
	}
	return g
}

// split divides each group by the values of its rows; groups come in the order of the old ones, then of the values.
func (g *groups) split(value func(row int32) int32) *groups {
	n := len(g.of)
	order := sortByValue(n, value)
	place := append([]int32(nil), g.start...)
	rows := make([]int32, n)
	for _, row := range order {
		at := &place[g.of[row]]
		rows[*at] = row
		*at++
	}
	s := &groups{of: make([]int32, n), rows: rows}
	for i, row := range rows {
		if i == 0 || g.of[row] != g.of[rows[i-1]] || value(row) != value(rows[i-1]) {
			s.start = append(s.start, int32(i))
		}
		s.of[row] = int32(len(s.start) - 1)
	}
	s.start = append(s.start, int32(n))
	return s
}

// sortByValue returns the rows 0 to n-1 in ascending order of their values, equal ones by number: a radix sort.
func sortByValue(n int, value func(row int32) int32) []int32 {
	order, other := make([]int32, n), make([]int32, n)
	least, most := value(0), value(0)
	for i := range order {
		order[i] = int32(i)
		least, most = min(least, value(int32(i))), max(most, value(int32(i)))
	}
	span := uint32(most) - uint32(least)
	for shift := 0; shift < 32 && span>>shift > 0; shift += 8 {
		digit := func(row int32) uint32 { return (uint32(value(row)) - uint32(least)) >> shift & 255 }
		var start [257]int32
		for _, row := range order {
			start[digit(row)+1]++
		}
		for d := range 256 {
			start[d+1] += start[d]
		}
		for _, row := range order {
			d := digit(row)
			other[start[d]] = row
			start[d]++
		}
		order, other = other, order
	}
	return order
}

// prefixes returns the rows grouped by their first d codes, for d from 0 to the number of levels.
func prefixes(c core.Codes) []*groups {
	g := []*groups{one(c.Rows)}
	for l := range c.Levels {
		g = append(g, g[l].split(func(row int32) int32 { return c.Data[int(row)*c.Levels+l] }))
	}
	return g
}

// columns returns the rows grouped by the code of each level alone.
func columns(c core.Codes) []*groups {
	all := one(c.Rows)
	var g []*groups
	for l := range c.Levels {
		g = append(g, all.split(func(row int32) int32 { return c.Data[int(row)*c.Levels+l] }))
	}
	return g
}
