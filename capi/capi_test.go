package capi_test

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
	"github.com/semantic-id/semantic-id/core/rqvae"
)

// library is libsemanticid.so in a folder that lives as long as the tests.
var library string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "capi")
	if err != nil {
		panic(err)
	}
	library = filepath.Join(dir, "libsemanticid.so")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// missing skips the test for want of a system tool; if SEMANTIC_ID_REQUIRE_ALL is 1 it fails instead.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SEMANTIC_ID_REQUIRE_ALL") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		missing(t, program+" is not there")
	}
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var errText strings.Builder
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errText.String())
	}
	if errText.Len() > 0 {
		t.Errorf("%s %s wrote to stderr:\n%s", name, strings.Join(args, " "), errText.String())
	}
	return string(out)
}

func buildLibrary(t *testing.T) {
	t.Helper()
	need(t, "gcc")
	if _, err := os.Stat(library); err != nil {
		run(t, []string{"CGO_ENABLED=1"}, "go", "build", "-buildmode=c-shared", "-o", library, "./libsemanticid")
	}
}

// rowsOf are the rows that the C programs make.
func rowsOf(rows, dim int) core.Matrix {
	x := core.NewMatrix(rows, dim)
	state := uint64(1)
	for i := range x.Data {
		state = state*6364136223846793005 + 1442695040888963407
		x.Data[i] = float32(state>>40) * 0x1p-24
	}
	return x
}

// wantIDs is what ids.c must print: the ids of the same rows, fitted in Go.
func wantIDs(t *testing.T) string {
	t.Helper()
	p := rqkmeans.Params{Clusters: []int{16, 8, 8}, MaxIter: 50, Tol: 1e-4, Restarts: 1, Seed: 7}
	_, codes, _, err := rqkmeans.Fit(context.Background(), rowsOf(600, 12), nil, p)
	if err != nil {
		t.Fatal(err)
	}
	var ids []byte
	for i := range 20 {
		ids = append(format.AppendPlain(ids, codes.Row(i), "-"), '\n')
	}
	return string(ids)
}

// trainNeural saves a model as dir and returns what neural.c must print of it.
func trainNeural(t *testing.T, dir string) string {
	t.Helper()
	ctx, x := context.Background(), rowsOf(50, 12)
	p := rqvae.DefaultParams(x.Cols)
	p.Shape = rqvae.Shape{InDim: x.Cols, Layers: []int{16}, EDim: 4, Clusters: []int{8, 4}}
	p.Epochs, p.BatchSize = 5, 25
	m, _, err := rqvae.Fit(ctx, x, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	codes, latents, near := core.NewCodes(x.Rows, 2), core.NewMatrix(x.Rows, 4), core.NewMatrix(x.Rows, x.Cols)
	if err := errors.Join(m.Encode(ctx, x, codes), m.Latents(ctx, x, latents), m.Decode(codes, near)); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i := range x.Rows {
		fmt.Fprintf(&out, "%d-%d %.9g %.9g\n", codes.Row(i)[0], codes.Row(i)[1], latents.Row(i)[3], near.Row(i)[x.Cols-1])
	}
	return out.String()
}

// TestIDs runs testdata/ids.c, which fits, encodes, saves, loads and prints ids.
func TestIDs(t *testing.T) {
	runProgram(t, "ids", filepath.Join(t.TempDir(), "model"), wantIDs(t))
}

// TestNeural runs testdata/neural.c, which loads a model and prints codes, latents and what they decode to.
func TestNeural(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	runProgram(t, "neural", dir, trainNeural(t, dir))
}

// runProgram builds a program of testdata, also with sanitizers, and runs it with an argument.
func runProgram(t *testing.T, name, arg, want string) {
	buildLibrary(t)
	strict := []string{"-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-I."}
	builds := []struct {
		name  string
		flags []string
		env   []string
	}{
		{"plain", []string{"-O2"}, nil},
		{"sanitized", sanitized, leaks}, // with no suppression: the Go runtime leaves nothing for LeakSanitizer to find
	}
	for _, b := range builds {
		t.Run(b.name, func(t *testing.T) {
			if b.name == "sanitized" {
				needSanitizer(t)
			}
			program := filepath.Join(t.TempDir(), name)
			args := append(slices.Concat(strict, b.flags), "testdata/"+name+".c", "-o", program, library, "-Wl,-rpath,"+filepath.Dir(library))
			run(t, nil, "gcc", args...)
			if got := run(t, b.env, program, arg); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

var (
	sanitized = []string{"-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"}
	leaks     = []string{"ASAN_OPTIONS=detect_leaks=1"}
)

func needSanitizer(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "empty.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("gcc", append(slices.Clone(sanitized), source, "-o", filepath.Join(dir, "empty"))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("gcc has no sanitizer library here:\n%s", out))
	}
}

// TestSanitizerSees makes sure that the sanitized build would fail: with an overrun, and with a leak of its own.
func TestSanitizerSees(t *testing.T) {
	buildLibrary(t)
	needSanitizer(t)
	for name, statement := range map[string]string{
		"AddressSanitizer: heap-buffer-overflow": `char *p = malloc(4); sid_version(p, 4); if (p[n + 3]) n = 0; free(p);`,
		"LeakSanitizer: detected memory leaks":   `char *volatile p = malloc(64); sid_version(p, 64); p = 0;`,
		"runtime error: signed integer overflow": `int max = 2147483647; if (max + n > 0) n = 2;`,
	} {
		dir := t.TempDir()
		source, program := filepath.Join(dir, "bad.c"), filepath.Join(dir, "bad")
		text := fmt.Sprintf("#include <stdlib.h>\n#include \"semantic_id.h\"\nint main(int n, char **v) { (void)v; %s return n != 1; }\n", statement)
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args := append(slices.Clone(sanitized), "-std=c11", "-I.", source, "-o", program, library, "-Wl,-rpath,"+filepath.Dir(library))
		run(t, nil, "gcc", args...)
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), leaks...)
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), name) {
			t.Errorf("no %q in\n%s", name, out)
		}
	}
}

// TestHeaderAlone compiles the header with nothing before it, as C and as C++.
func TestHeaderAlone(t *testing.T) {
	for program, args := range map[string][]string{
		"gcc": {"-x", "c", "-std=c11"},
		"g++": {"-x", "c++", "-std=c++11"},
	} {
		t.Run(program, func(t *testing.T) {
			need(t, program)
			run(t, nil, program, append(args, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-include", "semantic_id.h", os.DevNull)...)
		})
	}
}

// TestHeaderAndSymbols: the library exports what the header declares and no other sid_ function. (That their types
// agree, the C compiler checks when it builds capi.go.)
func TestHeaderAndSymbols(t *testing.T) {
	buildLibrary(t)
	header, err := os.ReadFile("semantic_id.h")
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(header), "")
	declared := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b(sid_\w+)\(`).FindAllStringSubmatch(code, -1) {
		declared[m[1]] = true
	}
	file, err := elf.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF && strings.HasPrefix(s.Name, "sid_") {
			exported[s.Name] = true
		}
	}
	for name := range declared {
		if !exported[name] {
			t.Errorf("%s is declared and not exported", name)
		}
	}
	for name := range exported {
		if !declared[name] {
			t.Errorf("%s is exported and not declared", name)
		}
	}
	if len(exported) == 0 {
		t.Error("no function is exported")
	}
}
