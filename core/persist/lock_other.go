//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package persist

import (
	"os"
	"runtime"
)

const onWindows = runtime.GOOS == "windows"

// flock does nothing here: two savers at once are on their own.
func flock(f *os.File, wait bool) bool { return true }
