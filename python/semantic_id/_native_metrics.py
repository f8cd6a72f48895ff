"""The calls of core/metrics, through `_native`. Arrays are C-ordered, and codes and embeddings of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._arrays import CodeMatrix, FloatMatrix
from ._native import _address, call

Rows = npt.NDArray[np.int64]  # numbers of rows


def check_finite(x: FloatMatrix) -> None:
    """Raise a ValueError that names the first row of `x` holding NaN or infinity."""
    call(_native._lib.MetricsCheckFinite, _address(x), *x.shape, 0)


class Ranking(NamedTuple):
    """What `rank` measures, each the mean over the queries."""

    recall: float
    ndcg: float
    item_recall: float
    item_ndcg: float


def rank(x: FloatMatrix, codes: CodeMatrix, queries: Rows, k: int, distance: str) -> Ranking:
    """Compare the `k` rows nearest to each query in `x` with those nearest in `codes`; all arrays C-ordered."""
    rows, dim = x.shape
    out = np.empty(4)

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.MetricsRank(
            _address(x), rows, dim, _address(codes), codes.shape[1], _address(queries), len(queries), k,
            _native.DISTANCES.index(distance), _address(out), control, text, size,
        )  # fmt: skip

    _native._call_long(call, None)
    return Ranking(*out.tolist())


def neighbors(x: FloatMatrix, queries: Rows, k: int) -> tuple[CodeMatrix, npt.NDArray[np.float64]]:
    """Return the `k` rows of `x` nearest to each of the rows `queries`, nearest first, and their squared distances."""
    rows, dim = x.shape
    ids, distances = np.empty((len(queries), k), np.int32), np.empty((len(queries), k))

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.MetricsNeighbors(
            _address(x), rows, dim, _address(queries), len(queries), k, _address(ids), _address(distances), control,
            text, size,
        )  # fmt: skip

    _native._call_long(call, None)
    return ids, distances


def correlation(x: FloatMatrix, codes: CodeMatrix, a: Rows, b: Rows, distance: str) -> float:
    """Return the rank correlation, over pairs of rows, of distance in `x` and in `codes`; NaN where there is none."""
    out = np.empty(1)
    call(
        _native._lib.MetricsCorrelation, _address(x), *x.shape, _address(codes), codes.shape[1], _address(a),
        _address(b), len(a), _native.DISTANCES.index(distance), _address(out), 0,
    )  # fmt: skip
    return float(out[0])


def sum_squares(x: FloatMatrix, y: FloatMatrix, metric: str) -> float:
    """Return the sum of the squared differences; under "cosine" rows of `x` are divided by their norm before."""
    out = np.empty(1)
    call(
        _native._lib.MetricsSumSquares,
        _address(x),
        _address(y),
        *x.shape,
        _native.METRICS.index(metric),
        _address(out),
        0,
    )
    return float(out[0])


class Use(NamedTuple):
    """How codes are used: over ids, and per level."""

    unique: int
    collision_rate: float
    singleton_rate: float
    largest_bucket: int
    gini: float
    entropy: float
    perplexity: float
    levels: list[LevelUse]


class LevelUse(NamedTuple):
    """How the codes of a level are used; see core/metrics/usage.go."""

    clusters: int
    used: int
    dead: int
    utilization: float
    gini: float
    entropy: float
    perplexity: float
    collision_rate: float
    fan_out: float


def use(codes: CodeMatrix, clusters: Sequence[int] | None) -> Use:
    """Measure how `codes`, C-ordered, are used; `clusters` None stands for the largest code + 1 of each level."""
    rows, levels = codes.shape
    sizes = None if clusters is None else np.array(clusters, np.int64)
    ids, of_levels = np.empty(7), np.empty((levels, 9))
    call(
        _native._lib.MetricsUse, _address(codes), rows, levels, 0 if sizes is None else _address(sizes), _address(ids),
        _address(of_levels),
    )  # fmt: skip
    unique, collision_rate, singleton_rate, largest, gini, entropy, perplexity = ids.tolist()
    per_level = [LevelUse(*map(int, row[:3]), *row[3:]) for row in of_levels.tolist()]
    return Use(int(unique), collision_rate, singleton_rate, int(largest), gini, entropy, perplexity, per_level)


def similar(codes: CodeMatrix, query: CodeMatrix, skip: int, k: int, distance: str) -> tuple[Rows, Rows]:
    """Return the rows of `codes` nearest to `query`, and their distances; row `skip` is left out, none if it is -1."""
    rows, levels = codes.shape
    room = min(k, rows)
    ids, distances, count = np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64)
    call(
        _native._lib.MetricsSimilar, _address(codes), rows, levels, _address(query), skip, room,
        _native.DISTANCES.index(distance), _address(ids), _address(distances), _address(count),
    )  # fmt: skip
    return ids[: int(count[0])], distances[: int(count[0])]


class Meaning(NamedTuple):
    """What `labels` measures, for prefixes of 0 to all levels."""

    rows: int
    purity: list[float]
    nmi: list[float]


def labels(codes: CodeMatrix, numbers: CodeMatrix) -> Meaning:
    """Hold the prefixes of `codes` against a label per row, below the number of rows; -1 where there is none."""
    rows, levels = codes.shape
    purity, nmi, known = np.empty(levels + 1), np.empty(levels + 1), np.zeros(1, np.int64)
    call(
        _native._lib.MetricsLabels, _address(codes), rows, levels, _address(numbers), _address(purity), _address(nmi),
        _address(known),
    )  # fmt: skip
    return Meaning(int(known[0]), purity.tolist(), nmi.tolist())


class Alignment(NamedTuple):
    """What `pairs` measures."""

    shared: list[float]
    chance: list[float]
    auc: float


def pairs(codes: CodeMatrix, a: Rows, b: Rows) -> Alignment:
    """Hold `codes` against pairs of rows that belong together."""
    rows, levels = codes.shape
    shared, chance, auc = np.empty(levels), np.empty(levels), np.empty(1)
    call(
        _native._lib.MetricsPairs, _address(codes), rows, levels, _address(a), _address(b), len(a), _address(shared),
        _address(chance), _address(auc),
    )  # fmt: skip
    return Alignment(shared.tolist(), chance.tolist(), float(auc[0]))


def agree(a: CodeMatrix, b: CodeMatrix) -> tuple[list[float], list[float]]:
    """Return, per level of both, the share of rows whose prefix differs, and the mutual information of the prefixes."""
    levels = min(a.shape[1], b.shape[1])
    moved, nmi = np.empty(levels), np.empty(levels)
    call(
        _native._lib.MetricsAgree,
        _address(a),
        a.shape[1],
        _address(b),
        b.shape[1],
        len(a),
        _address(moved),
        _address(nmi),
    )
    return moved.tolist(), nmi.tolist()


def shift(new: CodeMatrix, old: CodeMatrix | None, clusters: Sequence[int]) -> tuple[list[float], list[float]]:
    """Return, per level, the stability index (NaN without old rows), and the utilization if nothing had changed."""
    levels = len(clusters)
    psi, utilization, sizes = np.empty(levels), np.empty(levels), np.array(clusters, np.int64)
    call(
        _native._lib.MetricsShift, _address(new), len(new), 0 if old is None else _address(old),
        0 if old is None else len(old), levels, _address(sizes), _address(psi), _address(utilization),
    )  # fmt: skip
    return psi.tolist(), utilization.tolist()
