package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/internal/pgtest"
	"github.com/semantic-id/semantic-id/core/store"
)

func TestPostgresTables(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := openPostgres(t, dsn)
	suffixes(t, s, "b", `"\{},NULL`, "b", "NULL", "ä")
	got := fmt.Sprintf("%s", pgtest.Exec(t, dsn, "SELECT key, count FROM semantic_id_counts ORDER BY key"))
	same(t, got, `[["\{},NULL 1] [NULL 1] [b 2] [ä 1]]`)
	for name, want := range map[string]string{"synchronous_commit": "on", "lock_timeout": "10s", "transaction_isolation": "read committed"} {
		off := openPostgres(t, pgtest.With(t, dsn, "options", "-csynchronous_commit=off -cdefault_transaction_isolation=serializable"))
		must(t, off.Update(ctx, func(tx store.Tx) error {
			value, err := store.Setting(tx, name)
			same(t, value, want)
			return err
		}))
	}
}

// TestPostgresOthersDoNotWait: a transaction holds up those that want its ids, and no others.
func TestPostgresOthersDoNotWait(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := openPostgres(t, dsn)
	hasty, err := store.OpenPostgres(ctx, dsn, 200*time.Millisecond)
	must(t, err)
	defer hasty.Close()
	must(t, s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Add([]string{"a"})
		must(t, err)
		_, err = tx.Claim([]string{"a-1", "new"})
		must(t, err)
		same(t, suffixes(t, hasty, "b", "a-2"), []int64{0, 0})
		for _, id := range []string{"a", "a-1", "new"} {
			_, err := hasty.NextSuffixes(ctx, []string{"c", id})
			if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "200ms") {
				t.Error(id, err)
			}
		}
		return nil
	}))
	same(t, suffixes(t, hasty, "a", "a-1", "c"), []int64{1, 0, 0})
}

// TestPostgresDeadlock: two transactions claim the same ids the other way round; the one that the server ends is run again.
func TestPostgresDeadlock(t *testing.T) {
	dsn := pgtest.DSN(t)
	var runs atomic.Int32
	met := make(chan bool)
	done := make(chan error)
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		s := openPostgres(t, dsn)
		go func() {
			first := true
			done <- s.Update(ctx, func(tx store.Tx) error {
				runs.Add(1)
				if _, err := tx.Add(order[:1]); err != nil {
					return err
				}
				if first {
					first = false
					select {
					case met <- true:
					case <-met:
					}
				}
				_, err := tx.Add(order[1:])
				return err
			})
		}()
	}
	must(t, <-done)
	must(t, <-done)
	same(t, runs.Load(), int32(3))
	same(t, suffixes(t, openPostgres(t, dsn), "a", "b"), []int64{2, 2})
}

// TestPostgresOneItemAddedTwice: of two transactions that give an item an id at once, the second runs again, and sees it.
func TestPostgresOneItemAddedTwice(t *testing.T) {
	dsn := pgtest.DSN(t)
	a, b := openPostgres(t, dsn), openPostgres(t, dsn)
	add := func(s store.Store, id string, between func()) error {
		return s.Update(ctx, func(tx store.Tx) error {
			known, err := tx.Items("", []string{"t1"})
			if err != nil || known[0] != "" {
				return err
			}
			if between != nil {
				between()
				between = nil
			}
			return tx.AddItems("", []store.Item{{Key: "t1", ID: id}})
		})
	}
	must(t, add(a, "x", func() { must(t, add(b, "y", nil)) }))
	items, err := store.Lookup(ctx, a, []string{"x", "y"})
	must(t, err)
	same(t, items, []string{"", "t1"})
}

func TestPostgresConnectionLost(t *testing.T) {
	dsn := pgtest.With(t, pgtest.DSN(t), "application_name", fmt.Sprint("lost ", time.Now().UnixNano()))
	s := openPostgres(t, dsn)
	suffixes(t, s, "a", "a")
	at, err := url.Parse(dsn)
	must(t, err)
	end := func() { // as an administrator or a restart would
		other := pgtest.With(t, dsn, "application_name", "other")
		pgtest.Exec(t, other, "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE application_name = '"+at.Query().Get("application_name")+"'")
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Add([]string{"a", "b"})
		must(t, err)
		end()
		return tx.SetMarks([]string{"a"}, []store.Mark{store.Held})
	})
	if !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "lost in the middle of a batch: nothing of it was counted") {
		t.Error(err)
	}
	same(t, suffixes(t, s, "a", "b"), []int64{2, 0})
	end() // between two batches: nobody need know
	same(t, suffixes(t, s, "a", "b"), []int64{3, 1})
}

// TestPostgresLostWhileCommitting cuts the connection at the COMMIT, before the server gets it and after.
func TestPostgresLostWhileCommitting(t *testing.T) {
	for _, c := range []struct {
		arrives bool
		next    int64
	}{{true, 1}, {false, 0}} {
		dsn := pgtest.DSN(t)
		must(t, openPostgres(t, dsn).Close()) // the tables
		s := openPostgres(t, cut(t, dsn, c.arrives))
		_, err := s.NextSuffixes(ctx, []string{"a"})
		if !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "either all of it was counted or nothing") {
			t.Error(err)
		}
		same(t, suffixes(t, openPostgres(t, dsn), "a"), []int64{c.next})
	}
}

// cut returns the URL of a way to the server that ends at the second COMMIT; the first is that of opening the store.
func cut(t *testing.T, dsn string, arrives bool) string {
	at, err := url.Parse(dsn)
	must(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	server := at.Host
	var commits atomic.Int32
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				return
			}
			go func() { _, _ = io.Copy(client, to) }()
			go func() {
				defer client.Close()
				defer to.Close()
				b := make([]byte, 1<<16)
				for {
					n, err := client.Read(b)
					if err != nil {
						return
					}
					if bytes.Contains(b[:n], []byte("COMMIT\x00")) && commits.Add(1) == 2 {
						client.Close() // its answer must not come through
						if arrives {
							_, _ = to.Write(b[:n])
						}
						return
					}
					if _, err := to.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	at.Host = listener.Addr().String()
	return at.String()
}

func TestPostgresRefuses(t *testing.T) {
	dsn := pgtest.DSN(t)
	s := openPostgres(t, dsn)
	readOnly, err := store.OpenPostgres(ctx, pgtest.With(t, dsn, "options", "-cdefault_transaction_read_only=on"), time.Second)
	must(t, err)
	defer readOnly.Close()
	if _, err := readOnly.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrReadOnly) {
		t.Error(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 9000)
	for i := range long {
		long[i] = 'a' + byte(rng.IntN(26))
	}
	if _, err := s.NextSuffixes(ctx, []string{"a", string(long)}); !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "2,700 bytes") {
		t.Error(err)
	}
	same(t, suffixes(t, s, "a"), []int64{0})
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.NextSuffixes(ctx, []string{"a"}); !errors.Is(err, store.ErrStore) || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}

	at, err := url.Parse(dsn)
	must(t, err)
	secret, _ := at.User.Password()
	at.User = url.UserPassword(at.User.Username(), "Wrong."+secret)
	for _, c := range []struct {
		dsn, words string
		kind       error
	}{
		{at.String(), "cannot be reached, or lets nobody in", store.ErrStore},
		{"postgresql://u:" + secret + "@127.0.0.1:1/nowhere?sslmode=disable", "127.0.0.1:1/nowhere", store.ErrStore},
		{"postgresql://u:" + secret + "@localhost:port/x", "postgresql://user:password@host:port/database", core.ErrParam},
		{"host=localhost password=" + secret + " port=x", "want", core.ErrParam},
	} {
		soon, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := store.OpenPostgres(soon, c.dsn, time.Second)
		cancel()
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", c.words, err)
		}
	}
	if _, err := store.OpenPostgres(ctx, dsn, -1); !errors.Is(err, core.ErrParam) {
		t.Error(err)
	}
}
