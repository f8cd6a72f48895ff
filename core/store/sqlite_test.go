package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/store"
)

// query asks a database by a connection of its own. (In one process that is safe only while no store has the file open.)
func query(t *testing.T, path, text string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	must(t, err)
	defer db.Close()
	var out []string
	rows, err := db.Query(text)
	must(t, err)
	defer rows.Close()
	columns, _ := rows.Columns()
	for rows.Next() {
		row, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		must(t, rows.Scan(at...))
		out = append(out, strings.Trim(fmt.Sprint(row), "[]"))
	}
	must(t, rows.Err())
	return strings.Join(out, "; ")
}

// TestVersion: from 3.51.3 on a write-ahead log that is reset cannot damage the database.
func TestVersion(t *testing.T) {
	var a, b, c int
	version := query(t, filepath.Join(t.TempDir(), "x.db"), "SELECT sqlite_version()")
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &a, &b, &c); err != nil || a*1_000_000+b*1000+c < 3_051_003 {
		t.Errorf("SQLite %s, want 3.51.3 or newer", version)
	}
}

func TestContinues025(t *testing.T) {
	path := filepath.Join(t.TempDir(), "collisions.db")
	query(t, path, "CREATE TABLE collisions (key TEXT PRIMARY KEY, count INTEGER DEFAULT 0)")
	query(t, path, "INSERT INTO collisions VALUES ('3-9-1', 3), ('1-1-1', 1), ('0-0-0', NULL)")
	s := openSQLite(t, path)
	same(t, suffixes(t, s, "3-9-1", "1-1-1", "0-0-0", "2-2-2", "3-9-1"), []int64{3, 1, 0, 0, 4})
	must(t, s.Close())
	same(t, query(t, path, "SELECT * FROM collisions ORDER BY key"), "0-0-0 1; 1-1-1 2; 2-2-2 1; 3-9-1 5")
	same(t, query(t, path, "PRAGMA integrity_check"), "ok")
}

func TestForeignTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	query(t, path, "CREATE TABLE collisions (a, b)")
	if _, err := store.OpenSQLite(ctx, path, time.Second); !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}

// TestDurable: what a store of this process says of itself.
func TestDurable(t *testing.T) {
	s := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	for pragma, want := range map[string]any{"synchronous": int64(2), "journal_mode": "wal"} {
		got, err := s.Pragma(pragma)
		must(t, err)
		same(t, got, want)
	}
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrStore) {
		t.Error(err)
	}
	if _, err := os.Stat(s.Path() + "-wal"); err == nil {
		t.Error("closing left the log")
	}
}

func TestOneConnectionForAFile(t *testing.T) {
	dir := t.TempDir()
	a := openSQLite(t, filepath.Join(dir, "x.db"))
	must(t, os.Symlink("x.db", filepath.Join(dir, "link.db")))
	b := openSQLite(t, filepath.Join(dir, ".", "link.db"))
	if !store.SameConnection(a, b) {
		t.Error("two connections to one file")
	}
	must(t, a.Close())
	same(t, suffixes(t, b, "a"), []int64{0})
}

func TestOddPaths(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b?c=d&e#f%20g.db", "Ä'\".db"} {
		s := openSQLite(t, filepath.Join(dir, name))
		suffixes(t, s, "a")
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"", ":memory:"} {
		if _, err := store.OpenSQLite(ctx, path, 0); !errors.Is(err, core.ErrParam) {
			t.Error(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "no", "x.db")} {
		var want *os.PathError
		if _, err := store.OpenSQLite(ctx, path, 0); !errors.As(err, &want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want an error of the file system that names %s", err, path)
		}
	}
}

func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, err := store.OpenSQLite(ctx, path, 300*time.Millisecond)
	must(t, err)
	defer s.Close()
	other, err := sql.Open("sqlite", path)
	must(t, err)
	defer other.Close()
	other.SetMaxOpenConns(1)
	_, err = other.Exec("BEGIN IMMEDIATE")
	must(t, err)
	if _, err := s.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "300ms") {
		t.Error(err)
	}
	soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	long, err := store.OpenSQLite(ctx, path, time.Hour)
	must(t, err)
	defer long.Close()
	if _, err := long.NextSuffixes(soon, []string{"a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	go func() {
		time.Sleep(200 * time.Millisecond)
		_, _ = other.Exec("COMMIT")
	}()
	same(t, suffixes(t, long, "a"), []int64{0})
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	must(t, os.WriteFile(text, []byte(strings.Repeat("no database ", 1000)), 0o600))
	if _, err := store.OpenSQLite(ctx, text, time.Second); !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
	data, err := os.ReadFile(text)
	must(t, err)
	if !strings.HasPrefix(string(data), "no database") {
		t.Error("the file was written to")
	}

	path := filepath.Join(dir, "x.db")
	s := openSQLite(t, path)
	var keys []string
	for i := range 3000 {
		keys = append(keys, fmt.Sprint("key ", i))
	}
	suffixes(t, s, keys...)
	must(t, s.Close())
	data, err = os.ReadFile(path)
	must(t, err)
	for i := 8192; i < len(data); i++ {
		data[i] = 0xA5
	}
	must(t, os.WriteFile(path, data, 0o600))
	s, err = store.OpenSQLite(ctx, path, time.Second)
	if err == nil {
		defer s.Close()
		_, err = s.NextSuffixes(ctx, keys)
	}
	if !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
}

// TestFull: what a batch that found no room has written is gone, and the store goes on.
func TestFull(t *testing.T) {
	s := openSQLite(t, filepath.Join(t.TempDir(), "x.db"))
	suffixes(t, s, "a")
	_, err := s.Pragma("max_page_count = 20")
	must(t, err)
	var keys []string
	for i := range 30_000 {
		keys = append(keys, fmt.Sprint("key ", i))
	}
	if _, err := s.NextSuffixes(ctx, append(keys, "a")); !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "disk is full") {
		t.Error(err)
	}
	same(t, suffixes(t, s, "a", "key 1"), []int64{1, 0})
}

// TestTextsThatJSONEscapes: they reach SQLite as they are.
func TestTextsThatJSONEscapes(t *testing.T) {
	var keys []string
	for c := rune(1); c < 300; c++ {
		keys = append(keys, string(c), string([]rune{c, '\\', 'u', '0', c}))
	}
	keys = append(keys, "\u2028", "\U0010FFFF", "null", "[1]", `{"a":1}`, "1e5", "  ")
	everyStore(t, func(t *testing.T, s store.Store, again func(store.Store) store.Store) {
		for _, n := range suffixes(t, s, keys...) {
			same(t, n, int64(0))
		}
		var items []store.Item
		for i, key := range keys {
			items = append(items, store.Item{Key: store.TextItem(key), ID: keys[len(keys)-1-i]})
		}
		must(t, s.Update(ctx, func(tx store.Tx) error { return tx.AddItems("v", items) }))
		s = again(s)
		must(t, s.Update(ctx, func(tx store.Tx) error {
			counts, err := tx.Counts(keys)
			must(t, err)
			holders, err := tx.Holders(keys)
			must(t, err)
			for i := range keys {
				same(t, counts[i], int64(1))
				same(t, holders[i], items[len(keys)-1-i].Key)
			}
			return nil
		}))
	})
}

func TestRemovedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openSQLite(t, path)
	suffixes(t, s, "a")
	must(t, os.Rename(path, path+".old"))
	if _, err := s.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "removed or replaced") {
		t.Error(err)
	}
	same(t, suffixes(t, openSQLite(t, path), "a"), []int64{0}) // another database
	if _, err := s.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrStore) {
		t.Error(err)
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, filepath.Join(dir, "x.db"))
	suffixes(t, s, "a", "a")
	must(t, s.Backup(ctx, filepath.Join(dir, "copy?.db")))
	suffixes(t, s, "a")
	copied := openSQLite(t, filepath.Join(dir, "copy?.db"))
	same(t, suffixes(t, copied, "a"), []int64{2}) // both count on, each for itself
	same(t, suffixes(t, s, "a"), []int64{3})
}
