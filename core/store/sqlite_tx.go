package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"slices"
	"strings"
)

// sqliteTx is a connection in a transaction.
type sqliteTx struct {
	c   *connection
	ctx context.Context
}

func (t *sqliteTx) Add(keys []string) ([]int64, error) {
	// One statement a key, in the order of the index.
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if c := strings.Compare(keys[i], keys[j]); c != 0 {
			return c
		}
		return i - j
	})
	// Not one statement with RETURNING: for that SQLite makes a table of its own each time, which doubles the time.
	const get = "SELECT coalesce(count, 0) FROM collisions WHERE key = ?1"
	const set = "INSERT INTO collisions (key, count) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET count = ?2"
	prior := make([]int64, len(keys))
	for low := 0; low < len(order); {
		high := low + 1
		for high < len(order) && keys[order[high]] == keys[order[low]] {
			high++
		}
		key := keys[order[low]]
		v, err := t.value(low, get, key)
		if err != nil {
			return nil, err
		}
		count, ok := v.(int64)
		if v != nil && !ok || count < 0 {
			return nil, fmt.Errorf("%w: the count of %q is %v, want a number of holders", ErrCorrupt, key, v)
		}
		if err := t.exec(low, set, key, count+int64(high-low)); err != nil {
			return nil, err
		}
		for i := low; i < high; i++ {
			prior[order[i]] = count + int64(i-low)
		}
		low = high
	}
	return prior, nil
}

func (t *sqliteTx) Shift(keys []string, by []int64) error {
	for i, key := range keys {
		if err := t.exec(i, "UPDATE collisions SET count = count + ?2 WHERE key = ?1", key, by[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTx) Counts(keys []string) ([]int64, error) {
	counts := make([]int64, len(keys))
	for i, key := range keys {
		v, err := t.value(i, "SELECT coalesce(count, 0) FROM collisions WHERE key = ?1", key)
		if err != nil {
			return nil, err
		}
		counts[i], _ = v.(int64)
	}
	return counts, nil
}

func (t *sqliteTx) Marks(ids []string) ([]Mark, error) {
	marks := make([]Mark, len(ids))
	for i, id := range ids {
		v, err := t.value(i, "SELECT held FROM semantic_id_marks WHERE id = ?1", id)
		if err != nil {
			return nil, err
		}
		switch v {
		case int64(0):
			marks[i] = Free
		case int64(1):
			marks[i] = Held
		}
	}
	return marks, nil
}

func (t *sqliteTx) SetMarks(ids []string, marks []Mark) error {
	for i, id := range ids {
		var err error
		if marks[i] == Unmarked {
			err = t.exec(i, "DELETE FROM semantic_id_marks WHERE id = ?1", id)
		} else {
			held := int64(0)
			if marks[i] == Held {
				held = 1
			}
			err = t.exec(i, "INSERT INTO semantic_id_marks VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET held = ?2", id, held)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTx) Items(version string, items []string) ([]string, error) {
	return t.texts("SELECT id FROM semantic_id_items WHERE item = ?1 AND version = ?2", items, version)
}

func (t *sqliteTx) Holders(ids []string) ([]string, error) {
	return t.texts("SELECT item FROM semantic_id_items WHERE id = ?1", ids)
}

func (t *sqliteTx) texts(query string, keys []string, more ...driver.Value) ([]string, error) {
	texts := make([]string, len(keys))
	for i, key := range keys {
		v, err := t.value(i, query, append([]driver.Value{key}, more...)...)
		if err != nil {
			return nil, err
		}
		texts[i], _ = v.(string)
	}
	return texts, nil
}

func (t *sqliteTx) AddItems(version string, items []Item) error {
	for i, item := range items {
		if err := t.exec(i, "INSERT INTO semantic_id_items VALUES (?1, ?2, ?3, ?4)", version, item.Key, item.ID, item.Path); err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTx) RemoveItems(version string, items []string) error {
	for i, item := range items {
		if err := t.exec(i, "DELETE FROM semantic_id_items WHERE version = ?1 AND item = ?2", version, item); err != nil {
			return err
		}
	}
	return nil
}

func (t *sqliteTx) Scan(version, prefix string, after Item, limit int) (items []Item, err error) {
	if after.Path < prefix {
		after = Item{Path: prefix}
	}
	const query = "SELECT item, id, path FROM semantic_id_items WHERE version = ?1 AND (path, item) > (?2, ?3) AND path < ?4 ORDER BY path, item LIMIT ?5"
	s, err := t.c.prepared(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query([]driver.Value{version, after.Path, after.Key, behind(prefix), int64(limit)}) //lint:ignore SA1019 as below
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for row := make([]driver.Value, 3); ; {
		if err := rows.Next(row); err == io.EOF {
			return items, nil
		} else if err != nil {
			return nil, err
		}
		key, _ := row[0].(string)
		id, _ := row[1].(string)
		path, _ := row[2].(string)
		items = append(items, Item{key, id, path})
		if len(items)%1024 == 0 && t.ctx.Err() != nil {
			return nil, t.ctx.Err()
		}
	}
}

func (t *sqliteTx) Model(version string) (string, error) {
	v, err := t.value(0, "SELECT model FROM semantic_id_versions WHERE version = ?1", version)
	model, _ := v.(string)
	return model, err
}

func (t *sqliteTx) SetModel(version, model string) error {
	return t.exec(0, "INSERT INTO semantic_id_versions VALUES (?1, ?2) ON CONFLICT (version) DO UPDATE SET model = ?2", version, model)
}

func (t *sqliteTx) Depths() (uint64, bool) {
	any, err := t.c.value("SELECT EXISTS (SELECT 1 FROM semantic_id_marks)")
	return ^uint64(0), err != nil || any == int64(1)
}

// exec and value run a statement for the i-th of many keys; now and then they look whether to go on.
func (t *sqliteTx) exec(i int, query string, args ...driver.Value) error {
	if i%256 == 0 && t.ctx.Err() != nil {
		return t.ctx.Err()
	}
	return t.c.exec(query, args...)
}

func (t *sqliteTx) value(i int, query string, args ...driver.Value) (driver.Value, error) {
	if i%256 == 0 && t.ctx.Err() != nil {
		return nil, t.ctx.Err()
	}
	return t.c.value(query, args...)
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

// value is the first column of the first row, nil if there is none.
func (c *connection) value(query string, args ...driver.Value) (driver.Value, error) {
	s, err := c.prepared(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Query(args) //lint:ignore SA1019 as above
	if err != nil {
		return nil, err
	}
	var row [1]driver.Value
	if err = rows.Next(row[:]); err == io.EOF {
		row[0], err = nil, nil
	}
	if err == nil {
		for err == nil { // to its end: only then a statement that writes has run as a whole
			var rest [1]driver.Value
			err = rows.Next(rest[:])
		}
		if err == io.EOF {
			err = nil
		}
	}
	if e := rows.Close(); err == nil {
		err = e
	}
	return row[0], err
}
