"""How ids differ: from one map to another, and on new data from those of training.

docs/metrics.md has the formulas and what to make of the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from .. import _native_metrics
from .._id_parts import as_codes, as_map, numbered
from ..exceptions import ShapeMismatchError
from ._neighbors import _as_both
from .metrics import _codebook_sizes, _quantization_mse, evaluate, measure_codes

__all__ = ["churn", "compare", "drift"]


def churn(ids_before: Any, ids_after: Any, *, sep: str = "-") -> dict[str, Any]:
    """Return how many items get another id, and how.

    Parameters
    ----------
    ids_before : mapping of item to id, or sequence of ids, or array-like of shape (n_samples, n_levels)
        An id is a string such as "3-9-1" or "<a_3><b_9>", or a sequence of codes or tokens; ids may be of different
        length. Without a mapping the items are the places.
    ids_after : mapping of item to id, or sequence of ids, or array-like of shape (n_samples, n_levels)
        Likewise; a mapping if `ids_before` is one.
    sep : str, default="-"
        What stands between the codes of a plain id.

    Returns
    -------
    values : dict
        - n_before, n_after, n_common, n_added, n_removed: items
        - n_changed, change_rate: common items whose id is another, and their share, NaN without common items
        - change_rate_per_level: share of the common items whose prefix, up to each level, is another
        - prefix_nmi_per_level: mutual information of old and new prefix over the mean of their entropies. Where it is
          1 and the change rate too, the prefixes hold the same items under other names
        - n_reused: ids that name an item they did not name before, having named another

    Raises
    ------
    ShapeMismatchError
        If there are as many ids as items only in one of two sequences.
    ValueError
        If only one is a mapping, or an id is of no known form.

    Examples
    --------
    >>> from semantic_id import churn
    >>> values = churn({"a": "1-1", "b": "1-2", "c": "2-1"}, {"a": "1-1", "b": "1-3", "d": "1-2"})
    >>> values["change_rate"], values["change_rate_per_level"], values["n_reused"]
    (0.5, [0.0, 0.5], 1)
    """
    before, after = as_map(ids_before, sep, "ids_before"), as_map(ids_after, sep, "ids_after")
    if isinstance(ids_before, Mapping) != isinstance(ids_after, Mapping):
        raise ValueError("one of ids_before and ids_after maps items to ids, the other does not: want two of a kind")
    if not isinstance(ids_before, Mapping) and len(before) != len(after):
        raise ShapeMismatchError(
            f"{len(before)} ids before, {len(after)} after: want ids of the same items, or mappings of item to id"
        )
    common = [item for item in before if item in after]
    changed = sum(before[item] != after[item] for item in common)
    values: dict[str, Any] = {
        "n_before": len(before),
        "n_after": len(after),
        "n_common": len(common),
        "n_added": len(after) - len(common),
        "n_removed": len(before) - len(common),
        "n_changed": changed,
        "change_rate": changed / len(common) if common else math.nan,
    }
    moved: list[float] = []
    nmi: list[float] = []
    if common:
        numbers: dict[str, int] = {}
        width = max(len(ids[item]) for item in common for ids in (before, after))
        old, new = (numbered([ids[item] for item in common], width, numbers) for ids in (before, after))
        moved, nmi = _native_metrics.agree(old, new)
    values |= {"change_rate_per_level": moved, "prefix_nmi_per_level": nmi}

    holders: dict[tuple[str, ...], set[Any]] = {}
    for item, parts in before.items():
        holders.setdefault(parts, set()).add(item)
    values["n_reused"] = len({p for item, p in after.items() if p in holders and item not in holders[p]})
    return values


def compare(
    ids_a: Any, ids_b: Any, X: Any = None, *, sep: str = "-", k: int = 10, n_pairs: int = 2000,
    sample_size: int | None = 1000, seed: int = 42, labels: Any = None, pairs: npt.ArrayLike | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure two ways to give ids to the same items, side by side.

    Parameters
    ----------
    ids_a : mapping of item to id, or sequence of ids, or array-like of shape (n_samples, n_levels)
        As in `churn`, but all ids of one length; of a mapping the items it has in common with `ids_b` are measured, in
        its order.
    ids_b : mapping of item to id, or sequence of ids, or array-like of shape (n_samples, n_levels)
        Likewise; it may have other levels than `ids_a`.
    X : array-like of shape (n_samples, n_features), default=None
        Embeddings, in the order of those items; without them what needs them is left out.
    sep : str, default="-"
        What stands between the codes of a plain id.
    k : int, default=10
        As in `evaluate`.
    n_pairs : int, default=2000
        As in `evaluate`.
    sample_size : int, default=1000
        As in `evaluate`.
    seed : int, default=42
        As in `evaluate`.
    labels : array-like of shape (n_samples,), default=None
        As in `evaluate`.
    pairs : array-like of shape (n_pairs, 2), default=None
        As in `evaluate`.

    Returns
    -------
    values : dict
        The values of ``evaluate(..., full=True)`` as a and b, and what `churn` finds from a to b as churn.

    Raises
    ------
    ShapeMismatchError
        If the ids are not of the same number of items, or `X` or `labels` are not.
    ValueError
        If ids of one way are of different length, or there are no items.

    Examples
    --------
    >>> from semantic_id import compare
    >>> values = compare(["0-1", "0-1", "1-0"], ["0-1", "0-2", "1-0"])
    >>> values["a"]["n_unique_codes"], values["b"]["n_unique_codes"], values["churn"]["n_changed"]
    (2, 3, 1)
    """
    changes = churn(ids_a, ids_b, sep=sep)
    a, b = as_map(ids_a, sep, "ids_a"), as_map(ids_b, sep, "ids_b")
    common = [item for item in a if item in b]
    if not common:
        raise ValueError("ids_a and ids_b have no item in common")
    values = {}
    for name, ids in (("a", a), ("b", b)):
        codes = as_codes([ids[item] for item in common], f"ids_{name}")
        if X is None:
            values[name] = measure_codes(codes, labels=labels, pairs=pairs)
        else:
            values[name] = evaluate(
                X,
                codes,
                k=k,
                n_pairs=n_pairs,
                sample_size=sample_size,
                seed=seed,
                full=True,
                labels=labels,
                pairs=pairs,
            )
    return values | {"churn": changes}


def drift(model: Any, X_new: Any, X: Any = None) -> dict[str, Any]:
    """Hold new data against the data a model was fitted to, and say whether to fit it anew.

    Parameters
    ----------
    model : RQKMeans
        A fitted model. One that was fitted or refined here knows the error on its training data, and keeps it in
        its files; models of semantic-id 0.2.5 do not, so they need `X`.
    X_new : array-like of shape (n_new, n_features)
        New embeddings.
    X : array-like of shape (n_samples, n_features), default=None
        Those of the fit, or as many of them as there are; what needs the codes of training is left out without. A
        model with balanced clusters knows the error of its balanced codes, which is higher than that of `encode`: with
        one of those give `X`.

    Returns
    -------
    values : dict
        - n_new, n_train: rows
        - quantization_mse, training_mse, error_ratio: mean squared error per element on new data, on training data, and
          the one over the other
        - expected_ratio: what that ratio is for new rows that are like those of training, which the centroids are
          closer to because they are their means: about the product over the levels of (n + K) / (n - K)
        - excess_error: error_ratio / expected_ratio - 1
        - code_utilization_per_level, expected_utilization_per_level: the latter that of as many rows like the old ones
        - collision_rate: of the new rows
        - psi_per_level: population stability index of the codes, only with `X`
        - refit: whether the advice is to fit anew
        - advice: a sentence

    Raises
    ------
    NotFittedError
        Before `fit` or `load`.
    ShapeMismatchError
        If `X_new` or `X` is empty, not 2-D, or of another n_features than in `fit`.
    ValueError
        If the model does not know its training error and there is no `X`, or they hold NaN or infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQKMeans
    >>> from semantic_id.utils.changes import drift
    >>> X = np.random.default_rng(0).normal(size=(4000, 8))
    >>> model = RQKMeans(n_levels=2, n_clusters=16, random_state=0).fit(X[:3000])
    >>> drift(model, X[3000:])["refit"], drift(model, X[3000:] + 2)["refit"]
    (False, True)
    """
    codes = model.encode(X_new)
    x_new, codes = _as_both(X_new, codes)
    sizes = _codebook_sizes(model, codes.shape[1])
    if sizes is None:
        raise ValueError(f"{type(model).__name__} does not tell the sizes of its codebooks")
    error = _quantization_mse(x_new, codes, model)
    old = None
    if X is not None:
        x, old = _as_both(X, model.encode(X))
        training_error, rows = _quantization_mse(x, old, model), len(x)
        rows = max(rows, getattr(model, "n_samples_fit_", 0))
    else:
        training_error, rows = getattr(model, "quantization_mse_", None), getattr(model, "n_samples_fit_", 0)
    if error is None or training_error is None:
        raise ValueError("the model does not know its error on its training data: pass that, or a sample of it, as X")
    used = _native_metrics.use(codes, sizes)
    psi, utilization = _native_metrics.shift(codes, old, sizes)
    expected = math.prod((rows + k) / (rows - k) if rows > k else math.inf for k in sizes)
    ratio = error / training_error if training_error else math.nan
    excess = ratio / expected - 1
    values: dict[str, Any] = {
        "n_new": len(x_new),
        "n_train": rows,
        "quantization_mse": error,
        "training_mse": training_error,
        "error_ratio": ratio,
        "expected_ratio": expected,
        "excess_error": excess,
        "code_utilization_per_level": [level.utilization for level in used.levels],
        "expected_utilization_per_level": utilization,
        "collision_rate": used.collision_rate,
    }
    first = 0.0
    if old is not None:
        values["psi_per_level"] = psi
        first = psi[0] if len(x_new) >= _ROWS_PER_CODE * sizes[0] else 0.0
    values["refit"], values["advice"] = _advise(len(x_new), excess, expected - 1, first, rows, max(sizes))
    return values


_ROWS_PER_CODE = 10  # from which on the stability index says something
# Excess error; rows of one distribution stay below 0.1 where there are many a centroid. Where there are few, so that
# expected_ratio is large, it is itself only right to within what it exceeds 1 by, which comes on top.
_WATCH_ERROR, _REFIT_ERROR = 0.10, 0.25
_WATCH_PSI, _REFIT_PSI = 0.1, 0.25  # the usual limits of that index
_FEW_ROWS = 30


def _advise(rows: int, excess: float, doubt: float, psi: float, train: int, clusters: int) -> tuple[bool, str]:
    what = []
    if excess > _WATCH_ERROR + doubt:
        what.append(f"the error is {100 * excess:.0f} % above that of new rows like the old")
    if psi > _WATCH_PSI:
        what.append(f"the codes of the first level are used otherwise (stability index {psi:.2f})")
    if rows < _FEW_ROWS:
        return False, f"{rows} new rows are too few to tell; wait until there are {_FEW_ROWS}"
    if not math.isfinite(excess):
        return False, f"the error cannot be judged: fit to more than {clusters} rows, there are {train}"
    if excess > _REFIT_ERROR + doubt or psi > _REFIT_PSI:
        return True, f"fit anew: {' and '.join(what)}; ids will change, see churn"
    if what:
        return False, f"watch it: {' and '.join(what)}"
    return False, "keep the model: the new rows are like the old ones"
