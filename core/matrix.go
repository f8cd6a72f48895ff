package core

import (
	"fmt"
	"math"
)

// Matrix is Rows rows of Cols float32 values, row after row in Data without gaps. It does not own Data.
type Matrix struct {
	Rows, Cols int
	Data       []float32
}

// NewMatrix returns a zero matrix of its own memory.
func NewMatrix(rows, cols int) Matrix {
	return Matrix{Rows: rows, Cols: cols, Data: make([]float32, rows*cols)}
}

// Row returns row i, sharing memory with m.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Cols : (i+1)*m.Cols : (i+1)*m.Cols] }

// Slice returns rows lo to hi-1, sharing memory with m.
func (m Matrix) Slice(lo, hi int) Matrix {
	return Matrix{Rows: hi - lo, Cols: m.Cols, Data: m.Data[lo*m.Cols : hi*m.Cols : hi*m.Cols]}
}

// Check returns an ErrShape unless m has at least one row and one column and Data is as long as they say.
func (m Matrix) Check() error {
	if m.Rows < 1 || m.Cols < 1 {
		return fmt.Errorf("%w: %d rows of %d columns, want at least one sample and one feature", ErrShape, m.Rows, m.Cols)
	}
	if len(m.Data)/m.Cols != m.Rows || len(m.Data)%m.Cols != 0 {
		return fmt.Errorf("%w: %d values for %d rows of %d columns", ErrShape, len(m.Data), m.Rows, m.Cols)
	}
	return nil
}

// CheckFinite returns an ErrNotFinite naming the first row that holds NaN or infinity.
func (m Matrix) CheckFinite() error {
	for i := range m.Rows {
		for _, v := range m.Row(i) {
			if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
				return fmt.Errorf("%w: row %d; remove or impute such rows", ErrNotFinite, i)
			}
		}
	}
	return nil
}

// Codes is Levels codes for each of Rows rows, coarse level first, row after row in Data.
type Codes struct {
	Rows, Levels int
	Data         []int32
}

// NewCodes returns zero codes of their own memory.
func NewCodes(rows, levels int) Codes {
	return Codes{Rows: rows, Levels: levels, Data: make([]int32, rows*levels)}
}

// Clone returns a copy with memory of its own.
func (c Codes) Clone() Codes {
	return Codes{Rows: c.Rows, Levels: c.Levels, Data: append([]int32(nil), c.Data...)}
}

// Row returns the codes of row i, sharing memory with c.
func (c Codes) Row(i int) []int32 { return c.Data[i*c.Levels : (i+1)*c.Levels : (i+1)*c.Levels] }
