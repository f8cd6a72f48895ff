package resolve_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/par"
	"github.com/semantic-id/semantic-id/core/resolve"
)

// randomSpace has codebooks of k centroids, each of half the length of those before, and rows near sums of them, some of
// which are copies. codes are the nearest ones, level by level.
func randomSpace(rng *rand.Rand, rows, levels, k, dim int) (resolve.Space, core.Codes) {
	s := resolve.Space{Rows: core.NewMatrix(rows, dim)}
	for l := range levels {
		b := core.NewMatrix(k, dim)
		for i := range b.Data {
			b.Data[i] = float32(rng.NormFloat64() * math.Pow(0.5, float64(l)))
		}
		s.Books = append(s.Books, b)
	}
	for i := range rows {
		row := s.Rows.Row(i)
		if i > 0 && rng.IntN(8) == 0 {
			copy(row, s.Rows.Row(rng.IntN(i)))
			continue
		}
		crowded := rng.IntN(1+k/3) * 2 // so that rows crowd together
		for d := range row {
			row[d] = s.Books[0].Row(crowded)[d] + float32(rng.NormFloat64()*0.3)
		}
	}
	return s, encode(s)
}

func encode(s resolve.Space) core.Codes {
	codes := core.NewCodes(s.Rows.Rows, len(s.Books))
	for i := range codes.Rows {
		rest := slices.Clone(s.Rows.Row(i))
		for l, b := range s.Books {
			best := 0
			for j := range b.Rows {
				if sqDist(rest, b.Row(j)) < sqDist(rest, b.Row(best)) {
					best = j
				}
			}
			codes.Row(i)[l] = int32(best)
			for d, v := range b.Row(best) {
				rest[d] -= v
			}
		}
	}
	return codes
}

func sqDist(x, y []float32) (sum float64) {
	for d, v := range x {
		e := float64(v) - float64(y[d])
		sum += e * e
	}
	return sum
}

// errorOf is the squared error of a row with a code, in float64 throughout.
func errorOf(s resolve.Space, row int, code []int32) (sum float64) {
	for d, v := range s.Rows.Row(row) {
		e := float64(v)
		for l, k := range code {
			e -= float64(s.Books[l].Row(int(k))[d])
		}
		sum += e * e
	}
	return sum
}

func randomHeld(rng *rand.Rand, levels, k, n, most int) resolve.Held {
	seen := map[string]bool{}
	h := resolve.Held{Codes: core.Codes{Levels: levels}}
	for range n {
		code := make([]int32, levels)
		for l := range code {
			code[l] = int32(rng.IntN(k))
		}
		if !seen[fmt.Sprint(code)] {
			seen[fmt.Sprint(code)] = true
			h.Codes.Data = append(h.Codes.Data, code...)
			h.Codes.Rows++
			h.Holders = append(h.Holders, int64(rng.IntN(most+2)))
		}
	}
	return h
}

// checkMoved returns the summed added error after checks of what always holds.
func checkMoved(t *testing.T, s resolve.Space, codes core.Codes, held resolve.Held, most int, m resolve.Moved) float64 {
	t.Helper()
	before, after := map[string]int{}, map[string]int{}
	for i := range held.Holders {
		code := fmt.Sprint(held.Codes.Row(i))
		before[code] += int(held.Holders[i])
		after[code] += int(held.Holders[i])
	}
	for i := range codes.Rows {
		before[fmt.Sprint(codes.Row(i))]++
		after[fmt.Sprint(m.Codes.Row(i))]++
	}
	var rows []int
	total := 0.0
	for i := range codes.Rows {
		was, is := fmt.Sprint(codes.Row(i)), fmt.Sprint(m.Codes.Row(i))
		if was != is {
			if before[was] <= most {
				t.Fatalf("row %d moved from %s, which had room", i, was)
			}
			if len(m.Added) > len(rows) {
				want := errorOf(s, i, m.Codes.Row(i)) - errorOf(s, i, codes.Row(i))
				if got := m.Added[len(rows)]; !(math.Abs(got-want) <= 1e-5) {
					t.Fatalf("row %d added %g, want %g", i, got, want)
				}
			}
			rows = append(rows, i)
			total += errorOf(s, i, m.Codes.Row(i)) - errorOf(s, i, codes.Row(i))
		} else if n := after[is]; n > most && n > before[is] {
			t.Fatalf("%s has %d holders", is, n)
		}
	}
	if !slices.Equal(rows, m.Rows) || len(rows) != len(m.Added) {
		t.Fatalf("rows %v moved, told are %v with %d errors", rows, m.Rows, len(m.Added))
	}
	return total
}

// leastAdded tries all ways to move rows of the last level, as many as have to, and returns the least sum of added errors.
func leastAdded(s resolve.Space, codes core.Codes, held resolve.Held, most int) float64 {
	holders := map[string]int{}
	for i := range held.Holders {
		holders[fmt.Sprint(held.Codes.Row(i))] = int(held.Holders[i])
	}
	at := map[string][]int{}
	for i := range codes.Rows {
		code := fmt.Sprint(codes.Row(i))
		at[code] = append(at[code], i)
	}
	last := codes.Levels - 1
	groups := map[string][]int{} // rows that may move, by all codes but the last
	for code, rows := range at {
		if holders[code]+len(rows) > most {
			prefix := fmt.Sprint(codes.Row(rows[0])[:last])
			groups[prefix] = append(groups[prefix], rows...)
		} else {
			holders[code] += len(rows)
		}
	}
	total := 0.0
	for _, rows := range groups {
		stay := map[string]int{} // how many of a code may, and must
		for _, i := range rows {
			code := fmt.Sprint(codes.Row(i))
			stay[code] = max(0, most-holders[code])
		}
		best := math.Inf(1)
		var try func(x int, sum float64)
		try = func(x int, sum float64) {
			if x == len(rows) {
				for _, n := range stay {
					if n > 0 {
						return
					}
				}
				best = min(best, sum)
				return
			}
			i := rows[x]
			own := fmt.Sprint(codes.Row(i))
			if stay[own] > 0 {
				stay[own]--
				try(x+1, sum)
				stay[own]++
			}
			code := slices.Clone(codes.Row(i))
			for j := range s.Books[last].Rows {
				code[last] = int32(j)
				to := fmt.Sprint(code)
				if _, crowded := stay[to]; !crowded && holders[to] < most {
					holders[to]++
					try(x+1, sum+errorOf(s, i, code)-errorOf(s, i, codes.Row(i)))
					holders[to]--
				}
			}
		}
		try(0, 0)
		total += best
	}
	return total
}

func TestCapacityAddsLeast(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	moved, tried := 0, 0
	for range 400 {
		levels, k, most := 1+rng.IntN(2), 4+rng.IntN(4), 1+rng.IntN(2)
		rows := 2 + rng.IntN(5)
		s, codes := randomSpace(rng, rows, levels, k, 3)
		held := randomHeld(rng, levels, k, rng.IntN(4), most)
		want := leastAdded(s, codes, held, most)
		if math.IsInf(want, 1) {
			continue // some have to leave their group
		}
		m, err := resolve.Capacity{Most: most, Pairs: 1000}.Move(ctx, s, codes, held)
		if err != nil {
			t.Fatal(err)
		}
		got := checkMoved(t, s, codes, held, most, m)
		if !(math.Abs(got-want) <= 1e-5) || m.Guess {
			t.Errorf("%d rows, %d x %d, capacity %d: added %g, want %g", rows, levels, k, most, got, want)
		}
		tried++
		moved += len(m.Rows)
	}
	if tried < 300 || moved < 300 {
		t.Errorf("%d rows moved in %d tries: nothing was tested", moved, tried)
	}
}

// Groups that lack codes send as few rows as can be to codes that share one code less.
func TestCapacityLevelAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, c := range []struct{ levels, k, rows, held int }{{2, 4, 12, 4}, {2, 8, 60, 0}, {3, 3, 26, 1}, {3, 4, 64, 0}, {4, 2, 15, 1}, {1, 40, 40, 0}, {2, 25, 580, 40}} {
		for range 5 {
			s, codes := randomSpace(rng, c.rows, c.levels, c.k, 4)
			held := randomHeld(rng, c.levels, c.k, c.held, 0)
			for i := range held.Holders {
				held.Holders[i] = 1
			}
			m, err := resolve.Capacity{Most: 1, Pairs: 1 << 20}.Move(ctx, s, codes, held)
			if err != nil {
				t.Fatal(err)
			}
			exact := checkMoved(t, s, codes, held, 1, m)
			if got, want := leaving(codes, m.Codes), mustLeave(codes, held, c.k); got < want || got > want && c.levels < 3 || m.Guess {
				t.Errorf("%+v: %d rows left their group, want %d", c, got, want)
			}
			guess, err := resolve.Capacity{Most: 1}.Move(ctx, s, codes, held)
			if err != nil {
				t.Fatal(err)
			}
			rough := checkMoved(t, s, codes, held, 1, guess)
			if !guess.Guess && len(guess.Rows) > 0 || len(guess.Rows) != len(m.Rows) {
				t.Errorf("%+v: a guess that is none, or moved %d rows, want %d", c, len(guess.Rows), len(m.Rows))
			}
			if c.levels == 1 && rough < exact-1e-9 {
				t.Errorf("%+v: a guess adds %g, less than the least, %g", c, rough, exact)
			}
		}
	}
}

// leaving counts rows whose codes but the last are others.
func leaving(before, after core.Codes) int {
	n := 0
	for i := range before.Rows {
		if last := before.Levels - 1; !slices.Equal(before.Row(i)[:last], after.Row(i)[:last]) {
			n++
		}
	}
	return n
}

// mustLeave counts rows beyond what the k codes of each last group have room for.
func mustLeave(codes core.Codes, held resolve.Held, k int) int {
	room := map[string]int{}
	for _, c := range []core.Codes{codes, held.Codes} {
		for i := range c.Rows {
			room[fmt.Sprint(c.Row(i)[:c.Levels-1])]++
		}
	}
	own := map[string]int{}
	for i := range codes.Rows {
		own[fmt.Sprint(codes.Row(i)[:codes.Levels-1])]++
	}
	n := 0
	for prefix, taken := range room {
		n += min(own[prefix], max(0, taken-k))
	}
	return n
}

// More rows than are offered to each at first compete for places: what was not offered must still be considered.
func TestCapacityOffersMore(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	s, codes := randomSpace(rng, 200, 1, 300, 2)
	for i := range codes.Data {
		codes.Data[i] = 7 // all have to move but one
	}
	m, err := resolve.Capacity{Most: 1, Pairs: 1 << 20}.Move(ctx, s, codes, resolve.Held{})
	if err != nil {
		t.Fatal(err)
	}
	got := checkMoved(t, s, codes, resolve.Held{}, 1, m)
	defer resolve.SetFirstOffers(300)()
	all, err := resolve.Capacity{Most: 1, Pairs: 1 << 20}.Move(ctx, s, codes, resolve.Held{})
	if err != nil {
		t.Fatal(err)
	}
	if want := checkMoved(t, s, codes, resolve.Held{}, 1, all); !(math.Abs(got-want) <= 1e-9*math.Abs(want)) {
		t.Errorf("added %g, want %g", got, want)
	}
}

func TestCapacityIsTheSameOnAnyNumberOfThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	s, codes := randomSpace(rng, 900, 3, 12, 5)
	held := randomHeld(rng, 3, 12, 200, 1)
	defer par.SetThreads(0)
	for _, how := range []resolve.Mover{resolve.DefaultCapacity(), resolve.Capacity{Most: 1}, resolve.DefaultSinkhorn()} {
		var want resolve.Moved
		for threads := 1; threads < 5; threads++ {
			par.SetThreads(threads)
			m, err := how.Move(ctx, s, codes, held)
			if err != nil {
				t.Fatal(err)
			}
			if threads == 1 {
				want = m
			} else if !reflect.DeepEqual(m, want) {
				t.Errorf("%T: %d threads give other codes", how, threads)
			}
		}
	}
}

func TestCapacityBadInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	s, codes := randomSpace(rng, 10, 2, 3, 2)
	bad := func(change func(s *resolve.Space, c *core.Codes, h *resolve.Held)) error {
		s, c, h := resolve.Space{Rows: s.Rows, Books: slices.Clone(s.Books)}, codes.Clone(), resolve.Held{}
		change(&s, &c, &h)
		_, err := resolve.DefaultCapacity().Move(ctx, s, c, h)
		_, other := resolve.DefaultSinkhorn().Move(ctx, s, c, h)
		if (err == nil) != (other == nil) && !strings.Contains(fmt.Sprint(err), "10 items") {
			t.Errorf("Capacity says %v, Sinkhorn %v", err, other)
		}
		return err
	}
	for _, c := range []struct {
		err   error
		want  error
		words string
	}{
		{bad(func(*resolve.Space, *core.Codes, *resolve.Held) {}), core.ErrParam, "10 items, and all codes together take 9"},
		{bad(func(_ *resolve.Space, c *core.Codes, _ *resolve.Held) { c.Data[3] = 3 }), core.ErrCode, "3 at row 1, level 1, want 0 to 2"},
		{bad(func(_ *resolve.Space, c *core.Codes, _ *resolve.Held) { c.Rows = 9 }), core.ErrShape, "codes of 9 rows"},
		{bad(func(s *resolve.Space, _ *core.Codes, _ *resolve.Held) { s.Books = s.Books[:1] }), core.ErrShape, "1 codebooks"},
		{bad(func(s *resolve.Space, _ *core.Codes, _ *resolve.Held) { s.Books[1] = core.NewMatrix(3, 3) }), core.ErrShape, "codebook 1 has 3 columns, the rows have 2"},
		{bad(func(_ *resolve.Space, _ *core.Codes, h *resolve.Held) { h.Holders = []int64{1} }), core.ErrShape, "1 numbers of holders"},
		{bad(func(_ *resolve.Space, _ *core.Codes, h *resolve.Held) {
			*h = resolve.Held{Codes: core.Codes{Rows: 1, Levels: 2, Data: []int32{-1, 0}}, Holders: []int64{1}}
		}), core.ErrCode, "-1 at row 0"},
		{bad(func(s *resolve.Space, _ *core.Codes, _ *resolve.Held) {
			s.Rows = core.Matrix{Rows: 10, Cols: 2, Data: slices.Clone(s.Rows.Data)}
			s.Rows.Data[5] = float32(math.NaN())
		}), core.ErrNotFinite, "row 2"},
	} {
		if !errors.Is(c.err, c.want) || !strings.Contains(fmt.Sprint(c.err), c.words) {
			t.Errorf("got %v, want %v with %q", c.err, c.want, c.words)
		}
	}
	if _, err := (resolve.Capacity{}).Move(ctx, s, codes, resolve.Held{}); !errors.Is(err, core.ErrParam) {
		t.Error(err)
	}
	if _, err := (resolve.Sinkhorn{}).Move(ctx, s, codes, resolve.Held{}); !errors.Is(err, core.ErrParam) {
		t.Error(err)
	}
}
