"""Metrics of what prefixes mean: whether they tell labels, or items that go together."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_metrics
from .._arrays import CodeMatrix, as_codes
from .._given import label_numbers
from ..exceptions import ShapeMismatchError, UndefinedMetricWarning


def prefix_purity(codes: npt.ArrayLike, labels: Any) -> list[float]:
    """Return the share of the rows whose label is the commonest among those with the same prefix.

    It rises with the number of prefixes, whatever they are: with one row each it is 1. `prefix_nmi` pays for that.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    labels : array-like of shape (n_samples,)
        A category of each row, of any type; rows whose label is None or NaN do not count.

    Returns
    -------
    purity : list of float
        For prefixes of 0, 1, ... all levels, from 1 / number of labels to 1; the first is that of the commonest label.

    Raises
    ------
    ShapeMismatchError
        If `codes` and `labels` are not of one length.

    Warns
    -----
    UndefinedMetricWarning
        If no row has a label: all is NaN.

    Examples
    --------
    >>> from semantic_id.utils.metrics import prefix_purity
    >>> prefix_purity([[0, 0], [0, 1], [1, 0], [1, 0]], ["a", "a", "b", None])
    [0.6666666666666666, 1.0, 1.0]
    """
    c = as_codes(codes)
    return _meaning(c, label_numbers(labels, len(c))).purity


def prefix_nmi(codes: npt.ArrayLike, labels: Any) -> list[float]:
    """Return the mutual information of prefix and label over the mean of their entropies.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    labels : array-like of shape (n_samples,)
        A category of each row, of any type; rows whose label is None or NaN do not count.

    Returns
    -------
    nmi : list of float
        For prefixes of 0, 1, ... all levels, from 0, prefixes telling nothing of labels, to 1, each telling the other.

    Raises
    ------
    ShapeMismatchError
        If `codes` and `labels` are not of one length.

    Warns
    -----
    UndefinedMetricWarning
        If no row has a label: all is NaN.

    Examples
    --------
    >>> from semantic_id.utils.metrics import prefix_nmi
    >>> [round(v, 3) for v in prefix_nmi([[0, 0], [0, 1], [1, 0], [1, 0]], ["a", "a", "b", "b"])]
    [0.0, 1.0, 0.8]
    """
    c = as_codes(codes)
    return _meaning(c, label_numbers(labels, len(c))).nmi


def cooccurrence_alignment(codes: npt.ArrayLike, pairs: npt.ArrayLike) -> dict[str, Any]:
    """Return how much closer in codes the rows of given pairs are than those of any two rows.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    pairs : array-like of shape (n_pairs, 2), integers
        Numbers of rows that belong together, such as items bought together. A pair given twice counts twice.

    Returns
    -------
    values : dict
        Three things. pair_auc: the probability that a given pair has a longer common prefix than two rows drawn at
        random, an equally long one counting half: 0.5 is chance, 1 the most. pair_shared_per_level: the share of the
        given pairs whose codes are equal up to each level. pair_chance_per_level: that of all pairs of rows.

    Raises
    ------
    ValueError
        If there is no pair, or one of a row with itself.
    IndexError
        If there is no such row.

    Examples
    --------
    >>> from semantic_id.utils.metrics import cooccurrence_alignment
    >>> cooccurrence_alignment([[0, 0], [0, 1], [1, 0], [1, 1]], [[0, 1], [2, 3]])["pair_shared_per_level"]
    [1.0, 0.0]
    """
    c = as_codes(codes)
    return _alignment(c, *_as_pairs(pairs, len(c)))


def _meaning(c: CodeMatrix, numbers: npt.NDArray[np.int32]) -> _native_metrics.Meaning:
    meaning = _native_metrics.labels(c, numbers)
    if meaning.rows == 0:
        warnings.warn(
            "prefix_purity and prefix_nmi are NaN: no row has a label",
            UndefinedMetricWarning,
            stacklevel=3,
        )
    return meaning


def _as_pairs(pairs: Any, rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ShapeMismatchError(f"pairs of shape {array.shape}: want (n_pairs, 2), at least one pair")
    if array.dtype.kind not in "iu":
        raise ValueError(f"pairs of dtype {array.dtype}: want numbers of rows")
    bad = ((array < 0) | (array >= rows)).any(axis=1)
    if bad.any():
        i = int(bad.argmax())
        raise IndexError(f"pair {i} is of rows {array[i].tolist()}: there are rows 0 to {rows - 1}")
    return array[:, 0].astype(np.int64), array[:, 1].astype(np.int64)


def _alignment(c: CodeMatrix, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> dict[str, Any]:
    alignment = _native_metrics.pairs(c, a, b)
    return {
        "pair_auc": alignment.auc,
        "pair_shared_per_level": alignment.shared,
        "pair_chance_per_level": alignment.chance,
    }
