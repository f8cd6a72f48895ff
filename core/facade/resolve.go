package facade

import (
	"context"
	"fmt"

	"github.com/semantic-id/semantic-id/core"
	"github.com/semantic-id/semantic-id/core/resolve"
)

// ResolveCapacity moves rows until no code has more than most holders, as resolve.Capacity does; pairs is as there.
//
// The rows are float32 (rows, dim), what a model quantizes; the codebooks are as in QuantizerNew. codesAddr, int32 (rows,
// levels), has their codes and gets the new ones. heldAddr has held codes, int32 (held, levels), and holdersAddr their
// holders in a store, int64. addedOut gets for each row by how much its squared error has grown, float64, and guessOut an
// int64: 1 if these are not proved to be the least.
func ResolveCapacity(rowsAddr uint64, rows, dim, levels int64, ksAddr, booksAddr, codesAddr, heldAddr, holdersAddr uint64, held, most, pairs int64,
	addedOut, guessOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		how := resolve.Capacity{Most: int(most), Pairs: int(pairs)}
		return move(how, rowsAddr, rows, dim, levels, ksAddr, booksAddr, codesAddr, heldAddr, holdersAddr, held, addedOut, guessOut, controlAddr)
	})
}

// ResolveSinkhorn re-encodes rows that share a code at the last level, as resolve.Sinkhorn does; the rest is as in
// ResolveCapacity.
func ResolveSinkhorn(rowsAddr uint64, rows, dim, levels int64, ksAddr, booksAddr, codesAddr, heldAddr, holdersAddr uint64, held int64, epsilon float64, iters, rounds int64,
	addedOut, controlAddr uint64, errAddr uint64, errLen int64) int64 {
	return callLong(controlAddr, errAddr, errLen, func() error {
		how := resolve.Sinkhorn{Epsilon: epsilon, Iters: int(iters), Rounds: int(rounds)}
		return move(how, rowsAddr, rows, dim, levels, ksAddr, booksAddr, codesAddr, heldAddr, holdersAddr, held, addedOut, 0, controlAddr)
	})
}

func move(how resolve.Mover, rowsAddr uint64, rows, dim, levels int64, ksAddr, booksAddr, codesAddr, heldAddr, holdersAddr uint64, held int64,
	addedOut, guessOut, controlAddr uint64) error {
	x, err := matrix(rowsAddr, rows, dim)
	if err != nil {
		return err
	}
	books, err := codebooks(levels, dim, ksAddr, booksAddr)
	if err != nil {
		return err
	}
	c, err := codes(codesAddr, rows, levels)
	if err != nil {
		return err
	}
	if held < 0 || held > maxElements/levels {
		return fmt.Errorf("%w: %d held codes", core.ErrShape, held)
	}
	h := resolve.Held{Codes: core.Codes{Rows: int(held), Levels: int(levels), Data: slice[int32](heldAddr, held*levels)}, Holders: slice[int64](holdersAddr, held)}
	ctx, stop := controlAt(controlAddr).context()
	defer stop()
	m, err := how.Move(ctx, resolve.Space{Rows: x, Books: books}, c, h)
	if err != nil {
		return err
	}
	added := slice[float64](addedOut, rows)
	clear(added)
	for n, i := range m.Rows {
		added[i] = m.Added[n]
	}
	copy(c.Data, m.Codes.Data)
	put(guessOut, int64(0))
	if m.Guess {
		put(guessOut, int64(1))
	}
	return nil
}

// QuantizerLatents writes what the model quantizes of x, float32 (rows, dim), to outAddr, in the same form: x itself, or under
// cosine its rows divided by their norms.
func QuantizerLatents(handle int64, xAddr uint64, rows, dim int64, outAddr uint64, errAddr uint64, errLen int64) int64 {
	return call(errAddr, errLen, func() error {
		m, err := model(handle)
		if err != nil {
			return err
		}
		x, err := matrix(xAddr, rows, dim)
		if err != nil {
			return err
		}
		out, err := matrix(outAddr, rows, dim)
		if err != nil {
			return err
		}
		return m.Latents(context.Background(), x, out)
	})
}
