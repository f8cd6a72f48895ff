"""Fit: time and error with settings that end alike."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import mean, median

from bench import CLUSTERS, DIM, INDUSTRIAL, LEVELS, NAMES, PACKAGES, Bench, alternate, ratio, versions
from peers import MissingError, Worker
from report import Section, Target, not_measured


def fit(bench: Bench) -> list[Section]:
    """Fit, and the error of what was learned, seed by seed."""
    seeds = range(bench.rounds(5))
    sections = []
    for name, targets in ((PACKAGES, True), (INDUSTRIAL, False)):
        try:
            sections.append(_fit(bench, name, seeds, targets))
        except MissingError as error:
            sections.append(not_measured(f"fit {name}", error))
    return sections


def _fit(bench: Bench, name: str, seeds: Sequence[int], targets: bool) -> Section:
    data, rows = bench.data(name)
    section = Section(
        f"Fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, n_init=1, {len(seeds)} seeds",
        ["program", "median", "range", "times ours", "mean error", "error / 0.2.5's"],
    )
    programs = ["ours", "0.2.5", "faiss-rq", "faiss-kmeans", "sklearn", "superkmeans"]
    errors: dict[str, list[float]] = {p: [] for p in programs}

    def turn(worker: Worker, seed: int) -> float:
        seconds = worker.ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=seed)
        errors[worker.program].append(worker.ask("error"))
        return seconds

    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        seconds = alternate(workers, len(seeds), turn)
        section.notes.append(versions(workers))
    for p in programs:
        section.rows.append([
            NAMES[p], f"{median(seconds[p]):.2f} s", f"{min(seconds[p]):.2f} - {max(seconds[p]):.2f} s",
            f"{ratio(seconds, p):.2f}", f"{mean(errors[p]):.4e}", f"{mean(errors[p]) / mean(errors['0.2.5']):.4f}",
        ])  # fmt: skip
    section.notes.append(
        "Error: mean squared difference per element, in float64, between the rows and their decoded codes, each "
        "program encoding and decoding for itself. Both RQKMeans run to their tolerance (tol=1e-4, max_iter=100), the "
        "others for a fixed number of iterations (faiss.ResidualQuantizer: its default)."
    )
    if targets:
        error = mean(errors["ours"]) / mean(errors["0.2.5"])
        section.targets = [
            Target("fit, n_init=1: semantic-id 0.2.5, times ours", ratio(seconds, "0.2.5"), 8, True),
            Target("fit, n_init=1: mean decode error over 0.2.5's", error, 1.002, False),
        ]
    return section
