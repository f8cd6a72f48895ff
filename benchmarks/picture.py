"""The plot of decode error against fit time."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from peers import MissingError

Point = tuple[float, float]  # seconds, mean squared error per element

# Colours of Okabe and Ito (2008), told apart with any colour vision; markers tell them apart without colour.
_STYLE = {
    "ours": ("#D55E00", "o", "semantic-id, this one"),
    "faiss-kmeans": ("#0072B2", "s", "faiss.Kmeans"),
    "faiss-progressive": ("#56B4E9", "D", "faiss.Kmeans,\nprogressive"),
    "sklearn": ("#009E73", "^", "scikit-learn\nLloyd"),
    "superkmeans": ("#CC79A7", "v", "superkmeans"),
    "superkmeans-hierarchical": ("#7F3C8D", "P", "superkmeans,\nhierarchical"),
    "faiss-rq": ("#0072B2", "X", "faiss.ResidualQuantizer"),
    "0.2.5, n_init=1": ("#444444", "*", "semantic-id 0.2.5,\nn_init=1"),
}


def check() -> None:
    """Raise `MissingError` where nothing can be drawn: ask before measuring for minutes."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingError("matplotlib, which draws the plot, is not installed")


def error_against_time(path: Path, curves: Mapping[str, Sequence[Point]], points: Mapping[str, Point]) -> None:
    """Draw a curve for each program over its numbers of iterations, and single points, into `path`."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "semantic-id"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.4, 5))
    axes.set_xscale("log")
    for name, curve in curves.items():
        colour, marker, _ = _STYLE[name]
        seconds, errors = zip(*sorted(curve), strict=True)
        axes.plot(seconds, errors, marker + "-", color=colour, zorder=3 if name == "ours" else 2,
                  linewidth=2.4 if name == "ours" else 1.3, markersize=7 if name == "ours" else 5.5)  # fmt: skip
    for name, (seconds, error) in points.items():
        colour, marker, label = _STYLE[name]
        axes.plot(seconds, error, marker, color=colour, markersize=10)
        axes.annotate(label, (seconds, error), (0, -9), textcoords="offset points", color=colour, fontsize=9,
                      ha="center", va="top")  # fmt: skip
    ends = {name: max(curve) for name, curve in curves.items()}
    low, high = 0.994 * min(e for _, e in ends.values()), 1.035 * max(e for _, e in ends.values())
    gap = 0.035 * (high - low)
    placed = [(x, y - down) for x, y in points.values() for down in (0.0, gap)]  # each has a label below it
    for name, (seconds, error) in sorted(ends.items(), key=lambda end: -end[1][1]):
        y = error
        others = [at for other, curve in curves.items() if other != name for at in _along(sorted(curve))]
        while any(1 / 4 < x / seconds < 4 and abs(y - above) < gap for x, above in placed) or any(
            1.05 < x / seconds < 2.5 and abs(y - above) < gap / 2 for x, above in others
        ):
            y -= gap / 4  # labels that would lie upon others, or on curves, go below them
        placed.append((seconds, y))
        axes.text(1.1 * seconds, y, _STYLE[name][2].replace("\n", " "), color=_STYLE[name][0], fontsize=9, va="center",
                  fontweight="bold" if name == "ours" else "normal")  # fmt: skip
    axes.set_ylim(low, high)
    times = [s for curve in curves.values() for s, _ in curve] + [s for s, _ in points.values()]
    axes.set_xlim(0.8 * min(times), 2.2 * max(times))
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda s, _: f"{s:g} s"))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda e, _: f"{1e3 * e:.3f}"))
    axes.set_xlabel("time of the fit, median over the seeds")
    axes.set_ylabel("decode error, mean squared per element, times 1000")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _along(curve: Sequence[Point]) -> list[Point]:
    """Return points all along a curve, as it is drawn."""
    steps = [i / 50 for i in range(51)]
    return [(a * (c / a) ** t, b + (d - b) * t) for (a, b), (c, d) in pairwise(curve) for t in steps]
