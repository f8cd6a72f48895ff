//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package persist

import (
	"os"
	"syscall"
)

const (
	haveLocks = true
	onWindows = false
)

// flock takes the lock of an open file, which ends with the file or the process. It reports false when another holds it
// and wait is false. A file system without locks counts as locked: two savers at once are then on their own.
func flock(f *os.File, wait bool) bool {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err != syscall.EWOULDBLOCK
		}
	}
}

// unlock ends a lock and closes its file. Closing alone would not do where a process forked meanwhile has the file too.
func unlock(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}
