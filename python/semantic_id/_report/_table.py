"""The items that a report shows, in the order of their ids, so that every prefix is a range of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import CodeMatrix

Rows = npt.NDArray[np.int64]

_LENGTHS = (200, 120, 80, 60, 40, 24)  # to which texts are cut until all of them are small enough
_LARGEST = (1, 2, 3, 4, 9, 19, 49, 99, 999)  # the last size of each bar but the last one


class Bucket(NamedTuple):
    """Items that share an id: some of their row numbers, and how many there are."""

    rows: Rows
    size: int


class Bar(NamedTuple):
    """How many ids there are of some bucket sizes, and how many items have them."""

    sizes: str
    ids: int
    items: int


@dataclass
class Prefixes:
    """All prefixes of all items.

    Attributes
    ----------
    order : ndarray of shape (n,)
        Row numbers in the order of the ids.
    groups : list of ndarray of shape (n,)
        For prefixes of 1, 2, ... codes, which one each of these rows has, from 0.
    """

    order: Rows
    groups: list[Rows]

    @classmethod
    def of(cls, codes: CodeMatrix) -> Prefixes:
        order = np.lexsort(codes.T[::-1])
        begins = np.zeros(len(codes), bool)
        groups = []
        for column in codes.T:
            ordered = column[order]
            begins[1:] |= ordered[1:] != ordered[:-1]
            groups.append(np.cumsum(begins))
        return cls(order, groups)

    def shown(self, most: int) -> tuple[Rows, list[Rows]]:
        """Return at most `most` rows, spread evenly over the ids, and the number of all items under their prefixes.

        The second is a list for prefixes of 1, 2, ... codes, of those of the rows, in order.
        """
        n = len(self.order)
        places = np.arange(n) if n <= most else (2 * np.arange(most) + 1) * n // (2 * most)
        counts = [np.bincount(group)[np.unique(group[places])] for group in self.groups]
        return self.order[places], counts

    def sizes(self) -> list[Bar]:
        """Return how many items share an id, and how often."""
        sizes = np.bincount(self.groups[-1])
        bars = []
        low = 1
        for high in [*_LARGEST, None]:
            within = sizes[(sizes >= low) & (sizes <= (high or sizes.max()))]
            text = str(low) if low == high else f"{low} to {high}" if high else f"{low:,} and more"
            bars.append(Bar(text, len(within), int(within.sum())))
            low = (high or 0) + 1
        while not bars[-1].ids:
            bars.pop()
        return bars

    def largest_buckets(self, buckets: int, items: int) -> tuple[list[Bucket], int]:
        """Return the largest buckets of at least two items, with at most `items` of each, and how many there are."""
        sizes = np.bincount(self.groups[-1])
        starts = np.cumsum(sizes) - sizes
        shared = np.flatnonzero(sizes > 1)
        first = shared[np.argsort(-sizes[shared], kind="stable")[:buckets]]
        found = [Bucket(self.order[starts[i] : starts[i] + min(items, sizes[i])], int(sizes[i])) for i in first]
        return found, len(shared)


def cut(texts: Sequence[str], most: int, size: Callable[[Sequence[str]], int]) -> tuple[list[str], bool]:
    """Return texts cut to one length, at which `size` says at most `most` if it can, and whether any was cut."""
    for length in _LENGTHS:
        short = [text if len(text) <= length else text[: length - 1] + "…" for text in texts]
        if size(short) <= most:
            break
    return short, any(a is not b for a, b in zip(texts, short, strict=True))
