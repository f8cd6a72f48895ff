"""Fit: how long until which error, beside every program that learns such codes."""

from __future__ import annotations

from statistics import mean, median

import picture
from bench import CLUSTERS, DIM, INDUSTRIAL, LEVELS, NAMES, PACKAGES, RESULTS, Bench, Fits, race, spread
from peers import MissingError
from report import Section, Target, not_measured

OURS_ITERATIONS = (1, 2, 3, 5, 8, 12, 25, 50, 100)
PEER_ITERATIONS = (5, 10, 50)  # and 25
PEERS = ("faiss-kmeans", "sklearn", "superkmeans")
ERROR = (
    "Error: mean squared difference per element, in float64, between the rows and their decoded codes, each program "
    "encoding and decoding for itself."
)


def fit(bench: Bench) -> list[Section]:
    """Fits of the two data sets."""
    sections: list[Section] = []
    for name, measure in (("large", _large), ("small", _small)):
        try:
            sections += measure(bench)
        except MissingError as error:
            sections.append(not_measured(f"fit, {name} data", error))
    return sections


def _large(bench: Bench) -> list[Section]:
    """One race of all programs, each with several numbers of iterations."""
    picture.check()
    data, rows = bench.data(PACKAGES)
    few, some, all_ = bench.rounds(1, 1), bench.rounds(3, 1), bench.rounds(5)
    ours = [Fits("ours", all_, {"n_init": 1, "max_iter": m}) for m in OURS_ITERATIONS]
    ends = {p: Fits(p, all_, {"iterations": 25}) for p in PEERS}
    curves = {p: [Fits(p, few, {"iterations": m}) for m in PEER_ITERATIONS] + [ends[p]] for p in PEERS}
    curves["faiss-progressive"] = [Fits("faiss-progressive", few, {"iterations": m}) for m in (2, 5, 10)]
    curves["superkmeans-hierarchical"] = [
        Fits("superkmeans-hierarchical", few, {"iterations": m}) for m in (0, 5, 10, 25)
    ]
    others = {"0.2.5": Fits("0.2.5", some, {"n_init": 1}), "faiss-rq": Fits("faiss-rq", some)}
    peers = [f for curve in curves.values() for f in curve]
    used = race(bench, data, rows, [*ours, *peers, *others.values()])
    return [_time_to_error(bench, rows, ours, ends, curves, others, used), _one_start(rows, ours[-1], ends, others)]


def _time_to_error(
    bench: Bench,
    rows: int,
    ours: list[Fits],
    ends: dict[str, Fits],
    curves: dict[str, list[Fits]],
    others: dict[str, Fits],
    used: str,
) -> Section:
    section = Section(
        f"Time to an error: fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}",
        ["program", "iterations a level", "median", "range", "mean error", "ours to that error", "times ours"],
    )
    peers = [f for curve in curves.values() for f in curve]
    reached = {}
    for f in [*(ends[p] for p in PEERS), *curves["faiss-progressive"], *curves["superkmeans-hierarchical"]]:
        first = _first(ours, mean(f.errors))
        cells = ["none does", ""]
        if first:
            cells = [f"{median(first.seconds):.2f} s, max_iter={first.settings['max_iter']}", f"{f.times(first):.2f}"]
            reached[id(f)] = f.times(first)
        section.rows.append(
            [NAMES[f.program], str(f.settings["iterations"]), *spread(f.seconds), f"{mean(f.errors):.4e}", *cells]
        )
    lowest = min(ends.values(), key=lambda f: mean(f.errors))
    first, best = _first(ours, mean(lowest.errors)), _first(peers, mean(lowest.errors))
    section.notes.append(
        f"{ERROR} Of each program complete fits of all three levels are made with several numbers of iterations, on "
        f"all rows, ours with n_init=1; 25 iterations and ours with {bench.rounds(5)} seeds, the others with "
        f"{bench.rounds(1, 1)}. Ours to an error is the quickest fit of ours that ends, in the mean over the seeds, no "
        "higher. superkmeans ends early by its own rule. In the hierarchical one iterations are those after its "
        "hierarchical start, in the progressive one those in each of six subspaces."
    )
    if first and best:
        section.notes.append(
            f"To the lowest error of the first three, {mean(lowest.errors):.4e}, the quickest fit of any other program "
            f"is {NAMES[best.program]} with {best.settings['iterations']} iterations, {median(best.seconds):.2f} s: "
            f"{best.times(first):.2f} times ours."
        )
    section.notes.append(used)
    for f in peers:
        first = _first(ours, mean(f.errors))
        if first is None or median(first.seconds) > median(f.seconds):
            there = f"ours needs {median(first.seconds):.2f} s" if first else "no fit of ours does"
            section.losses.append(
                f"Fit: {NAMES[f.program]} with {f.settings['iterations']} iterations gets to an error of "
                f"{mean(f.errors):.4e} in {median(f.seconds):.2f} s; {there}."
            )
    value = min(reached.get(id(f), 0.0) for f in ends.values())
    section.targets = [Target("fit: to the error of 25 Lloyd iterations, the best other, times ours", value, 2.5, True)]
    section.picture = RESULTS / "error-time.svg"
    section.alt = "Decode error against fit time: one curve for each program"
    points = {"0.2.5, n_init=1": others["0.2.5"], "faiss-rq": others["faiss-rq"]}
    picture.error_against_time(
        section.picture,
        {p: [(median(f.seconds), mean(f.errors)) for f in fits] for p, fits in ({"ours": ours} | curves).items()},
        {p: (median(f.seconds), mean(f.errors)) for p, f in points.items()},
    )
    return section


def _first(fits: list[Fits], error: float) -> Fits | None:
    """Return the quickest of the fits that end no higher than `error`."""
    return min((f for f in fits if mean(f.errors) <= error), key=lambda f: median(f.seconds), default=None)


def _one_start(rows: int, ours: Fits, ends: dict[str, Fits], others: dict[str, Fits]) -> Section:
    section = Section(
        f"Fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, n_init=1",
        ["program", "seeds", "median", "range", "times ours", "mean error", "error / 0.2.5's"],
    )
    theirs = others["0.2.5"]
    for f in [ours, theirs, others["faiss-rq"], *ends.values()]:
        section.rows.append(_row(f, ours, theirs, NAMES[f.program]))
    section.notes.append(
        f"Out of the same turns as the table above. Both RQKMeans run to their tolerance (tol=1e-4, max_iter=100); "
        f"{', '.join(NAMES[p] for p in PEERS)}: 25 iterations; faiss.ResidualQuantizer: its default. Times and errors "
        "over another's are over the seeds that both have."
    )
    section.targets = [
        Target("fit, n_init=1: semantic-id 0.2.5, times ours", theirs.times(ours), 20, True),
        Target("fit, n_init=1: mean decode error over 0.2.5's", ours.error_over(theirs), 1.002, False),
    ]
    return section


def _row(f: Fits, ours: Fits, theirs: Fits, name: str) -> list[str]:
    return [
        name, str(len(f.seconds)), *spread(f.seconds), f"{f.times(ours):.2f}", f"{mean(f.errors):.4e}",
        f"{f.error_over(theirs):.4f}",
    ]  # fmt: skip


def _small(bench: Bench) -> list[Section]:
    data, rows = bench.data(INDUSTRIAL)
    n = bench.rounds(5, 1)
    ours, theirs = Fits("ours", n), Fits("0.2.5", n, {"n_init": 2} if bench.quick else {})
    fits = {
        f"{NAMES['ours']}, default": ours,
        f"{NAMES['0.2.5']}, default": theirs,
        f"{NAMES['ours']}, n_init=1": Fits("ours", n, {"n_init": 1}),
        f"{NAMES['0.2.5']}, n_init=1": Fits("0.2.5", n, {"n_init": 1}),
        NAMES["faiss-rq"]: Fits("faiss-rq", n),
    } | {f"{NAMES[p]}, 25 iterations": Fits(p, n, {"iterations": 25}) for p in PEERS}
    used = race(bench, data, rows, list(fits.values()))
    section = Section(
        f"Fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}",
        ["program", "seeds", "median", "range", "times ours", "mean error", "error / 0.2.5's"],
    )
    section.rows = [_row(f, ours, theirs, name) for name, f in fits.items()]
    section.notes.append(f"{used} Ratios are to the defaults.")
    best = min(fits[f"{NAMES['ours']}, n_init=1"], ours, key=lambda f: median(f.seconds))
    section.losses = [
        f"Small data: {name} takes {median(f.seconds):.2f} s, our quickest setting {median(best.seconds):.2f} s; its "
        f"error is {100 * f.error_over(best) - 100:+.1f} % of ours."
        for name, f in fits.items()
        if f.program != "ours" and median(f.seconds) < median(best.seconds)
    ]
    section.targets = [
        Target(f"fit, defaults, {rows:,} rows: semantic-id 0.2.5, times ours", theirs.times(ours), 50, True),
        Target(f"fit, defaults, {rows:,} rows: mean decode error over 0.2.5's", ours.error_over(theirs), 1.005, False),
    ]
    return [section]


def restarts(bench: Bench) -> Section:
    """Defaults against defaults on the large data: 0.2.5 makes ten restarts a level, which takes nine minutes."""
    data, rows = bench.data(PACKAGES)
    ours, theirs = Fits("ours", bench.rounds(5)), Fits("0.2.5", 1, {"n_init": 2} if bench.quick else {})
    used = race(bench, data, rows, [ours, theirs])
    section = Section(
        f"Fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, the default settings of both",
        ["program", "seeds", "median", "range", "times ours", "mean error", "error / 0.2.5's"],
    )
    section.rows = [_row(f, ours, theirs, NAMES[f.program]) for f in (ours, theirs)]
    section.notes.append(f"{used} 0.2.5 makes ten restarts a level. Errors are means over the seeds made.")
    error = mean(ours.errors) / mean(theirs.errors)
    section.rows[0][-1] = f"{error:.4f}"
    what = f"fit, defaults, {rows:,} rows"
    section.targets = [
        Target(f"{what}: semantic-id 0.2.5, times ours",
               theirs.seconds[0] / median(ours.seconds), 100, True),
        Target(f"{what}: mean decode error over 0.2.5's", error, 1.005, False),
    ]  # fmt: skip
    section.rows[1][4] = f"{theirs.seconds[0] / median(ours.seconds):.2f}"
    return section
