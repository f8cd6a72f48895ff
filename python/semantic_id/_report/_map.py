"""Colours and names of the first codes on the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

N_COLOURS = 10  # in page.css and charts.js
_CHOSEN = 1000  # first codes, those of most rows, whose colour is chosen; the others take turns
_NAMED = 60  # first codes whose number may stand on the map


def _centres(
    first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the first codes, that of most rows first, and the mean place of each."""
    found, group, sizes = np.unique(first, return_inverse=True, return_counts=True)
    sums = [np.bincount(group, places[:, axis], len(found)) for axis in (0, 1)]
    means = np.column_stack(sums) / sizes[:, None]
    order = np.argsort(-sizes, kind="stable")
    return found[order], means[order]


def colours(first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """Return the codes and a colour number for each, so that codes of one colour are far apart."""
    codes, centres = _centres(first, places)
    of = np.arange(len(codes)) % N_COLOURS
    centres = centres[:_CHOSEN]
    nearest = np.full((N_COLOURS, len(centres)), np.inf)  # of the centres that have a colour, to each centre
    for i, centre in enumerate(centres):
        of[i] = nearest[:, i].argmax()
        np.minimum(nearest[of[i]], ((centres - centre) ** 2).sum(axis=1), out=nearest[of[i]])
    return list(zip(codes.tolist(), of.tolist(), strict=True))


def name_places(first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]) -> list[list[float]]:
    """Return code, x and y of those codes that most rows have, in order; the page names those that have room."""
    codes, centres = _centres(first, places)
    return [
        [code, round(x, 4), round(y, 4)]
        for code, (x, y) in zip(codes[:_NAMED].tolist(), centres.tolist(), strict=False)
    ]
