"""The arguments of a report, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .._arrays import CodeMatrix
from .._arrays import as_codes as as_matrix
from .._foreign import as_ndarray
from .._id_parts import as_codes, split_id
from ..exceptions import ShapeMismatchError
from ..utils.metrics import _is_missing, _label_numbers

Parts = list[dict[int, str] | None]


class Labels(NamedTuple):
    """The label of each row as a number, -1 where it is missing, and the names of the numbers."""

    numbers: npt.NDArray[np.int32]
    names: list[str]


def read_codes(codes: Any, sep: str) -> tuple[CodeMatrix, Parts]:
    """Return codes, and for each level how its codes are written, where that is not as numbers."""
    if not _are_texts(codes):
        c = as_matrix(codes)
        if c.size and c.min() < 0:
            row, level = (int(i[0]) for i in (c < 0).nonzero())
            raise ValueError(f"codes[{row}, {level}] is {c[row, level]}: want codes >= 0")
        return c, [None] * c.shape[1]
    ids = [split_id(value, sep, f"codes[{i}]") for i, value in enumerate(codes)]
    c = as_codes(ids, "codes")
    parts: Parts = []
    for level, column in enumerate(c.T.tolist()):
        written = {code: text[level] for code, text in zip(column, ids, strict=True)}
        parts.append(None if all(str(code) == text for code, text in written.items()) else written)
    return c, parts


def _are_texts(codes: Any) -> bool:
    """Tell ids as strings, or as sequences of tokens, from codes."""
    if hasattr(codes, "columns") or not hasattr(codes, "__iter__"):
        return False
    first = next(iter(codes), None)
    if isinstance(first, (Sequence, np.ndarray)) and not isinstance(first, str) and len(first):
        first = first[0]
    return isinstance(first, str)


def as_names(what: str, values: Any, rows: int) -> list[str]:
    """Return one line of text for each row; what is missing is empty."""
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{what} is {values!r:.40}: want one for each row of X")
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(listed) != rows:
        raise ShapeMismatchError(f"{len(listed)} {what} for {rows} rows of X: want one for each")
    return [_line(value) for value in listed]


def as_labels(labels: Any, rows: int) -> Labels:
    """Number the labels, and name the numbers."""
    numbers = _label_numbers(labels, rows)
    names = as_names("labels", labels, rows)
    known = dict(zip(numbers.tolist(), names, strict=True))
    return Labels(numbers, [known[i] or "(empty)" for i in range(int(numbers.max(initial=-1)) + 1)])


def as_places(coordinates: Any, rows: int) -> npt.NDArray[np.float64]:
    """Return coordinates for each row."""
    array = np.asarray(as_ndarray(coordinates), np.float64)
    if array.shape != (rows, 2):
        raise ShapeMismatchError(f"coordinates of shape {array.shape}: want {(rows, 2)}, two for each row of X")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"coordinates of row {row} are {array[row].tolist()}: want finite numbers")
    return array


def _line(value: Any) -> str:
    if _is_missing(value):
        return ""
    text = " ".join(str(value).split())
    return text.encode("utf-8", "replace").decode("utf-8")  # half of a pair of surrogates is in no file
