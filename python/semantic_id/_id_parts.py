"""Ids of any form, as their parts: the codes or tokens that they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ._arrays import CodeMatrix
from .exceptions import ShapeMismatchError

_TOKENS = re.compile(r"(?:<[^<>]*>)+")
_TOKEN = re.compile(r"<[^<>]*>")
_OF_LEVEL = re.compile(r"<([a-z])_([0-9]+)>")
_LARGEST_CODE = 1 << 20  # beyond it a number is a name, and not one of a codebook


def as_map(ids: Any, sep: str, what: str) -> dict[Any, tuple[str, ...]]:
    """Return the parts of each item's id."""
    if isinstance(ids, Mapping):
        return {item: split_id(value, sep, f"{what}[{item!r}]") for item, value in ids.items()}
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ValueError(f"{what} is {ids!r:.40}: want a mapping of item to id, or a sequence of ids")
    values = ids.tolist() if hasattr(ids, "tolist") else ids
    return {i: split_id(value, sep, f"{what}[{i}]") for i, value in enumerate(values)}


def split_id(value: Any, sep: str, what: str) -> tuple[str, ...]:
    """Split an id into codes or tokens. Of "<a_3><b_9>" they are "3" and "9", as of "3-9"."""
    if isinstance(value, str):
        parts = tuple(_TOKEN.findall(value)) if _TOKENS.fullmatch(value) else tuple(value.split(sep) if sep else value)
    elif isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, bytes):
        parts = tuple(map(str, value))
    else:
        raise ValueError(f"{what} is {value!r:.40}: want an id as a string, or as a sequence of codes or tokens")
    if not parts or "" in parts:
        raise ValueError(f"{what} is {value!r:.40}: want an id of at least one code, none of them empty")
    found = [_OF_LEVEL.fullmatch(part) for part in parts]
    if all(match and match[1] == chr(ord("a") + level % 26) for level, match in enumerate(found)):
        return tuple(match[2] for match in found if match)
    return parts


def numbered(ids: list[tuple[str, ...]], width: int, numbers: dict[str, int]) -> CodeMatrix:
    """Number the parts of ids, as they come; ids of fewer than `width` parts end in -1."""
    rows = [[numbers.setdefault(part, len(numbers)) for part in parts] + [-1] * (width - len(parts)) for parts in ids]
    return np.array(rows, np.int32)


def as_codes(ids: list[tuple[str, ...]], what: str) -> CodeMatrix:
    """Return parts of ids of one length that are numbers as these, and numbers for other parts, level by level."""
    width = len(ids[0])
    for i, parts in enumerate(ids):
        if len(parts) != width:
            raise ShapeMismatchError(
                f"{what} has an id of {len(parts)} codes for item {i}, the first has {width}: measure the codes "
                "before suffixes make them unique, or pad them"
            )
    columns = []
    for level in range(width):
        column = [ids[i][level] for i in range(len(ids))]
        codes = [int(part) for part in column if part.isascii() and part.isdigit() and len(part) < 8]
        if len(codes) < len(column) or max(codes) > _LARGEST_CODE:
            numbers: dict[str, int] = {}
            codes = [numbers.setdefault(part, len(numbers)) for part in column]
        columns.append(codes)
    return np.ascontiguousarray(np.array(columns, np.int32).T)
