"""The demo's picture: the tree of prefixes, with the digits that live under each.

From left to right one more code is shared: the root holds every image, a node of the second column one
code, a row two codes, a cell three. Drawn in units of one pixel at the width a README shows it.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

WIDTH = 880  # what a README column shows; saved at twice that, for sharp screens
MARGIN = 28
HEADER = 132
ROW = 29  # one prefix of two codes, with its space
TILE = 25  # one example image
GROUP_GAP = 11  # between two first codes
NODE = 52  # the average image of a first code
SHOWN = 4  # example images in a cell

ROOT_X, FIRST_X, SECOND_X, CELLS_X = MARGIN, 158, 276, 392  # left edges of the four columns

PAGE = "#fcfcfb"
INK = "#1d2b3a"
GREY = "#66727f"
LINE = "#c9d1d9"
FRAME = "#e3e6e8"
ODD = "#d4500c"  # an image of another digit than most in its row


def draw(
    images: NDArray[np.float32], labels: NDArray[np.int64], codes: NDArray[np.int32], clusters: Sequence[int]
) -> bytes:
    """Return the picture as PNG bytes; equal input and versions give equal bytes.

    Parameters
    ----------
    images : ndarray of shape (n, 8, 8)
        Ink from 0 (paper) to 16.
    labels : ndarray of shape (n,)
        The digit each image shows.
    codes : ndarray of shape (n, 3)
        The codes of each image.
    clusters : sequence of three ints
        How many codes each level has.
    """
    import matplotlib

    with matplotlib.rc_context({"font.family": "DejaVu Sans", "svg.hashsalt": "semantic-id"}):
        return _draw(images, labels, codes, clusters)


def fingerprint(codes: NDArray[np.int32]) -> str:
    """Return what the PNG's "Source" says: a hash of the codes it shows."""
    return hashlib.sha256(np.ascontiguousarray(codes, "<i4").tobytes()).hexdigest()


def _draw(
    images: NDArray[np.float32], labels: NDArray[np.int64], codes: NDArray[np.int32], clusters: Sequence[int]
) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first_codes = _by_digit(codes, labels)
    group = clusters[1] * ROW
    height = HEADER + len(first_codes) * (group + GROUP_GAP) - GROUP_GAP + MARGIN

    figure = Figure(figsize=(WIDTH / 100, height / 100), dpi=200, facecolor=PAGE)
    FigureCanvasAgg(figure)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(height, 0))
    ax.axis("off")

    _header(ax, clusters, len(images), first_codes[0])

    middle = HEADER + (height - MARGIN - HEADER) / 2
    root_y = middle - NODE / 2
    for n, first in enumerate(first_codes):
        top = HEADER + n * (group + GROUP_GAP)
        under_first = codes[:, 0] == first
        _edge(ax, (ROOT_X + NODE, middle), (FIRST_X - 30, top + group / 2), under_first.sum(), len(images))
        _group(ax, images, labels, codes, clusters, first, top)
    _tile(ax, images.mean(axis=0), ROOT_X, root_y, NODE, INK, frame=GREY)
    _text(ax, ROOT_X + NODE / 2, root_y + NODE + 12, f"{len(images):,}", 10, INK, ha="center", weight="bold")
    _text(ax, ROOT_X + NODE / 2, root_y + NODE + 25, "images", 9, GREY, ha="center")

    out = io.BytesIO()
    # Software would name matplotlib's version. Source tells, by a test, when the picture in docs/ is of other codes.
    figure.savefig(out, format="png", facecolor=PAGE, metadata={"Software": None, "Source": fingerprint(codes)})
    return out.getvalue()


def _group(
    ax: Axes,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    codes: NDArray[np.int32],
    clusters: Sequence[int],
    first: int,
    top: float,
) -> None:
    """Draw one first code: its average image, and a row for each second code."""
    under_first = codes[:, 0] == first
    middle = top + clusters[1] * ROW / 2
    cell = _cell_width(clusters)
    for second in range(clusters[1]):
        under = under_first & (codes[:, 1] == second)
        y = top + second * ROW + (ROW - TILE) / 2
        if not under.any():
            continue
        _edge(ax, (FIRST_X + NODE, middle), (SECOND_X, y + TILE / 2), under.sum(), len(images))
        _tile(ax, images[under].mean(axis=0), SECOND_X, y, TILE, INK, frame=GREY)
        _text(ax, SECOND_X + TILE + 8, y + TILE / 2 - 6, f"{first}-{second}", 10, INK, weight="bold")
        _text(ax, SECOND_X + TILE + 8, y + TILE / 2 + 7, f"{under.sum()} images", 9, GREY)
        usual = np.bincount(labels[under]).argmax()
        for third in range(clusters[2]):
            x = CELLS_X + third * cell
            rows = np.flatnonzero(under & (codes[:, 2] == third))[:SHOWN]
            for i, row in enumerate(rows):
                ink = INK if labels[row] == usual else ODD
                _tile(ax, images[row], x + i * (TILE + 1), y, TILE, ink)
    _tile(ax, images[under_first].mean(axis=0), FIRST_X, middle - NODE / 2, NODE, INK, frame=GREY)
    _text(ax, FIRST_X - 8, middle, str(first), 13, INK, ha="right", weight="bold")


def _header(ax: Axes, clusters: Sequence[int], n: int, first: int) -> None:
    from matplotlib.patches import Rectangle

    _text(ax, MARGIN, 34, "A shared prefix means a similar shape", 19, INK, weight="bold")
    what = f"{n:,} handwritten digits with ids of three codes, made from the pixels alone."
    how = f"Row {first}-0, column 2 holds id {first}-0-2: its first {SHOWN} images are shown."
    _text(ax, MARGIN, 60, f"{what} {how}", 10.5, GREY)
    x: float = MARGIN
    for frame, fill, text in (
        (GREY, "#ffffff", "average of all that share the prefix"),
        (INK, INK, "image of the digit most common in its row"),
        (ODD, ODD, "image of another digit"),
    ):
        ax.add_patch(Rectangle((x, 75), 9, 9, facecolor=fill, edgecolor=frame, linewidth=0.7))
        x = _text(ax, x + 15, 80, text, 10.5, GREY) + 26
    y = HEADER - 18
    for x, text in ((ROOT_X, "all"), (FIRST_X, "first code"), (SECOND_X, "two codes")):
        _text(ax, x, y, text, 10, INK, weight="bold")
    for third in range(clusters[2]):
        text = "third code 0" if third == 0 else str(third)
        _text(ax, CELLS_X + third * _cell_width(clusters), y, text, 10, INK, weight="bold")


def _cell_width(clusters: Sequence[int]) -> float:
    return (WIDTH - MARGIN - CELLS_X + 8) / clusters[2]


def _by_digit(codes: NDArray[np.int32], labels: NDArray[np.int64]) -> list[int]:
    """Order the first codes by the digit most common under them: numbers of clusters mean nothing."""

    def key(first: int) -> tuple[int, int]:
        counts = np.bincount(labels[codes[:, 0] == first], minlength=10)
        return int(counts.argmax()), -int(counts.max())

    return sorted((int(first) for first in np.unique(codes[:, 0])), key=key)


def _edge(ax: Axes, start: tuple[float, float], end: tuple[float, float], count: int, total: int) -> None:
    """Draw a branch, its width growing with the images it leads to."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    bend = (start[0] + end[0]) / 2
    path = Path([start, (bend, start[1]), (bend, end[1]), end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    width = 0.8 + 9 * (count / total) ** 0.75
    ax.add_patch(PathPatch(path, fill=False, edgecolor=LINE, linewidth=width * 0.72, zorder=1, capstyle="butt"))


def _tile(ax: Axes, image: NDArray[np.float32], x: float, y: float, size: float, ink: str, frame: str = FRAME) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    ax.imshow(
        image,
        cmap=LinearSegmentedColormap.from_list("ink", ["#ffffff", ink]),
        vmin=0,
        vmax=16,
        extent=(x, x + size, y + size, y),
        interpolation="nearest",
        aspect="auto",
        zorder=2,
    )
    ax.add_patch(Rectangle((x, y), size, size, fill=False, edgecolor=frame, linewidth=0.7, zorder=3))


def _text(
    ax: Axes,
    x: float,
    y: float,
    text: str,
    size: float,
    colour: str,
    ha: str = "left",
    weight: str = "normal",
) -> float:
    """Write `text` of `size` pixels at the height y of its middle, and return where it ends."""
    written = ax.text(x, y, text, fontsize=size * 0.72, color=colour, ha=ha, va="center", weight=weight, zorder=4)
    return float(ax.transData.inverted().transform(written.get_window_extent().max)[0])
