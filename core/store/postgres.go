package store

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/semantic-id/semantic-id/core"
)

//go:embed postgres.sql
var postgresSchema string

// Postgres is a Store in a PostgreSQL database (9.5 or newer), which many machines may share.
//
// A transaction waits only for those that add or claim one of its ids: each id has a row, which the transaction locks, in
// the order of the ids, before it looks at what is known of the id. Deadlocks can then arise only between ids that were
// claimed later; the server ends one of the two transactions, and that one is run again.
type Postgres struct {
	config  *pgconn.Config
	timeout time.Duration
	conns   chan *pgconn.PgConn // those not in use; nil stands for one that is yet to be made
	closed  atomic.Bool
}

const postgresConns = 4 // per store: its transactions of different goroutines run beside each other

// OpenPostgres connects to a database, by a URL or by key=value words, and makes its tables if they are not there. What
// dsn does not say is taken from the environment variables of libpq. timeout is the most a transaction waits for a lock
// of another, and for a connection.
func OpenPostgres(ctx context.Context, dsn string, timeout time.Duration) (*Postgres, error) {
	if timeout < 0 {
		return nil, fmt.Errorf("%w: a timeout of %v, want at least 0", core.ErrParam, timeout)
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: want postgresql://user:password@host:port/database, or host=... dbname=...: %w", core.ErrParam, err)
	}
	s := &Postgres{config: config, timeout: timeout, conns: make(chan *pgconn.PgConn, postgresConns)}
	for range postgresConns {
		s.conns <- nil
	}
	err = s.transaction(ctx, func(c *pgconn.PgConn) error {
		found, err := c.ExecParams(ctx, "SELECT 1 WHERE to_regclass('semantic_id_counts') IS NULL OR to_regclass('semantic_id_marks') IS NULL"+
			" OR to_regclass('semantic_id_items') IS NULL OR to_regclass('semantic_id_paths') IS NULL OR to_regclass('semantic_id_versions') IS NULL", nil, nil, nil, nil).Close()
		if err != nil || found.RowsAffected() == 0 {
			return err
		}
		// One at a time: CREATE TABLE IF NOT EXISTS fails when two do it at once.
		return c.Exec(ctx, "SELECT pg_advisory_xact_lock(8100518726482653811);"+postgresSchema).Close()
	})
	if err != nil {
		_ = s.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

// Close implements Store. It waits for transactions that are running.
func (s *Postgres) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	for range postgresConns {
		if c := <-s.conns; c != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = c.Close(ctx)
			cancel()
		}
		defer func() { s.conns <- nil }() // for those that wait for one, and are told
	}
	return nil
}

// NextSuffixes implements Store.
func (s *Postgres) NextSuffixes(ctx context.Context, keys []string) ([]int64, error) {
	return next(ctx, s, keys)
}

// Update implements Store. f is run again when the server has ended the transaction in favor of another.
func (s *Postgres) Update(ctx context.Context, f func(Tx) error) error {
	deadline := time.Now().Add(s.timeout)
	var twice string // the row that was there already when the try before wanted to add it
	for try := 1; ; try++ {
		err := s.transaction(ctx, func(c *pgconn.PgConn) error { return f(&postgresTx{c: c, ctx: ctx}) })
		switch code(err) {
		case "40001", "40P01": // serialization failure, deadlock
			if time.Now().After(deadline) {
				return s.explain(err)
			}
		case "23505": // a row that another transaction has added meanwhile, so that f sees it the next time, or f's mistake
			var e *pgconn.PgError
			if errors.As(err, &e); e.Detail == twice || time.Now().After(deadline) {
				return s.explain(err)
			}
			twice = e.Detail
		default:
			return s.explain(err)
		}
		select {
		case <-time.After(rand.N(time.Millisecond << min(try, 7))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// transaction runs f in a transaction, once.
func (s *Postgres) transaction(ctx context.Context, f func(*pgconn.PgConn) error) (err error) {
	var c *pgconn.PgConn
	select {
	case c = <-s.conns:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		if c != nil && (c.IsClosed() || c.TxStatus() != 'I') { // also after a panic of f: the server rolls back
			ended, cancel := context.WithTimeout(context.Background(), time.Second)
			_ = c.Close(ended)
			cancel()
			c = nil
		}
		s.conns <- c
	}()
	if s.closed.Load() {
		return fmt.Errorf("%w: it is closed", ErrStore)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// Whatever the server's defaults: what is committed is on its disk; and nobody waits for a client that has stopped.
	wait := strconv.FormatInt(max(s.timeout.Milliseconds(), 1), 10)
	begin := "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = " + wait + "; SET LOCAL idle_in_transaction_session_timeout = " + wait +
		"; SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
	if c != nil && c.Exec(ctx, begin).Close() != nil { // lost since it was used last, as when the server was restarted
		_ = c.Close(ctx)
		c = nil
	}
	if c == nil {
		soon, cancel := context.WithTimeout(ctx, max(s.timeout, time.Second))
		defer cancel()
		if c, err = pgconn.ConnectConfig(soon, s.config); err != nil {
			return err
		}
		if err := c.Exec(ctx, begin).Close(); err != nil {
			return err
		}
	}
	if err := f(c); err != nil {
		if c.IsClosed() {
			return fmt.Errorf("%w: the connection was lost in the middle of a batch: nothing of it was counted, ask again: %w", ErrStore, err)
		}
		_ = c.Exec(ctx, "ROLLBACK").Close() // or the connection is dropped
		return err
	}
	results, err := c.Exec(ctx, "COMMIT").ReadAll()
	if err != nil && c.IsClosed() {
		return fmt.Errorf("%w: the connection was lost while the batch was being committed: either all of it was counted or nothing. "+
			"Its ids are not given out again; with item keys, ask again for the same ones: %w", ErrStore, err)
	}
	if err == nil && results[0].CommandTag.String() != "COMMIT" {
		return fmt.Errorf("%w: the transaction was rolled back, for a statement in it had failed", ErrStore)
	}
	return err
}

// code is the SQLSTATE of an error of the server, "" for any other.
func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// explain wraps what the server says in a sentinel, with the database and what can be done.
func (s *Postgres) explain(err error) error {
	where := net.JoinHostPort(s.config.Host, strconv.Itoa(int(s.config.Port))) + "/" + s.config.Database
	var connect *pgconn.ConnectError
	kind, remedy := ErrStore, "nothing was given out"
	switch c := code(err); {
	case errors.Is(err, ErrStore):
		return fmt.Errorf("PostgreSQL at %s: %w", where, err)
	case errors.As(err, &connect):
		remedy = "it cannot be reached, or lets nobody in: nothing was given out"
	case c == "": // of f, or none, or the end of the context
		return err
	case c == "55P03":
		kind, remedy = ErrLocked, fmt.Sprintf("another transaction held an id for %v: end it, or allow a longer timeout", s.timeout)
	case c == "25006", c == "42501":
		kind, remedy = ErrReadOnly, "allow the user to create tables, or to read and write the tables semantic_id_*, on a server that may be written to"
	case c == "40001", c == "40P01":
		kind, remedy = ErrLocked, fmt.Sprintf("other transactions were in the way for %v: nothing was given out, allow a longer timeout", s.timeout)
	case c == "23505":
		remedy = "an item or its id is there already: nothing was given out"
	case c == "54000":
		remedy = "an id is too long for an index of PostgreSQL, which takes about 2,700 bytes: nothing was given out"
	case c == "22P05", c == "22021":
		remedy = "the database cannot hold a character of an id, create it with ENCODING 'UTF8': nothing was given out"
	case c == "53100":
		remedy = "the disk of the server is full: nothing was given out"
	case c == "XX001", c == "XX002":
		kind, remedy = ErrCorrupt, "restore it from a backup, and do not drop its tables, for ids would be given out again"
	}
	return fmt.Errorf("PostgreSQL at %s: %w: %s: %w", where, kind, remedy, err)
}
