package rqkmeans

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
)

// Fingerprint returns a text that differs for models which give other codes: the SHA-256 of the metric and the codebooks,
// the same as Python's of the same model.
func (m *Model) Fingerprint() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "metric=%s\n", m.metric)
	for _, book := range m.books {
		fmt.Fprintf(sum, "%d %d\n", book.Rows, book.Cols)
		row := make([]byte, 0, 4*book.Cols)
		for i := range book.Rows {
			row = row[:0]
			for _, v := range book.Row(i) {
				row = binary.LittleEndian.AppendUint32(row, math.Float32bits(v))
			}
			sum.Write(row)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
