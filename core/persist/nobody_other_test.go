//go:build !linux

package persist

import (
	"errors"
	"os"
	"testing"
)

func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	f()
}

func mountSmall(dir string) (unmount func(), err error) { return nil, errors.ErrUnsupported }
