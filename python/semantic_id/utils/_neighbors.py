"""Metrics of whether near embeddings have near codes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_metrics
from .._arrays import CodeMatrix, FloatMatrix, as_codes, as_matrix
from .._large import float32_rows
from .._native import DISTANCES
from .._params import check_choice, check_int
from ..exceptions import ShapeMismatchError, UndefinedMetricWarning


def recall_at_k(
    X: Any, codes: npt.ArrayLike, k: int = 10, sample_size: int | None = 1000, seed: int = 42,
    metric: str = "hierarchical",
) -> float:  # fmt: skip
    """Return the share of the k nearest neighbors in `X` that are among the k nearest in codes.

    Rows at the same distance come in the order of their numbers. Where many rows share an id, much depends on that:
    `item_recall_at_k` does not.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Embeddings; near is by Euclidean distance.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    k : int, default=10
        Neighbors, less than n_samples.
    sample_size : int, default=1000
        Rows whose neighbors are looked for (None: all).
    seed : int, default=42
        Of the rows drawn: ``RandomState(seed).choice(n_samples, sample_size, replace=False)``.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        Distance of codes: levels less the common prefix, or levels that differ.

    Returns
    -------
    recall : float
        From 0 to 1, the mean over the rows drawn.

    Raises
    ------
    ShapeMismatchError
        If `X` and `codes` are not of one length.
    ValueError
        If k >= n_samples, `X` holds NaN or infinity, or a parameter cannot be used.

    Examples
    --------
    >>> from semantic_id.utils.metrics import recall_at_k
    >>> recall_at_k([[0.0], [1.0], [5.0], [6.0]], [[0], [0], [1], [1]], k=1)
    1.0
    """
    return _rank(X, codes, k, sample_size, seed, metric).recall


def ndcg_at_k(
    X: Any, codes: npt.ArrayLike, k: int = 10, sample_size: int | None = 1000, seed: int = 42,
    metric: str = "hierarchical",
) -> float:  # fmt: skip
    """Return how well the order of the k nearest in codes agrees with that in `X`.

    The neighbor at place j in `X`, from 0, counts k - j, divided by log2(place in codes + 2); the sum is divided by the
    greatest there can be (Järvelin, Kekäläinen, ACM TOIS 20(4), 2002).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As in `recall_at_k`.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    k : int, default=10
        As in `recall_at_k`.
    sample_size : int, default=1000
        As in `recall_at_k`.
    seed : int, default=42
        As in `recall_at_k`.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        As in `recall_at_k`.

    Returns
    -------
    ndcg : float
        From 0 to 1, the mean over the rows drawn.

    Examples
    --------
    >>> from semantic_id import ndcg_at_k
    >>> ndcg_at_k([[0.0], [1.0], [5.0], [6.0]], [[0], [0], [1], [1]], k=1)
    1.0
    """
    return _rank(X, codes, k, sample_size, seed, metric).ndcg


def item_recall_at_k(
    X: Any, codes: npt.ArrayLike, k: int = 10, sample_size: int | None = 1000, seed: int = 42,
    metric: str = "hierarchical",
) -> float:  # fmt: skip
    """Return `recall_at_k` in expectation over all orders of rows that are equally near in codes.

    Collisions cannot inflate it: one id for all rows scores k / (n_samples - 1), which is chance.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As in `recall_at_k`.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    k : int, default=10
        As in `recall_at_k`.
    sample_size : int, default=1000
        As in `recall_at_k`.
    seed : int, default=42
        As in `recall_at_k`.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        As in `recall_at_k`.

    Returns
    -------
    recall : float
        From 0 to 1, the mean over the rows drawn.

    Examples
    --------
    >>> from semantic_id.utils.metrics import item_recall_at_k
    >>> item_recall_at_k([[0.0], [1.0], [5.0], [6.0], [7.0]], [[3], [3], [3], [3], [3]], k=1)
    0.25
    """
    return _rank(X, codes, k, sample_size, seed, metric).item_recall


def item_ndcg_at_k(
    X: Any, codes: npt.ArrayLike, k: int = 10, sample_size: int | None = 1000, seed: int = 42,
    metric: str = "hierarchical",
) -> float:  # fmt: skip
    """Return `ndcg_at_k` in expectation over all orders of rows that are equally near in codes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        As in `recall_at_k`.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    k : int, default=10
        As in `recall_at_k`.
    sample_size : int, default=1000
        As in `recall_at_k`.
    seed : int, default=42
        As in `recall_at_k`.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        As in `recall_at_k`.

    Returns
    -------
    ndcg : float
        From 0 to 1, the mean over the rows drawn.

    Examples
    --------
    >>> from semantic_id.utils.metrics import item_ndcg_at_k
    >>> item_ndcg_at_k([[0.0], [1.0], [5.0], [6.0], [7.0]], [[3], [3], [3], [3], [3]], k=1)
    0.25
    """
    return _rank(X, codes, k, sample_size, seed, metric).item_ndcg


def distance_correlation(
    X: Any, codes: npt.ArrayLike, sample_size: int | None = 1000, n_pairs: int = 2000, seed: int = 42,
    metric: str = "hierarchical",
) -> float:  # fmt: skip
    """Return the rank correlation (Spearman) of Euclidean and code distance over pairs of rows.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Embeddings.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    sample_size : int, default=1000
        Not used; semantic-id 0.2.5 has it.
    n_pairs : int, default=2000
        Pairs to draw.
    seed : int, default=42
        Of the pairs: two calls of ``randint(0, n_samples, n_pairs)`` of one ``RandomState(seed)``.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        Distance of codes: levels less the common prefix, or levels that differ.

    Returns
    -------
    correlation : float
        From -1 to 1; NaN where all pairs are equally far apart in `X` or in codes.

    Warns
    -----
    UndefinedMetricWarning
        If it is NaN.

    Examples
    --------
    >>> from semantic_id.utils.metrics import distance_correlation
    >>> round(distance_correlation([[0.0], [1.0], [5.0], [6.0]], [[0], [0], [1], [1]]), 2)
    0.89
    """
    x, c = _as_both(X, codes)
    return _correlation(x, c, n_pairs, _check_seed(seed), _check_distance(metric))


def hierarchical_distance(codes_a: npt.ArrayLike, codes_b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the number of levels below the last one that two code rows share from the first on.

    Parameters
    ----------
    codes_a : array-like of shape (..., n_levels)
        Codes.
    codes_b : array-like of shape (..., n_levels)
        Codes; broadcast against `codes_a`.

    Returns
    -------
    distance : ndarray of shape (...), dtype int64
        The number of levels minus the length of the common prefix: 0 for equal rows.

    Examples
    --------
    >>> from semantic_id import hierarchical_distance
    >>> hierarchical_distance([[3, 9, 1], [3, 0, 1]], [3, 9, 7])
    array([1, 2])
    """
    same = np.equal(codes_a, codes_b)
    return np.asarray(same.shape[-1] - np.logical_and.accumulate(same, axis=-1).sum(axis=-1, dtype=np.int64))


def find_similar(
    codes: npt.ArrayLike, query: int | npt.ArrayLike, k: int = 10, *, metric: str = "hierarchical"
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows nearest in codes to one of them or to other codes.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    query : int or array-like of shape (n_levels,)
        The number of a row, which is then left out, or codes.
    k : int, default=10
        How many; fewer if there are not as many rows.
    metric : {"hierarchical", "hamming"}, default="hierarchical"
        Distance of codes: levels less the common prefix, or levels that differ.

    Returns
    -------
    indices : ndarray of int64
        Numbers of rows, nearest first, equally near ones in ascending order.
    distances : ndarray of int64
        Their distances.

    Raises
    ------
    IndexError
        If there is no row `query`.
    ShapeMismatchError
        If `query` has not n_levels codes.

    Examples
    --------
    >>> from semantic_id import find_similar
    >>> find_similar([[3, 9], [0, 5], [3, 9], [3, 1]], 0, k=2)
    (array([2, 3]), array([0, 1]))
    """
    c = as_codes(codes)
    k, metric = check_int("k", k, 1), _check_distance(metric)
    rows, levels = c.shape
    if np.ndim(query) == 0:
        row = np.asarray(query)
        if row.dtype.kind not in "iu":
            raise ValueError(f"query={query!r}: want the number of a row, or codes")
        number = int(row)
        if not -rows <= number < rows:
            raise IndexError(f"query {number} is out of range: there are {rows} rows of codes")
        number %= rows
        return _native_metrics.similar(c, c[number], number, k, metric)
    wanted = as_codes(np.reshape(query, (1, -1)))
    if wanted.shape[1] != levels:
        raise ShapeMismatchError(f"query has {wanted.shape[1]} codes, want {levels}")
    return _native_metrics.similar(c, wanted, -1, k, metric)


def _as_both(X: Any, codes: Any) -> tuple[FloatMatrix, CodeMatrix]:
    """Return `X` as finite float32 and `codes` as int32, both C-ordered and of one length."""
    array, c = as_matrix(X), as_codes(codes)
    if len(array) != len(c):
        raise ShapeMismatchError(f"X has {len(array)} rows, codes have {len(c)}: want one row of codes for each of X")
    x = float32_rows(array)
    if x is array:
        _native_metrics.check_finite(x)
    return x, c


def _queries(rows: int, sample_size: int | None, seed: int) -> npt.NDArray[np.int64]:
    if sample_size is None:
        return np.arange(rows, dtype=np.int64)
    size = min(check_int("sample_size", sample_size, 1), rows)
    return np.random.RandomState(seed).choice(rows, size, replace=False).astype(np.int64)


def _rank(X: Any, codes: Any, k: int, sample_size: int | None, seed: int, metric: str) -> _native_metrics.Ranking:
    x, c = _as_both(X, codes)
    rows = len(x)
    k = check_int("k", k, 1)
    if k >= rows:
        raise ValueError(f"k={k} must be less than N={rows}: a row is not its own neighbor")
    return _native_metrics.rank(x, c, _queries(rows, sample_size, _check_seed(seed)), k, _check_distance(metric))


def _correlation(x: FloatMatrix, c: CodeMatrix, n_pairs: int, seed: int, metric: str) -> float:
    random = np.random.RandomState(seed)
    n_pairs = check_int("n_pairs", n_pairs, 1)
    a, b = (random.randint(0, len(x), n_pairs).astype(np.int64) for _ in range(2))
    value = _native_metrics.correlation(x, c, a, b, metric)
    if math.isnan(value):
        warnings.warn(
            "distance_correlation is NaN: the pairs are all equally far apart, in X or in codes",
            UndefinedMetricWarning,
            stacklevel=3,
        )
    return value


def _check_seed(seed: Any) -> int:
    return check_int("seed", seed, 0, 2**32 - 1)


def _check_distance(metric: Any) -> str:
    return check_choice("metric", metric, DISTANCES)
