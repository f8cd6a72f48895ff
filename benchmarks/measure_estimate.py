"""What `semantic_id.estimate` foresees beside what fits take, and the constants of its model of time."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import semantic_id
from bench import DIM, INDUSTRIAL, PACKAGES, Bench
from peers import MissingError, Worker
from report import Section, Target
from semantic_id import _estimate, _native


class Case(NamedTuple):
    data: str | int  # a data set, or columns to generate
    rows: int
    levels: int
    clusters: int


CASES = [
    Case(PACKAGES, 63_666, 3, 256),
    Case(PACKAGES, 63_666, 2, 64),
    Case(PACKAGES, 20_000, 3, 256),
    Case(PACKAGES, 20_000, 2, 512),
    Case(INDUSTRIAL, 3_686, 3, 256),
    Case(INDUSTRIAL, 3_686, 4, 64),
    Case(128, 100_000, 3, 256),
    Case(128, 20_000, 2, 64),
    Case(768, 50_000, 2, 256),
    Case(32, 100_000, 3, 128),
]


def estimate(bench: Bench) -> Section:
    """Fits of several shapes, each in a process of its own."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    semantic_id.set_num_threads(bench.threads)
    section = Section(
        "Estimates beside what fits take",
        [
            "data",
            "levels x clusters",
            "fit",
            "estimate / fit",
            "memory",
            "estimate / memory",
            "encode",
            "estimate / encode",
        ],
    )
    ratios: dict[str, list[float]] = {"fit": [], "memory": [], "encode": []}
    each = []  # of each fit: its way, and the passes it came to
    for case in CASES:
        data, rows = (case.data, case.rows) if isinstance(case.data, int) else bench.data(case.data)
        rows = min(rows, case.rows, 3_000 if bench.quick else case.rows)
        columns = case.data if isinstance(case.data, int) else DIM
        told = semantic_id.estimate(rows, columns, case.levels, case.clusters)
        with Worker("ours", data, rows, bench.threads) as worker:
            seconds = [worker.ask("fit", levels=case.levels, clusters=case.clusters, seed=0)]
            peak = worker.ask("peak")
            seconds += [worker.ask("fit", levels=case.levels, clusters=case.clusters, seed=s) for s in (1, 2)]
            encodes = [worker.ask("encode") for _ in range(4)][1:]
        took = {"fit": median(seconds), "memory": peak, "encode": median(encodes)}
        foreseen = {"fit": told.fit_seconds, "memory": told.fit_bytes, "encode": told.encode_seconds}
        for what, values in ratios.items():
            values.append(foreseen[what] / took[what])
        foreseen = _native.foresee_rqkmeans(rows, columns, [case.clusters] * case.levels, recompute=False)
        start = sum(foreseen.start_work) * _estimate.seconds_of_work(bench.threads)
        each.append((foreseen.ways[0], (median(seconds) - start) / told.encode_seconds))
        section.rows.append([
            f"{rows:,} x {columns}", f"{case.levels} x {case.clusters}",
            f"{took['fit']:.2f} s", f"{ratios['fit'][-1]:.2f}", f"{peak / 1e6:.0f} MB", f"{ratios['memory'][-1]:.2f}",
            f"{1e3 * took['encode']:.0f} ms", f"{ratios['encode'][-1]:.2f}",
        ])  # fmt: skip
    factor = {what: math.exp(max(abs(math.log(r)) for r in values)) for what, values in ratios.items()}
    section.notes.append(
        "Default settings, the median of three seeds; memory is that of the first fit of its process. Embeddings, and "
        "generated rows (generate.py) where there are not 384 columns. The constants of "
        f"python/semantic_id/_estimate.py that fit these times best: PASSES = {_best_passes(each)}; "
        f"they are {_estimate.PASSES}."
    )
    section.targets = [
        Target("estimate: time of a fit, the factor it is off at most", factor["fit"], 2, False),
        Target("estimate: memory of a fit, the factor it is off at most", factor["memory"], 1.2, False),
    ]
    return section


def _best_passes(each: list[tuple[str, float]]) -> dict[str, float]:
    """Return the passes of each way that are off least, as factors, for fits of (way, passes they came to)."""
    return {way: round(math.exp(mean(math.log(p) for w, p in each if w == way))) for way, _ in sorted(each)}
