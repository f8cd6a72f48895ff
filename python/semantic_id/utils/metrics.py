"""What codes are worth: whether near embeddings have near codes, how codes are used, what their prefixes mean.

docs/metrics.md has the formula, the range and a good value of each, and a small example.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_metrics
from .._arrays import CodeMatrix, FloatMatrix, as_codes, as_matrix
from .._given import label_numbers
from .._large import float32_rows
from .._native import DISTANCES, METRICS
from .._params import check_choice, check_int
from ..exceptions import ShapeMismatchError, UndefinedMetricWarning

__all__ = [
    "code_entropy_per_level",
    "code_utilization_per_level",
    "collision_rate_per_level",
    "cooccurrence_alignment",
    "dead_codes_per_level",
    "distance_correlation",
    "evaluate",
    "evaluate_quality",
    "find_similar",
    "gini",
    "gini_per_level",
    "hierarchical_distance",
    "item_ndcg_at_k",
    "item_recall_at_k",
    "largest_bucket",
    "ndcg_at_k",
    "perplexity",
    "perplexity_per_level",
    "prefix_fan_out",
    "prefix_nmi",
    "prefix_purity",
    "recall_at_k",
    "singleton_rate",
]

_BLOCK = 1 << 24  # values decoded at a time: 64 MiB


def evaluate(
    X: Any,
    codes: npt.ArrayLike,
    encoder: Any = None,
    k: int = 10,
    n_pairs: int = 2000,
    seed: int = 42,
    *,
    sample_size: int | None = 1000,
    full: bool = False,
    labels: Any = None,
    pairs: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """Measure what codes are worth.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Embeddings.
    codes : array-like of shape (n_samples, n_levels), integers
        Their codes.
    encoder : object, default=None
        What made the codes: the sizes of its codebooks are those of the utilization, and if it decodes, so is its
        error measured.
    k : int, default=10
        Neighbors to look for.
    n_pairs : int, default=2000
        Pairs that the correlation is over.
    seed : int, default=42
        Of the rows and pairs drawn.
    sample_size : int, default=1000
        Rows whose neighbors are looked for (None: all).
    full : bool, default=False
        Also measure what the second list has.
    labels : array-like of shape (n_samples,), default=None
        A category of each row, of any type; None and NaN are missing.
    pairs : array-like of shape (n_pairs, 2), default=None
        Numbers of rows that belong together, such as items bought together.

    Returns
    -------
    values : dict
        Numbers, and lists of one number a level:

        - n_samples, n_unique_codes, collision_rate, collision_rate_per_level
        - recall_at_{k}, ndcg_at_{k}, where k < n_samples
        - distance_correlation
        - code_utilization_per_level, code_entropy_per_level
        - quantization_mse, where the encoder decodes

        With `full`:

        - item_recall_at_{k}, item_ndcg_at_{k}, where k < n_samples
        - singleton_rate, largest_bucket, gini, perplexity
        - gini_per_level, perplexity_per_level, dead_codes_per_level, prefix_fan_out

        With `labels`: n_labeled, prefix_purity, prefix_nmi; these two are of prefixes of 0 to all levels.
        With `pairs`: pair_auc, pair_shared_per_level, pair_chance_per_level.

    Raises
    ------
    ShapeMismatchError
        If `X`, `codes` and `labels` are not of one length.
    ValueError
        If `X` holds NaN or infinity, or a parameter cannot be used.

    Warns
    -----
    UndefinedMetricWarning
        If a value is NaN because all distances are equal or no row has a label.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQKMeans, evaluate
    >>> X = np.random.default_rng(0).normal(size=(500, 8))
    >>> model = RQKMeans(n_levels=2, n_clusters=8, random_state=0).fit(X)
    >>> values = evaluate(X, model.encode(X), model, sample_size=None)
    >>> values["n_samples"], values["code_utilization_per_level"]
    (500, [1.0, 1.0])
    """
    x, c = _as_both(X, codes)
    rows = len(x)
    k, seed = check_int("k", k, 1), _check_seed(seed)
    values = measure_codes(c, _codebook_sizes(encoder, c.shape[1]), full=full, labels=labels, pairs=pairs)
    if k < rows:
        ranking = _native_metrics.rank(x, c, _queries(rows, sample_size, seed), k, "hierarchical")
        values |= {f"recall_at_{k}": ranking.recall, f"ndcg_at_{k}": ranking.ndcg}
        if full:
            values |= {f"item_recall_at_{k}": ranking.item_recall, f"item_ndcg_at_{k}": ranking.item_ndcg}
    values["distance_correlation"] = _correlation(x, c, n_pairs, seed, "hierarchical")
    error = None if encoder is None else _quantization_mse(x, c, encoder)
    if error is not None:
        values["quantization_mse"] = error
    return values


def measure_codes(
    codes: CodeMatrix,
    sizes: Sequence[int] | None = None,
    *,
    full: bool = True,
    labels: Any = None,
    pairs: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """Return what `evaluate` measures without embeddings.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, n_levels), dtype int32
        Codes.
    sizes : sequence of int, default=None
        Sizes of the codebooks (None: the largest code + 1 of each).
    full : bool, default=True
        As in `evaluate`.
    labels : array-like of shape (n_samples,), default=None
        As in `evaluate`.
    pairs : array-like of shape (n_pairs, 2), default=None
        As in `evaluate`.

    Returns
    -------
    values : dict
        Those of `evaluate` that need no embeddings.
    """
    number = None if labels is None else label_numbers(labels, len(codes))
    together = None if pairs is None else _as_pairs(pairs, len(codes))
    used = _native_metrics.use(codes, sizes)
    values: dict[str, Any] = {
        "n_samples": len(codes),
        "n_unique_codes": used.unique,
        "collision_rate": used.collision_rate,
        "collision_rate_per_level": [level.collision_rate for level in used.levels],
        "code_utilization_per_level": [level.utilization for level in used.levels],
        "code_entropy_per_level": [level.entropy for level in used.levels],
    }
    if full:
        values |= {
            "singleton_rate": used.singleton_rate,
            "largest_bucket": used.largest_bucket,
            "gini": used.gini,
            "perplexity": used.perplexity,
            "gini_per_level": [level.gini for level in used.levels],
            "perplexity_per_level": [level.perplexity for level in used.levels],
            "dead_codes_per_level": [level.dead for level in used.levels],
            "prefix_fan_out": [level.fan_out for level in used.levels],
        }
    if number is not None:
        meaning = _meaning(codes, number)
        values |= {"n_labeled": meaning.rows, "prefix_purity": meaning.purity, "prefix_nmi": meaning.nmi}
    if together is not None:
        values |= _alignment(codes, *together)
    return values


evaluate_quality = evaluate


# --- near in X, near in codes ---


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


# --- how codes and ids are used ---


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


# --- what prefixes mean ---


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


# --- arguments ---


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
        _warn("distance_correlation is NaN: the pairs are all equally far apart, in X or in codes")
    return value


def _check_seed(seed: Any) -> int:
    return check_int("seed", seed, 0, 2**32 - 1)


def _check_distance(metric: Any) -> str:
    return check_choice("metric", metric, DISTANCES)


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


def _codebook_sizes(encoder: Any, levels: int) -> list[int] | None:
    """Return the codebook sizes that an encoder tells of, if they are of as many levels."""
    books = getattr(encoder, "codebooks_", None)
    if books is not None:
        sizes: Any = [len(book) for book in books]
    else:
        sizes = getattr(encoder, "n_clusters", getattr(encoder, "num_emb_list", None))
    if sizes is None:
        return None
    if np.ndim(sizes) == 0:
        sizes = [sizes] * levels
    return [int(size) for size in sizes] if len(sizes) == levels else None


def _quantization_mse(x: FloatMatrix, c: CodeMatrix, encoder: Any) -> float | None:
    """Return the mean squared difference per element of `x` and what its codes decode to; None if nothing decodes."""
    if not hasattr(encoder, "decode"):
        return None
    metric = getattr(encoder, "metric", "l2")
    total = 0.0
    step = max(1, _BLOCK // x.shape[1])
    for low in range(0, len(x), step):
        try:
            decoded = np.ascontiguousarray(encoder.decode(c[low : low + step]), np.float32)
        except NotImplementedError:
            return None
        part = x[low : low + step]
        if decoded.shape != part.shape:
            raise ShapeMismatchError(f"the encoder decodes to shape {decoded.shape}, X has {part.shape}")
        total += _native_metrics.sum_squares(part, decoded, metric if metric in METRICS else "l2")
    return total / x.size


def _meaning(c: CodeMatrix, numbers: npt.NDArray[np.int32]) -> _native_metrics.Meaning:
    meaning = _native_metrics.labels(c, numbers)
    if meaning.rows == 0:
        _warn("prefix_purity and prefix_nmi are NaN: no row has a label")
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


def _warn(message: str) -> None:
    warnings.warn(message, UndefinedMetricWarning, stacklevel=4)
