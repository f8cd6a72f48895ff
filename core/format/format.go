// Package format writes codes as strings: plain "3-9-1", or tokens "<a_3><b_9><c_1>" for language models.
package format

import (
	"strconv"

	"github.com/semantic-id/semantic-id/core"
)

// AppendPlain appends the codes of one row in decimal, sep between them.
func AppendPlain(dst []byte, codes []int32, sep string) []byte {
	for l, c := range codes {
		if l > 0 {
			dst = append(dst, sep...)
		}
		dst = strconv.AppendInt(dst, int64(c), 10)
	}
	return dst
}

// AppendToken appends the codes of one row as tokens. Level 0 is letter a; level 26, the 27th, starts again at a.
func AppendToken(dst []byte, codes []int32) []byte {
	for l, c := range codes {
		dst = append(dst, '<', 'a'+byte(l%26), '_')
		dst = strconv.AppendInt(dst, int64(c), 10)
		dst = append(dst, '>')
	}
	return dst
}

// Plain returns each row as AppendPlain writes it.
func Plain(codes core.Codes, sep string) []string {
	return each(codes, func(dst []byte, row []int32) []byte { return AppendPlain(dst, row, sep) })
}

// Token returns each row as AppendToken writes it.
func Token(codes core.Codes) []string { return each(codes, AppendToken) }

func each(codes core.Codes, appendRow func([]byte, []int32) []byte) []string {
	ids := make([]string, codes.Rows)
	var buf []byte
	for i := range ids {
		buf = appendRow(buf[:0], codes.Row(i))
		ids[i] = string(buf)
	}
	return ids
}
