package persist

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const canExchange = true

// exchange swaps two directories of one file system in one step (Linux 3.15, renameat2).
func exchange(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}

// writable answers as an attempt to create a file in dir would; swapping a directory does not ask for that permission.
func writable(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &os.PathError{Op: "write", Path: dir, Err: err}
	}
	return nil
}

// alike reports whether a and b are on one device and have one owner and group.
func alike(a, b os.FileInfo) bool {
	x, ok1 := a.Sys().(*syscall.Stat_t)
	y, ok2 := b.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && x.Dev == y.Dev && x.Uid == y.Uid && x.Gid == y.Gid
}
