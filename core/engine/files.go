package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/persist"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
	"github.com/semantic-id/semantic-id/core/store"
)

const (
	metaName      = "engine_meta.json"
	databaseName  = "collisions.db"
	contentsName  = "contents.json"
	formatVersion = 1
	maxMeta       = 1 << 20 // bytes
)

// meta is engine_meta.json.
type meta struct {
	EncoderType   string            `json:"encoder_type"`
	StoreType     string            `json:"store_type"`
	StoreConfig   map[string]any    `json:"store_config"`
	Resolver      map[string]any    `json:"resolver,omitempty"`
	Version       string            `json:"version"`
	FormatVersion *int64            `json:"format_version,omitempty"`
	SHA256        map[string]string `json:"sha256,omitempty"`
}

// Save writes quantizer, counts and items as the directory dir, or makes dir hold them instead of the engine it holds:
// whatever happens meanwhile, dir holds the old engine or the new one. A SQLite database is copied as it is between two
// transactions, unless it is the one in dir: that stays, and goes on. Python reads the directory too.
func (e *Engine) Save(ctx context.Context, dir string) error {
	model, ok := e.Quantizer.(*rqkmeans.Model)
	if !ok {
		return fmt.Errorf("engine: %w: a quantizer of type %T cannot be saved, only a *rqkmeans.Model", core.ErrParam, e.Quantizer)
	}
	version := int64(formatVersion)
	m := meta{EncoderType: "RQKMeans", StoreType: "other", StoreConfig: map[string]any{}, Resolver: map[string]any{"type": "UniqueIdResolver"},
		Version: e.Version, FormatVersion: &version, SHA256: map[string]string{}}
	switch e.Store.(type) {
	case *store.Memory:
		m.StoreType = "in_memory"
	case *store.SQLite:
		m.StoreType, m.StoreConfig["db_path"] = "sqlite", databaseName
	}
	return persist.ReplaceDir(dir, func(tmp string) error {
		if err := model.Save(filepath.Join(tmp, "encoder")); err != nil {
			return err
		}
		files := []string{"encoder/metadata.json"}
		inside := filepath.Join(tmp, "resolver")
		switch s := e.Store.(type) {
		case *store.Memory:
			data, err := s.Snapshot()
			if err == nil {
				err = os.Mkdir(inside, 0o777)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(inside, contentsName), data, 0o666)
			}
			if err != nil {
				return err
			}
			files = append(files, "resolver/"+contentsName)
		case *store.SQLite:
			if same(s.Path(), filepath.Join(dir, "resolver", databaseName)) {
				break
			}
			if err := os.Mkdir(inside, 0o777); err != nil {
				return err
			}
			if err := s.Backup(ctx, filepath.Join(inside, databaseName)); err != nil {
				return err
			}
			for _, side := range []string{"-wal", "-shm"} { // empty ones, in place of those that a database in use there may have
				if err := os.WriteFile(filepath.Join(inside, databaseName+side), nil, 0o666); err != nil {
					return err
				}
			}
		}
		for _, name := range files {
			sum, err := sumOf(filepath.Join(tmp, filepath.FromSlash(name)))
			if err != nil {
				return err
			}
			m.SHA256[name] = sum
		}
		text, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(tmp, metaName), append(text, '\n'), 0o666)
	})
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Load reads the directory that Save, Python or semantic-id 0.2.5 wrote. Counts and items go on where they were when
// saved, those of a SQLite store in the database in dir: from then on the copy and the original give out ids apart. With a
// store that lives on, s, that one is used; without, s is nil. Close the engine's Store in the end.
func Load(ctx context.Context, dir string, s store.Store) (*Engine, error) {
	for {
		if err := persist.Settle(dir); err != nil {
			return nil, fmt.Errorf("loading %s: %w", dir, err)
		}
		before, err := lookAt(dir)
		if err != nil {
			return nil, fmt.Errorf("loading %s: %w", dir, err)
		}
		e, err := load(ctx, dir, before.meta, s)
		after, e2 := lookAt(dir)
		if persist.Unsettled(dir) || e2 == nil && !(os.SameFile(after.dir, before.dir) && bytes.Equal(after.meta, before.meta)) {
			if err == nil && s == nil {
				_ = e.Store.Close()
			}
			continue // replaced meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("loading %s: %w", dir, err)
		}
		return e, nil
	}
}

// look is what changes in the directory whenever it is saved to.
type look struct {
	dir  os.FileInfo
	meta []byte
}

func lookAt(dir string) (l look, err error) {
	if l.dir, err = os.Stat(dir); err != nil {
		return l, err
	}
	f, err := os.Open(filepath.Join(dir, metaName))
	if errors.Is(err, fs.ErrNotExist) {
		return l, fmt.Errorf("%w; this is not the directory of a saved engine", err)
	}
	if err != nil {
		return l, err
	}
	defer f.Close()
	l.meta, err = io.ReadAll(io.LimitReader(f, maxMeta+1))
	return l, err
}

func load(ctx context.Context, dir string, raw []byte, s store.Store) (*Engine, error) {
	m, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", metaName, err)
	}
	model, err := rqkmeans.Load(filepath.Join(dir, "encoder"))
	if err != nil {
		return nil, err
	}
	for name, want := range m.SHA256 {
		got, err := sumOf(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return nil, fmt.Errorf("%w; the engine is incomplete, copy the whole directory again", err)
		}
		if got != want {
			return nil, fmt.Errorf("%s: %w: damaged or of another engine; copy the whole directory again", name, core.ErrFormat)
		}
	}
	if s == nil {
		if s, err = m.store(ctx, dir); err != nil {
			return nil, err
		}
	}
	return &Engine{Quantizer: model, Store: s, Version: m.Version}, nil
}

// store opens what the directory says that counts and items are in.
func (m meta) store(ctx context.Context, dir string) (store.Store, error) {
	switch m.StoreType {
	case "in_memory":
		if _, ok := m.SHA256["resolver/"+contentsName]; !ok { // as semantic-id 0.2.5 leaves it
			return store.NewMemory(), nil
		}
		data, err := os.ReadFile(filepath.Join(dir, "resolver", contentsName))
		if err != nil {
			return nil, err
		}
		return store.RestoreMemory(data)
	case "sqlite":
		name, _ := m.StoreConfig["db_path"].(string)
		if name == "" {
			name = databaseName
		}
		file := filepath.Join(dir, "resolver", path.Base(name))
		if _, err := os.Stat(file); err != nil { // an empty one in its place would give ids out again
			return nil, fmt.Errorf("%w; the database of the engine is missing, copy the whole directory again", err)
		}
		return store.OpenSQLite(ctx, file, store.DefaultTimeout)
	}
	return nil, fmt.Errorf("%w: the store of this engine, of type %q, was not saved with it: pass it", core.ErrParam, m.StoreType)
}

func parse(raw []byte) (m meta, err error) {
	if len(raw) > maxMeta {
		return m, fmt.Errorf("%w: more than %d bytes", core.ErrFormat, maxMeta)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%w: %w", core.ErrFormat, err)
	}
	switch {
	case m.FormatVersion != nil && *m.FormatVersion > formatVersion:
		return m, fmt.Errorf("%w: format_version %d, this release reads up to %d", core.ErrVersion, *m.FormatVersion, formatVersion)
	case m.FormatVersion != nil && *m.FormatVersion < 1:
		return m, fmt.Errorf("%w: format_version is %d", core.ErrFormat, *m.FormatVersion)
	case m.EncoderType != "RQKMeans":
		return m, fmt.Errorf("%w: encoder_type is %q, want \"RQKMeans\"", core.ErrType, m.EncoderType)
	case m.Resolver != nil && m.Resolver["type"] != "UniqueIdResolver":
		return m, fmt.Errorf("%w: the resolver is of type %v, want UniqueIdResolver", core.ErrType, m.Resolver["type"])
	case !versionName.MatchString(m.Version):
		return m, fmt.Errorf("%w: version is %q", core.ErrFormat, m.Version)
	}
	for name := range m.SHA256 {
		if strings.Contains(name, "..") {
			return m, fmt.Errorf("%w: sha256 names %q", core.ErrFormat, name)
		}
	}
	return m, nil
}
