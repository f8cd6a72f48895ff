//go:build !unix

package rowfile

import (
	"errors"
	"os"
)

const supported = false

func mmap(*os.File, int) ([]byte, error) { return nil, errors.ErrUnsupported }

func unmap([]byte) error { return nil }
