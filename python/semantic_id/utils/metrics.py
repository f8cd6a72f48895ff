"""What codes are worth: whether near embeddings have near codes, how codes are used, what their prefixes mean.

docs/metrics.md has the formula, the range and a good value of each, and a small example.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_metrics
from .._arrays import CodeMatrix, FloatMatrix
from .._given import label_numbers
from .._native import METRICS
from .._params import check_int
from ..exceptions import ShapeMismatchError
from ._code_use import (
    code_entropy_per_level,
    code_utilization_per_level,
    collision_rate_per_level,
    dead_codes_per_level,
    gini,
    gini_per_level,
    largest_bucket,
    perplexity,
    perplexity_per_level,
    prefix_fan_out,
    singleton_rate,
)
from ._neighbors import (
    _as_both,
    _check_seed,
    _correlation,
    _queries,
    distance_correlation,
    find_similar,
    hierarchical_distance,
    item_ndcg_at_k,
    item_recall_at_k,
    ndcg_at_k,
    recall_at_k,
)
from ._prefix_meaning import _alignment, _as_pairs, _meaning, cooccurrence_alignment, prefix_nmi, prefix_purity

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
