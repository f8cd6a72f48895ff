//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package persist

import (
	"os"
	"runtime"
)

const (
	haveLocks = false
	onWindows = runtime.GOOS == "windows"
)

// flock and unlock do nothing here: two savers at once are on their own.
func flock(f *os.File, wait bool) bool { return true }

func unlock(f *os.File) { f.Close() }
