package store

import (
	"context"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/semantic-id/semantic-id/core"
)

//go:embed schema.sql
var schema string

// DefaultTimeout is how long a transaction waits for those of other processes.
const DefaultTimeout = time.Minute

// SQLite is a Store in a database file, which processes of one machine may share. What was committed outlasts a crash of
// the process and of the machine: the write-ahead log is synchronized to the disk at each commit.
//
// All stores of a process with one file share one connection: SQLite's locks belong to processes, and closing a second
// connection to a file would drop those of the first.
type SQLite struct {
	path    string // as given
	timeout time.Duration
	c       *connection
}

// connections are those that are open, by absolute path. The lock is held while one is opened or closed.
var connections = struct {
	sync.Mutex
	at map[string]*connection
}{at: map[string]*connection{}}

// connection is one connection to a file.
type connection struct {
	path string
	file os.FileInfo   // what the path was when it was opened
	busy chan struct{} // holds a value while a transaction runs
	uses int           // stores; guarded by connections
	db   driver.Conn
	stmt map[string]driver.Stmt
}

// OpenSQLite opens a database, made if it is not there. timeout is the most a transaction waits for others.
func OpenSQLite(ctx context.Context, path string, timeout time.Duration) (*SQLite, error) {
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("%w: a SQLite store at %q: want the path of a file; for a store in memory there is Memory (InMemoryCollisionStore)", core.ErrParam, path)
	}
	if timeout < 0 {
		return nil, fmt.Errorf("%w: a timeout of %v, want at least 0", core.ErrParam, timeout)
	}
	real, err := realPath(path)
	if err != nil {
		return nil, err
	}
	s := &SQLite{path: path, timeout: timeout}
	connections.Lock()
	defer connections.Unlock()
	if c := connections.at[real]; c != nil && c.inPlace() == nil {
		c.uses++
		s.c = c
		return s, nil
	}
	c := &connection{path: real, busy: make(chan struct{}, 1), uses: 1, stmt: map[string]driver.Stmt{}}
	if err := c.open(ctx, timeout); err != nil {
		c.drop()
		return nil, s.explain(err)
	}
	connections.at[real] = c // one of a file that was replaced lives on, in the stores that have it
	s.c = c
	return s, nil
}

// realPath is the path without symbolic links; the file need not exist.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", fmt.Errorf("no database at %s: its folder cannot be found, make it first: %w", path, err)
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

func (c *connection) open(ctx context.Context, timeout time.Duration) error {
	if info, err := os.Stat(c.path); err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: c.path, Err: errors.New("not a regular file")}
	}
	dsn := "file:" + (&url.URL{Path: c.path}).EscapedPath() + "?_pragma=busy_timeout(100)"
	err := patiently(ctx, timeout, func() (err error) {
		c.drop()
		if c.db, err = new(sqlite.Driver).Open(dsn); err != nil {
			return err
		}
		var mode, synchronous driver.Value
		if mode, err = c.value("PRAGMA journal_mode = WAL"); err != nil {
			return err
		}
		if err := c.exec("PRAGMA synchronous = FULL"); err != nil {
			return err
		}
		if synchronous, err = c.value("PRAGMA synchronous"); err != nil {
			return err
		}
		if mode != "wal" || synchronous != int64(2) {
			if f, err := os.OpenFile(c.path, os.O_RDWR, 0); err != nil { // it is not: no lock of ours is lost yet
				return fmt.Errorf("%w: %w", ErrReadOnly, err)
			} else if err := f.Close(); err != nil {
				return err
			}
			return fmt.Errorf("%w: journal_mode is %v and synchronous %v, want wal and 2: is the file on a local disk?", ErrStore, mode, synchronous)
		}
		return c.makeTables()
	})
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.path)); err != nil { // a new file must not vanish with the machine
		return err
	}
	c.file, err = os.Stat(c.path)
	return err
}

func (c *connection) makeTables() error {
	const count = "SELECT count(*) FROM sqlite_master WHERE name IN ('collisions', 'semantic_id_marks', 'semantic_id_items', 'semantic_id_paths', 'semantic_id_versions')"
	if n, err := c.value(count); err != nil {
		return err
	} else if n != int64(5) {
		if err := c.exec("BEGIN IMMEDIATE"); err != nil {
			return err
		}
		if err := c.exec(schema); err != nil {
			return errors.Join(err, c.exec("ROLLBACK"))
		}
		if err := c.exec("COMMIT"); err != nil {
			return errors.Join(err, c.exec("ROLLBACK"))
		}
	}
	if n, err := c.value("SELECT count(*) FROM pragma_table_info('collisions') WHERE name = 'key' AND pk = 1 OR name = 'count'"); err != nil {
		return err
	} else if n != int64(2) {
		return fmt.Errorf("%w: the table collisions has not the columns key (its primary key) and count", ErrStore)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return nil // a directory that may be written and not read
	}
	defer f.Close()
	_ = f.Sync() // some file systems have none for directories
	return nil
}

// inPlace returns an error if the path is no longer the file that is open.
func (c *connection) inPlace() error {
	info, err := os.Stat(c.path)
	if err == nil && os.SameFile(info, c.file) {
		return nil
	}
	return fmt.Errorf("%w: the database was removed or replaced while it was open: open it anew", ErrStore)
}

// drop closes the connection for good or before it is opened anew.
func (c *connection) drop() {
	for _, s := range c.stmt {
		_ = s.Close()
	}
	clear(c.stmt)
	if c.db != nil {
		_ = c.db.Close()
		c.db = nil
	}
}

// Close lets go of the store; the last one of a file closes it.
func (s *SQLite) Close() error {
	connections.Lock()
	defer connections.Unlock()
	c := s.c
	if c == nil {
		return nil
	}
	c.busy <- struct{}{} // not in the middle of a transaction
	s.c = nil
	<-c.busy
	if c.uses--; c.uses == 0 {
		if connections.at[c.path] == c {
			delete(connections.at, c.path)
		}
		c.drop()
	}
	return nil
}

// NextSuffixes implements Store.
func (s *SQLite) NextSuffixes(ctx context.Context, keys []string) ([]int64, error) {
	return next(ctx, s, keys)
}

// Update implements Store. It waits for other processes up to the timeout.
func (s *SQLite) Update(ctx context.Context, f func(Tx) error) error {
	return s.alone(ctx, func(c *connection) error { return c.update(ctx, s.timeout, f) })
}

// alone runs f with the connection while no other goroutine has it.
func (s *SQLite) alone(ctx context.Context, f func(*connection) error) error {
	c := s.c
	if c == nil {
		return fmt.Errorf("%w: %s is closed", ErrStore, s.path)
	}
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.inPlace(); err != nil {
		return s.explain(err)
	}
	if c.db == nil { // dropped after a failure
		if err := c.open(ctx, s.timeout); err != nil {
			return s.explain(err)
		}
	}
	return s.explain(f(c))
}

func (c *connection) update(ctx context.Context, timeout time.Duration, f func(Tx) error) error {
	if err := patiently(ctx, timeout, func() error { return c.exec("BEGIN IMMEDIATE") }); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended && c.exec("ROLLBACK") != nil { // SQLite has rolled back itself, or cannot
			c.drop()
		}
	}()
	if err := f(&sqliteTx{c, ctx}); err != nil {
		return err
	}
	if err := c.exec("COMMIT"); err != nil {
		return err
	}
	ended = true
	return nil
}

// patiently calls f again while the database is locked, until the timeout.
func patiently(ctx context.Context, timeout time.Duration, f func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := f()
		if !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(time.Millisecond) // not all that is locked waits in SQLite
	}
}

func isBusy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_BUSY || e.Code()&0xff == sqlite3.SQLITE_LOCKED)
}

// explain wraps what SQLite says in a sentinel, with the file and what can be done.
func (s *SQLite) explain(err error) error {
	if err == nil {
		return nil
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		if errors.Is(err, ErrStore) || errors.Is(err, ErrReadOnly) || errors.Is(err, ErrCorrupt) {
			return fmt.Errorf("%s: %w", s.path, err)
		}
		return err
	}
	kind, remedy := ErrStore, "nothing was given out"
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		kind, remedy = ErrLocked, fmt.Sprintf("another program held it for %v: end it, or allow a longer timeout", s.timeout)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		kind, remedy = ErrReadOnly, "allow writing to the file and its directory"
	case sqlite3.SQLITE_CANTOPEN:
		kind, remedy = ErrReadOnly, "the file or those beside it cannot be opened: is the directory there, and writable?"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		kind, remedy = ErrCorrupt, "it is not a SQLite database, or damaged: restore it from a backup, and do not delete it, for ids would be given out again"
	case sqlite3.SQLITE_FULL:
		remedy = "the disk is full: free some space and try again"
	}
	return fmt.Errorf("%s: %w: %s (%w)", s.path, kind, remedy, err)
}

// Backup writes a copy of the database, as it is between two transactions, to a file that is not there yet. Other
// processes may go on writing.
func (s *SQLite) Backup(ctx context.Context, path string) error {
	return s.alone(ctx, func(c *connection) error {
		return patiently(ctx, s.timeout, func() error {
			b, err := c.db.(interface {
				NewBackup(string) (*sqlite.Backup, error)
			}).NewBackup("file:" + (&url.URL{Path: path}).EscapedPath())
			if err != nil {
				return err
			}
			_, err = b.Step(-1) // all pages at once, so that all are of one moment
			return errors.Join(err, b.Finish())
		})
	})
}

// Path returns the path as it was given.
func (s *SQLite) Path() string { return s.path }
