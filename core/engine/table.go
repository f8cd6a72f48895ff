package engine

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/resolve"
	"github.com/semantic-id/semantic-id/core/store"
)

// Table is a format of tables of items.
type Table int

// The formats: the columns id, semantic_id, code_0, code_1, ... and id_type, "int" or "str"; or an object a line with the
// keys id, semantic_id and codes.
const (
	CSV Table = iota
	JSONL
)

// Export writes the items of the version, with their ids and codes, as Python's SemanticIdEngine.export does.
func (e *Engine) Export(ctx context.Context, w io.Writer, t Table) (rows int, err error) {
	switch t {
	case CSV:
		return e.exportCSV(ctx, w)
	case JSONL:
		out := json.NewEncoder(w)
		out.SetEscapeHTML(false)
		return rows, e.pages(ctx, nil, func(page []store.Item) error {
			for _, item := range page {
				if err := out.Encode(record{key(item.Key), item.ID, codes(item.Path)}); err != nil {
					return err
				}
			}
			rows += len(page)
			return nil
		})
	}
	return 0, unknown(t)
}

func unknown(t Table) error {
	return fmt.Errorf("engine: %w: table format %d, want CSV or JSONL", core.ErrParam, t)
}

// record is a line of JSON.
type record struct {
	ID         json.RawMessage `json:"id"`
	SemanticID string          `json:"semantic_id"`
	Codes      []int32         `json:"codes"`
}

func key(item string) json.RawMessage {
	if item[0] == 'i' {
		return json.RawMessage(item[1:])
	}
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	_ = out.Encode(item[1:]) // of a string there is no error
	return json.RawMessage(strings.TrimSpace(b.String()))
}

func codes(path string) []int32 {
	if path == "" {
		return nil
	}
	var out []int32
	for _, part := range strings.Split(strings.TrimSuffix(path, "-"), "-") {
		n, _ := strconv.ParseInt(part, 10, 32)
		out = append(out, int32(n))
	}
	return out
}

func (e *Engine) exportCSV(ctx context.Context, w io.Writer) (rows int, err error) {
	levels := 0
	err = e.pages(ctx, nil, func(page []store.Item) error {
		for _, item := range page {
			levels = max(levels, strings.Count(item.Path, "-"))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	out := csv.NewWriter(w)
	header := []string{"id", "semantic_id"}
	for level := range levels {
		header = append(header, "code_"+strconv.Itoa(level))
	}
	if err := out.Write(append(header, "id_type")); err != nil {
		return 0, err
	}
	err = e.pages(ctx, nil, func(page []store.Item) error {
		for _, item := range page {
			row := []string{item.Key[1:], item.ID}
			if item.Path != "" {
				row = append(row, strings.Split(strings.TrimSuffix(item.Path, "-"), "-")...)
			}
			for len(row) < len(header) {
				row = append(row, "")
			}
			kind := "str"
			if item.Key[0] == 'i' {
				kind = "int"
			}
			if err := out.Write(append(row, kind)); err != nil {
				return err
			}
		}
		rows += len(page)
		return nil
	})
	out.Flush()
	return rows, errors.Join(err, out.Error())
}

// Import makes the version know the items of a table that Export has written by the ids they have there, all of them or,
// on an error, none, and returns how many it did not know. See resolve.Import.
func (e *Engine) Import(ctx context.Context, r io.Reader, t Table) (added int, err error) {
	var items []store.Item
	switch t {
	case CSV:
		items, err = readCSV(r)
	case JSONL:
		items, err = readJSONL(r)
	default:
		err = unknown(t)
	}
	if err != nil {
		return 0, err
	}
	for _, item := range items {
		if e.Version != "" && !strings.HasPrefix(item.ID, e.Version+":") && !strings.HasPrefix(item.ID, "<"+e.Version+">") {
			return 0, fmt.Errorf("engine: %w: the id %q is none of version %q", core.ErrParam, item.ID, e.Version)
		}
	}
	return resolve.Import(ctx, e.Store, e.Version, items)
}

func readCSV(r io.Reader) (items []store.Item, err error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("engine: %w: no line of column names: %w", core.ErrParam, err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[name] = i
	}
	for _, name := range []string{"id", "semantic_id", "id_type"} {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("engine: %w: no column %s, only %s", core.ErrParam, name, strings.Join(header, ", "))
		}
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			return items, nil
		}
		if err != nil {
			return nil, fmt.Errorf("engine: %w: %w", core.ErrParam, err)
		}
		line, _ := in.FieldPos(0)
		item := store.Item{Key: store.TextItem(row[at["id"]]), ID: row[at["semantic_id"]]}
		switch kind := row[at["id_type"]]; kind {
		case "int":
			n, err := strconv.ParseInt(row[at["id"]], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("engine: %w: line %d: key %q is not an integer of 64 bits", core.ErrParam, line, row[at["id"]])
			}
			item.Key = store.IntItem(n)
		case "str":
		default:
			return nil, fmt.Errorf("engine: %w: line %d: id_type is %q, want int or str", core.ErrParam, line, kind)
		}
		var path []int32
		for level := 0; ; level++ {
			i, ok := at["code_"+strconv.Itoa(level)]
			if !ok || row[i] == "" {
				break
			}
			n, err := strconv.ParseUint(row[i], 10, 31)
			if err != nil {
				return nil, fmt.Errorf("engine: %w: line %d: code %q is not one", core.ErrParam, line, row[i])
			}
			path = append(path, int32(n))
		}
		item.Path = store.Path(path)
		items = append(items, item)
	}
}

func readJSONL(r io.Reader) (items []store.Item, err error) {
	in := json.NewDecoder(r)
	for n := 1; ; n++ {
		var rec record
		if err := in.Decode(&rec); err == io.EOF {
			return items, nil
		} else if err != nil {
			return nil, fmt.Errorf("engine: %w: record %d: %w", core.ErrParam, n, err)
		}
		item := store.Item{ID: rec.SemanticID, Path: store.Path(rec.Codes)}
		var text string
		if number, err := strconv.ParseInt(string(rec.ID), 10, 64); err == nil {
			item.Key = store.IntItem(number)
		} else if len(rec.ID) > 0 && rec.ID[0] == '"' && json.Unmarshal(rec.ID, &text) == nil {
			item.Key = store.TextItem(text)
		} else {
			return nil, fmt.Errorf("engine: %w: record %d: id is %.40s, want a string or an integer of 64 bits", core.ErrParam, n, rec.ID)
		}
		for _, code := range rec.Codes {
			if code < 0 {
				return nil, fmt.Errorf("engine: %w: record %d: code %d, want at least 0", core.ErrParam, n, code)
			}
		}
		items = append(items, item)
	}
}
