"""Colours and names of the first codes on the map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

N_COLOURS = 10  # in page.css and charts.js
_NAMED = 24  # first codes whose number stands on the map
_APART = 0.09  # of the map's half width, between two such numbers


def _centres(
    first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Return the first codes, that of most rows first, and the mean place of each."""
    found, group, sizes = np.unique(first, return_inverse=True, return_counts=True)
    sums = [np.bincount(group, places[:, axis], len(found)) for axis in (0, 1)]
    means = np.column_stack(sums) / sizes[:, None]
    order = np.argsort(-sizes, kind="stable")
    return found[order], means[order]


def colours(first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the colour number of each code from 0 to the largest, so that codes of one colour are far apart."""
    codes, centres = _centres(first, places)
    of = np.zeros(int(first.max()) + 1, np.int64)
    nearest = np.full((N_COLOURS, len(codes)), np.inf)  # of the centres that have a colour, to each centre
    for i, code in enumerate(codes):
        colour = int(nearest[:, i].argmax())
        of[code] = colour
        np.minimum(nearest[colour], ((centres - centres[i]) ** 2).sum(axis=1), out=nearest[colour])
    return of


def name_places(first: npt.NDArray[np.int32], places: npt.NDArray[np.float32]) -> list[list[float]]:
    """Return code, x and y of the codes to name on the map: the largest, as far as their names do not overlap."""
    codes, centres = _centres(first, places)
    named: list[int] = []
    for i in range(len(codes)):
        if len(named) == _NAMED:
            break
        if all((np.abs(centres[i] - centres[j]) > [_APART, _APART / 2]).any() for j in named):
            named.append(i)
    return [[int(codes[i]), round(float(centres[i, 0]), 4), round(float(centres[i, 1]), 4)] for i in named]
