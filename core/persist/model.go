package persist

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/semantic-id/semantic-id/core"
)

// saveModel makes dir hold what write puts into the file called name, and the metadata made of the file's checksum.
func saveModel(d disk, dir, name string, write func(io.Writer) error, metadata func(sums map[string]string) any) error {
	return replaceDir(d, dir, func(tmp string) error {
		sum := sha256.New()
		err := writeFile(d, filepath.Join(tmp, name), func(w io.Writer) error { return write(io.MultiWriter(w, sum)) })
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(metadata(map[string]string{name: hex.EncodeToString(sum.Sum(nil))}), "", "  ")
		if err != nil {
			return err
		}
		return writeFile(d, filepath.Join(tmp, metadataName), func(w io.Writer) error {
			_, err := w.Write(append(text, '\n'))
			return err
		})
	})
}

// loadModel returns what load makes of dir and its metadata.json, of one model whole.
func loadModel[T any](dir string, load func(dir string, metadata []byte) (T, error)) (T, error) {
	for {
		before, err := lookAt(dir)
		if err != nil {
			var none T
			return none, fmt.Errorf("loading %s: %w", dir, err)
		}
		m, err := load(dir, before.metadata)
		if after, e := lookAt(dir); e == nil && !after.same(before) {
			continue // replaced meanwhile
		}
		if err != nil {
			var none T
			return none, fmt.Errorf("loading %s: %w", dir, err)
		}
		return m, nil
	}
}

// look is what changes in a model directory whenever it is saved to.
type look struct {
	dir      os.FileInfo
	metadata []byte
}

func lookAt(dir string) (l look, err error) {
	l.dir, err = os.Stat(dir)
	if err != nil {
		return l, err
	}
	if !l.dir.IsDir() {
		return l, fmt.Errorf("%w; pass the directory that holds %s", &os.PathError{Op: "load", Path: dir, Err: syscall.ENOTDIR}, metadataName)
	}
	f, _, err := openFile(dir, metadataName)
	if errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("%w; this is not the directory of a saved model", err)
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.metadata, err = io.ReadAll(io.LimitReader(f, maxMetadata+1))
	return l, err
}

func (l look) same(o look) bool {
	return os.SameFile(l.dir, o.dir) && bytes.Equal(l.metadata, o.metadata)
}

// openChecked opens a file of the model that must be there, and compares its checksum if sums has one.
func openChecked(dir, name string, sums map[string]string) (*os.File, int64, error) {
	f, length, err := openFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%w; the model is incomplete, copy the whole directory again", err)
	}
	if err != nil {
		return nil, 0, err
	}
	if want, ok := sums[name]; ok {
		sum := sha256.New()
		_, err := io.Copy(sum, f)
		if got := hex.EncodeToString(sum.Sum(nil)); err == nil && got != want {
			err = fmt.Errorf("%s: %w: damaged or of another model (SHA-256 %.12s.., in %s %.12s..); copy the whole directory again",
				name, core.ErrFormat, got, metadataName, want)
		}
		if err != nil {
			f.Close()
			return nil, 0, err
		}
	}
	return f, length, nil
}

// openFile opens a regular file of the model in dir: the newer one that a save has committed but not yet moved, if any.
func openFile(dir, name string) (*os.File, int64, error) {
	f, length, err := openRegular(filepath.Join(dir, saved, name))
	if errors.Is(err, fs.ErrNotExist) {
		return openRegular(filepath.Join(dir, name))
	}
	return f, length, err
}

func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // before opening, which waits on a pipe
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: %s is not a file", core.ErrFormat, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}
