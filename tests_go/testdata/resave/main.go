// Command resave loads the directory of a model or an engine, its first argument, and saves it as its second: for tests in
// Python of what Go reads and writes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/engine"
	"github.com/semantic-id/semantic-id/core/persist"
)

func main() {
	if err := resave(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func resave(from, to string) error {
	if _, err := os.Stat(filepath.Join(from, "engine_meta.json")); err == nil {
		e, err := engine.Load(context.Background(), from, nil)
		if err != nil {
			return err
		}
		defer e.Store.Close()
		return e.Save(context.Background(), to)
	}
	m, err := persist.LoadRQKMeans(from)
	if err == nil {
		return persist.SaveRQKMeans(to, m)
	}
	if !errors.Is(err, core.ErrType) {
		return err
	}
	v, err := persist.LoadRQVAE(from)
	if err == nil {
		err = persist.SaveRQVAE(to, v)
	}
	return err
}
