"""What codes are worth. Only `hierarchical_distance` has landed; the others raise NotImplementedError."""

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .._later import not_yet

__all__ = [
    "code_entropy_per_level",
    "code_utilization_per_level",
    "collision_rate_per_level",
    "distance_correlation",
    "evaluate",
    "evaluate_quality",
    "find_similar",
    "hierarchical_distance",
    "ndcg_at_k",
    "recall_at_k",
]


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


def _later(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise not_yet(name, "the metrics")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raise NotImplementedError: it has not landed yet."
    return function


code_entropy_per_level = _later("code_entropy_per_level")
code_utilization_per_level = _later("code_utilization_per_level")
collision_rate_per_level = _later("collision_rate_per_level")
distance_correlation = _later("distance_correlation")
evaluate = evaluate_quality = _later("evaluate")
find_similar = _later("find_similar")
ndcg_at_k = _later("ndcg_at_k")
recall_at_k = _later("recall_at_k")
