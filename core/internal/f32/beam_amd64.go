//go:build !noasm

package f32

import (
	"math/bits"

	"github.com/semantic-id/semantic-id/core/internal/cpu"
)

func rowTile(l cpu.Level, dst, panel, rows []float32, ld, dim int) {
	lanes, n := shapes[l].lanes, len(rows)/dim
	_, _, _ = dst[(n-1)*ld+lanes-1], panel[lanes*dim-1], rows[n*dim-1]
	d, p, r := &dst[0], &panel[0], &rows[0]
	switch {
	case l == cpu.AVX512 && n == 14:
		rowTileAVX512x14(d, p, r, ld, dim, dim)
	case l == cpu.AVX512 && n == 8:
		rowTileAVX512x8(d, p, r, ld, dim, dim)
	case l == cpu.AVX512 && n == 4:
		rowTileAVX512x4(d, p, r, ld, dim, dim)
	case l == cpu.AVX512 && n == 2:
		rowTileAVX512x2(d, p, r, ld, dim, dim)
	case l == cpu.AVX512 && n == 1:
		rowTileAVX512x1(d, p, r, ld, dim, dim)
	case l == cpu.AVX2 && n == 6:
		rowTileAVX2x6(d, p, r, ld, dim, dim)
	case l == cpu.AVX2 && n == 4:
		rowTileAVX2x4(d, p, r, ld, dim, dim)
	case l == cpu.AVX2 && n == 2:
		rowTileAVX2x2(d, p, r, ld, dim, dim)
	case l == cpu.AVX2 && n == 1:
		rowTileAVX2x1(d, p, r, ld, dim, dim)
	default:
		rowTileGeneric(dst, panel, rows, ld, lanes, dim)
	}
}

func addTables(dst, least, dots []float32, tables [][]float32, base float32) {
	switch cpu.Use() {
	case cpu.AVX512:
		addTablesAVX512(&dst[0], &least[0], &dots[0], &tables[0], len(tables), len(dst)/Chunk, base)
	case cpu.AVX2:
		addTablesAVX2(&dst[0], &least[0], &dots[0], &tables[0], len(tables), len(dst)/Chunk, base)
	default:
		addTablesGeneric(dst, least, dots, tables, base)
	}
}

// fill32 sets a bit for each of the first values, 1 where it is at most limit, and returns how many words of m it filled.
func (m *maskBlock) fill32(v []float32, limit float32) int {
	words := min(len(m), len(v)/32)
	if words == 0 {
		return 0
	}
	if cpu.Use() == cpu.AVX512 {
		atMost32AVX512(&m[0], &v[0], words, limit)
	} else {
		atMost32AVX2(&m[0], &v[0], words, limit)
	}
	return words
}

func countAtMost32(v []float32, limit float32) int {
	if cpu.Use() == cpu.Generic {
		return countAtMost32Generic(v, limit)
	}
	var mask maskBlock
	n := 0
	for words := mask.fill32(v, limit); words > 0; words = mask.fill32(v, limit) {
		for _, m := range mask[:words] {
			n += bits.OnesCount32(m)
		}
		v = v[32*words:]
	}
	return n
}

func appendAtMost32(keys []uint64, v []float32, limit float32, first int) []uint64 {
	if cpu.Use() == cpu.Generic {
		return appendAtMost32Generic(keys, v, limit, first)
	}
	var mask maskBlock
	for words := mask.fill32(v, limit); words > 0; words = mask.fill32(v, limit) {
		for w, m := range mask[:words] {
			for ; m != 0; m &= m - 1 {
				i := 32*w + bits.TrailingZeros32(m)
				keys = append(keys, key32(v[i], first+i))
			}
		}
		v, first = v[32*words:], first+32*words
	}
	return keys
}

func (t *twoLeast) find(v []float32, limit float32) {
	if cpu.Use() == cpu.Generic {
		t.findGeneric(v, limit)
		return
	}
	var mask maskBlock
	first := 0
	for words := mask.fill32(v, limit); words > 0; words = mask.fill32(v, limit) {
		for w, m := range mask[:words] {
			for ; m != 0; m &= m - 1 {
				i := 32*w + bits.TrailingZeros32(m)
				t.take(first+i, v[i])
			}
		}
		v, first = v[32*words:], first+32*words
	}
}
