package cpu

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		have  Level
		limit string
		want  Level
		bad   bool
	}{
		{have: AVX512, limit: "", want: AVX512},
		{have: AVX512, limit: "avx512", want: AVX512},
		{have: AVX512, limit: "avx2", want: AVX2},
		{have: AVX512, limit: "generic", want: Generic},
		{have: AVX2, limit: "avx512", want: AVX2},
		{have: Generic, limit: "avx2", want: Generic},
		{have: AVX2, limit: "AVX2", want: AVX2, bad: true},
		{have: AVX512, limit: "sse", want: AVX512, bad: true},
	} {
		got, err := choose(c.have, c.limit)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("choose(%v, %q) = %v, %v; want %v, error %v", c.have, c.limit, got, err, c.want, c.bad)
		}
		if err != nil && !(strings.Contains(err.Error(), "SEMANTIC_ID_CPU") && strings.Contains(err.Error(), c.limit)) {
			t.Errorf("error names neither the variable nor its value: %v", err)
		}
	}
}

func TestRequire(t *testing.T) {
	for _, c := range []struct {
		have Level
		name string
		bad  bool
	}{
		{Generic, "", false},
		{AVX2, "avx2", false},
		{AVX512, "avx2", false},
		{AVX2, "avx512", true},
		{AVX512, "avx1024", true},
	} {
		if err := require(c.have, c.name); (err != nil) != c.bad {
			t.Errorf("require(%v, %q) = %v", c.have, c.name, err)
		}
	}
}

func TestNamesParse(t *testing.T) {
	for l := Generic; l <= AVX512; l++ {
		if got, err := Parse(l.String()); got != l || err != nil {
			t.Errorf("Parse(%q) = %v, %v", l, got, err)
		}
	}
}

// TestEnvironment is what makes a run with SEMANTIC_ID_REQUIRE_CPU fail on a CPU without that level.
func TestEnvironment(t *testing.T) {
	if err := Err(); err != nil {
		t.Error(err)
	}
	if err := Require(); err != nil {
		t.Error(err)
	}
	if Use() > Supported() {
		t.Errorf("level %v is in use, but only %v is supported", Use(), Supported())
	}
}

func TestSetForTest(t *testing.T) {
	before := Use()
	restore := SetForTest(Generic)
	if Use() != Generic {
		t.Errorf("Use() = %v after SetForTest(generic)", Use())
	}
	restore()
	if Use() != before {
		t.Errorf("Use() = %v after restore, want %v", Use(), before)
	}
}

func TestVNNI(t *testing.T) {
	for l := Generic; l <= Supported(); l++ {
		for _, on := range []bool{false, true} {
			level, vnni := SetForTest(l), SetVNNIForTest(on)
			if got, want := VNNI(), on && l == AVX512 && hasVNNI(); got != want {
				t.Errorf("%v, turned on %v: VNNI() = %v, want %v", l, on, got, want)
			}
			vnni()
			level()
		}
	}
}
