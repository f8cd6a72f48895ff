package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// sqliteTx is a connection in a transaction. A statement gets many keys at once, as a JSON array or object: a statement
// for each key takes several times as long.
type sqliteTx struct {
	c   *connection
	ctx context.Context
}

// piece is how many keys a statement gets at most: it bounds memory, and how late the end of a context is seen.
const piece = 10_000

func (t *sqliteTx) Add(keys []string) ([]int64, error) {
	sorted, at := distinct(keys) // sorted: neighbors are on one page
	counts, err := t.Counts(sorted)
	if err != nil {
		return nil, err
	}
	prior := make([]int64, len(keys))
	for i, k := range at {
		prior[i] = counts[k]
		counts[k]++
	}
	const set = "INSERT INTO collisions (key, count) SELECT key, value FROM json_each(?1) WHERE true" +
		" ON CONFLICT (key) DO UPDATE SET count = excluded.count"
	return prior, t.pairs(set, sorted, integers(counts))
}

func (t *sqliteTx) Shift(keys []string, by []int64) error {
	const shift = "INSERT INTO collisions (key, count) SELECT key, value FROM json_each(?1) WHERE true" +
		" ON CONFLICT (key) DO UPDATE SET count = count + excluded.count"
	return t.pairs(shift, keys, integers(by))
}

func (t *sqliteTx) Claim(ids []string) ([]int64, error) { return t.Counts(ids) }

func (t *sqliteTx) Counts(keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	const get = "SELECT k.key, coalesce(c.count, 0) FROM json_each(?1) AS k CROSS JOIN collisions AS c ON c.key = k.value"
	return counts, t.each(get, keys, func(i int, v driver.Value) error {
		n, ok := v.(int64)
		if !ok || n < 0 {
			return fmt.Errorf("%w: the count of %q is %v, want a number of holders", ErrCorrupt, keys[i], v)
		}
		counts[i] = n
		return nil
	})
}

func (t *sqliteTx) Marks(ids []string) ([]Mark, error) {
	marks := make([]Mark, len(ids))
	const get = "SELECT k.key, m.held FROM json_each(?1) AS k CROSS JOIN semantic_id_marks AS m ON m.id = k.value"
	return marks, t.each(get, ids, func(i int, v driver.Value) error {
		marks[i] = Free
		if v == int64(1) {
			marks[i] = Held
		}
		return nil
	})
}

func (t *sqliteTx) SetMarks(ids []string, marks []Mark) error {
	var gone, set []string
	var held []int64
	for i, id := range ids {
		switch marks[i] {
		case Unmarked:
			gone = append(gone, id)
		case Held:
			set, held = append(set, id), append(held, 1)
		case Free:
			set, held = append(set, id), append(held, 0)
		}
	}
	if err := t.all("DELETE FROM semantic_id_marks WHERE id IN (SELECT value FROM json_each(?1))", gone); err != nil {
		return err
	}
	const put = "INSERT INTO semantic_id_marks (id, held) SELECT key, value FROM json_each(?1) WHERE true" +
		" ON CONFLICT (id) DO UPDATE SET held = excluded.held"
	return t.pairs(put, set, integers(held))
}

func (t *sqliteTx) Items(version string, items []string) ([]string, error) {
	return t.texts("SELECT k.key, i.id FROM json_each(?1) AS k CROSS JOIN semantic_id_items AS i ON i.version = ?2 AND i.item = k.value", items, version)
}

func (t *sqliteTx) Holders(ids []string) ([]string, error) {
	return t.texts("SELECT k.key, i.item FROM json_each(?1) AS k CROSS JOIN semantic_id_items AS i ON i.id = k.value", ids)
}

func (t *sqliteTx) texts(query string, keys []string, more ...driver.Value) ([]string, error) {
	texts := make([]string, len(keys))
	return texts, t.each(query, keys, func(i int, v driver.Value) error {
		texts[i], _ = v.(string)
		return nil
	}, more...)
}

func (t *sqliteTx) AddItems(version string, items []Item) error {
	keys := make([]string, len(items))
	for i, item := range items {
		keys[i] = item.Key
	}
	const add = "INSERT INTO semantic_id_items (version, item, id, path) SELECT ?2, key, value ->> 0, value ->> 1 FROM json_each(?1)"
	return t.pairs(add, keys, func(b []byte, i int) []byte {
		b = appendText(append(b, '['), items[i].ID)
		return append(appendText(append(b, ','), items[i].Path), ']')
	}, version)
}

func (t *sqliteTx) RemoveItems(version string, items []string) error {
	return t.all("DELETE FROM semantic_id_items WHERE version = ?2 AND item IN (SELECT value FROM json_each(?1))", items, version)
}

func (t *sqliteTx) Scan(version, prefix string, after Item, limit int) (items []Item, err error) {
	if after.Path < prefix {
		after = Item{Path: prefix}
	}
	const query = "SELECT item, id, path FROM semantic_id_items WHERE version = ?1 AND (path, item) > (?2, ?3) AND path < ?4 ORDER BY path, item LIMIT ?5"
	rows, err := t.c.query(query, version, after.Path, after.Key, behind(prefix), int64(limit))
	if err != nil {
		return nil, err
	}
	row := make([]driver.Value, 3)
	for err = rows.Next(row); err == nil; err = rows.Next(row) {
		key, _ := row[0].(string)
		id, _ := row[1].(string)
		path, _ := row[2].(string)
		items = append(items, Item{key, id, path})
		if len(items)%1024 == 0 && t.ctx.Err() != nil {
			err = t.ctx.Err()
			break
		}
	}
	if err == io.EOF {
		err = nil
	}
	return items, errors.Join(err, rows.Close())
}

func (t *sqliteTx) Model(version string) (string, error) {
	v, err := t.c.value("SELECT model FROM semantic_id_versions WHERE version = ?1", version)
	model, _ := v.(string)
	return model, err
}

func (t *sqliteTx) SetModel(version, model string) error {
	return t.c.exec("INSERT INTO semantic_id_versions VALUES (?1, ?2) ON CONFLICT (version) DO UPDATE SET model = ?2", version, model)
}

func (t *sqliteTx) Depths() (Depths, error) {
	any, err := t.c.value("SELECT EXISTS (SELECT 1 FROM semantic_id_marks)")
	return Depths{^uint64(0), ^uint64(0), any == int64(1)}, err
}

// each runs a query with keys as an array, and gives f its rows: the position of a key, and a value.
func (t *sqliteTx) each(query string, keys []string, f func(i int, v driver.Value) error, more ...driver.Value) error {
	return t.pieces(len(keys), func(low, high int) error {
		rows, err := t.c.query(query, append([]driver.Value{array(keys[low:high])}, more...)...)
		if err != nil {
			return err
		}
		var row [2]driver.Value
		for err = rows.Next(row[:]); err == nil; err = rows.Next(row[:]) {
			i, _ := row[0].(int64)
			if err = f(low+int(i), row[1]); err != nil {
				break
			}
		}
		if err == io.EOF {
			err = nil
		}
		return errors.Join(err, rows.Close())
	})
}

// all runs a statement with keys as an array.
func (t *sqliteTx) all(query string, keys []string, more ...driver.Value) error {
	return t.pieces(len(keys), func(low, high int) error {
		return t.c.exec(query, append([]driver.Value{array(keys[low:high])}, more...)...)
	})
}

// pairs runs a statement with keys and the values that value writes of them as an object. Keys differ.
func (t *sqliteTx) pairs(query string, keys []string, value func(b []byte, i int) []byte, more ...driver.Value) error {
	return t.pieces(len(keys), func(low, high int) error {
		b := []byte{'{'}
		for i := low; i < high; i++ {
			if i > low {
				b = append(b, ',')
			}
			b = value(append(appendText(b, keys[i]), ':'), i)
		}
		return t.c.exec(query, append([]driver.Value{string(append(b, '}'))}, more...)...)
	})
}

func (t *sqliteTx) pieces(n int, f func(low, high int) error) error {
	for low := 0; low < n; low += piece {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		if err := f(low, min(low+piece, n)); err != nil {
			return err
		}
	}
	return nil
}

func integers(values []int64) func(b []byte, i int) []byte {
	return func(b []byte, i int) []byte { return strconv.AppendInt(b, values[i], 10) }
}

// array is texts as JSON.
func array(texts []string) string {
	b := []byte{'['}
	for i, s := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return string(append(b, ']'))
}

// appendText appends a text as JSON. It is UTF-8 (CheckTexts).
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// prepared is the statement of a query, kept for the next time.
func (c *connection) prepared(query string) (driver.Stmt, error) {
	if s := c.stmt[query]; s != nil {
		return s, nil
	}
	s, err := c.db.Prepare(query)
	if err == nil {
		c.stmt[query] = s
	}
	return s, err
}

func (c *connection) exec(query string, args ...driver.Value) error {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	_, err = s.Exec(args) //lint:ignore SA1019 no context: it would cost a goroutine a statement
	return err
}

func (c *connection) query(query string, args ...driver.Value) (driver.Rows, error) {
	s, err := c.prepared(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args) //lint:ignore SA1019 as above
}

// value is the first column of the only row, nil if there is none.
func (c *connection) value(query string, args ...driver.Value) (driver.Value, error) {
	rows, err := c.query(query, args...)
	if err != nil {
		return nil, err
	}
	var row [1]driver.Value
	err = rows.Next(row[:])
	if err == nil {
		var rest [1]driver.Value
		err = rows.Next(rest[:]) // to its end: only then the statement has run as a whole
	}
	if err == io.EOF {
		err = nil
	}
	return row[0], errors.Join(err, rows.Close())
}
