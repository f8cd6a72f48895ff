package transport

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// table is costs in memory, row after row.
type table struct {
	n, k int
	cost []float64
}

func (t table) Rows() int                { return t.n }
func (t table) Columns() int             { return t.k }
func (t table) Row(dst []float64, i int) { copy(dst, t.cost[i*t.k:(i+1)*t.k]) }

// sparse is the same costs without those of +Inf.
func (t table) sparse() *Sparse {
	first, column, cost := []int{0}, []int32{}, []float64{}
	for i := range t.n {
		for j, c := range t.cost[i*t.k : (i+1)*t.k] {
			if !math.IsInf(c, 1) {
				column, cost = append(column, int32(j)), append(cost, c)
			}
		}
		first = append(first, len(cost))
	}
	s, err := NewSparse(t.k, first, column, cost)
	if err != nil {
		panic(err)
	}
	return s
}

// leastByTrying is the least cost over all assignments, +Inf if none is allowed.
func leastByTrying(t table, s Sizes) float64 {
	counts := make([]int, t.k)
	best := math.Inf(1)
	var try func(i int, sum float64)
	try = func(i int, sum float64) {
		if i == t.n {
			for j, c := range counts {
				if c < s.Lower[j] || c > s.Upper[j] {
					return
				}
			}
			best = min(best, sum)
			return
		}
		for j := range t.k {
			counts[j]++
			try(i+1, sum+t.cost[i*t.k+j])
			counts[j]--
		}
	}
	try(0, 0)
	return best
}

// leastByMatching is the same by the Hungarian method (Kuhn, Naval Research Logistics 2, 1955): every place in a column is
// a column of its own, places that need not be taken may go to idle rows.
func leastByMatching(t table, s Sizes) float64 {
	var place []int // the column it is in, less K if it must be taken
	for j := range t.k {
		for x := range min(s.Upper[j], t.n) {
			if x < s.Lower[j] {
				place = append(place, j-t.k)
			} else {
				place = append(place, j)
			}
		}
	}
	most := 1.0
	for _, c := range t.cost {
		if !math.IsInf(c, 1) {
			most = max(most, math.Abs(c))
		}
	}
	forbidden := 2 * float64(t.n+1) * most
	cost := func(i, x int) float64 {
		switch j := place[x]; {
		case i < t.n && j < 0:
			return min(t.cost[i*t.k+j+t.k], forbidden)
		case i < t.n:
			return min(t.cost[i*t.k+j], forbidden)
		case j < 0:
			return forbidden
		}
		return 0
	}
	m := len(place)
	u, v, row, way := make([]float64, m+1), make([]float64, m+1), slices.Repeat([]int{-1}, m+1), make([]int, m+1)
	for i := range m { // row i is to have a place; place m stands for where it waits
		least, used := make([]float64, m), make([]bool, m+1)
		for x := range least {
			least[x] = math.Inf(1)
		}
		row[m] = i
		at := m
		for row[at] >= 0 {
			used[at] = true
			r, delta, next := row[at], math.Inf(1), -1
			for x := range m {
				if used[x] {
					continue
				}
				if c := cost(r, x) - u[r] - v[x]; c < least[x] {
					least[x], way[x] = c, at
				}
				if least[x] < delta {
					delta, next = least[x], x
				}
			}
			for x := range m + 1 {
				if used[x] {
					u[row[x]] += delta
					v[x] -= delta
				} else {
					least[x] -= delta
				}
			}
			at = next
		}
		for at != m {
			row[at] = row[way[at]]
			at = way[at]
		}
	}
	sum := 0.0
	for x := range m {
		c := cost(row[x], x)
		if c == forbidden {
			return math.Inf(1)
		}
		sum += c
	}
	return sum
}

// checkSolution returns what is wrong with a solution, by definition: sizes, costs, prices, gap.
func checkSolution(t table, s Sizes, sol *Solution) error {
	counts := make([]int, t.k)
	var primal, dual, scale, most, paid float64
	for i, j := range sol.Columns {
		paid += math.Abs(t.cost[i*t.k+int(j)])
	}
	for _, c := range t.cost {
		if !math.IsInf(c, 1) {
			most = max(most, math.Abs(c))
		}
	}
	for _, p := range sol.Prices {
		most = max(most, math.Abs(p))
	}
	for i, j := range sol.Columns {
		counts[j]++
		primal += t.cost[i*t.k+int(j)]
		least := math.Inf(1)
		for l, p := range sol.Prices {
			least = min(least, t.cost[i*t.k+l]+p)
		}
		if own := t.cost[i*t.k+int(j)] + sol.Prices[j]; own > least+MaxGap*paid+1e-15*most {
			return fmt.Errorf("row %d is in column %d for %g with its price, the least is %g", i, j, own, least)
		}
		dual += least
		scale += math.Abs(least)
	}
	for j, p := range sol.Prices {
		if counts[j] != sol.Counts[j] || counts[j] < s.Lower[j] || counts[j] > s.Upper[j] {
			return fmt.Errorf("column %d has %d rows, says %d, want %d to %d", j, counts[j], sol.Counts[j], s.Lower[j], s.Upper[j])
		}
		size := s.Lower[j]
		if p > 0 {
			size = min(s.Upper[j], t.n)
		}
		dual -= p * float64(size)
		scale += math.Abs(p) * float64(size)
	}
	if tol := 1e-12*scale + 1e-300; !(math.Abs(primal-sol.Primal) <= tol && sol.Dual <= dual+tol && sol.Dual >= dual-tol-MaxGap*paid) {
		return fmt.Errorf("cost %g, bound %g; says %g, %g", primal, dual, sol.Primal, sol.Dual)
	}
	if !(sol.Gap >= 0 && sol.Gap <= MaxGap) {
		return fmt.Errorf("gap %g", sol.Gap)
	}
	return nil
}

// randomSizes are sizes that some spread of the rows meets.
func randomSizes(rng *rand.Rand, n, k int) Sizes {
	s := Sizes{make([]int, k), make([]int, k)}
	for range n {
		s.Lower[rng.IntN(k)]++
	}
	copy(s.Upper, s.Lower)
	if loose := rng.IntN(3); loose > 0 {
		for j := range k {
			s.Lower[j] -= rng.IntN(s.Lower[j] + 1)
			s.Upper[j] += rng.IntN(1 + loose*n/k)
		}
	}
	return s
}

// families are kinds of costs, each a function that makes one of n rows and k columns.
var families = map[string]func(rng *rand.Rand, n, k int) table{
	"uniform":  tableOf(func(rng *rand.Rand, _, _ int) float64 { return rng.Float64() }),
	"negative": tableOf(func(rng *rand.Rand, _, _ int) float64 { return rng.NormFloat64() }),
	"ties":     tableOf(func(rng *rand.Rand, _, _ int) float64 { return float64(rng.IntN(3)) }),
	"equal":    tableOf(func(*rand.Rand, int, int) float64 { return 7 }),
	"zero":     tableOf(func(*rand.Rand, int, int) float64 { return 0 }),
	"magnitudes": tableOf(func(rng *rand.Rand, i, _ int) float64 {
		return rng.Float64() * math.Pow(10, float64(i%13-6))
	}),
	"columns far": tableOf(func(rng *rand.Rand, _, j int) float64 { return rng.Float64() + 1e6*float64(j%2) }),
	"holes": tableOf(func(rng *rand.Rand, _, _ int) float64 {
		if rng.IntN(4) == 0 {
			return math.Inf(1)
		}
		return rng.Float64()
	}),
	"bands": func(rng *rand.Rand, n, k int) table {
		t := tableOf(func(rng *rand.Rand, _, _ int) float64 { return rng.Float64() })(rng, n, k)
		for x := range t.cost { // each row near its place or just beside it
			if d := x/k*k/n - x%k; d < -1 || d > 1 {
				t.cost[x] = math.Inf(1)
			}
		}
		return t
	},
	"distances": func(rng *rand.Rand, n, k int) table { return points(rng, n, k, n) },
	"copies":    func(rng *rand.Rand, n, k int) table { return points(rng, n, k, 1+n/5) },
}

func tableOf(cost func(rng *rand.Rand, i, j int) float64) func(rng *rand.Rand, n, k int) table {
	return func(rng *rand.Rand, n, k int) table {
		t := table{n, k, make([]float64, n*k)}
		for x := range t.cost {
			t.cost[x] = cost(rng, x/k, x%k)
		}
		return t
	}
}

// points is squared distances in the plane between rows, so many of them different, and columns.
func points(rng *rand.Rand, n, k, different int) table {
	at := make([]complex128, different+k)
	for x := range at {
		at[x] = complex(rng.NormFloat64(), rng.NormFloat64())
	}
	t := table{n, k, make([]float64, n*k)}
	for i := range n {
		for j := range k {
			d := at[i%different] - at[different+j]
			t.cost[i*k+j] = real(d)*real(d) + imag(d)*imag(d)
		}
	}
	return t
}

func TestOracles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n, k := 1+rng.IntN(6), 1+rng.IntN(4)
		c := families["holes"](rng, n, k)
		s := randomSizes(rng, n, k)
		want, got := leastByTrying(c, s), leastByMatching(c, s)
		if !(got == want || math.Abs(got-want) <= 1e-12) {
			t.Fatalf("%d rows, %d columns: matching finds %g, trying all %g", n, k, got, want)
		}
	}
}
