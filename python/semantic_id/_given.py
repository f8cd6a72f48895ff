"""What is known of items, codes or ids, names, labels and places, read in one way and checked."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _id_parts
from ._arrays import CodeMatrix, as_codes
from ._foreign import as_ndarray
from .exceptions import CodeError, ShapeMismatchError

Parts = list[dict[int, str] | None]


class Coded(NamedTuple):
    """Codes, and what came with them.

    Attributes
    ----------
    codes : ndarray of shape (n_samples, n_levels), dtype int32
        None of them negative.
    parts : list
        For each level how its codes are written, where that is not as numbers.
    encoder : object or None
        What made the codes.
    items : object or None
        What the items are called, not yet checked.
    """

    codes: CodeMatrix
    parts: Parts
    encoder: Any
    items: Any


def read_codes(X: Any, codes: Any, items: Any, sep: str, encoder: Any = None) -> Coded:
    """Read codes, ids, a mapping of items to ids, or a fitted model or an engine, which encodes `X`."""
    if isinstance(codes, (str, bytes, os.PathLike)):
        raise TypeError(f"codes is {codes!r:.60}: want codes, a sequence of ids, or a model")
    maker = codes if hasattr(codes, "encode") else getattr(codes, "encoder", None)
    if maker is not None:
        encoder = maker if encoder is None else encoder
        codes = maker.encode(X)
    elif isinstance(codes, Mapping):
        items = list(codes) if items is None else items
        codes = list(codes.values())
    return Coded(*_numbered(codes, sep), encoder, items)


def _numbered(codes: Any, sep: str) -> tuple[CodeMatrix, Parts]:
    if hasattr(codes, "__len__") and not len(codes):
        raise ShapeMismatchError("codes are of no item: want at least one sample")
    if not _are_texts(codes):
        c = as_codes(codes)
        if c.size and c.min() < 0:
            row, level = (int(i[0]) for i in (c < 0).nonzero())
            raise CodeError(f"codes[{row}, {level}] is {c[row, level]}: want codes >= 0")
        return c, [None] * c.shape[1]
    ids = [_id_parts.split_id(value, sep, f"codes[{i}]") for i, value in enumerate(codes)]
    c = _id_parts.as_codes(ids, "codes")
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


def one_each(what: str, values: Any, rows: int) -> list[Any]:
    """Return a list of a value for each row."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} is {values!r:.40}: want a sequence of {rows}, one for each row")
    listed: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(listed) != rows:
        raise ShapeMismatchError(f"{len(listed)} {what} for {rows} rows: want one for each")
    return listed


def is_missing(value: Any) -> bool:
    """Tell None, NaN, NaT and pandas' NA from values."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas', which compare with nothing
        return True
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def label_numbers(labels: Any, rows: int) -> npt.NDArray[np.int32]:
    """Number the labels from 0 on, as they come; those that are missing get -1."""
    numbers: dict[Any, int] = {}
    out = np.empty(rows, np.int32)
    for i, value in enumerate(one_each("labels", labels, rows)):
        if isinstance(value, (list, dict, set, np.ndarray)):
            raise ValueError(f"label {value!r} at row {i}: want one label a row, of a type that can be a dict's key")
        out[i] = -1 if is_missing(value) else numbers.setdefault(value, len(numbers))
    return out


def as_places(coordinates: Any, rows: int) -> npt.NDArray[np.float64]:
    """Return two coordinates for each row, float64 as differences of large ones count, of the range of float32."""
    array = np.asarray(as_ndarray(coordinates))
    if array.shape != (rows, 2):
        raise ShapeMismatchError(f"coordinates of shape {array.shape}: want {(rows, 2)}, two for each row")
    try:
        places = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"coordinates are not all numbers: {error}") from None
    bad = ~(np.abs(places) <= np.finfo(np.float32).max).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"coordinates of row {row} are {places[row].tolist()}: want finite numbers, at most 3.4e38")
    return places
