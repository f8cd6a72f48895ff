// Package pgtest gives tests a place in a PostgreSQL server.
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Env is the environment variable with the URL of the server; tools/postgres.py runs a command with one.
const Env = "SEMANTIC_ID_POSTGRES"

// DSN returns the URL of an empty schema, which is dropped when the test ends. The test is skipped if there is no server.
func DSN(t testing.TB) string {
	t.Helper()
	at := os.Getenv(Env)
	if at == "" {
		t.Skipf("%s is not set: run the tests by python tools/postgres.py, with PostgreSQL installed", Env)
	}
	schema := fmt.Sprintf("test_%d_%d", os.Getpid(), time.Now().UnixNano())
	Exec(t, at, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { Exec(t, at, "DROP SCHEMA "+schema+" CASCADE") })
	return With(t, at, "search_path", schema)
}

// With returns a URL with a parameter.
func With(t testing.TB, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // pgconn takes a + for itself
	return u.String()
}

// Exec runs statements by a connection of its own and returns the rows of the last one.
func Exec(t testing.TB, dsn, text string) [][][]byte {
	t.Helper()
	c := Connect(t, dsn)
	defer c.Close(context.Background())
	results, err := c.Exec(context.Background(), text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return results[len(results)-1].Rows
}

// Connect opens a connection.
func Connect(t testing.TB, dsn string) *pgconn.PgConn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
