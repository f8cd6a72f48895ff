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

    Of codebooks the same as Model.Fingerprint in core/rqkmeans, SHA-256 of the metric and the codebooks; of an RQVAE
    that of its weights.
    """
    books, metric = getattr(model, "codebooks_", None), getattr(model, "metric", None)
    weights = getattr(model, "_weights", None)  # replaced as a whole, never changed
    made_of: list[Any]
    if isinstance(model, Estimator) and isinstance(weights, dict):
        head, arrays, made_of = "weights", weights, [weights]
        frozen = True
    elif isinstance(books, list) and isinstance(metric, str):
        head, arrays, made_of = f"metric={metric}", dict(enumerate(books)), [metric, *books]
        frozen = isinstance(model, Estimator) and not any(book.flags.writeable for book in books)
    else:
        return ""
    if frozen:
        known = _known.get(model)
        if known is not None and list(map(id, known[0])) == list(map(id, made_of)):
            return known[1]
    digest = hashlib.sha256(f"{head}\n".encode())
    for name, value in arrays.items():
        array = np.ascontiguousarray(value, "<f4")
        label = [] if arrays is not weights else [str(name)]
        digest.update((" ".join([*label, *map(str, array.shape)]) + "\n").encode())
        digest.update(array.tobytes())
    if frozen:
        _known[model] = (made_of, digest.hexdigest())
    return digest.hexdigest()


_known: WeakKeyDictionary[Any, tuple[list[Any], str]] = WeakKeyDictionary()  # what each is of, alive, so that ids stay


def warn_of_another_model(version: str) -> None:
    """Say that new items got ids by another model than the others of their version."""
    of = f"of version {version!r}" if version else "in the store"
    warnings.warn(
        f"new items got ids by another model than the items {of}: codes of the two do not mean the same. "
        'To keep the ids of a new model apart, give them a version: SemanticIdEngine(..., version="2")',
        ModelChangedWarning,
        stacklevel=4,
    )
