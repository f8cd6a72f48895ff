package format_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
)

func ExamplePlain() {
	fmt.Println(format.Plain(core.Codes{Rows: 2, Levels: 3, Data: []int32{3, 9, 1, 0, 5, 7}}, "-"))
	// Output: [3-9-1 0-5-7]
}

func ExampleToken() {
	fmt.Println(format.Token(core.Codes{Rows: 1, Levels: 3, Data: []int32{3, 9, 1}}))
	// Output: [<a_3><b_9><c_1>]
}

func TestTokenLettersStartAgain(t *testing.T) {
	codes := core.NewCodes(1, 28)
	for l := range codes.Data {
		codes.Data[l] = int32(l)
	}
	got := format.AppendToken(nil, codes.Row(0))
	if want := []byte("<z_25><a_26><b_27>"); !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("levels 25 to 27 are written %q, want %q", got[len(got)-len(want):], want)
	}
}

func TestPlainSeparators(t *testing.T) {
	codes := core.Codes{Rows: 1, Levels: 2, Data: []int32{2147483647, 0}}
	for sep, want := range map[string]string{"": "21474836470", "::": "2147483647::0", "é": "2147483647é0"} {
		if got := format.Plain(codes, sep)[0]; got != want {
			t.Errorf("separator %q: got %q, want %q", sep, got, want)
		}
	}
}
