package tests_go

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/engine"
	"github.com/semantic-id/semantic-id/core/store"
)

// savedEngine is what testdata/engines/NAME.json says of the directory NAME.
type savedEngine struct {
	X       [][]float32      `json:"x"`
	Keys    []any            `json:"keys"`
	Known   []any            `json:"known"`
	IDs     []string         `json:"ids"`
	New     []string         `json:"new"`
	Items   map[string][]any `json:"items"` // of prefixes
	Version string           `json:"version"`
}

func items(keys []any) (items []string) {
	for _, key := range keys {
		switch key := key.(type) {
		case float64:
			items = append(items, store.IntItem(int64(key)))
		case string:
			items = append(items, store.TextItem(key))
		}
	}
	return items
}

func matrix(rows [][]float32) (x core.Matrix) {
	for _, row := range rows {
		x.Rows, x.Cols, x.Data = x.Rows+1, len(row), append(x.Data, row...)
	}
	return x
}

// TestEnginesOfAllFormats: what each gave out stays given out, and what comes next is what its writer would give.
func TestEnginesOfAllFormats(t *testing.T) {
	ctx := context.Background()
	files, err := filepath.Glob("testdata/engines/*.json")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file[:len(file)-len(".json")])
		t.Run(name, func(t *testing.T) {
			var want savedEngine
			text, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(text, &want)
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata/engines", name))); err != nil {
				t.Fatal(err)
			}
			e, err := engine.Load(ctx, dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Store.Close()
			x, f := matrix(want.X), engine.DefaultFormat()
			check := func(what string, got, want []string, err error) {
				t.Helper()
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
				}
			}
			if e.Version != want.Version {
				t.Errorf("version %q, want %q", e.Version, want.Version)
			}
			if want.Keys == nil { // of semantic-id 0.2.5
				got, _, err := e.UniqueIDs(ctx, x, nil, f)
				check("next", got, want.New, err)
				return
			}
			got, err := e.Append(ctx, x.Slice(0, len(want.Known)), items(want.Known), f)
			check("known", got, want.IDs, err)
			got, err = e.Lookup(ctx, want.IDs)
			check("lookup", got, items(want.Known), err)
			for text, keys := range want.Items {
				var prefix []int32
				if err := json.Unmarshal([]byte(text), &prefix); err != nil {
					t.Fatal(err)
				}
				found, err := e.Items(ctx, prefix)
				var got []string
				for _, item := range found {
					got = append(got, item.Key)
				}
				check(text, got, items(keys), err)
			}
			got, err = e.Append(ctx, x.Slice(len(want.Keys), x.Rows), []string{store.TextItem("new"), store.IntItem(99)}, f)
			check("next", got, want.New, err)
		})
	}
}
