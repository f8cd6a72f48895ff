"""Names and labels of items, each on a line."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._given import is_missing, label_numbers, one_each


class Labels(NamedTuple):
    """The label of each row as a number, -1 where it is missing, and the names of the numbers."""

    numbers: npt.NDArray[np.int32]
    names: list[str]


def as_lines(what: str, values: Any, rows: int) -> list[str]:
    """Return one line of text for each row; what is missing is empty."""
    return [_line(value) for value in one_each(what, values, rows)]


def as_labels(labels: Any, rows: int) -> Labels:
    """Number the labels, and name the numbers."""
    numbers = label_numbers(labels, rows)
    known = dict(zip(numbers.tolist(), as_lines("labels", labels, rows), strict=True))
    return Labels(numbers, [known[i] or "(empty)" for i in range(int(numbers.max(initial=-1)) + 1)])


def _line(value: Any) -> str:
    if is_missing(value):
        return ""
    text = " ".join(str(value).split())
    return text.encode("utf-8", "replace").decode("utf-8")  # half of a pair of surrogates is in no file
