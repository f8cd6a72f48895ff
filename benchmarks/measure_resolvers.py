"""What it costs to give each item a code of its own: moved items, added squared error, time."""

from __future__ import annotations

import time
import warnings
from statistics import median

import numpy as np
from bench import CLUSTERS, DIM, INDUSTRIAL, LEVELS, PACKAGES, Bench
from peers import MissingError
from report import Section, Target, not_measured
from semantic_id import CapacityResolver, RQKMeans, SinkhornResolver, set_num_threads
from semantic_id.exceptions import ApproximationWarning
from semantic_id.uniqueness.resolver import Resolved


def resolvers(bench: Bench) -> list[Section]:
    """The resolvers on both data sets."""
    sections = []
    for name in (INDUSTRIAL, PACKAGES):
        try:
            sections.append(_resolve(bench, name))
        except MissingError as error:
            sections.append(not_measured("resolvers", error))
    return sections


def _resolve(bench: Bench, name: str) -> Section:
    set_num_threads(bench.threads)
    data, rows = bench.data(name)
    x = np.load(data)[:rows]
    model = RQKMeans(n_levels=LEVELS, n_clusters=CLUSTERS, random_state=0).fit(x)
    codes = model.encode(x)
    ids = model.semantic_id(codes)
    before = float(((x.astype(np.float64) - model.decode(codes)) ** 2).sum())
    section = Section(
        f"One code an item: {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}",
        ["resolver", "items moved", "share a code still", "added error, total", "a moved item", "error grows by",
         "median", "range"],
    )  # fmt: skip
    found: dict[str, Resolved] = {}
    for what, make in {
        "CapacityResolver": CapacityResolver,
        "CapacityResolver(max_pairs=0), by rule of thumb": lambda: CapacityResolver(max_pairs=0),
        "SinkhornResolver": SinkhornResolver,
        "SinkhornResolver, until unique": lambda: SinkhornResolver(max_iterations=10_000),
    }.items():
        seconds = []
        for _ in range(bench.rounds(3, 1)):
            resolver = make()  # with a store of its own
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ApproximationWarning)
                found[what] = done = resolver.resolve(ids, embeddings=x, model=model, codes=codes)
            seconds.append(time.perf_counter() - start)
        total = done.added_error.sum()
        section.rows.append([
            what, f"{len(done.moved):,}", f"{_shared(done.codes):,}", f"{total:.4f}",
            f"{total / max(1, len(done.moved)):.6f}", f"{100 * total / before:.3f} %", f"{median(seconds):.2f} s",
            f"{min(seconds):.2f} - {max(seconds):.2f} s",
        ])  # fmt: skip
        if what == "CapacityResolver":
            times = seconds
    section.notes.append(
        f"Errors are squared distances between embeddings and what their codes stand for; their sum is {before:.1f} "
        f"before, over {rows:,} items of which {_shared(codes):,} share a code. Times are of `resolve` with codes and "
        "a new store in memory."
    )
    capacity, sinkhorn = found["CapacityResolver"], found["SinkhornResolver, until unique"]
    what = f"resolvers, {rows:,} items"
    section.targets = [
        Target(f"{what}: that share a code after CapacityResolver", float(_shared(capacity.codes)), 0.5, False),
        Target(f"{what}: added error over Sinkhorn's until unique", _over(capacity, sinkhorn, np.sum), 1, False),
        Target(f"{what}: the same a moved item", _over(capacity, sinkhorn, np.mean), 1, False),
    ]
    if name == PACKAGES:
        section.targets.append(Target(f"{what}: seconds of CapacityResolver", median(times), 5, False, " s"))
    return section


def _shared(codes: np.ndarray) -> int:  # type: ignore[type-arg]
    """Return how many items share their code."""
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return int(counts[counts > 1].sum())


def _over(a: Resolved, b: Resolved, of) -> float:  # type: ignore[no-untyped-def]
    return float(of(a.added_error) / of(b.added_error))
