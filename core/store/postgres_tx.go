package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresTx is a connection in a transaction. A statement gets many keys at once, as an array, and takes its locks in the
// order of the keys.
type postgresTx struct {
	c       *pgconn.PgConn
	ctx     context.Context
	noModel bool // Model has found none
}

func (t *postgresTx) Add(keys []string) ([]int64, error) {
	sorted, at := distinct(keys)
	by := make([]int64, len(sorted))
	for _, k := range at {
		by[k]++
	}
	counts, err := t.count(sorted, by)
	if err != nil {
		return nil, err
	}
	prior := make([]int64, len(keys))
	for k, n := range by {
		counts[k] -= n
	}
	for i, k := range at {
		prior[i] = counts[k]
		counts[k]++
	}
	return prior, nil
}

func (t *postgresTx) Claim(ids []string) ([]int64, error) {
	sorted, at := distinct(ids)
	found, err := t.count(sorted, make([]int64, len(sorted)))
	if err != nil {
		return nil, err
	}
	counts := make([]int64, len(ids))
	for i, k := range at {
		counts[i] = found[k]
	}
	return counts, nil
}

func (t *postgresTx) Shift(keys []string, by []int64) error {
	sorted, at := distinct(keys)
	shift := make([]int64, len(sorted))
	for i, k := range at {
		shift[k] = by[i]
	}
	_, err := t.count(sorted, shift)
	return err
}

// count adds to the counts of keys, sorted, locks them until the transaction ends, and returns the sums.
func (t *postgresTx) count(sorted []string, by []int64) ([]int64, error) {
	counts := make([]int64, len(sorted))
	if len(sorted) == 0 {
		return counts, nil
	}
	const add = "INSERT INTO semantic_id_counts AS c (key, count)" +
		" SELECT u.key, u.n FROM unnest($1::text[], $2::bigint[]) AS u (key, n) ORDER BY u.key COLLATE \"C\"" +
		" ON CONFLICT (key) DO UPDATE SET count = c.count + excluded.count RETURNING c.key, c.count"
	return counts, t.rows(add, func(row [][]byte) (err error) {
		i, ok := slices.BinarySearch(sorted, string(row[0]))
		if !ok {
			return fmt.Errorf("%w: asked to count %d keys, PostgreSQL counted %q", ErrStore, len(sorted), row[0])
		}
		counts[i], err = strconv.ParseInt(string(row[1]), 10, 64)
		return err
	}, textArray(sorted), integerArray(by))
}

func (t *postgresTx) Counts(keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	return counts, t.look("SELECT u.i, c.count FROM "+given+" JOIN semantic_id_counts AS c ON c.key = u.key COLLATE \"C\"", keys, func(i int, n []byte) (err error) {
		counts[i], err = strconv.ParseInt(string(n), 10, 64)
		return err
	})
}

func (t *postgresTx) Marks(ids []string) ([]Mark, error) {
	marks := make([]Mark, len(ids))
	return marks, t.look("SELECT u.i, m.held FROM "+given+" JOIN semantic_id_marks AS m ON m.id = u.key COLLATE \"C\"", ids, func(i int, held []byte) error {
		marks[i] = Free
		if string(held) == "t" {
			marks[i] = Held
		}
		return nil
	})
}

func (t *postgresTx) SetMarks(ids []string, marks []Mark) error {
	var gone, held, free []string
	for i, id := range ids {
		switch marks[i] {
		case Unmarked:
			gone = append(gone, id)
		case Held:
			held = append(held, id)
		case Free:
			free = append(free, id)
		}
	}
	const put = "INSERT INTO semantic_id_marks (id, held) SELECT u.id, $2::boolean FROM unnest($1::text[]) AS u (id)" +
		" ON CONFLICT (id) DO UPDATE SET held = excluded.held"
	if err := t.all("DELETE FROM semantic_id_marks WHERE id = ANY ($1::text[])", gone); err != nil {
		return err
	}
	if err := t.all(put, held, []byte("t")); err != nil {
		return err
	}
	return t.all(put, free, []byte("f"))
}

func (t *postgresTx) Items(version string, items []string) ([]string, error) {
	return t.texts("SELECT u.i, t.id FROM "+given+" JOIN semantic_id_items AS t ON t.version = $2 AND t.item = u.key COLLATE \"C\"", items, []byte(version))
}

func (t *postgresTx) Holders(ids []string) ([]string, error) {
	return t.texts("SELECT u.i, t.item FROM "+given+" JOIN semantic_id_items AS t ON t.id = u.key COLLATE \"C\"", ids)
}

func (t *postgresTx) texts(query string, keys []string, more ...[]byte) ([]string, error) {
	texts := make([]string, len(keys))
	return texts, t.look(query, keys, func(i int, s []byte) error {
		texts[i] = string(s)
		return nil
	}, more...)
}

func (t *postgresTx) AddItems(version string, items []Item) error {
	var columns [3][]string
	for _, item := range items {
		columns[0], columns[1], columns[2] = append(columns[0], item.Key), append(columns[1], item.ID), append(columns[2], item.Path)
	}
	const add = "INSERT INTO semantic_id_items (version, item, id, path) SELECT $2, u.item, u.id, u.path" +
		" FROM unnest($1::text[], $3::text[], $4::text[]) AS u (item, id, path) ORDER BY u.item COLLATE \"C\""
	return t.all(add, columns[0], []byte(version), textArray(columns[1]), textArray(columns[2]))
}

func (t *postgresTx) RemoveItems(version string, items []string) error {
	return t.all("DELETE FROM semantic_id_items WHERE item = ANY ($1::text[]) AND version = $2", items, []byte(version))
}

func (t *postgresTx) Scan(version, prefix string, after Item, limit int) (items []Item, err error) {
	if after.Path < prefix {
		after = Item{Path: prefix}
	}
	const query = "SELECT item, id, path FROM semantic_id_items" +
		" WHERE version = $1 AND (path, item) > ($2, $3) AND path < $4 ORDER BY path, item LIMIT $5::bigint"
	return items, t.rows(query, func(row [][]byte) error {
		items = append(items, Item{string(row[0]), string(row[1]), string(row[2])})
		return nil
	}, []byte(version), []byte(after.Path), []byte(after.Key), []byte(behind(prefix)), strconv.AppendInt(nil, int64(limit), 10))
}

func (t *postgresTx) Model(version string) (model string, err error) {
	err = t.rows("SELECT model FROM semantic_id_versions WHERE version = $1", func(row [][]byte) error {
		model = string(row[0])
		return nil
	}, []byte(version))
	t.noModel = err == nil && model == ""
	return model, err
}

func (t *postgresTx) SetModel(version, model string) error {
	set := "INSERT INTO semantic_id_versions (version, model) VALUES ($1, $2)"
	if !t.noModel { // else one that another transaction has set meanwhile is to be seen, by another try
		set += " ON CONFLICT (version) DO UPDATE SET model = excluded.model"
	}
	t.noModel = false
	return t.rows(set, nil, []byte(version), []byte(model))
}

// Depths: others may be at work, so that only what is claimed can be known.
func (t *postgresTx) Depths() (Depths, error) { return Depths{^uint64(0), ^uint64(0), true}, nil }

// given are the keys of look, numbered from 1.
const given = "unnest($1::text[]) WITH ORDINALITY AS u (key, i)"

// look gives f the rows of a query about keys: the position of a key, and a value.
func (t *postgresTx) look(query string, keys []string, f func(i int, value []byte) error, more ...[]byte) error {
	if len(keys) == 0 {
		return nil
	}
	return t.rows(query, func(row [][]byte) error {
		i, err := strconv.Atoi(string(row[0]))
		if err != nil {
			return err
		}
		return f(i-1, row[1])
	}, append([][]byte{textArray(keys)}, more...)...)
}

// all runs a statement with keys as its first parameter, if there are some.
func (t *postgresTx) all(query string, keys []string, more ...[]byte) error {
	if len(keys) == 0 {
		return nil
	}
	return t.rows(query, nil, append([][]byte{textArray(keys)}, more...)...)
}

// rows runs a statement and gives f its rows.
func (t *postgresTx) rows(query string, f func(row [][]byte) error, args ...[]byte) error {
	r := t.c.ExecParams(t.ctx, query, args, nil, nil, nil).Read()
	for _, row := range r.Rows {
		if err := f(row); err != nil {
			return err
		}
	}
	return r.Err
}

// textArray is texts as PostgreSQL reads an array.
func textArray(texts []string) []byte {
	b := []byte{'{'}
	for i, s := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for j := range len(s) {
			if s[j] == '"' || s[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, s[j])
		}
		b = append(b, '"')
	}
	return append(b, '}')
}

func integerArray(values []int64) []byte {
	b := []byte{'{'}
	for i, n := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, '}')
}
