package facade

import (
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/format"
	"github.com/semantic-id/semantic-id/core/internal/cpu"
	"github.com/semantic-id/semantic-id/core/internal/par"
)

// Version writes the version of the library, closed by a zero byte, to the buffer, and returns its length.
func Version(bufAddr uint64, bufLen int64) int64 {
	putText(bufAddr, bufLen, core.Version)
	return int64(len(core.Version))
}

// CPULevel writes the name of the kernels in use, "generic", "avx2" or "avx512", closed by a zero byte, to the buffer,
// and returns its length.
func CPULevel(bufAddr uint64, bufLen int64) int64 {
	name := cpu.Use().String()
	putText(bufAddr, bufLen, name)
	return int64(len(name))
}

// SetNumThreads sets how many threads later calls use; 0 goes back to the default.
func SetNumThreads(n int64) { par.SetThreads(int(n)) }

// NumThreads returns how many threads calls use.
func NumThreads() int64 { return int64(par.Threads()) }

// Styles of FormatCodes.
const (
	StylePlain = iota // "3-9-1"
	StyleToken        // "<a_3><b_9><c_1>"
)

// FormatCodes writes each row of codes, int32 (rows, levels), as an id followed by the byte end to the buffer, and the
// length of all of them (int64) to neededOut. When that is more than outLen the buffer is too small and KindParam comes back.
func FormatCodes(codesAddr uint64, rows, levels, style int64, sepAddr uint64, sepLen, end int64, outAddr uint64, outLen int64, neededOut uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		c, err := codes(codesAddr, rows, levels)
		if err != nil {
			return err
		}
		if style != StylePlain && style != StyleToken {
			return fmt.Errorf("%w: style is %d, want %d (plain) or %d (token)", core.ErrParam, style, StylePlain, StyleToken)
		}
		sep := string(slice[byte](sepAddr, sepLen))
		out := slice[byte](outAddr, outLen)[:0]
		needed := 0
		var id []byte
		for i := range c.Rows {
			if style == StyleToken {
				id = format.AppendToken(id[:0], c.Row(i))
			} else {
				id = format.AppendPlain(id[:0], c.Row(i), sep)
			}
			id = append(id, byte(end))
			if needed += len(id); needed <= int(outLen) {
				out = append(out, id...)
			}
		}
		put(neededOut, int64(needed))
		if needed > int(outLen) {
			return fmt.Errorf("%w: %d bytes of room for ids, want %d", core.ErrParam, outLen, needed)
		}
		return nil
	})
}
