package tests_go

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const userModule = `module example.com/user

go 1.25.0

require github.com/semantic-id/semantic-id v1.0.0

replace github.com/semantic-id/semantic-id => %s
`

const userProgram = `package main

import (
	"context"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/rqkmeans"
)

func main() {
	x := core.NewMatrix(8, 2) // two far corners, four points around each
	for i := range x.Rows {
		row := x.Row(i)
		row[0], row[1] = float32(10*(i/4)+i%2), float32(10*(i/4)+i/2%2)
	}
	p := rqkmeans.DefaultParams(2, 2)
	p.Clusters[1] = 4
	model, codes, _, err := rqkmeans.Fit(context.Background(), x, nil, p)
	if err != nil {
		panic(err)
	}
	again := core.NewCodes(x.Rows, 2)
	if err := model.Encode(context.Background(), x, again); err != nil {
		panic(err)
	}
	ids := map[string]bool{}
	for i := range codes.Rows {
		if again.Row(i)[0] != codes.Row(i)[0] || again.Row(i)[1] != codes.Row(i)[1] {
			panic(fmt.Sprint(i, codes.Row(i), again.Row(i)))
		}
		if i >= 4 && codes.Row(i)[0] == codes.Row(0)[0] {
			panic("both corners in one cluster")
		}
		ids[string(format.AppendPlain(nil, codes.Row(i), "-"))] = true
	}
	fmt.Println(len(ids), "ids")
}
`

// TestModuleOutside: a module outside the checkout imports rqkmeans, fits and encodes, without cgo.
func TestModuleOutside(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"go.mod": strings.Replace(userModule, "%s", root, 1), "main.go": userProgram}
	if sums, err := os.ReadFile(filepath.Join(root, "go.sum")); err == nil {
		files["go.sum"] = string(sums)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || !strings.HasSuffix(got, "8 ids") {
		t.Errorf("%v:\n%s", err, got)
	}
}
