"""Balanced codebooks beside k-means-constrained and plain ones, at a million rows, and how many items share a code."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import numpy as np
from bench import (
    CLUSTERS,
    DIM,
    INDUSTRIAL,
    LEVELS,
    NAMES,
    PACKAGES,
    RESULTS,
    Bench,
    Fits,
    race,
    ratio,
    spread,
    versions,
)
from peers import MissingError, Worker
from report import Section, Target, not_measured

ITERATIONS = 20
BIG = (1_000_000, 64)  # rows and columns of one cold assignment


def balanced(bench: Bench) -> list[Section]:
    """The four measurements of balanced codebooks."""
    sections: list[Section] = []
    for name, measure in {
        "balanced beside k-means-constrained": _constrained,
        "balanced level beside plain level": _level,
        "balanced assignment of a million rows": _assignment,
        "balanced collisions": _collisions,
    }.items():
        try:
            sections.append(measure(bench))
        except MissingError as error:
            sections.append(not_measured(name, error))
    return sections


def _constrained(bench: Bench) -> Section:
    """The task that people give to k-means-constrained, made small enough for it."""
    data, rows = bench.data(INDUSTRIAL)
    k, seeds = 64, bench.rounds(3, 1)
    ours = Fits("ours-balanced", seeds, {"max_iter": ITERATIONS, "tol": 0.0})
    theirs = Fits("k-means-constrained", seeds, {"max_iter": ITERATIONS, "tol": 0.0, "n_init": 1})
    default = Fits("ours-balanced", seeds)
    three = Fits("k-means-constrained", 1 if bench.quick else seeds, {"n_init": 3, "max_iter": 100})
    used = race(bench, data, rows, [ours, theirs, default, three], levels=1, clusters=k)
    section = Section(
        f"Balanced: {rows:,} x {DIM}, one level of {k}",
        ["program", "settings", "iterations", "median", "range", "times ours", "mean error"],
    )
    for f, settings, own in (
        (ours, f"tol=0, max_iter={ITERATIONS}", ours),
        (theirs, f"tol=0, max_iter={ITERATIONS}", ours),
        (default, "default", default),
        (three, "three starts, max_iter=100, as semantic-id 0.2.5 has it", default),
    ):
        section.rows.append([
            NAMES[f.program], settings, f"{mean(f.iterations):.0f}", *spread(f.seconds, 3), f"{f.times(own):.1f}",
            f"{mean(f.errors):.5e}",
        ])  # fmt: skip
    section.notes.append(
        f"{used} Sizes are {rows // k} or {-(-rows // k)} rows. k-means-constrained runs in joblib's backend of "
        'threads: in processes, the default, it ends with "buffer source array is read-only". Its assignments '
        "minimise distances that are not squared and are rounded to 1/1000. Errors are of the balanced codes. Of three "
        "starts the iterations of the best are told."
    )
    section.targets = [
        Target(f"balanced, {rows:,} rows: k-means-constrained, times ours", theirs.times(ours), 50, True),
        Target(f"balanced, {rows:,} rows: error over that of k-means-constrained", ours.error_over(theirs), 1, False),
        Target(f"balanced, {rows:,} rows: error over three starts of it", default.error_over(three), 1.005, False),
    ]
    return section


def _level(bench: Bench) -> Section:
    """What balance costs a level, both to convergence."""
    data, rows = bench.data(PACKAGES)
    n = bench.rounds(3, 1)
    plain, even = Fits("ours", n), Fits("ours-balanced", n)
    used = race(bench, data, rows, [plain, even], levels=1)
    section = Section(
        f"Balanced: {rows:,} x {DIM}, one level of {CLUSTERS}, to convergence",
        ["codebook", "iterations", "median", "range", "times plain", "mean error", "peak memory / input"],
    )
    for f, name in ((plain, "plain"), (even, "balanced")):
        section.rows.append([
            name, f"{mean(f.iterations):.0f}", *spread(f.seconds), f"{ratio(f.seconds, plain.seconds):.2f}",
            f"{mean(f.errors):.4e}", f"{f.peaks[0] / (4 * rows * DIM):.2f}",
        ])  # fmt: skip
    section.notes.append(f"{used} The first errors are of the nearest centroids, the second of the balanced codes.")
    what = f"balanced, {rows:,} rows: time of a level over that of a plain one"
    section.targets = [Target(what, ratio(even.seconds, plain.seconds), 10, False)]
    return section


def _assignment(bench: Bench) -> Section:
    """One assignment of many rows to the centroids of a plain fit, without prices to start from."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    rows, columns = (20_000, BIG[1]) if bench.quick else BIG
    with Worker("ours-balanced", columns, rows, bench.threads) as worker:
        worker.ask("fit", levels=1, clusters=CLUSTERS, seed=0, implementation="kmeans", max_iter=10)
        seconds, peak = worker.ask("encode"), worker.ask("peak")
        primal, dual, gap = (worker.ask("certificate", level=0, part=part) for part in range(3))
        used = versions([worker])
    section = Section(
        f"Balanced: one cold assignment of {rows:,} x {columns} to {CLUSTERS} centroids",
        ["time", "memory beyond the input", "primal", "dual", "relative gap"],
        [[f"{seconds:.1f} s", f"{peak / 1e6:,.0f} MB", f"{primal:.6f}", f"{dual:.6f}", f"{gap:.1e}"]],
    )
    section.notes.append(
        f"{used} encode(X, balanced=True) of generated rows (generate.py), the centroids those of a plain fit of ten "
        "iterations. The primal is the sum of the squared distances of the assignment, and no other of these sizes has "
        "one below the dual."
    )
    section.targets = [
        Target(f"balanced, {rows:,} rows: seconds of one cold assignment", seconds, 60, False, " s"),
        Target(f"balanced, {rows:,} rows: memory beyond the input", peak / 1e9, 2, False, " GB"),
        Target(f"balanced, {rows:,} rows: relative gap of the certificate, in 1e-9", gap * 1e9, 1, False),
    ]
    return section


def _collisions(bench: Bench) -> Section:
    """How many items share a code, and what balance costs in error."""
    section = Section(
        f"Balanced: collisions of {LEVELS} x {CLUSTERS}",
        ["data", "codebooks", "codes", "items that share their code", "collision rate", "largest bucket",
         "codes of level 0 that are used", "mean error", "fit"],
    )  # fmt: skip
    used = ""
    for name in (INDUSTRIAL, PACKAGES):
        data, rows = bench.data(name)
        seeds = bench.rounds(3 if rows < 10_000 else 1, 1)
        with Worker("ours-balanced", data, rows, bench.threads) as worker:
            for implementation in ("kmeans", "constrained"):
                found: dict[str, list[list[float]]] = {}
                times = []
                for seed in range(seeds):
                    times.append(
                        worker.ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=seed, implementation=implementation)
                    )
                    for how in ("nearest", "balanced"):
                        worker.ask("use_plain", plain=how == "nearest")
                        error = worker.ask("error")
                        worker.ask("encode")
                        worker.ask("save_codes", path=str(RESULTS / "balanced-codes.npy"))
                        codes = np.load(RESULTS / "balanced-codes.npy")
                        found.setdefault(how, []).append([*_shared(codes), error])
                for how, values in found.items():
                    shared, rate, largest, use, error = (mean(v) for v in zip(*values, strict=True))
                    section.rows.append([
                        f"{rows:,} rows", {"kmeans": "plain", "constrained": "balanced"}[implementation], how,
                        f"{100 * shared:.1f} %", f"{rate:.4f}", f"{largest:.0f}", f"{100 * use:.0f} %", f"{error:.4e}",
                        f"{median(times):.2f} s",
                    ])  # fmt: skip
            used = versions([worker])
    section.notes.append(
        f"{used} The collision rate is 1 - distinct codes / items. Codes are those of the fitted rows: of the nearest "
        "centroids, or balanced over all rows. Means over three seeds on the small data, one on the large."
    )
    return section


def _shared(codes: np.ndarray) -> list[float]:  # type: ignore[type-arg]
    """Return the share of items that share their code, the collision rate, the largest bucket, the use of level 0."""
    _, counts = np.unique(codes, axis=0, return_counts=True)
    use = len(np.unique(codes[:, 0])) / CLUSTERS
    return [float(counts[counts > 1].sum()) / len(codes), 1 - len(counts) / len(codes), float(counts.max()), use]
