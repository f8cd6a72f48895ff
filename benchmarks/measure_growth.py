"""Growth: time and memory of a fit as rows grow, one level, beside faiss."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median

from bench import CLUSTERS, NAMES, Bench, Fits, race
from peers import MissingError
from report import Section, Target

ITERATIONS = 10
PROGRAMS = ("ours", "faiss-kmeans")


def growth(bench: Bench) -> Section:
    """Generated rows: 10^5 and 10^6, of 128 and 768 columns."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    small, large = (5_000, 20_000) if bench.quick else (100_000, 1_000_000)
    section = Section(
        f"Growth: one level of {CLUSTERS}, {ITERATIONS} iterations, generated rows",
        ["rows x columns", "program", "fit", "iterations", "a row and iteration", "error", "peak memory / input"],
    )
    for columns in (128, 768):
        each: dict[int, float] = {}  # seconds a row and iteration of ours, by rows
        share = ours = 0.0
        for rows in (small, large):
            rounds = bench.rounds(3) if rows * columns < 2e8 else 1
            fits = {
                "ours": Fits("ours", rounds, {"n_init": 1, "max_iter": ITERATIONS, "tol": 0.0}),
                "faiss-kmeans": Fits("faiss-kmeans", rounds, {"iterations": ITERATIONS}),
            }
            race(bench, columns, rows, list(fits.values()), levels=1)
            for p in PROGRAMS:
                f = fits[p]
                turn = median(s / i for s, i in zip(f.seconds, f.iterations, strict=True)) / rows
                peak = f.peaks[0] / (4 * rows * columns)
                section.rows.append([
                    f"{rows:,} x {columns}", NAMES[p], f"{median(f.seconds):.2f} s", f"{f.iterations[0]:.0f}",
                    f"{1e9 * turn:.0f} ns", f"{mean(f.errors):.4e}", f"{peak:.2f}",
                ])  # fmt: skip
                if p == "ours":
                    each[rows], share, ours = turn, max(share, peak), peak
                elif turn < each[rows] or peak < ours:
                    what = [f"{turn / each[rows]:.2f} of our time a row and iteration"] if turn < each[rows] else []
                    what += [f"{peak:.2f} of the input beyond it, we {ours:.2f}"] if peak < ours else []
                    section.losses.append(f"{rows:,} x {columns}: {NAMES[p]} takes {' and '.join(what)}.")
        section.targets += [
            Target(f"growth, {columns} columns: time a row, ten times the rows over once", each[large] / each[small],
                   1.2, False),
            Target(f"growth, {columns} columns: peak memory beyond the input, over the input", share, 1.5, False),
        ]  # fmt: skip
    section.notes.append(
        "Times are of whole fits through the Python API, starts and copies included, over the iterations over all "
        "rows; 3 rounds, of 1,000,000 x 768 one. Memory is that of the first fit in its process. The rows are sums of "
        "one of 300 centres of each of three levels and noise (generate.py)."
    )
    return section
