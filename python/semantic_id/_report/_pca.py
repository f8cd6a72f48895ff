"""The two directions in which embeddings vary most, for a map of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .._arrays import FloatMatrix

_ROWS = 20_000  # that the directions are found from: more would move them less than a map shows
_VALUES = 1 << 24  # or fewer rows, of more columns
_BLOCK = 1 << 22  # values centred at a time
_WIDTH = 10  # directions iterated on, of which two are kept
_ROUNDS = 60


def principal_map(x: FloatMatrix) -> tuple[npt.NDArray[np.float32], tuple[float, float], float]:
    """Return where the rows lie along the two principal directions.

    Subspace iteration from a fixed start (Halko, Martinsson, Tropp, SIAM Review 53(2), 2011), over at most 20,000 rows
    spread evenly, until no more variance is found. A direction's sign makes its largest component positive.

    Parameters
    ----------
    x : ndarray of shape (n, d), dtype float32
        Embeddings, finite.

    Returns
    -------
    places : ndarray of shape (n, 2), dtype float32
        Largest magnitude 1; 0 where nothing varies.
    shares : tuple of two floats
        What share of the variance each direction holds.
    variance : float
        The mean variance of the columns, over the rows looked at.
    """
    rows, columns = x.shape
    scale = float(max(np.abs(x[low:high]).max() for low, high in _blocks(rows, columns))) or 1.0
    chosen = x[_spread(rows, min(_ROWS, max(1000, _VALUES // columns)))].astype(np.float64) / scale
    mean = chosen.mean(axis=0)
    chosen -= mean
    total = float(np.einsum("ij,ij->", chosen, chosen)) / len(chosen)

    centred = chosen.astype(np.float32)  # precise enough for a map, and twice as fast
    basis = np.random.RandomState(0).standard_normal((columns, min(_WIDTH, columns))).astype(np.float32)
    found = -1.0
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(basis)[0]
        product = centred @ basis
        _, values, turn = np.linalg.svd(product, full_matrices=False)
        before, found = found, float((values[:2] ** 2).sum())
        axes = basis @ turn[:2].T
        if found <= before * (1 + 1e-6):
            break
        basis = centred.T @ product
    directions = np.zeros((columns, 2))
    if total:
        directions[:, : axes.shape[1]] = axes
    largest = directions[np.abs(directions).argmax(axis=0), [0, 1]]
    directions *= np.where(largest < 0, -1.0, 1.0)

    places = np.empty((rows, 2))
    for low, high in _blocks(rows, columns):
        places[low:high] = (x[low:high] / scale - mean) @ directions
    held = [float(v) ** 2 / len(chosen) / total if total else 0.0 for v in [*values, 0.0][:2]]
    return (places / (np.abs(places).max() or 1.0)).astype(np.float32), (held[0], held[1]), total / columns * scale**2


def _spread(rows: int, most: int) -> slice | npt.NDArray[np.int64]:
    return slice(None) if rows <= most else (np.arange(most) * rows) // most


def _blocks(rows: int, columns: int) -> list[tuple[int, int]]:
    step = max(1, _BLOCK // columns)
    return [(low, min(low + step, rows)) for low in range(0, rows, step)]
