package persist

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
)

const rqvaeData = "../../tests_go/testdata/rqvae"

// heldTensors reads what the script beside the golden files says they hold.
func heldTensors(t *testing.T, name string) map[string]Tensor {
	t.Helper()
	var held struct {
		Tensors map[string]struct {
			Shape  []int
			Values []json.Number
		}
	}
	text, err := os.ReadFile(filepath.Join(rqvaeData, name))
	must(t, err)
	must(t, json.Unmarshal(text, &held))
	tensors := map[string]Tensor{}
	for name, h := range held.Tensors {
		x := Tensor{Name: name, Shape: h.Shape}
		for _, v := range h.Values {
			f, err := v.Float64()
			must(t, err)
			x.Data = append(x.Data, float32(f))
			if i, err := v.Int64(); err == nil && !strings.Contains(string(v), ".") {
				x.Ints = append(x.Ints, i)
			}
		}
		tensors[name] = x
	}
	return tensors
}

// checkTensors compares bit by bit.
func checkTensors(t *testing.T, got []Tensor, want map[string]Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for _, g := range got {
		w := want[g.Name]
		if len(g.Shape) != len(w.Shape) || len(g.Shape) > 0 && !reflect.DeepEqual(g.Shape, w.Shape) {
			t.Errorf("%s: shape %v, want %v", g.Name, g.Shape, w.Shape)
		}
		if g.Ints != nil {
			if !reflect.DeepEqual(g.Ints, w.Ints) {
				t.Errorf("%s: %v, want %v", g.Name, g.Ints, w.Ints)
			}
			continue
		}
		if len(g.Data) != len(w.Data) {
			t.Fatalf("%s: %d values, want %d", g.Name, len(g.Data), len(w.Data))
		}
		for i := range g.Data {
			if math.Float32bits(g.Data[i]) != math.Float32bits(w.Data[i]) {
				t.Errorf("%s: value %d is %g, want %g", g.Name, i, g.Data[i], w.Data[i])
			}
		}
	}
}

func TestReadsWhatTorchWrites(t *testing.T) {
	for _, name := range []string{"odd.pt", "odd-protocol-4.pt"} {
		file, err := os.ReadFile(filepath.Join(rqvaeData, name))
		must(t, err)
		got, err := ReadTorch(bytes.NewReader(file), int64(len(file)))
		must(t, err)
		checkTensors(t, got, heldTensors(t, "odd.json"))
	}
}

func TestRQVAEOf025LoadsForEver(t *testing.T) {
	m, err := LoadRQVAE(filepath.Join(rqvaeData, "semantic-id-0.2.5"))
	must(t, err)
	checkTensors(t, m.Tensors, heldTensors(t, "semantic-id-0.2.5.json"))
	m.Tensors = nil
	want := RQVAE{InDim: 6, NumEmbList: []int{4, 3}, EDim: 3, Layers: []int{5, 4}, BN: true, LossType: "mse", QuantLossWeight: 1, Beta: 0.5,
		KMeansInit: true, KMeansIters: 100, SKEpsilons: []float64{0, 0.01}, SKIters: 20, LossReduction: "mean"}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("%+v, want %+v", m, want)
	}
}

// rqvaeModel is a small model, another for each seed.
func rqvaeModel(seed int64) RQVAE {
	s := float32(seed)
	return RQVAE{
		InDim: 2, NumEmbList: []int{3}, EDim: 2, Layers: []int{}, DropoutProb: 0.1, LossType: "l1", QuantLossWeight: 0.25, Beta: 1.0 / 3,
		KMeansIters: 7, SKEpsilons: []float64{0.003}, SKIters: 9, LossReduction: "sum", RandomState: &seed,
		Tensors: []Tensor{
			{Name: "encoder.mlp_layers.1.weight", Shape: []int{2, 2}, Data: []float32{1, 2, 1e-42, s}},
			{Name: "é\"\n", Shape: []int{2}, Data: []float32{float32(math.Copysign(0, -1)), math.MaxFloat32}},
			{Name: "num_batches_tracked", Shape: []int{}, Ints: []int64{-1 << 62}},
			{Name: "none", Shape: []int{0, 3}, Data: []float32{}},
		},
	}
}

func TestRQVAERoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	for _, seed := range []int64{1, 2} { // the second replaces the first
		must(t, SaveRQVAE(dir, rqvaeModel(seed)))
		if got, err := LoadRQVAE(dir); err != nil || !reflect.DeepEqual(got, rqvaeModel(seed)) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	long := rqvaeModel(3)
	long.SKEpsilons, long.RandomState = nil, nil
	long.Tensors[0] = Tensor{Name: "long", Shape: []int{300, 100}, Data: make([]float32, 30000)} // longer than the buffers
	for i := range long.Tensors[0].Data {
		long.Tensors[0].Data[i] = float32(i)
	}
	must(t, SaveRQVAE(dir, long))
	if got, err := LoadRQVAE(dir); err != nil || !reflect.DeepEqual(got, long) {
		t.Errorf("not read back as written: %v", err)
	}
	if got := names(t, dir); !reflect.DeepEqual(got, []string{metadataName, safetensorsName}) {
		t.Errorf("%q", got)
	}
	one, two := new(bytes.Buffer), new(bytes.Buffer)
	must(t, WriteSafetensors(one, long.Tensors, map[string]string{"b": "1", "a": "2"}))
	must(t, WriteSafetensors(two, long.Tensors, map[string]string{"a": "2", "b": "1"}))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two files of one model differ")
	}
}

func TestRQVAEWhatCannotBeSaved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	for _, c := range []struct {
		change func(m *RQVAE)
		want   error
		says   string
	}{
		{func(m *RQVAE) { m.InDim = 0 }, core.ErrParam, "in_dim has 0"},
		{func(m *RQVAE) { m.NumEmbList = nil }, core.ErrParam, "num_emb_list"},
		{func(m *RQVAE) { m.SKEpsilons = []float64{1, 2} }, core.ErrParam, "sk_epsilons"},
		{func(m *RQVAE) { m.LossType = "l2" }, core.ErrParam, "loss_type"},
		{func(m *RQVAE) { m.Beta = math.NaN() }, core.ErrParam, "NaN"},
		{func(m *RQVAE) { m.Tensors[0].Data[1] = float32(math.Inf(1)) }, core.ErrNotFinite, "value 1"},
		{func(m *RQVAE) { m.Tensors[0].Shape = []int{2, 3} }, core.ErrShape, "[2 3]"},
		{func(m *RQVAE) { m.Tensors[1].Name = m.Tensors[0].Name }, core.ErrShape, "twice"},
		{func(m *RQVAE) { m.Tensors[1].Name = "__metadata__" }, core.ErrShape, "twice"},
	} {
		m := rqvaeModel(1)
		c.change(&m)
		if err := SaveRQVAE(dir, m); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q in it", err, c.says)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was saved")
	}
}

func TestRQVAEFilesThatDoNotFit(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good")
	must(t, SaveRQVAE(good, rqvaeModel(1)))
	text, err := os.ReadFile(filepath.Join(good, metadataName))
	must(t, err)
	weights, err := os.ReadFile(filepath.Join(good, safetensorsName))
	must(t, err)
	for _, c := range []struct {
		old, new string // in metadata.json
		flip     bool   // a bit of the weights
		want     error
		says     string
	}{
		{"RQVAE", "RQKMeans", false, core.ErrType, "Invalid model type"},
		{`"format_version": 1`, `"format_version": 2`, false, core.ErrVersion, "upgrade"},
		{`"in_dim": 2`, `"in_dim": 3`, false, core.ErrFormat, "settings_sha256"},
		{`"bn": false`, `"bn": true`, false, core.ErrFormat, "settings_sha256"},
		{`"bn": false`, `"bn": 0`, false, core.ErrFormat, `"bn" is 0`},
		{`"layers": []`, `"layers": null`, false, core.ErrFormat, "layers"},
		{`"layers": []`, `"layers": [0]`, false, core.ErrFormat, "layers has 0"},
		{`"sk_epsilons"`, `"epsilons"`, false, core.ErrFormat, "sk_epsilons"},
		{`0.003`, `0.003, 1`, false, core.ErrFormat, "sk_epsilons has 2"},
		{`"sum"`, `"max"`, false, core.ErrFormat, "loss_reduction"},
		{`"l1"`, `"huber"`, false, core.ErrFormat, "loss_type"},
		{safetensorsName, "other", false, core.ErrFormat, "does not name"},
		{"", "", true, core.ErrFormat, "damaged"},
	} {
		dir := t.TempDir()
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) && !c.flip {
			t.Fatalf("no %s in %s", c.old, text)
		}
		w := bytes.Clone(weights)
		if c.flip {
			w[len(w)-1] ^= 1
		}
		must(t, os.WriteFile(filepath.Join(dir, metadataName), []byte(changed), 0o666))
		must(t, os.WriteFile(filepath.Join(dir, safetensorsName), w, 0o666))
		if _, err := LoadRQVAE(dir); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s -> %s: %v, want %q in it", c.old, c.new, err, c.says)
		}
	}
	if _, err := LoadRQKMeans(good); !errors.Is(err, core.ErrType) {
		t.Error(err)
	}
	must(t, os.Remove(filepath.Join(good, safetensorsName)))
	if _, err := LoadRQVAE(good); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "incomplete") {
		t.Error(err)
	}
}

// Where 0.2.5 saved over a model of ours, its metadata.json says that model.pt counts.
func TestRQVAESavedOverBy025(t *testing.T) {
	dir := t.TempDir()
	must(t, SaveRQVAE(dir, rqvaeModel(1)))
	must(t, os.CopyFS(filepath.Join(dir, "new"), os.DirFS(filepath.Join(rqvaeData, "semantic-id-0.2.5"))))
	for _, name := range []string{metadataName, torchName} {
		must(t, os.Rename(filepath.Join(dir, "new", name), filepath.Join(dir, name)))
	}
	m, err := LoadRQVAE(dir)
	must(t, err)
	checkTensors(t, m.Tensors, heldTensors(t, "semantic-id-0.2.5.json"))
}

func safetensors(header string, values int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, values)...)
}

func TestReadsAllThatSafetensorsAllows(t *testing.T) {
	file := safetensors(`{"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12],"other":0},"__metadata__":{"x":"y"},`+
		`"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"c":{"dtype":"BF16","shape":[0],"data_offsets":[8,8]}}    `, 12)
	copy(file[len(file)-4:], []byte{0x00, 0x3c, 0x01, 0x80}) // 1 and the least half below 0
	got, notes, err := ReadSafetensors(bytes.NewReader(file), int64(len(file)))
	must(t, err)
	want := []Tensor{{Name: "a", Shape: []int{}, Data: []float32{0}}, {Name: "c", Shape: []int{0}, Data: []float32{}},
		{Name: "b", Shape: []int{2}, Data: []float32{1, -0x1p-24}}}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(notes, map[string]string{"x": "y"}) {
		t.Errorf("%+v, %v", got, notes)
	}
}

func TestRefusesHostileSafetensors(t *testing.T) {
	tensor := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"dtype":%s,"shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
	}
	good := tensor(`"F32"`, "[2]", "[0,8]")
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":               {nil, "too early"},
		"seven bytes":         {make([]byte, 7), "too early"},
		"header beyond file":  {binary.LittleEndian.AppendUint64(nil, 1), "header of 1 bytes"},
		"header of 2^64":      {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header of"},
		"no header":           {safetensors("", 0), "JSON"},
		"no object":           {safetensors("[]", 0), "JSON"},
		"no JSON":             {safetensors(`{"a":}`, 0), "JSON"},
		"cut off":             {safetensors(`{"a":`+good, 8), "JSON"},
		"two objects":         {safetensors(`{"a":`+good+`}{}`, 8), "follows"},
		"same name twice":     {safetensors(`{"a":`+good+`,"a":`+good+`}`, 8), "twice"},
		"metadata of numbers": {safetensors(`{"__metadata__":{"x":1}}`, 0), "__metadata__"},
		"not a tensor":        {safetensors(`{"a":1}`, 0), "want dtype"},
		"no dtype":            {safetensors(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "want dtype"},
		"unknown dtype":       {safetensors(`{"a":`+tensor(`"BOOL"`, "[8]", "[0,8]")+`}`, 8), `dtype "BOOL"`},
		"offsets of one":      {safetensors(`{"a":`+tensor(`"F32"`, "[2]", "[0]")+`}`, 8), "two data_offsets"},
		"fractions":           {safetensors(`{"a":`+tensor(`"F32"`, "[2.5]", "[0,8]")+`}`, 8), "want dtype"},
		"negative shape":      {safetensors(`{"a":`+tensor(`"F32"`, "[-1,-2]", "[0,8]")+`}`, 8), "dimensions"},
		"shape overflows":     {safetensors(`{"a":`+tensor(`"F32"`, "[2147483647,2147483647,2147483647]", "[0,8]")+`}`, 8), "more than 8 values"},
		"shape too large":     {safetensors(`{"a":`+tensor(`"F32"`, "[3]", "[0,8]")+`}`, 8), "want 12"},
		"shape too small":     {safetensors(`{"a":`+tensor(`"F32"`, "[1]", "[0,8]")+`}`, 8), "want 4"},
		"negative offset":     {safetensors(`{"a":`+tensor(`"F32"`, "[2]", "[-8,0]")+`}`, 8), "bytes -8"},
		"offset overflows":    {safetensors(`{"a":`+tensor(`"F32"`, "[2]", "[9223372036854775807,-9223372036854775801]")+`}`, 8), "of 8"},
		"beyond the end":      {safetensors(`{"a":`+tensor(`"F32"`, "[2]", "[4,12]")+`}`, 8), "bytes 4 to 12"},
		"overlap":             {safetensors(`{"a":`+good+`,"b":`+tensor(`"F32"`, "[1]", "[4,8]")+`}`, 8), "begins at byte 4"},
		"gap":                 {safetensors(`{"a":`+good+`,"b":`+tensor(`"F32"`, "[1]", "[12,16]")+`}`, 16), "begins at byte 12"},
		"bytes left over":     {safetensors(`{"a":`+good+`}`, 9), "the file has 9"},
		"deep":                {safetensors(`{"a":`+strings.Repeat("[", 1<<16), 0), "JSON"},
	} {
		var err error
		if n := allocated(func() { _, _, err = ReadSafetensors(bytes.NewReader(c.file), int64(len(c.file))) }); n > 1<<20 {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
		if !errors.Is(err, core.ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", name, err, c.says)
		}
	}
}

// torchFile is a file of torch.save with this pickle and a storage "0" of bytes.
func torchFile(t testing.TB, pickle string, bytes int, more ...member) []byte {
	return zipped(t, append([]member{{"m/data.pkl", []byte(pickle), zip.Store}, {"m/data/0", make([]byte, bytes), zip.Store}}, more...)...)
}

// aTensor is a pickle of {"a": a tensor}: of a storage of this many values, then offset, shape and strides.
func aTensor(class string, values byte, rest string) string {
	return "\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n" + class +
		"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + string([]byte{values}) + "tQ" + rest + "\x89ccollections\nOrderedDict\n)RtRs."
}

func TestRefusesHostileTorchFiles(t *testing.T) {
	good := aTensor("FloatStorage", 4, "K\x00K\x02K\x02\x86K\x02K\x01\x86")
	readTorch := func(file []byte) ([]Tensor, error) { return ReadTorch(bytes.NewReader(file), int64(len(file))) }
	if got, err := readTorch(torchFile(t, good, 16)); err != nil || len(got) != 1 || len(got[0].Data) != 4 {
		t.Fatal(got, err)
	}
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"empty":                 {nil, "zip"},
		"no pickle":             {zipped(t, member{"m/data/0", nil, zip.Store}), "no data.pkl"},
		"deflated":              {zipped(t, member{"m/data.pkl", []byte(good), zip.Deflate}), "method 8"},
		"same member twice":     {torchFile(t, good, 16, member{"m/data/0", nil, zip.Store}), "twice"},
		"big-endian":            {torchFile(t, good, 16, member{"m/byteorder", []byte("big"), zip.Store}), "byte order"},
		"calls system":          {torchFile(t, "\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.", 0), `"posix.system"`},
		"calls eval":            {torchFile(t, "\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", 0), `"builtins.eval"`},
		"protocol 0":            {torchFile(t, "(S'id'\nios\nsystem\n.", 0), "instruction 0x53"},
		"INST":                  {torchFile(t, "\x80\x02(X\x02\x00\x00\x00idios\nsystem\n.", 0), "instruction 0x69"},
		"OBJ":                   {torchFile(t, "\x80\x02(ccollections\nOrderedDict\no.", 0), "instruction 0x6f"},
		"NEWOBJ":                {torchFile(t, "\x80\x02ccollections\nOrderedDict\n)\x81.", 0), "instruction 0x81"},
		"EXT1":                  {torchFile(t, "\x80\x02\x82\x01.", 0), "instruction 0x82"},
		"text persid":           {torchFile(t, "\x80\x02Pid\n.", 0), "instruction 0x50"},
		"hidden in a name":      {torchFile(t, "\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n.", 0), "__globals__"},
		"a dotted storage":      {torchFile(t, "\x80\x04\x8c\x05torch\x8c\x13FloatStorage.mro.im\x93.", 0), "refers to"},
		"a quantized tensor":    {torchFile(t, "\x80\x02ctorch._utils\n_rebuild_qtensor\n.", 0), "_rebuild_qtensor"},
		"complex":               {torchFile(t, aTensor("ComplexFloatStorage", 4, "K\x00K\x04\x85K\x01\x85"), 32), "ComplexFloatStorage"},
		"OrderedDict of things": {torchFile(t, "\x80\x02ccollections\nOrderedDict\n]\x85R.", 0), "arguments"},
		"calls a storage":       {torchFile(t, "\x80\x02ctorch\nFloatStorage\n)R.", 0), "arguments"},
		"calls a string":        {torchFile(t, "\x80\x02X\x01\x00\x00\x00a)R.", 0), "damaged"},
		"nothing on the stack":  {torchFile(t, "\x80\x02.", 0), "damaged"},
		"no mark":               {torchFile(t, "\x80\x02]e.", 0), "damaged"},
		"no such memo":          {torchFile(t, "\x80\x02h\x05.", 0), "damaged"},
		"ends early":            {torchFile(t, good[:40], 16), "damaged"},
		"a string of 2^32":      {torchFile(t, "\x80\x02X\xff\xff\xff\xffa.", 0), "damaged"},
		"a long of 255":         {torchFile(t, "\x80\x02\x8a\xff"+strings.Repeat("\x01", 255)+".", 0), "255 bytes"},
		"a list":                {torchFile(t, "\x80\x02].", 0), "holds a list"},
		"a number in it":        {torchFile(t, "\x80\x02}X\x01\x00\x00\x00aK\x01s.", 0), "want only tensors"},
		"a tensor under 1":      {torchFile(t, strings.Replace(good, "X\x01\x00\x00\x00ac", "K\x01c", 1), 16), "want only tensors"},
		"no such storage":       {torchFile(t, strings.Replace(good, "\x00\x00\x000X", "\x00\x00\x001X", 1), 16), "no data/1"},
		"a storage elsewhere":   {torchFile(t, strings.Replace(good, "X\x01\x00\x00\x000X", "X\x10\x00\x00\x00../../etc/passwdX", 1), 16), "no data/../"},
		"storage too short":     {torchFile(t, good, 12), "has 12 bytes"},
		"storage too long":      {torchFile(t, good, 20), "has 20 bytes"},
		"beyond the storage":    {torchFile(t, aTensor("FloatStorage", 4, "K\x01K\x04\x85K\x01\x85"), 16), "beyond"},
		"steps beyond":          {torchFile(t, aTensor("FloatStorage", 4, "K\x00K\x03\x85K\x02\x85"), 16), "beyond"},
		"steps of 0":            {torchFile(t, aTensor("FloatStorage", 4, "K\x00K\x04\x85K\x00\x85"), 16), "beyond"},
		"steps back":            {torchFile(t, aTensor("FloatStorage", 4, "K\x03K\x02\x85J\xff\xff\xff\xff\x85"), 16), "beyond"},
		"steps of 2^62":         {torchFile(t, aTensor("FloatStorage", 4, "K\x00K\x03\x85\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40\x85"), 16), "beyond"},
		"begins before":         {torchFile(t, aTensor("FloatStorage", 4, "J\xff\xff\xff\xffK\x01\x85K\x01\x85"), 16), "begins at value -1"},
		"negative shape":        {torchFile(t, aTensor("FloatStorage", 4, "K\x00J\xff\xff\xff\xff\x85K\x01\x85"), 16), "shape [-1]"},
		"shape of 2^60":         {torchFile(t, aTensor("FloatStorage", 4, "K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86K\x01K\x01\x86"), 16), "more than 4 values"},
		"shape unlike strides":  {torchFile(t, aTensor("FloatStorage", 4, "K\x00K\x04\x85)"), 16), "arguments"},
		"shape of strings":      {torchFile(t, aTensor("FloatStorage", 4, "K\x00X\x01\x00\x00\x00a\x85K\x01\x85"), 16), "arguments"},
		"the same name twice":   {torchFile(t, strings.TrimSuffix(good, "s.")+"q\x00sX\x01\x00\x00\x00ah\x00s.", 16), "twice"},
	} {
		var err error
		if n := allocated(func() { _, err = readTorch(c.file) }); n > 1<<20 {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
		if !errors.Is(err, core.ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", name, err, c.says)
		}
	}
}

// A file cannot ask for much more than it is long by naming one storage again and again.
func TestSharedStorage(t *testing.T) {
	tensor := strings.TrimSuffix(aTensor("FloatStorage", 250, "K\x00K\xfa\x85K\x01\x85"), "s.") + "q\x00s"
	for many, want := range map[int]error{3: nil, 100: core.ErrFormat} {
		p := tensor
		for i := range many {
			p += fmt.Sprintf("X\x03\x00\x00\x00%03dh\x00s", i)
		}
		file := torchFile(t, p+".", 1000)
		if got, err := ReadTorch(bytes.NewReader(file), int64(len(file))); !errors.Is(err, want) || want == nil && len(got) != 1+many {
			t.Errorf("%d times: %d tensors, %v", many, len(got), err)
		}
	}
}

// A pickle that doubles a tuple again and again is small, and what it stands for is not: nothing may walk through it.
func TestDoublingPickle(t *testing.T) {
	p := "\x80\x02})" + strings.Repeat("q\x00h\x00\x86", 100) + "K\x01s."
	if _, err := ReadTorch(bytes.NewReader(torchFile(t, p, 0)), 1<<20); !errors.Is(err, core.ErrFormat) {
		t.Error(err)
	}
}

func FuzzReadTorch(f *testing.F) {
	for _, name := range []string{"odd.pt", "odd-protocol-4.pt", "semantic-id-0.2.5/model.pt"} {
		file, err := os.ReadFile(filepath.Join(rqvaeData, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add(torchFile(f, aTensor("FloatStorage", 4, "K\x00K\x02K\x02\x86K\x02K\x01\x86"), 16))
	f.Fuzz(func(t *testing.T, file []byte) {
		var err error
		n := allocated(func() { _, err = ReadTorch(bytes.NewReader(file), int64(len(file))) })
		if n > 1<<20+200*uint64(len(file)) {
			t.Errorf("allocated %d bytes for a file of %d", n, len(file))
		}
		if err != nil && !errors.Is(err, core.ErrFormat) {
			t.Error(err)
		}
	})
}

// FuzzUnpickle goes for the machine itself, which mutations of a zip seldom reach.
func FuzzUnpickle(f *testing.F) {
	f.Add([]byte(aTensor("FloatStorage", 4, "K\x00K\x02K\x02\x86K\x02K\x01\x86")))
	f.Add([]byte("\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93)R(K\x01M\x01\x02NGabcdefghu}b]a."))
	f.Fuzz(func(t *testing.T, pickle []byte) {
		if _, err := unpickle(pickle); err != nil && !errors.Is(err, core.ErrFormat) {
			t.Error(err)
		}
	})
}

func FuzzReadSafetensors(f *testing.F) {
	var b bytes.Buffer
	if err := WriteSafetensors(&b, rqvaeModel(1).Tensors, map[string]string{"format": "pt"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(safetensors(`{"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}`, 4))
	f.Fuzz(func(t *testing.T, file []byte) {
		var tensors []Tensor
		var err error
		n := allocated(func() { tensors, _, err = ReadSafetensors(bytes.NewReader(file), int64(len(file))) })
		if n > 1<<20+100*uint64(len(file)) {
			t.Errorf("allocated %d bytes for a file of %d", n, len(file))
		}
		if err != nil {
			if !errors.Is(err, core.ErrFormat) {
				t.Error(err)
			}
			return
		}
		var again bytes.Buffer
		if err := WriteSafetensors(&again, tensors, nil); err != nil {
			t.Fatal(err)
		}
		if got, _, err := ReadSafetensors(bytes.NewReader(again.Bytes()), int64(again.Len())); err != nil || len(got) != len(tensors) {
			t.Errorf("what was read cannot be written and read again: %v", err)
		}
	})
}
