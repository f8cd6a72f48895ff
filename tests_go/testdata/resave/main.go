// Command resave loads the model directory of its first argument and saves it as its second: for tests in Python of
// what Go reads and writes.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
)

func main() {
	if err := resave(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func resave(from, to string) error {
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
