// Package resolve makes equal ids unique over a store: holders 0, 1 and 2 of "a" are "a", "a-1" and "a-2".
//
// An id is given out once, whatever the sequence of batches, processes and versions of this package. It is held if it is
// marked so in the store; or, without a mark, if it was counted itself, or is key-n with 0 < n < the count of key. The
// last rule makes the common case cheap, for the count alone then tells which ids there are, and it is how databases
// of semantic-id 0.2.5 are to be read. An id that is held, or that another item of the batch is to have as it is, is passed
// over for the next number.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/store"
)

// Batch is what Assign works on.
type Batch struct {
	IDs   []string // of codes, equal ones among them
	Sep   string   // between an id and its suffix: not empty, without digits
	Names []string // nil, or for each id what to append instead of a number
	Items []string // nil, or for each id its item, by store.IntItem or store.TextItem
	Most  []int    // nil, or for each id how many holders it may have at most, this one included; 0: any number

	// Of Items alone:
	Codes   core.Codes // none, or the codes of each id, by which new items are found
	Version string     // whose items they are
	Model   string     // "", or what tells the model that made the codes from others
}

// Full is the error of Assign where ids would have more holders than Batch.Most allows.
type Full struct {
	Rows []int // of the batch, ascending
}

func (f *Full) Error() string {
	return fmt.Sprintf("%d ids would have too many holders, the first at position %d", len(f.Rows), f.Rows[0])
}

// What a suffix of Assigned can be beside a number from 1 on.
const (
	Bare  = 0  // the id itself
	Named = -1 // the name
	Known = -2 // the item had an id, which is in Assigned.Known
)

// Assigned is the outcome.
type Assigned struct {
	Suffix []int64  // one for each id of the batch
	Known  []string // nil, or for each id of the batch the id its item had, or ""

	OtherModel bool // new items got ids, and the version had ids by another model
}

// AppendText appends the unique id of row i of the batch.
func (a Assigned) AppendText(dst []byte, b Batch, i int) []byte {
	n := a.Suffix[i]
	if n == Known {
		return append(dst, a.Known[i]...)
	}
	dst = append(dst, b.IDs[i]...)
	if n != Bare {
		dst = append(dst, b.Sep...)
	}
	if n == Named {
		return append(dst, b.Names[i]...)
	}
	if n != Bare {
		dst = strconv.AppendInt(dst, n, 10)
	}
	return dst
}

// Texts returns the unique ids.
func (a Assigned) Texts(b Batch) []string {
	texts := make([]string, len(b.IDs))
	for i, id := range b.IDs {
		if texts[i] = id; a.Suffix[i] != Bare {
			texts[i] = string(a.AppendText(nil, b, i))
		}
	}
	return texts
}

// Assign gives each id of the batch a unique one, in one transaction of the store. An item that the store knows keeps the
// id it has; with Names, an id's later holders get the name as suffix if that is free, and the count goes on all the same.
func Assign(ctx context.Context, s store.Store, b Batch) (Assigned, error) {
	if err := b.check(); err != nil {
		return Assigned{}, err
	}
	var a Assigned
	err := s.Update(ctx, func(tx store.Tx) (err error) {
		a, err = assign(ctx, tx, b)
		return err
	})
	return a, err
}

func (b Batch) check() error {
	if err := CheckSep(b.Sep); err != nil {
		return err
	}
	if b.Most != nil && len(b.Most) != len(b.IDs) {
		return fmt.Errorf("%w: %d ids and %d limits: want one for each", core.ErrShape, len(b.IDs), len(b.Most))
	}
	if b.Names != nil && b.Items != nil {
		return fmt.Errorf("%w: item_ids and item_keys together: want one of them", core.ErrParam)
	}
	for _, list := range []struct {
		what  string
		texts []string
	}{{"id", b.IDs}, {"item id", b.Names}, {"item key", b.Items}} {
		if list.texts == nil {
			continue
		}
		if len(list.texts) != len(b.IDs) {
			return fmt.Errorf("%w: %d ids and %d of %ss: want one for each", core.ErrShape, len(b.IDs), len(list.texts), list.what)
		}
		if err := store.CheckTexts(list.what, list.texts); err != nil {
			return err
		}
	}
	if b.Codes.Rows != 0 && (b.Codes.Rows != len(b.IDs) || len(b.Codes.Data) != b.Codes.Rows*b.Codes.Levels) {
		return fmt.Errorf("%w: %d ids and codes of %d rows: want a row for each", core.ErrShape, len(b.IDs), b.Codes.Rows)
	}
	return distinct(b.Items, func(item string) string { return "item key " + show(item) })
}

// CheckSep returns an error if ids with suffixes behind sep would be ambiguous.
func CheckSep(sep string) error {
	if sep == "" || strings.ContainsAny(sep, "0123456789") {
		return fmt.Errorf("%w: sep=%q: want a separator that is not empty and has no digits, or ids with suffixes would be ambiguous", core.ErrParam, sep)
	}
	return nil
}

func distinct(texts []string, name func(string) string) error {
	seen := make(map[string]int, len(texts))
	for i, text := range texts {
		if first, ok := seen[text]; ok {
			return fmt.Errorf("%w: %s is at positions %d and %d: want each once in a batch", core.ErrParam, name(text), first, i)
		}
		seen[text] = i
	}
	return nil
}

// show writes an item as its caller knows it: 1 or "1".
func show(item string) string {
	if item[0] == 'i' {
		return item[1:]
	}
	return strconv.Quote(item[1:])
}

func assign(ctx context.Context, tx store.Tx, b Batch) (Assigned, error) {
	a := Assigned{Suffix: make([]int64, len(b.IDs))}
	w := work{ctx: ctx, tx: tx, sep: b.Sep, keys: b.IDs, names: b.Names, most: b.Most, out: a.Suffix,
		marks: map[string]store.Mark{}, shift: map[string]int64{}}
	if b.Items == nil {
		return a, w.run()
	}
	var err error
	if a.Known, err = tx.Items(b.Version, b.Items); err != nil {
		return a, err
	}
	var rows []int // of new items
	w.keys, w.most = nil, nil
	for i, id := range a.Known {
		if id != "" {
			a.Suffix[i] = Known
		} else {
			rows = append(rows, i)
			w.keys = append(w.keys, b.IDs[i])
			if b.Most != nil {
				w.most = append(w.most, b.Most[i])
			}
		}
	}
	w.out = make([]int64, len(rows))
	if err := w.run(); err != nil {
		if full := (*Full)(nil); errors.As(err, &full) {
			for x, r := range full.Rows {
				full.Rows[x] = rows[r]
			}
		}
		return a, err
	}
	texts := Assigned{Suffix: w.out}.Texts(Batch{IDs: w.keys, Sep: b.Sep})
	items := make([]store.Item, len(rows))
	for j, i := range rows {
		a.Suffix[i] = w.out[j]
		items[j] = store.Item{Key: b.Items[i], ID: texts[j]}
		if b.Codes.Rows != 0 {
			items[j].Path = store.Path(b.Codes.Row(i))
		}
	}
	if b.Model != "" && len(rows) > 0 {
		model, err := tx.Model(b.Version)
		if err != nil {
			return a, err
		}
		a.OtherModel = model != "" && model != b.Model
		if model == "" {
			if err := tx.SetModel(b.Version, b.Model); err != nil {
				return a, err
			}
		}
	}
	return a, tx.AddItems(b.Version, items)
}

// work is a batch of ids without known items.
type work struct {
	ctx   context.Context
	tx    store.Tx
	sep   string
	keys  []string
	names []string
	most  []int // nil, or of each row: see Batch
	out   []int64
	marks map[string]store.Mark // of ids looked up so far, as they are to be
	wrote []string              // ids whose mark has changed
	shift map[string]int64      // of keys, what is to be added to the count
	free  map[string]bool       // keys that were counted and given back, which the next row of that key gets
}

func (w *work) run() error {
	numbers, err := w.tx.Add(w.keys)
	if err != nil {
		return err
	}
	depths, err := w.tx.Depths()
	if err != nil {
		return err
	}
	held, err := w.bare(numbers, depths)
	if err != nil {
		return err
	}
	var rows []int // those that do not get the bare id, or not surely
	for i, n := range numbers {
		if n == 0 && !held[w.keys[i]] {
			continue
		}
		if w.names == nil && w.sep == "-" && !depths.Marks && len(held) == 0 && !counted(depths, w.keys[i]) {
			w.out[i] = n // nobody can have key-n
		} else {
			rows = append(rows, i)
		}
	}
	for key := range held {
		w.shift[key] = 1
	}
	if err := w.limit(numbers); err != nil {
		return err
	}
	taken, err := w.look(rows, numbers)
	if err != nil {
		return err
	}
	for _, i := range rows {
		if err := w.row(i, numbers[i], taken); err != nil {
			return err
		}
	}
	return w.write()
}

// limit returns a Full if a row, that number of its key but for shift and free, has too many before it.
func (w *work) limit(numbers []int64) error {
	var full Full
	for i, most := range w.most {
		before := numbers[i] + w.shift[w.keys[i]]
		if w.free[w.keys[i]] {
			before--
		}
		if most > 0 && before >= int64(most) {
			full.Rows = append(full.Rows, i)
		}
	}
	if full.Rows == nil {
		return nil
	}
	return &full
}

// counted is whether an id key-n may have been counted.
func counted(d store.Depths, key string) bool {
	return d.Counted>>min(strings.Count(key, "-")+1, 63)&1 != 0
}

// bare finds keys that were held without having been counted before this batch; and sets free.
func (w *work) bare(numbers []int64, depths store.Depths) (held map[string]bool, err error) {
	held, w.free = map[string]bool{}, map[string]bool{}
	if depths.Many == 0 && !depths.Marks {
		return held, nil
	}
	var keys []string
	seen := map[string]bool{}
	for _, key := range w.keys {
		d := min(strings.Count(key, "-"), 63)
		if (depths.Marks || d > 0 && (depths.Many>>(d-1)&1 != 0 || depths.Many>>d&1 != 0 && d == 63)) && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return held, nil
	}
	before := make(map[string]int64, len(w.keys)) // the counts of the keys of this batch
	for i, key := range w.keys {
		if _, ok := before[key]; !ok {
			before[key] = numbers[i]
		}
	}
	states, err := w.states(keys, nil, before)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if before[key] == 0 && states[i] {
			held[key] = true
		}
		if w.marks[key] == store.Free {
			if before[key] > 0 {
				w.free[key] = true
			} else {
				w.mark(key, store.Unmarked) // it is counted now
			}
		}
	}
	return held, nil
}

// look says of all ids that rows could get whether they are held.
func (w *work) look(rows []int, numbers []int64) (map[string]bool, error) {
	var ids, own []string
	for _, i := range rows {
		key := w.keys[i]
		if n := numbers[i] + w.shift[key]; n > 0 {
			ids, own = append(ids, w.numbered(key, n)), append(own, key)
		}
		if w.names != nil {
			ids, own = append(ids, key+w.sep+w.names[i]), append(own, key)
		}
	}
	states, err := w.states(ids, own, nil)
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool, len(ids))
	for i, id := range ids {
		taken[id] = states[i] || w.free[id]
	}
	return taken, nil
}

func (w *work) numbered(key string, n int64) string {
	return string(strconv.AppendInt(append(append(make([]byte, 0, len(key)+len(w.sep)+20), key...), w.sep...), n, 10))
}

// row gives row i, number n of its key but for the shift, the first id that is free.
func (w *work) row(i int, n int64, taken map[string]bool) error {
	key := w.keys[i]
	n += w.shift[key]
	if w.free[key] { // given back: it goes to the next who asks, and no number is used
		delete(w.free, key)
		w.mark(key, store.Unmarked)
		w.shift[key]--
		w.out[i] = Bare
		return nil
	}
	if n == 0 {
		w.out[i] = Bare
		return nil
	}
	if w.names != nil {
		id := key + w.sep + w.names[i]
		// key-m of a lower number m is held, unless its holder got a name.
		m, split := w.number(key, id)
		if !taken[id] && !(split && 0 < m && m < n && w.marks[id] != store.Free) {
			taken[id] = true
			w.mark(id, store.Held)
			w.out[i] = Named
			if w.sep == "-" { // by the count key-n is held from now on
				other := w.numbered(key, n)
				held, err := w.isTaken(other, key, taken)
				if !held && err == nil {
					w.mark(other, store.Free)
				}
				return err
			}
			return nil
		}
	}
	for ; ; n++ {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		id := w.numbered(key, n)
		held, err := w.isTaken(id, key, taken)
		if err != nil {
			return err
		}
		taken[id] = true
		if !held {
			if w.sep != "-" {
				w.mark(id, store.Held)
			} else if w.marks[id] != store.Unmarked {
				w.mark(id, store.Unmarked) // the count says it
			}
			w.out[i] = n
			return nil
		}
		w.shift[key]++
	}
}

// isTaken is taken[id], looked up if it is not there yet.
func (w *work) isTaken(id, key string, taken map[string]bool) (bool, error) {
	held, known := taken[id]
	if known {
		return held, nil
	}
	states, err := w.states([]string{id}, []string{key}, nil)
	if err != nil {
		return false, err
	}
	taken[id] = states[0] || w.free[id]
	return taken[id], nil
}

// number splits an id into key-m, as the counts mean it.
func (w *work) number(key, id string) (m int64, ok bool) {
	k, m, ok := split(id)
	return m, ok && k == key
}

// Holders returns how many holders ids have, at least: suffixed ones count for the id that they were given out for.
func Holders(ctx context.Context, s store.Store, ids []string) (holders []int64, err error) {
	if err := store.CheckTexts("id", ids); err != nil {
		return nil, err
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		if holders, err = tx.Counts(ids); err != nil {
			return err
		}
		counts := make(map[string]int64, len(ids)) // so that nothing is claimed
		for i, id := range ids {
			counts[id] = holders[i]
		}
		w := work{ctx: ctx, tx: tx, marks: map[string]store.Mark{}}
		held, err := w.states(ids, nil, counts)
		if err != nil {
			return err
		}
		for i, id := range ids {
			if holders[i] > 0 && w.marks[id] == store.Free {
				holders[i]--
			} else if held[i] {
				holders[i] = max(holders[i], 1)
			}
		}
		return nil
	})
	return holders, err
}

// Knows tells which items have an id of a version.
func Knows(ctx context.Context, s store.Store, version string, items []string) (known []bool, err error) {
	if err := store.CheckTexts("item key", items); err != nil {
		return nil, err
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		ids, err := tx.Items(version, items)
		known = make([]bool, len(ids))
		for i, id := range ids {
			known[i] = id != ""
		}
		return err
	})
	return known, err
}

// split takes apart key-n, n a number from 1 on in its usual form.
func split(id string) (key string, n int64, ok bool) {
	at := strings.LastIndexByte(id, '-')
	if at < 0 || at+1 == len(id) || id[at+1] < '1' || id[at+1] > '9' || len(id)-at > 19 {
		return "", 0, false
	}
	for _, c := range []byte(id[at+1:]) {
		if c < '0' || c > '9' {
			return "", 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return id[:at], n, true
}

// states says which ids are held. own are the keys they are made of, whose own counts say nothing of them, or nil.
// before, if not nil, has counts to take instead of the store's, and all of the ids, which are claimed already.
func (w *work) states(ids, own []string, before map[string]int64) ([]bool, error) {
	held := make([]bool, len(ids))
	if len(ids) == 0 {
		return held, nil
	}
	var counts []int64
	var err error
	if before == nil {
		counts, err = w.tx.Claim(ids)
	} else {
		for _, id := range ids {
			counts = append(counts, before[id])
		}
	}
	if err != nil {
		return nil, err
	}
	depths, err := w.tx.Depths() // anew: a claim may have waited
	if err != nil {
		return nil, err
	}
	marks := make([]store.Mark, len(ids))
	if depths.Marks {
		if marks, err = w.tx.Marks(ids); err != nil {
			return nil, err
		}
	}
	var keys []string
	at := map[string]int{}
	for i, id := range ids {
		if key, _, ok := split(id); ok && (own == nil || own[i] != key) {
			if _, seen := at[key]; !seen {
				at[key] = len(keys)
				keys = append(keys, key)
			}
		}
	}
	bases, err := w.tx.Counts(keys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if n, ok := before[key]; ok {
			bases[i] = n
		}
	}
	for i, id := range ids {
		mark, changed := w.marks[id]
		if !changed {
			if mark = marks[i]; mark != store.Unmarked {
				w.marks[id] = mark
			}
		}
		held[i] = mark == store.Held
		if mark == store.Unmarked {
			held[i] = counts[i] > 0
			if key, n, ok := split(id); ok && (own == nil || own[i] != key) {
				held[i] = held[i] || bases[at[key]] > n
			}
		}
	}
	return held, nil
}

func (w *work) mark(id string, m store.Mark) {
	if w.marks[id] != m {
		w.marks[id] = m
		w.wrote = append(w.wrote, id)
	}
}

// write hands shifts and marks to the store.
func (w *work) write() error {
	var keys, ids []string
	var by []int64
	for key, n := range w.shift {
		if n != 0 {
			keys, by = append(keys, key), append(by, n)
		}
	}
	if err := w.tx.Shift(keys, by); err != nil {
		return err
	}
	var marks []store.Mark
	seen := map[string]bool{}
	for _, id := range w.wrote {
		if !seen[id] {
			seen[id] = true
			ids, marks = append(ids, id), append(marks, w.marks[id])
		}
	}
	return w.tx.SetMarks(ids, marks)
}
