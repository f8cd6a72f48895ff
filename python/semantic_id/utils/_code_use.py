"""Metrics of how codes and ids are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_metrics
from .._arrays import as_codes
from .._params import check_int
from ..exceptions import ShapeMismatchError


def collision_rate_per_level(codes: npt.ArrayLike) -> list[float]:
    """Return, for each level, 1 - different prefixes up to it / rows; that of the last level is the ids' own.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    rates : list of float
        From 0 to below 1, falling from level to level.

    Examples
    --------
    >>> from semantic_id.utils.metrics import collision_rate_per_level
    >>> collision_rate_per_level([[0, 1], [0, 1], [0, 0], [2, 1]])
    [0.5, 0.25]
    """
    return [level.collision_rate for level in _use(codes).levels]


def code_utilization_per_level(codes: npt.ArrayLike, n_clusters: int | Sequence[int] | None = None) -> list[float]:
    """Return the share of each codebook that is used.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    n_clusters : int or sequence of int, default=None
        Size of the codebooks, or of each (None: the largest code + 1).

    Returns
    -------
    utilization : list of float
        From above 0 to 1.

    Raises
    ------
    CodeError
        If a code is not in its codebook.

    Examples
    --------
    >>> from semantic_id.utils.metrics import code_utilization_per_level
    >>> code_utilization_per_level([[0, 1], [0, 1], [0, 0], [2, 1]], 4)
    [0.5, 0.5]
    """
    return [level.utilization for level in _use(codes, n_clusters).levels]


def code_entropy_per_level(codes: npt.ArrayLike) -> list[float]:
    """Return the entropy of the codes of each level, in nats.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    entropy : list of float
        From 0, all rows having one code, to ln(n_clusters), all codes being used equally.

    Examples
    --------
    >>> from semantic_id.utils.metrics import code_entropy_per_level
    >>> [round(h, 3) for h in code_entropy_per_level([[0, 1], [0, 1], [1, 0], [1, 1]])]
    [0.693, 0.562]
    """
    return [level.entropy for level in _use(codes).levels]


def perplexity_per_level(codes: npt.ArrayLike) -> list[float]:
    """Return e to the power of the entropy of each level: as many codes, used equally, have the same entropy.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    perplexity : list of float
        From 1 to n_clusters.

    Examples
    --------
    >>> from semantic_id.utils.metrics import perplexity_per_level
    >>> [round(p, 3) for p in perplexity_per_level([[0, 1], [0, 1], [1, 0], [1, 1]])]
    [2.0, 1.755]
    """
    return [level.perplexity for level in _use(codes).levels]


def gini_per_level(codes: npt.ArrayLike, n_clusters: int | Sequence[int] | None = None) -> list[float]:
    """Return how unevenly the codes of each level are used (Gini coefficient), unused ones counting as 0.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    n_clusters : int or sequence of int, default=None
        Size of the codebooks, or of each (None: the largest code + 1).

    Returns
    -------
    gini : list of float
        From 0, all codes being used equally, to 1 - 1/n_clusters, all rows having one code.

    Examples
    --------
    >>> from semantic_id.utils.metrics import gini_per_level
    >>> gini_per_level([[0, 1], [0, 1], [1, 0], [1, 1]])
    [0.0, 0.25]
    """
    return [level.gini for level in _use(codes, n_clusters).levels]


def dead_codes_per_level(codes: npt.ArrayLike, n_clusters: int | Sequence[int] | None = None) -> list[int]:
    """Return how many codes of each codebook no row has.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.
    n_clusters : int or sequence of int, default=None
        Size of the codebooks, or of each (None: the largest code + 1).

    Returns
    -------
    dead : list of int
        From 0 to n_clusters - 1.

    Examples
    --------
    >>> from semantic_id.utils.metrics import dead_codes_per_level
    >>> dead_codes_per_level([[0, 1], [0, 1], [0, 0], [2, 1]], 4)
    [2, 2]
    """
    return [level.dead for level in _use(codes, n_clusters).levels]


def prefix_fan_out(codes: npt.ArrayLike) -> list[float]:
    """Return how many different codes follow a prefix of 0, 1, ... levels, in the mean over such prefixes.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    fan_out : list of float
        One per level, from 1 to its n_clusters: the first is the number of codes in use at the first level.

    Examples
    --------
    >>> from semantic_id.utils.metrics import prefix_fan_out
    >>> prefix_fan_out([[0, 1], [0, 1], [0, 0], [2, 1]])
    [2.0, 1.5]
    """
    return [level.fan_out for level in _use(codes).levels]


def singleton_rate(codes: npt.ArrayLike) -> float:
    """Return the share of the rows whose id no other row has.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    rate : float
        From 0 to 1.

    Examples
    --------
    >>> from semantic_id.utils.metrics import singleton_rate
    >>> singleton_rate([[0, 1], [0, 1], [0, 0], [2, 1]])
    0.5
    """
    return _use(codes).singleton_rate


def largest_bucket(codes: npt.ArrayLike) -> int:
    """Return how many rows share the commonest id.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    rows : int
        From 1 to n_samples.

    Examples
    --------
    >>> from semantic_id.utils.metrics import largest_bucket
    >>> largest_bucket([[0, 1], [0, 1], [0, 0], [2, 1]])
    2
    """
    return _use(codes).largest_bucket


def gini(codes: npt.ArrayLike) -> float:
    """Return how unevenly rows are spread over the ids in use (Gini coefficient).

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    gini : float
        From 0, all ids having equally many rows, to below 1.

    Examples
    --------
    >>> from semantic_id.utils.metrics import gini
    >>> round(gini([[0, 1], [0, 1], [0, 0], [2, 1]]), 4)
    0.1667
    """
    return _use(codes).gini


def perplexity(codes: npt.ArrayLike) -> float:
    """Return e to the power of the entropy of the ids: as many ids, used equally, have the same entropy.

    Parameters
    ----------
    codes : array-like of shape (n_samples, n_levels), integers
        Codes.

    Returns
    -------
    perplexity : float
        From 1 to n_samples.

    Examples
    --------
    >>> from semantic_id.utils.metrics import perplexity
    >>> round(perplexity([[0, 1], [0, 1], [0, 0], [2, 1]]), 3)
    2.828
    """
    return _use(codes).perplexity


def _use(codes: Any, n_clusters: int | Sequence[int] | None = None) -> _native_metrics.Use:
    c = as_codes(codes)
    levels = c.shape[1]
    if n_clusters is None:
        return _native_metrics.use(c, None)
    if np.ndim(n_clusters) == 0:
        return _native_metrics.use(c, [check_int("n_clusters", n_clusters, 1)] * levels)
    sizes = [check_int(f"n_clusters[{i}]", size, 1) for i, size in enumerate(np.asarray(n_clusters).tolist())]
    if len(sizes) != levels:
        raise ShapeMismatchError(f"n_clusters names {len(sizes)} levels, codes have {levels}")
    return _native_metrics.use(c, sizes)
