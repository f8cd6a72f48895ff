"""Beam search and refined codebooks: error, and the time it takes, beside faiss.ResidualQuantizer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from bench import CLUSTERS, DIM, INDUSTRIAL, LEVELS, PACKAGES, Bench, versions
from peers import MissingError, Worker
from report import Section, Target, not_measured

BEAMS = (1, 5, 16)


@dataclass
class Trained:
    """Codebooks learned in one way, and what came of them, seed by seed."""

    name: str
    program: str
    settings: dict[str, Any]
    fit: list[float] = field(default_factory=list)  # seconds
    errors: dict[int, list[float]] = field(default_factory=lambda: {b: [] for b in BEAMS})  # by beam of encoding
    encode: dict[int, list[float]] = field(default_factory=lambda: {b: [] for b in BEAMS})  # seconds

    def measure(self, worker: Worker, levels: int, seed: int) -> None:
        self.fit.append(worker.ask("fit", levels=levels, clusters=CLUSTERS, seed=seed, **self.settings))
        for beam in BEAMS:
            worker.ask("use_beam", beam=beam)
            self.errors[beam].append(worker.ask("error"))
            self.encode[beam].append(min(worker.ask("encode") for _ in range(3)))

    def cells(self) -> list[str]:
        return [
            self.name,
            f"{median(self.fit):.2f} s",
            *(f"{mean(self.errors[b]):.4e}" for b in BEAMS),
            *(f"{median(self.encode[b]):.3f} s" for b in BEAMS),
        ]


def beam(bench: Bench) -> list[Section]:
    """Both data sets with 3 levels, and the small one with 8."""
    sections = []
    for name, levels in ((INDUSTRIAL, LEVELS), (INDUSTRIAL, 8), (PACKAGES, LEVELS)):
        try:
            sections.append(_beam(bench, name, levels))
        except MissingError as error:
            sections.append(not_measured(f"beam {name}", error))
    return sections


def _beam(bench: Bench, name: str, levels: int) -> Section:
    data, rows = bench.data(name)
    small = rows < 10_000
    trained = [Trained("**this one**, fit", "ours-beam", {})]
    trained += [Trained(f"**this one**, fit and refine(beam_size={b})", "ours-beam", {"refine": b}) for b in BEAMS]
    # The larger beams take minutes a fit on the large data.
    faiss_beams = [b for b in BEAMS if small or bench.full or b < 16]
    for way in ("default", "top_beam", "refine_codebook"):
        beams = [b for b in faiss_beams if b > 1 or way != "top_beam"]  # with a beam of 1 the top is all there is
        trained += [Trained(f"faiss, beam {b}, {way}", "faiss-beam", {"beam": b, "way": way}) for b in beams]
    with ExitStack() as stack:
        programs = ("ours-beam", "faiss-beam")
        workers = {p: stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs}
        seeds = bench.rounds(3 if small else 1, 1)
        for seed in range(seeds):
            for t in trained[seed % 2 :] + trained[: seed % 2]:
                t.measure(workers[t.program], levels, seed)
        about = versions(list(workers.values()))
    section = Section(
        f"Beam search, {rows:,} x {DIM}, {levels} x {CLUSTERS}, {seeds} seeds",
        ["codebooks", "fit", *(f"error, beam {b}" for b in BEAMS), *(f"encode, beam {b}" for b in BEAMS)],
        [t.cells() for t in trained],
        [
            f"{about} All use tables to encode (`use_beam_LUT`); default is Train_progressive_dim, to which the others "
            "add Train_top_beam or Train_refine_codebook. Errors are means, times medians over the seeds, an encoding "
            "the quickest of three."
        ],
    )
    peers = [t for t in trained if t.program == "faiss-beam"]
    ours = [t for t in trained if t.program == "ours-beam"]
    for b in BEAMS:
        best = min(peers, key=lambda t: mean(t.errors[b]))
        lowest = min(ours, key=lambda t: mean(t.errors[b]))
        enough = [t for t in ours if mean(t.errors[b]) <= mean(best.errors[b])] or [lowest]
        quick, quick_encode = min(median(t.fit) for t in enough), min(median(t.encode[b]) for t in enough)
        what = f"beam {b}, {rows:,} rows, {levels} levels:"
        section.targets += [
            Target(f"{what} lowest error over faiss's", mean(lowest.errors[b]) / mean(best.errors[b]), 1, False),
            Target(f"{what} faiss's fit of its lowest, times ours of no higher", median(best.fit) / quick, 1, True),
            Target(f"{what} faiss's encode, times ours", median(best.encode[b]) / quick_encode, 1, True),
        ]
    return section
