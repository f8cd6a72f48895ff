"""How items get other codes: a mover proposes codes, and the store takes them all, or says which are held.

Codes are proposed without the store being locked. They are handed out in one transaction, which fails if one of them
has too many holders by then; what is near those is then asked for, and other codes are proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import _native_stores as _stores
from .._arrays import CodeMatrix, FloatMatrix, as_codes
from .._native_resolve import Moved, Problem
from .._versions import fingerprint, under
from ..core import BaseSemanticEncoder, _validate_embeddings, codes_to_ids
from ..exceptions import CodeError, SemanticIdError, ShapeMismatchError, StoreLockedError

_TRIES = 100


class Resolved(NamedTuple):
    """What became of a batch.

    Attributes
    ----------
    ids : list of str
        The unique ids.
    codes : ndarray of shape (n_samples, n_levels), dtype int32
        The codes that the ids are made of, before any suffix. An item that the store knew has its id of then, and here
        the codes it came with.
    moved : ndarray of shape (n_moved,), dtype int64
        The rows whose code is another than the one they came with, ascending.
    added_error : ndarray of shape (n_moved,), dtype float64
        For each of them by how much the squared distance between the embedding and what its code stands for has grown;
        negative if it has shrunk. With an RQVAE the distance is that of latents.
    known : ndarray of shape (n_samples,), dtype bool
        Whether the store knew the item.
    exact : bool
        False if the resolver could not prove that no other choice adds less, and should have.
    """

    ids: list[str]
    codes: CodeMatrix
    moved: npt.NDArray[np.int64]
    added_error: npt.NDArray[np.float64]
    known: npt.NDArray[np.bool_]
    exact: bool


class Names(NamedTuple):
    """How codes are written as ids."""

    sep: str
    fmt: str
    formatter: Callable[[npt.NDArray[Any]], str] | None
    version: str

    def write(self, model: Any, codes: CodeMatrix) -> list[str]:
        by = getattr(model, "semantic_id", codes_to_ids)
        ids = list(by(codes, sep=self.sep, fmt=self.fmt, formatter=self.formatter))
        return under(self.version, ids, token=self.fmt == "token" and self.formatter is None)


class Batch(NamedTuple):
    """Items to make unique, as the resolvers' `assign` got them, checked."""

    ids: list[str]
    codes: CodeMatrix
    latents: FloatMatrix
    books: list[FloatMatrix]
    model: Any
    names: Names
    beside: int  # what texts are, by _native_stores
    texts: list[str]

    def write(self, codes: CodeMatrix) -> list[str]:
        return self.names.write(self.model, codes)


class Proposal(NamedTuple):
    """What a resolver makes of new items."""

    moved: Moved
    most: npt.NDArray[np.int64]  # of each item: how many holders its id may have, 0 for any number
    shared: npt.NDArray[np.bool_]  # items whose id is to stay as it is, though others have it


Propose = Callable[[Problem], Proposal]


def read_batch(
    ids: list[str],
    embeddings: Any,
    model: Any,
    codes: Any,
    names: Names,
    beside: int,
    texts: list[str],
) -> Batch:
    """Check that embeddings, codes and ids belong together."""
    n = len(ids)
    space = getattr(model, "residual_space", None)
    x = _validate_embeddings(embeddings)
    if len(x) != n:
        raise ShapeMismatchError(f"{n} semantic ids and {len(x)} embeddings: want one for each")
    latents, books = BaseSemanticEncoder.residual_space(model, x) if space is None else space(x)
    given = codes is not None
    codes = as_codes(codes if given else model.encode(x), len(books))
    if len(codes) != n:
        raise ShapeMismatchError(f"{n} semantic ids and {len(codes)} codes: want one for each")
    sizes = np.array([len(b) for b in books])
    bad = (codes < 0) | (codes >= sizes)
    if bad.any():
        row, level = (int(i[0]) for i in bad.nonzero())
        raise CodeError(
            f"code out of range: {codes[row, level]} at row {row}, level {level}, want 0 to {sizes[level] - 1}"
        )
    for i, (id, own) in enumerate(zip(ids, names.write(model, codes), strict=True)):
        if not isinstance(id, str):
            raise TypeError(f"semantic_ids[{i}] is {id!r}: want a string")
        if id != own:
            whose = f"codes[{i}]" if given else f"the model's code of embeddings[{i}]"
            raise ValueError(
                f"semantic_ids[{i}] is {id!r}, but {whose}, {codes[i].tolist()}, makes {own!r}: pass the embeddings "
                "that the ids were made of, in their order, the same sep, fmt, formatter and version, and codes= if "
                "they are not those of model.encode(embeddings)"
            )
    return Batch(ids, codes, np.ascontiguousarray(latents), list(books), model, names, beside, texts)


def resolve(store: _stores.NativeStore, batch: Batch, propose: Propose) -> tuple[Resolved, bool]:
    """Give out unique ids of codes that `propose` has moved; and tell whether others are by another model."""
    n, levels = batch.codes.shape
    inquiry = _Inquiry(store, levels)
    for _ in range(_TRIES):
        known = np.zeros(n, bool)
        if batch.beside == _stores.ITEMS:
            known = store.knows(batch.names.version, batch.texts)
        new = np.flatnonzero(~known)
        codes, ids = batch.codes.copy(), list(batch.ids)
        added, guess = np.zeros(n), False
        most, shared = np.zeros(n, np.int64), np.zeros(n, bool)
        if len(new):
            part = batch.codes if len(new) == n else batch.codes[new]
            latents = batch.latents if len(new) == n else batch.latents[new]
            inquiry.ask([ids[i] for i in new.tolist()], part)
            proposal = propose(Problem(latents, batch.books, part, *inquiry.held()))
            if proposal.shared.any() and batch.beside == _stores.ITEMS:
                raise SemanticIdError(
                    f"{int(proposal.shared.sum())} ids are still shared, and items with keys must have ids of their "
                    "own: use fallback_suffix=True, more iterations, or a CapacityResolver"
                )
            codes[new], added[new], guess = proposal.moved
            most[new], shared[new] = proposal.most, proposal.shared
        moved = np.flatnonzero((codes != batch.codes).any(axis=1))
        for i, id in zip(moved.tolist(), batch.write(codes[moved]) if len(moved) else [], strict=True):
            ids[i] = id
        inquiry.check(ids, codes, moved)
        try:
            unique, mixed = _give_out(store, batch, ids, codes, most, shared)
        except _stores.FullError as full:
            near = _siblings(codes[full.rows], len(batch.books[-1]))
            inquiry.ask(batch.write(near), near, again=True)
            continue
        return Resolved(unique, codes, moved, added[moved], known, not guess), mixed
    raise StoreLockedError(f"others took codes in {_TRIES} tries to get them: try again when there are fewer writers")


def _give_out(
    store: _stores.NativeStore,
    batch: Batch,
    ids: list[str],
    codes: CodeMatrix,
    most: npt.NDArray[np.int64],
    shared: npt.NDArray[np.bool_],
) -> tuple[list[str], bool]:
    names = batch.names
    if batch.beside == _stores.ITEMS:
        made_by = fingerprint(batch.model)
        return store.assign(ids, names.sep, batch.beside, batch.texts, codes, names.version, made_by, most)
    rest = np.flatnonzero(~shared)
    texts = [batch.texts[i] for i in rest.tolist()] if batch.texts else []
    try:
        unique, _ = store.assign([ids[i] for i in rest.tolist()], names.sep, batch.beside, texts, most=most[rest])
    except _stores.FullError as full:
        raise _stores.FullError(rest[full.rows]) from None
    for i, id in zip(rest.tolist(), unique, strict=True):
        ids[i] = id
    return ids, False


def _siblings(codes: CodeMatrix, k: int) -> CodeMatrix:
    """Return all codes that share all but the last, of `k`, with one of `codes`."""
    prefixes = np.unique(codes[:, :-1], axis=0)
    last = np.tile(np.arange(k, dtype=np.int32), len(prefixes))
    return np.ascontiguousarray(np.column_stack([np.repeat(prefixes, k, axis=0), last]), np.int32)


class _Inquiry:
    """What a store was asked about codes."""

    def __init__(self, store: _stores.NativeStore, levels: int) -> None:
        self._store, self._levels = store, levels
        self._holders: dict[str, int] = {}
        self._codes: dict[str, tuple[int, ...]] = {}

    def ask(self, ids: Sequence[str], codes: CodeMatrix, again: bool = False) -> None:
        """Ask for the holders of ids, once, or again."""
        for id, code in zip(ids, map(tuple, codes.tolist()), strict=True):
            if self._codes.setdefault(id, code) != code:
                raise ValueError(
                    f"codes {list(self._codes[id])} and {list(code)} have the same id {id!r}: a formatter, sep and fmt "
                    "must give each code an id of its own"
                )
        asked = list(ids) if again else [id for id in dict.fromkeys(ids) if id not in self._holders]
        if asked:
            self._holders.update(zip(asked, self._store.holders(asked).tolist(), strict=True))

    def check(self, ids: list[str], codes: CodeMatrix, rows: npt.NDArray[np.int64]) -> None:
        """Check that no two codes have one id."""
        for i in rows.tolist():
            code = tuple(codes[i].tolist())
            if self._codes.setdefault(ids[i], code) != code:
                raise ValueError(
                    f"codes {list(self._codes[ids[i]])} and {list(code)} have the same id {ids[i]!r}: a formatter, sep "
                    "and fmt must give each code an id of its own"
                )

    def held(self) -> tuple[CodeMatrix, npt.NDArray[np.int64]]:
        """Return the codes that are held, and by how many."""
        held = {id: n for id, n in self._holders.items() if n}
        codes = np.array([self._codes[id] for id in held], np.int32).reshape(len(held), self._levels)
        return codes, np.array(list(held.values()), np.int64)
