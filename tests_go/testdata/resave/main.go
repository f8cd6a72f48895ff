// Command resave loads the model directory of its first argument and saves it as its second: for tests in Python of
// what Go reads and writes.
package main

import (
	"fmt"
	"os"

	"github.com/semantic-id/semantic-id/core/persist"
)

func main() {
	m, err := persist.LoadRQKMeans(os.Args[1])
	if err == nil {
		err = persist.SaveRQKMeans(os.Args[2], m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
