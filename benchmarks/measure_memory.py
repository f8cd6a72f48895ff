"""Memory of a fit."""

from __future__ import annotations

from pathlib import Path

from bench import CLUSTERS, DIM, LEVELS, NAMES, PACKAGES, Bench
from peers import MissingError, Worker
from report import Section, Target

SETTINGS = {  # those whose peak does not wait for many iterations
    "ours": {"n_init": 1},
    "0.2.5": {"n_init": 1},
    "faiss-kmeans": {"iterations": 5},
    "sklearn": {"iterations": 5},
    "superkmeans": {"iterations": 5},
}


def memory(bench: Bench) -> Section:
    """The most memory a fit needs beyond the input, each in a fresh process."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Memory of the fit of {rows:,} x {DIM}, beyond the {rows * DIM * 4 / 1e6:.0f} MB of input",
        ["program", "peak beyond input and imports", "as a share of the input", "imports"],
    )
    size = rows * DIM * 4
    others = [] if bench.quick else ["0.2.5", "faiss-rq", "faiss-kmeans", "sklearn", "superkmeans"]
    peaks: dict[str, float] = {}
    loads: dict[str, float] = {}
    for p in ["ours"] * 3 + others:
        with Worker(p, data, rows, bench.threads) as worker:
            worker.ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0, **SETTINGS.get(p, {}))
            peak = worker.ask("peak")
            loads[p] = worker.ask("loading_memory")
        peaks[p] = max(peak, peaks.get(p, 0))
    for p, peak in peaks.items():
        section.rows.append([NAMES[p], f"{peak / 1e6:.0f} MB", f"{peak / size:.2f}", f"{loads[p] / 1e6:.0f} MB"])
    section.notes.append(
        "The highest VmHWM during a fit less VmRSS before it, when the input and all libraries are loaded. What "
        "loading them took, the Go library included but not NumPy, is in the last column and in no other."
    )
    section.losses = [
        f"Memory: {NAMES[p]} takes {peak / size:.2f} of the input beyond it, we {peaks['ours'] / size:.2f}."
        for p, peak in peaks.items()
        if peak < peaks["ours"]
    ]
    section.targets = [Target("fit: peak memory beyond the input, over the input", peaks["ours"] / size, 1.5, False)]
    return section
