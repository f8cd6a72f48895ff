//go:build !linux

package persist

import (
	"errors"
	"os"
)

const canExchange = false

func exchange(a, b string) error { return errors.ErrUnsupported }

func writable(dir string) error { return nil }

func alike(a, b os.FileInfo) bool { return false }
