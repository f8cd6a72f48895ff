"""What `semantic_id.estimate` foresees beside what fits take, and the constants of its model of time."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
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
    each = []  # of each fit: the seconds of one pass of each kind
    seen = []  # of each fit: its seconds
    for case in CASES:
        data, rows = (case.data, case.rows) if isinstance(case.data, int) else bench.data(case.data)
        rows = min(rows, case.rows, 3_000 if bench.quick else case.rows)
        columns = case.data if isinstance(case.data, int) else DIM
        told = semantic_id.estimate(rows, columns, case.levels, case.clusters)
        with Worker("ours", data, rows, bench.threads) as worker:
            seconds = [worker.ask("fit", levels=case.levels, clusters=case.clusters, seed=0)]
            peak = worker.ask("fit_peak")
            seconds += [worker.ask("fit", levels=case.levels, clusters=case.clusters, seed=s) for s in (1, 2)]
            encodes = [worker.ask("encode") for _ in range(4)][1:]
        took = {"fit": median(seconds), "memory": peak, "encode": median(encodes)}
        foreseen = {"fit": told.fit_seconds, "memory": told.fit_bytes, "encode": told.encode_seconds}
        for what, values in ratios.items():
            values.append(foreseen[what] / took[what])
        each.append(_seconds_a_pass(case, rows, columns, told))
        seen.append(median(seconds))
        section.rows.append([
            f"{rows:,} x {columns}", f"{case.levels} x {case.clusters}",
            f"{took['fit']:.2f} s", f"{ratios['fit'][-1]:.2f}", f"{peak / 1e6:.0f} MB", f"{ratios['memory'][-1]:.2f}",
            f"{1e3 * took['encode']:.0f} ms", f"{ratios['encode'][-1]:.2f}",
        ])  # fmt: skip
    factor = {what: math.exp(max(abs(math.log(r)) for r in values)) for what, values in ratios.items()}
    passes = dict(zip(_estimate.PASSES, _best_passes(np.array(each), np.array(seen)).round(), strict=True))
    section.notes.append(
        "Default settings, the median of three seeds; memory is that of the first fit of its process. Embeddings, and "
        "generated rows (generate.py) where there are not 384 columns. The constants of "
        f"python/semantic_id/_estimate.py that fit these times best: PASSES = {passes}; they are {_estimate.PASSES}."
    )
    section.targets = [
        Target("estimate: time of a fit, the factor it is off at most", factor["fit"], 2, False),
        Target("estimate: memory of a fit, the factor it is off at most", factor["memory"], 1.2, False),
    ]
    return section


def _seconds_a_pass(case: Case, rows: int, columns: int, told: semantic_id.Estimate) -> list[float]:
    """Return what one pass of each kind of PASSES takes, over all levels."""
    restarts = _native.default_restarts(rows, case.clusters)
    products = _estimate.products_of_fit(rows, columns, case.clusters, restarts)
    rate = told.encode_seconds / (rows * columns * case.clusters)  # seconds a multiplication, times levels
    return [rate * products.get(kind, 0.0) for kind in _estimate.PASSES]


def _best_passes(each: np.ndarray, took: np.ndarray) -> np.ndarray:
    """Return how many passes of each kind explain best what the fits took: the least squares of the logarithms."""
    grid = np.geomspace(0.5, 500, 200)
    passes = np.full(each.shape[1], 50.0)
    for _ in range(50):
        for kind in range(len(passes)):  # one after the other, which settles as the loss has one minimum in practice
            tried = np.repeat(passes[None], len(grid), axis=0)
            tried[:, kind] = grid
            passes = tried[np.argmin((np.log(tried @ each.T / took) ** 2).sum(axis=1))]
    return passes
