package persist

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	saving = ".semantic-id-saving-" // begins the names of unfinished directories: here, or after "." and the model's name beside it
	saved  = ".semantic-id-saved"   // inside a directory: a complete newer model whose files are being moved into place
)

// ReplaceDir makes dir hold what write puts into the empty directory it is given, and makes it last: whatever fails and
// whenever the machine stops, dir holds the old contents or the new ones, whole. Missing parents are made; a symbolic link
// is followed. Files in dir that write does not write stay. Of several savers at once the last one wins.
// write may be called twice, each time for another directory, and need not sync.
//
// How (format.md has the steps): the new directory is written beside dir and swapped with it. Where that cannot be -
// dir holds other files too, is the working directory or a mount point, belongs to someone else, its parent is not
// writable, or the system has no such swap - it is written inside dir, committed by one rename, and moved into place
// file by file; readers look there first.
func ReplaceDir(dir string, write func(tmp string) error) error {
	return replaceDir(osDisk{}, dir, write)
}

// Settle finishes a save of dir that was committed inside it and whose files are still being moved, if there is one.
func Settle(dir string) error {
	target, err := resolve(dir)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(filepath.Join(target, saved)); err != nil || !info.IsDir() {
		return nil
	}
	lock, err := lockDir(target)
	if err != nil {
		return err
	}
	defer unlock(lock)
	return replacement{osDisk{}, target, nil}.settle()
}

// Unsettled reports whether there is such a save.
func Unsettled(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, saved))
	return err == nil
}

func replaceDir(d disk, dir string, write func(string) error) error {
	target, err := resolve(dir)
	if err == nil {
		err = makeParents(d, filepath.Dir(target))
	}
	if err == nil {
		r := replacement{d, target, write}
		err = r.run()
	}
	if err != nil {
		return fmt.Errorf("saving %s: %w%s", dir, err, remedy(err))
	}
	return nil
}

// remedy ends the message of a failed save with what to do about it.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "; free some space and save again"
	case errors.Is(err, syscall.EROFS):
		return "; the file system is read-only, save to another directory"
	case errors.Is(err, fs.ErrPermission):
		return "; save to a directory you may write to, or change its permissions"
	case errors.Is(err, syscall.ENOTDIR):
		return "; a model is saved as a directory, choose a path that is not a file"
	}
	return ""
}

// replacement is one save: write is to fill dir, an absolute path without symbolic links.
type replacement struct {
	d     disk
	dir   string
	write func(string) error
}

// errInside says that dir cannot be swapped.
var errInside = errors.New("only possible inside the directory")

func (r replacement) run() error {
	parent := filepath.Dir(r.dir)
	prefix := "." + filepath.Base(r.dir) + saving
	r.removeLeftovers(parent, prefix)
	err := r.beside(parent, prefix)
	if err == errInside {
		var lock *os.File
		if lock, err = lockDir(r.dir); err == nil {
			defer unlock(lock)
			err = r.inside("")
		}
	}
	return err
}

// beside writes the new directory next to dir and swaps the two.
func (r replacement) beside(parent, prefix string) error {
	info, err := os.Lstat(r.dir)
	exists := err == nil
	switch {
	case exists && !info.IsDir():
		return &os.PathError{Op: "save", Path: r.dir, Err: syscall.ENOTDIR}
	case exists && (!canExchange || isWorkingDir(info) || parent == r.dir):
		return errInside
	case exists:
		if err := writable(r.dir); err != nil {
			return err
		}
	}
	stage, lock, err := r.newStage(parent, prefix)
	if err != nil {
		if exists {
			return errInside
		}
		return err
	}
	defer unlock(lock)
	remove := true
	defer func() { // what is left there: the unfinished new directory, or the old one; if this fails, the next save does it
		if remove {
			_ = r.d.RemoveAll(stage)
		}
	}()
	if exists {
		if made, err := lock.Stat(); err != nil || !alike(made, info) || r.d.Chmod(stage, info.Mode()) != nil {
			return errInside
		}
	}
	if err := r.fill(stage); err != nil {
		return err
	}
	for {
		old, err := lockDir(r.dir)
		if errors.Is(err, fs.ErrNotExist) {
			err = r.d.Rename(stage, r.dir)
			if errors.Is(err, fs.ErrExist) {
				continue // another saver was faster: replace what it saved
			}
			if err == nil {
				err = r.d.Sync(parent)
			}
			return err
		}
		if err != nil {
			return err
		}
		defer unlock(old)
		if foreign, err := compare(stage, r.dir); err != nil {
			return err
		} else if foreign || !canExchange || r.d.Exchange(stage, r.dir) != nil {
			return r.inside(stage)
		}
		err = r.d.Sync(parent)
		remove = err == nil // while the swap may be undone by a power failure, keep what it swapped
		return err
	}
}

// inside makes the new directory part of dir, whose lock is held, as the subdirectory `saved`, and moves its files into
// place. stage holds the new directory, or is "".
func (r replacement) inside(stage string) error {
	if err := r.settle(); err != nil {
		return err
	}
	r.removeLeftovers(r.dir, saving)
	journal := filepath.Join(r.dir, saved)
	if stage == "" || r.d.Rename(stage, journal) != nil { // from another file system, it is written again
		stage, lock, err := r.newStage(r.dir, saving)
		if err != nil {
			return err
		}
		defer unlock(lock)
		defer r.d.RemoveAll(stage)
		if err := r.fill(stage); err != nil {
			return err
		}
		if _, err := compare(stage, r.dir); err != nil {
			return err
		}
		if err := r.d.Rename(stage, journal); err != nil {
			return err
		}
	}
	if err := r.d.Sync(r.dir); err != nil {
		return err
	}
	return r.settle()
}

// settle moves the files of a committed subdirectory `saved`, if there is one, into place.
func (r replacement) settle() error {
	journal := filepath.Join(r.dir, saved)
	if info, err := os.Lstat(journal); err != nil || !info.IsDir() {
		return nil
	}
	if err := r.move(journal, r.dir); err != nil {
		return err
	}
	return r.d.RemoveAll(journal)
}

// move renames all files below from to the same places below to, and syncs to.
func (r replacement) move(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		a, b := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if info, err := os.Stat(b); e.IsDir() && err == nil && info.IsDir() {
			err = r.move(a, b)
			if err != nil {
				return err
			}
			continue
		}
		if err := r.d.Rename(a, b); err != nil {
			return err
		}
	}
	return r.d.Sync(to)
}

// fill lets write fill stage and brings it to the disk.
func (r replacement) fill(stage string) error {
	if err := r.write(stage); err != nil {
		return err
	}
	return filepath.WalkDir(stage, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !(e.Type().IsRegular() || e.IsDir()) {
			return err
		}
		return r.d.Sync(path)
	})
}

// newStage makes an empty directory in parent and locks it, so that no other saver takes it for a leftover.
func (r replacement) newStage(parent, prefix string) (string, *os.File, error) {
	for {
		stage := filepath.Join(parent, prefix+rand.Text())
		if err := r.d.Mkdir(stage, 0o777); err != nil {
			return "", nil, err
		}
		lock, err := lockDir(stage)
		if err == nil {
			return stage, lock, nil
		}
		if !errors.Is(err, fs.ErrNotExist) { // else one took it for a leftover before it was locked: again
			_ = r.d.RemoveAll(stage)
			return "", nil, err
		}
	}
}

// removeLeftovers removes what savers that died left in parent; those alive hold the lock of theirs. What cannot be
// removed waits for the next save.
func (r replacement) removeLeftovers(parent, prefix string) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		path := filepath.Join(parent, e.Name())
		if f, err := os.Open(path); err == nil {
			if flock(f, false) {
				if isAt(f, path) {
					_ = r.d.RemoveAll(path)
				}
				unlock(f)
			} else {
				f.Close()
			}
		}
	}
}

// compare reports whether dir holds files that stage does not, which a swap would lose. Where one has a directory and
// the other a file of that name, the save cannot be: an error.
func compare(stage, dir string) (foreign bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), saving) || e.Name() == saved {
			continue
		}
		old := filepath.Join(dir, e.Name())
		fresh, err := os.Lstat(filepath.Join(stage, e.Name()))
		if err != nil {
			foreign = true
			continue
		}
		was, err := os.Stat(old)
		if err != nil {
			continue // a dangling link, replaced like a file
		}
		switch {
		case was.IsDir() && !fresh.IsDir():
			return false, &os.PathError{Op: "save", Path: old, Err: syscall.EISDIR}
		case !was.IsDir() && fresh.IsDir():
			return false, &os.PathError{Op: "save", Path: old, Err: syscall.ENOTDIR}
		case was.IsDir():
			f, err := compare(filepath.Join(stage, e.Name()), old)
			if err != nil {
				return false, err
			}
			foreign = foreign || f || e.Type()&fs.ModeSymlink != 0
		}
	}
	return foreign, nil
}

// lockDir opens and locks the directory that path names once the lock is held. Without locks it is not even opened:
// Windows would then not rename it.
func lockDir(path string) (*os.File, error) {
	if !haveLocks {
		_, err := os.Stat(path)
		return nil, err
	}
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		flock(f, true)
		if isAt(f, path) {
			return f, nil
		}
		unlock(f)
	}
}

// isAt reports whether path still names the open file f.
func isAt(f *os.File, path string) bool {
	a, err1 := f.Stat()
	b, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

func isWorkingDir(info os.FileInfo) bool {
	wd, err := os.Stat(".")
	return err == nil && os.SameFile(wd, info)
}

// resolve returns the absolute path dir stands for, symbolic links followed, also one to a directory still to be made.
func resolve(dir string) (string, error) {
	if dir == "" {
		return "", &os.PathError{Op: "save", Path: dir, Err: syscall.ENOENT}
	}
	for range 40 { // as deep as Linux follows links
		path, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Abs(path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		link, err := os.Readlink(strings.TrimRight(dir, string(filepath.Separator)))
		if err != nil {
			break
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(dir), link)
		}
		dir = link
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	return dir, nil
}

// makeParents makes dir and its parents where missing, to last.
func makeParents(d disk, dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		return &os.PathError{Op: "save", Path: dir, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeParents(d, filepath.Dir(dir)); err != nil {
		return err
	}
	if err := d.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return d.Sync(filepath.Dir(dir))
}
