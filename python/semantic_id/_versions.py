"""Versions: names that set the ids of one model apart from those of the next."""

from __future__ import annotations

import hashlib
import re
import warnings
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ._estimator import Estimator
from .exceptions import ModelChangedWarning


def check_version(version: str) -> str:
    """Return `version` if it can be one."""
    if not isinstance(version, str):
        raise TypeError(f"version={version!r}: want a string")
    if not re.fullmatch(r"[A-Za-z0-9._]*", version):
        raise ValueError(f"version={version!r}: want letters, digits, points and underscores, or nothing")
    return version


def under(version: str, ids: list[str], token: bool) -> list[str]:
    """Put the version before ids, as a token or with a colon; the ids of no version stay as they are."""
    if not version:
        return ids
    before = f"<{version}>" if token else f"{version}:"
    return [before + text for text in ids]


def fingerprint(model: Any) -> str:
    """Return a text that differs for models which give other codes, "" for models we know too little of.

    The same as Model.Fingerprint in core/rqkmeans: SHA-256 of the metric and the codebooks.
    """
    books, metric = getattr(model, "codebooks_", None), getattr(model, "metric", None)
    if not isinstance(books, list) or not isinstance(metric, str):
        return ""
    frozen = isinstance(model, Estimator) and not any(book.flags.writeable for book in books)
    if frozen:
        known = _known.get(model)
        if known is not None and known[0] == [metric, *map(id, books)]:
            return known[2]
    digest = hashlib.sha256(f"metric={metric}\n".encode())
    for book in books:
        array = np.ascontiguousarray(book, "<f4")
        digest.update(f"{array.shape[0]} {array.shape[1]}\n".encode())
        digest.update(array.data)
    if frozen:
        _known[model] = ([metric, *map(id, books)], list(books), digest.hexdigest())  # alive, so that ids stay theirs
    return digest.hexdigest()


_known: WeakKeyDictionary[Any, tuple[list[Any], list[Any], str]] = WeakKeyDictionary()


def warn_of_another_model(version: str) -> None:
    """Say that new items got ids by another model than the others of their version."""
    of = f"of version {version!r}" if version else "in the store"
    warnings.warn(
        f"new items got ids by another model than the items {of}: codes of the two do not mean the same. "
        'To keep the ids of a new model apart, give them a version: SemanticIdEngine(..., version="2")',
        ModelChangedWarning,
        stacklevel=4,
    )
