package persist

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// disk is every call a save makes that changes the file system. Tests put one in place that fails at the n-th call.
type disk interface {
	Mkdir(path string, perm os.FileMode) error
	Chmod(path string, perm os.FileMode) error
	Create(path string) (io.WriteCloser, error) // a new file; one that exists is an error
	Sync(path string) error                     // a file's or a directory's contents, down to the disk
	Rename(from, to string) error
	Exchange(a, b string) error // swaps two directories in one step; errors.ErrUnsupported where that cannot be done
	RemoveAll(path string) error
}

type osDisk struct{}

func (osDisk) Mkdir(path string, perm os.FileMode) error { return os.Mkdir(path, perm) }
func (osDisk) Chmod(path string, perm os.FileMode) error { return os.Chmod(path, perm) }
func (osDisk) Rename(from, to string) error              { return os.Rename(from, to) }
func (osDisk) Exchange(a, b string) error                { return exchange(a, b) }
func (osDisk) RemoveAll(path string) error               { return os.RemoveAll(path) }

func (osDisk) Create(path string) (io.WriteCloser, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

func (osDisk) Sync(path string) error {
	info, err := os.Stat(path)
	if err != nil || onWindows && info.IsDir() { // which has no fsync for directories
		return err
	}
	how := os.O_RDONLY
	if onWindows {
		how = os.O_RDWR
	}
	f, err := os.OpenFile(path, how, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if info.IsDir() && (errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL)) {
		return nil // some file systems have none either
	}
	return err
}

// writeFile creates path with what write puts into it.
func writeFile(d disk, path string, write func(io.Writer) error) error {
	f, err := d.Create(path)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
