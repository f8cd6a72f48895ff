"""Data of any size: a Gaussian mixture with structure left over after each level, the same for a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CHUNK = 1 << 14


def mixture(rows: int, columns: int, levels: int = 3, centres: int = 300, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return rows that are each a centre of every level plus noise, float32.

    Each level has `centres` centres, of half the scale of the level before; they are not equally frequent. The variance
    falls with the number of the column, as it does along the principal directions of real embeddings. Row i is the same
    for any number of rows above it.
    """
    first = np.random.default_rng([seed, 0])
    scale = (np.arange(1, columns + 1) ** -0.5).astype(np.float32)
    books = [first.standard_normal((centres, columns), np.float32) * (scale * 0.5**level) for level in range(levels)]
    shares = first.dirichlet(np.full(centres, 3.0), levels)
    x = np.empty((rows, columns), np.float32)
    for low in range(0, rows, _CHUNK):
        rng = np.random.default_rng([seed, 1, low])
        chunk = rng.standard_normal((_CHUNK, columns), np.float32)
        chunk *= scale * 0.7
        for book, share in zip(books, shares, strict=True):
            chunk += book[rng.choice(centres, _CHUNK, p=share)]
        x[low : low + _CHUNK] = chunk[: rows - low]
    return x
