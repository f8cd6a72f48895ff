"""What a fit will take, told before it: memory, time, and whether the ids will do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from . import _native
from ._arrays import FloatMatrix
from ._large import LARGE
from ._params import check_int
from ._threads import usable_memory

# A fit takes, level by level, its start and then what so many passes take, a pass being one search for the nearest of
# all centroids for all rows. Both are measured on this machine; how many passes it comes to is not, but for each way a
# fit goes python benchmarks/run.py --only estimate prints that anew.
PASSES = {"by bounds": 42.0, "by row": 59.0, "plainly": 103.0}

_TRIAL = 4e8  # multiplications in the trial of a pass: a few milliseconds
_MOST = 2**48  # rows, or columns
_FEW_ROWS = 32  # rows a centroid; with fewer, centroids follow single rows
_COLLISIONS = 0.01  # the share of rows that advice starts at


@dataclass(frozen=True, repr=False)
class Estimate:
    """What fitting and using a model will take, as `estimate` foresees it. Printed, it is a short table.

    Attributes
    ----------
    n : int
        Embeddings.
    d : int
        Columns of an embedding.
    n_clusters : tuple of int
        Centroids of each level.
    threads : int
        Threads that the times are for.
    fit_seconds : float
        Time of a fit with default settings on this machine; data that separates well takes less, by half or more.
    encode_seconds : float
        Time to encode all embeddings on this machine.
    input_bytes : int
        The embeddings as float32.
    fit_bytes : int
        The most memory that a fit needs beyond its input, if that is an array in memory.
    mapped_fit_bytes : int
        The same if the input is mapped from a .npy file, whose pages are not counted: the system can drop them.
    encode_bytes : int
        Memory to encode all embeddings, beyond the input.
    model_bytes : int
        The codebooks.
    capacity : int
        Different ids there can be: the product of `n_clusters`.
    bits : float
        Bits in an id: the binary logarithm of `capacity`.
    uniform_collision_rate : float
        1 - distinct ids / n, if all ids were equally likely: the least to expect. Real embeddings crowd; 63,666 of
        sentences, in 3 x 256 codes, came to 17 % where this says 0.19 %.
    advice : tuple of str
        What to change, if anything.
    """

    n: int
    d: int
    n_clusters: tuple[int, ...]
    threads: int
    fit_seconds: float
    encode_seconds: float
    input_bytes: int
    fit_bytes: int
    mapped_fit_bytes: int
    encode_bytes: int
    model_bytes: int
    capacity: int
    bits: float
    uniform_collision_rate: float
    advice: tuple[str, ...]

    def __str__(self) -> str:
        mapped = f", {_size(self.mapped_fit_bytes)} if mapped from a .npy file" if self.input_bytes >= LARGE else ""
        clusters = " x ".join(map(str, self.n_clusters))
        possible = f"{self.capacity:,}" if self.bits < 60 else f"2^{self.bits:.0f}"
        lines = [
            f"{self.n:,} embeddings of {self.d:,} columns, codes of {clusters}, {self.threads} threads",
            f"input     {_size(self.input_bytes)} as float32",
            f"fit       {_time(self.fit_seconds)}, {_size(self.fit_bytes)} beyond the input{mapped}",
            f"encode    {_time(self.encode_seconds)}, {_size(self.encode_bytes)} beyond the input",
            f"model     {_size(self.model_bytes)}",
            f"ids       {possible} possible, {self.bits:.1f} bits each",
            f"collide   {_percent(self.uniform_collision_rate)} of the rows, were ids equally likely; real ones crowd",
        ]
        return "\n".join([*lines, *(f"advice    {line}" for line in self.advice)])

    __repr__ = __str__


def estimate(n: int, d: int, levels: int = 4, clusters: int | list[int] = 256) -> Estimate:
    """Tell what `RQKMeans` will take for such data, before there is any: memory, time, and how far the ids go.

    Times are for this machine and number of threads, from trials of a tenth of a second, and for default settings. How
    many iterations data needs shows only in the fit, so take the time of a fit for right within a factor of two.

    Parameters
    ----------
    n : int
        Embeddings, at least 1.
    d : int
        Columns of an embedding, at least 1.
    levels : int, default=4
        Codes in an id, as `n_levels` of `RQKMeans`.
    clusters : int or list of int, default=256
        Codes to choose from, as `n_clusters` of `RQKMeans`: at every level, or level by level.

    Returns
    -------
    estimate : Estimate
        The numbers as attributes; printed, a table with advice.

    Raises
    ------
    ValueError
        If an argument is not an integer in range, or `clusters` is a list of another length than `levels`.

    Examples
    --------
    >>> from semantic_id import estimate
    >>> e = estimate(1_000, 64, levels=3, clusters=16)
    >>> e.capacity, e.bits
    (4096, 12.0)
    >>> e.model_bytes
    12288
    >>> e.advice[0]
    '11 % of the rows would share an id even if ids were equally likely: 4 levels of 16 make that 0.76 %'
    """
    n, d = check_int("n", n, 1, _MOST, "2**48"), check_int("d", d, 1, _MOST, "2**48")
    levels = check_int("levels", levels, 1, 4096)
    if isinstance(clusters, (list, tuple, np.ndarray)):
        sizes = [check_int(f"clusters[{level}]", k, 1) for level, k in enumerate(clusters)]
        if len(sizes) != levels:
            raise ValueError(f"clusters has {len(sizes)} numbers for levels={levels}: give one a level, or one for all")
    else:
        sizes = [check_int("clusters", clusters, 1)] * levels
    capacity = math.prod(sizes)
    threads = _native.num_threads()
    fitted = [min(k, n) for k in sizes]  # more is an error, which advice tells of
    passes = [_seconds_of_pass(n, k, d, threads) for k in fitted]
    foreseen = _native.foresee_rqkmeans(n, d, fitted, recompute=False)
    starts = [work * seconds_of_work(threads) for work in foreseen.start_work]
    fit = int(foreseen.bytes)
    mapped = int(_native.foresee_rqkmeans(n, d, fitted, recompute=True).bytes)
    return Estimate(
        n=n,
        d=d,
        n_clusters=tuple(sizes),
        threads=threads,
        fit_seconds=sum(starts) + sum(PASSES[way] * t for way, t in zip(foreseen.ways, passes, strict=True)),
        encode_seconds=sum(passes),
        input_bytes=4 * n * d,
        fit_bytes=fit,
        mapped_fit_bytes=mapped if 4 * n * d >= LARGE else fit,
        encode_bytes=4 * n * levels,
        model_bytes=4 * d * sum(sizes),
        capacity=capacity,
        bits=sum(math.log2(k) for k in sizes),
        uniform_collision_rate=_collisions(n, capacity),
        advice=tuple(_advice(n, d, sizes, fit, mapped)),
    )


# --- time ---


def _seconds_of_pass(n: int, k: int, d: int, threads: int) -> float:
    """Return what a search for the nearest of `k` centroids takes for `n` rows of `d` columns."""
    columns, centroids = min(d, 1024), min(k, 1024)  # beyond, the time of a multiplication stays
    rows = min(n, max(16 * threads, min(1 << 16, int(_TRIAL / (centroids * columns)))))
    return _time_pass(rows, centroids, columns, threads) * (n / rows) * (k / centroids) * (d / columns)


@lru_cache(maxsize=64)
def _time_pass(n: int, k: int, d: int, threads: int) -> float:
    book, x = _rows(n, k, d)
    quantizer = _native.Quantizer([book], "l2")
    return _best_time(lambda: quantizer.encode(x, None, verbose=False))


@lru_cache(maxsize=8)
def seconds_of_work(threads: int) -> float:
    """Return what a multiplication takes in the start of a fit."""
    n, d, k = 8192, 128, 64
    _, x = _rows(n, k, d)

    def start() -> None:
        _native.fit_rqkmeans(
            x, None, clusters=[k], metric="l2", max_iter=1, tol=0, restarts=1, seed=0, balanced=False,
            recompute=False, verbose=False,
        )  # fmt: skip

    return _best_time(start) / _native.foresee_rqkmeans(n, d, [k], recompute=False).start_work[0]


def _rows(n: int, k: int, d: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Return `k` centroids, and `n` rows that lie among them as embeddings do: close calls take their time."""
    rng = np.random.default_rng(0)
    scale = np.arange(1, d + 1, dtype=np.float32) ** -0.5
    book = rng.standard_normal((k, d), np.float32) * scale
    return book, book[rng.integers(k, size=n)] + rng.standard_normal((n, d), np.float32) * (0.9 * scale)


def _best_time(call: Callable[[], object]) -> float:
    best = math.inf
    for _ in range(5):  # the first finds cold caches
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


# --- ids ---


def _collisions(n: int, capacity: int) -> float:
    """Return 1 - distinct / n for n ids drawn evenly from `capacity`."""
    if capacity == 1:
        return 1 - 1 / n
    if n < 1e-6 * min(capacity, 1 << 100):
        return (n - 1) / (2 * capacity)  # pairs that meet; the other way digits cancel
    distinct = -capacity * math.expm1(n * math.log1p(-1 / capacity))
    return max(0.0, 1 - distinct / n)


def _advice(n: int, d: int, sizes: list[int], fit: int, mapped: int) -> list[str]:
    advice = []
    largest, capacity = max(sizes), math.prod(sizes)
    if largest > n:
        advice.append(f"{largest:,} clusters of {n:,} embeddings is an error in fit: at most one a row")
    elif n < _FEW_ROWS * largest and largest > 1:
        advice.append(
            f"{n / largest:.3g} rows a cluster are few, and centroids follow single rows: "
            f"at most {max(1, n // _FEW_ROWS):,} clusters a level, or more embeddings"
        )
    shared = _collisions(n, capacity)
    if shared > _COLLISIONS and largest > 1:
        k = sizes[-1] if sizes[-1] > 1 else largest
        more = 1
        while _collisions(n, capacity * k**more) > _COLLISIONS:
            more += 1
        levels = len(sizes) + more
        better = f"{levels} levels of {k}" if len(set(sizes)) == 1 else f"{levels} levels, the further ones of {k},"
        advice.append(
            f"{_percent(shared)} of the rows would share an id even if ids were equally likely: "
            f"{better} make that {_percent(_collisions(n, capacity * k**more))}"
        )
    need = 4 * n * d + fit
    there = usable_memory()
    if there is not None and need > there:
        cure = "fit on fewer rows and encode the rest"
        if 4 * n * d >= LARGE and mapped < there:
            cure = f"save them as .npy and fit np.load(path, mmap_mode='r'), which needs {_size(mapped)}"
        advice.append(f"embeddings and fit together need {_size(need)}, and {_size(there)} are free: {cure}")
    return advice


# --- words ---


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:,.0f} {unit}" if count >= 100 or unit == "bytes" else f"{count:.2g} {unit}"
        count /= 1000
    raise AssertionError


def _time(seconds: float) -> str:
    for limit, unit, name in ((1e-3, 1e-6, "us"), (1, 1e-3, "ms"), (120, 1, "s"), (7200, 60, "minutes")):
        if seconds < limit:
            return f"{seconds / unit:.2g} {name}" if seconds / unit < 100 else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 3600:,.0f} hours"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.4g} %"
