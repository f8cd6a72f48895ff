package rqkmeans

import (
	"context"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/rowfile"
)

// FitSource is Fit for data larger than memory: it copies the rows to a temporary file in os.TempDir (rowfile.Spool) and
// fits that, with Params.Recompute. weights, unless nil, are as many as the source has rows.
func FitSource(ctx context.Context, src core.Source, weights []float64, p Params) (*Model, core.Codes, []Level, error) {
	rows, err := rowfile.Spool(ctx, "", src)
	if err != nil {
		return nil, core.Codes{}, nil, err
	}
	defer rows.Close()
	p.Recompute = true
	return Fit(ctx, rows.Matrix, weights, p)
}

// sourceBlock is how many values EncodeSource reads at once: 16 MiB.
const sourceBlock = 1 << 22

// EncodeSource encodes the rows of src as EncodeBeam does and hands their codes to emit, some thousands at a time in
// order. The codes are overwritten after the call of emit, whose error ends EncodeSource.
func (m *Model) EncodeSource(ctx context.Context, src core.Source, beam int, emit func(core.Codes) error) error {
	rows := max(1, sourceBlock/m.dim)
	all := core.NewCodes(rows, len(m.books))
	return core.Blocks(ctx, src, rows, func(first int, block core.Matrix) error {
		codes := core.Codes{Rows: block.Rows, Levels: all.Levels, Data: all.Data[:block.Rows*all.Levels]}
		if err := m.EncodeBeam(ctx, block, codes, beam, 0, nil); err != nil {
			if bad := checkBlock(block, m.metric, first); bad != nil {
				return bad // the same with the row's number in the source
			}
			return err
		}
		return emit(codes)
	})
}
