"""Encode: all rows, and one row at a time."""

from __future__ import annotations

import re
from contextlib import ExitStack
from statistics import median

import numpy as np
from bench import CLUSTERS, DIM, LEVELS, NAMES, PACKAGES, RESULTS, Bench, alternate, go_bench, ratio, spread, versions
from peers import Worker
from report import Section, Target


def encode(bench: Bench) -> Section:
    """Encode with one set of codebooks in all programs."""
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Encode {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, the same codebooks",
        ["program", "median", "range", "times ours", "equal codes"],
    )
    programs = ["ours", "0.2.5", "0.2.5-batches", "faiss-rq", "faiss-rq-tables"]
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        model = str(RESULTS / "model")
        workers[0].ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0)
        workers[0].ask("save", path=model)
        for worker in workers[1:]:
            worker.ask("load", path=model)
        seconds = alternate(workers, bench.rounds(9) + 1, lambda w, _: w.ask("encode"), drop=1)
        codes = {}
        for worker in workers:
            file = RESULTS / f"codes-{worker.program}.npy"
            worker.ask("save_codes", path=str(file))
            codes[worker.program] = np.load(file)
        section.notes.append(versions(workers))
    for p in programs:
        equal = np.mean((codes[p] == codes["ours"]).all(axis=1))
        section.rows.append([
            NAMES[p], *spread(seconds[p], 3),
            f"{ratio(seconds[p], seconds['ours']):.2f}", f"{100 * equal:.3f} % of rows",
        ])  # fmt: skip
        if p != "ours" and ratio(seconds[p], seconds["ours"]) < 1:
            section.losses.append(f"Encode: {NAMES[p]} takes {ratio(seconds[p], seconds['ours']):.2f} of our time.")
    section.notes.append(
        "A program's first call is left out. Codes differ where float32 rounding decides between two centroids, "
        "and from there on down the levels."
    )
    section.targets = [
        Target("encode: semantic-id 0.2.5, times ours", ratio(seconds["0.2.5"], seconds["ours"]), 5, True),
        Target("encode: faiss.ResidualQuantizer at beam 1, times ours",
               min(ratio(seconds[p], seconds["ours"]) for p in ("faiss-rq", "faiss-rq-tables")), 3, True),
    ]  # fmt: skip
    return section


def one_row(bench: Bench) -> Section:
    """One row through Python, beside the arithmetic in it."""
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Encode one row of {DIM}, {LEVELS} x {CLUSTERS}, from Python", ["", "median of rounds", "best round"]
    )
    programs = ["ours", "0.2.5", "faiss-rq"]
    arithmetic = []
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        model = str(RESULTS / "model")
        workers[0].ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0)
        workers[0].ask("save", path=model)
        for worker in workers[1:]:
            worker.ask("load", path=model)
        alternate(workers, 1, lambda w, _: w.ask("encode_one", calls=10))  # warm up
        seconds: dict[str, list[float]] = {p: [] for p in programs}
        for _ in range(bench.rounds(9)):
            arithmetic.append(_one_row_arithmetic(bench))
            for p, turn in alternate(workers, 1, lambda w, _: w.ask("encode_one", calls=500)).items():
                seconds[p] += turn
    timed = [(f"arithmetic alone: {LEVELS} x nearest of {CLUSTERS}, in Go", arithmetic)]
    for name, values in timed + [(NAMES[p], seconds[p]) for p in programs]:
        section.rows.append([name, f"{1e6 * median(values):.1f} us", f"{1e6 * min(values):.1f} us"])
    over = [1e6 * (o - a) for o, a in zip(seconds["ours"], arithmetic, strict=True)]
    section.targets = [Target("one row through Python: time over the arithmetic", median(over), 20, False, " us")]
    return section


def _one_row_arithmetic(bench: Bench) -> float:
    """The seconds that Nearest takes for one row, at the best level of this CPU, times the levels of the model."""
    output = go_bench(f"BenchmarkNearest/^level=.*$/^rows=1$/^dim={DIM}$/^k={CLUSTERS}$", "0.2s", bench.threads)
    return LEVELS * 1e-9 * min(float(ns) for ns in re.findall(r"([\d.]+) ns/row", output))
