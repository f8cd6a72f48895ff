"""How equal ids become unique ones."""

import inspect
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _native_resolve as _moves
from .. import _native_stores as _stores
from .._arrays import as_codes
from .._native_resolve import Problem
from .._params import check_float, check_int
from .._versions import check_version, fingerprint, warn_of_another_model
from ..exceptions import ApproximationWarning, SemanticIdError, ShapeMismatchError
from ._moving import Names, Proposal, Resolved, read_batch, resolve
from .stores import CollisionStore, InMemoryCollisionStore, as_items, native_store

__all__ = ["BaseResolver", "CapacityResolver", "Resolved", "SinkhornResolver", "UniqueIdResolver"]


class BaseResolver(ABC):
    """What the engine asks of a resolver. Derive from it to make ids unique in a way of your own."""

    @abstractmethod
    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Return a unique id for each of `semantic_ids`, in order.

        Parameters
        ----------
        semantic_ids : list of str
            Ids, equal ones among them.
        **kwargs : object
            `sep`, and `item_ids` when there are some.
        """


class UniqueIdResolver(BaseResolver):
    """Appends a counter to equal ids: holders 1, 2 and 3 of "a" are "a", "a-1" and "a-2".

    An id that was given out is never given out again by the same store, whatever stands in later batches: a suffixed id
    that is held already, or is another item's id as it is, is passed over.

    Parameters
    ----------
    store : CollisionStore, default=None
        Where the counts are kept (None: in memory).

    Attributes
    ----------
    store : CollisionStore
        The store in use.

    Examples
    --------
    >>> from semantic_id import UniqueIdResolver
    >>> UniqueIdResolver().assign(["a", "a", "b", "a"])
    ['a', 'a-1', 'b', 'a-2']
    >>> UniqueIdResolver().assign(["a", "a", "b", "a"], item_ids=["x", "y", "z", "w"])
    ['a', 'a-y', 'b', 'a-w']
    """

    def __init__(self, store: CollisionStore | None = None) -> None:
        self.store = InMemoryCollisionStore() if store is None else store

    def __repr__(self) -> str:
        return f"UniqueIdResolver({self.store!r})"

    def assign(
        self,
        semantic_ids: list[str],
        *,
        item_ids: Iterable[str | int] | None = None,
        sep: str = "-",
        item_keys: Iterable[str | int] | None = None,
        codes: npt.ArrayLike | None = None,
        model: object = None,
        version: str = "",
        **kwargs: Any,
    ) -> list[str]:
        """Return a unique id for each of `semantic_ids`, in order.

        Parameters
        ----------
        semantic_ids : list of str
            Ids, equal ones among them.
        item_ids : iterable of str or int, default=None
            For each id what to append instead of a counter, where that is free. The counter advances all the same.
        sep : str, default="-"
            What stands before a suffix: not empty and without digits.
        item_keys : iterable of str or int, default=None
            For each id the item it is for, each item once; the type is part of the key. An item that the store knows
            keeps the id it has. Not together with `item_ids`.
        codes : array-like of shape (n_samples, n_levels), default=None
            The codes of the ids, kept with new items: `SemanticIdEngine.items` finds them by a prefix.
        model : object, default=None
            The encoder that made the codes. Where that was another one for earlier items of the version, there is a
            warning.
        version : str, default=""
            The version that `item_keys` belong to; see `SemanticIdEngine`.
        **kwargs : object
            Not used.

        Returns
        -------
        ids : list of str
            Unique ids.

        Raises
        ------
        ValueError
            If `sep` is empty or has digits, lists are of unequal length, or an item comes twice.
        TypeError
            If an id is not a string, or an item neither a string nor an integer.
        SemanticIdError
            If `item_keys` are given and the store only counts.
        StoreError
            If the store fails; then nothing was given out.

        Warns
        -----
        ModelChangedWarning
            If items got ids by another model than others of the version.
        """
        ids, beside, texts = _read(semantic_ids, item_ids, item_keys, sep)
        native = native_store(self.store)
        if native is not None:
            if item_keys is None:
                return native.assign(ids, sep, beside, texts)[0]
            rows = None if codes is None or not ids else as_codes(codes)
            if rows is not None and len(rows) != len(ids):
                raise ShapeMismatchError(f"{len(ids)} semantic ids and {len(rows)} rows of codes: want one for each")
            unique, mixed = native.assign(ids, sep, beside, texts, rows, version, fingerprint(model))
            if mixed:
                warn_of_another_model(version)
            return unique
        if item_keys is not None:
            raise SemanticIdError(
                f"item_keys need a store that knows items, and {type(self.store).__name__} only counts "
                "(next_suffix): derive from InMemoryCollisionStore or SQLiteCollisionStore and keep their next_suffix"
            )
        return _assign_by_counting(self.store, ids, sep, texts if item_ids is not None else None)


def _read(
    semantic_ids: Iterable[str], item_ids: Iterable[str | int] | None, item_keys: Iterable[str | int] | None, sep: str
) -> tuple[list[str], int, list[str]]:
    """Return checked ids, and what stands beside them, by `_native_stores`."""
    if isinstance(semantic_ids, str):
        raise TypeError(f"semantic_ids={semantic_ids!r}: want a list of strings")
    ids = list(semantic_ids)
    if not sep or re.search(r"\d", sep):
        raise ValueError(f"sep={sep!r}: want a separator that is not empty and has no digits")
    if item_ids is not None and item_keys is not None:
        raise ValueError("item_ids and item_keys are both given: want one of them")
    if item_ids is not None:
        return ids, _stores.NAMES, [str(name) for name in _checked(item_ids, "item_ids", len(ids))]
    if item_keys is not None:
        return ids, _stores.ITEMS, as_items(_checked(item_keys, "item_keys", len(ids)))
    return ids, _stores.PLAIN, []


def _checked(values: Iterable[str | int], what: str, n: int) -> list[str | int]:
    listed: list[str | int] = [values] if isinstance(values, str) else list(values)
    if isinstance(values, str) or len(listed) != n:
        raise ShapeMismatchError(f"{n} semantic ids and {len(listed)} of {what}: want one for each")
    for i, value in enumerate(listed):
        if isinstance(value, bool) or not isinstance(value, (str, Integral)):
            raise TypeError(f"{what}[{i}] is {value!r}: want a string or an integer")
    return listed


def _assign_by_counting(store: CollisionStore, ids: list[str], sep: str, names: list[str] | None) -> list[str]:
    """Make ids unique over a store that only counts: a suffixed id is counted too, and is free if nobody was before."""
    _stores.join("semantic_ids", ids)  # the checks of their types
    bare = set(ids)
    unique = []
    for i, (key, n) in enumerate(zip(ids, store.next_suffixes(ids), strict=True)):
        if n == 0:
            unique.append(key)
            continue
        candidate = f"{key}{sep}{n if names is None else names[i]}"
        for tries in range(_TRIES):
            if candidate not in bare and store.next_suffix(candidate) == 0:
                break
            if tries or names is None:
                n = store.next_suffix(key)
            candidate = f"{key}{sep}{n}"
        else:
            raise SemanticIdError(
                f"{type(store).__name__}.next_suffix gives no free suffix of {key!r} in {_TRIES} tries, last {n}: "
                "it must count each key apart, 0 first"
            )
        unique.append(candidate)
    return unique


_TRIES = 10_000


class _MovingResolver(BaseResolver):
    """Gives items other codes before it makes ids of them."""

    store: CollisionStore
    resolved_: Resolved

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        shown = [f"{p.name}={v!r}" for p in parameters if (v := getattr(self, p.name)) != p.default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _propose(self, problem: Problem, model: Any) -> Proposal:
        raise NotImplementedError

    def _check(self) -> None:
        """Raise a ValueError for parameters that cannot be."""

    def assign(
        self,
        semantic_ids: list[str],
        *,
        embeddings: Any = None,
        model: Any = None,
        codes: npt.ArrayLike | None = None,
        sep: str = "-",
        fmt: str = "plain",
        formatter: Callable[[npt.NDArray[Any]], str] | None = None,
        item_ids: Iterable[str | int] | None = None,
        item_keys: Iterable[str | int] | None = None,
        version: str = "",
        **kwargs: Any,
    ) -> list[str]:
        """Return a unique id for each of `semantic_ids`, in order.

        Parameters
        ----------
        semantic_ids : list of str
            Ids that `model` made of `embeddings`, equal ones among them.
        embeddings : array-like of shape (n_samples, n_features)
            The embeddings, in the same order.
        model : object
            The fitted encoder: an `RQKMeans`, or another with `encode` and `residual_space`, or with `codebooks_` of
            embeddings as they are.
        codes : array-like of shape (n_samples, n_levels), default=None
            The codes the ids were made of (None: ``model.encode(embeddings)``); needed if they were made otherwise, as
            by a beam, or balanced.
        sep : str, default="-"
            What stands between codes and before a suffix: not empty and without digits.
        fmt : {"plain", "token"}, default="plain"
            How the ids were written.
        formatter : callable, default=None
            What wrote the ids, if `fmt` did not; it must give each code an id of its own.
        item_ids : iterable of str or int, default=None
            As in `UniqueIdResolver.assign`, for ids that get a suffix.
        item_keys : iterable of str or int, default=None
            For each id the item it is for, each item once; the type is part of the key. An item that the store knows
            keeps the id it has, and does not move. Not together with `item_ids`.
        version : str, default=""
            The version that the ids begin with and `item_keys` belong to; see `SemanticIdEngine`.
        **kwargs : object
            Not used.

        Returns
        -------
        ids : list of str
            Unique ids. `resolved_` has their codes.

        Raises
        ------
        ValueError
            If `embeddings` or `model` are missing or do not belong to the ids, there are too few codes, or a list or
            `sep` cannot be used.
        TypeError
            If an id is not a string, or an item neither a string nor an integer.
        SemanticIdError
            If the store only counts.
        StoreError
            If the store fails; then nothing was given out.

        Warns
        -----
        ApproximationWarning
            If a group was too large for the least added error (`max_pairs` of `CapacityResolver`).
        """
        return self.resolve(
            semantic_ids, embeddings=embeddings, model=model, codes=codes, sep=sep, fmt=fmt, formatter=formatter,
            item_ids=item_ids, item_keys=item_keys, version=version,
        ).ids  # fmt: skip

    def resolve(
        self,
        semantic_ids: Iterable[str],
        *,
        embeddings: Any = None,
        model: Any = None,
        codes: npt.ArrayLike | None = None,
        sep: str = "-",
        fmt: str = "plain",
        formatter: Callable[[npt.NDArray[Any]], str] | None = None,
        item_ids: Iterable[str | int] | None = None,
        item_keys: Iterable[str | int] | None = None,
        version: str = "",
        **kwargs: Any,
    ) -> Resolved:
        """Return unique ids with the codes they are made of, and what moving items has cost.

        Parameters
        ----------
        semantic_ids, embeddings, model, codes, sep, fmt, formatter, item_ids, item_keys, version, **kwargs : object
            As in `assign`.

        Returns
        -------
        resolved : Resolved
            Ids, codes, the rows that moved, and by how much their squared errors have grown.
        """
        if embeddings is None or model is None:
            raise ValueError(
                f"{type(self).__name__} requires 'embeddings' and 'model': what the ids were made of, and by what"
            )
        self._check()
        ids, beside, texts = _read(semantic_ids, item_ids, item_keys, sep)
        store = native_store(self.store)
        if store is None:
            raise SemanticIdError(
                f"{type(self).__name__} must ask its store which codes are held, and {type(self.store).__name__} only "
                "counts (next_suffix): derive from InMemoryCollisionStore or SQLiteCollisionStore and keep their "
                "next_suffix"
            )
        if ids:
            names = Names(sep, fmt, formatter, check_version(version))
            batch = read_batch(ids, embeddings, model, codes, names, beside, texts)
            resolved, mixed = resolve(store, batch, lambda problem: self._propose(problem, model))
            if mixed:
                warn_of_another_model(version)
        else:
            nothing = np.empty(0)
            resolved = Resolved(
                [], np.empty((0, 0), np.int32), nothing.astype(int), nothing, nothing.astype(bool), True
            )
        self.resolved_ = resolved
        left = len(ids) - len(set(resolved.ids))
        if left:
            warnings.warn(f"{left} ids are still shared, and fallback_suffix=False leaves them so", stacklevel=3)
        if not resolved.exact:
            warnings.warn(
                "a group of items was too large for the least added error: the best pair of item and code was taken "
                "first; raise max_pairs if there is time, or have more levels or clusters",
                ApproximationWarning,
                stacklevel=3,
            )
        return resolved


class SinkhornResolver(_MovingResolver):
    """Re-encodes items that share an id at the last level, evenly, and counts what still collides.

    The items of a shared code are spread by Sinkhorn over that code and those of the last level that nobody has, codes
    one after the other in the order of their first items, until nothing changes or `max_iterations` are over. An item
    never moves onto a code that another item or the store holds. `CapacityResolver` moves fewer items, and adds less
    error.

    Parameters
    ----------
    max_iterations : int, default=20
        Most passes over the shared codes.
    sk_epsilon : float, default=None
        Weight of the entropy, in units of half the range of the squared distances (None: 0.003). The model's
        `sk_iters`, if it has one, else 100, says how often rows and columns are scaled.
    fallback_suffix : bool, default=True
        Append a counter to ids that are still shared. False leaves them equal, with a warning: then only the first
        item's id is known to the store.
    store : CollisionStore, default=None
        Where ids are kept (None: in memory). It must be one of this package.

    Attributes
    ----------
    store : CollisionStore
        The store in use.
    resolved_ : Resolved
        What `resolve` returned last, also within `assign`.

    See Also
    --------
    CapacityResolver : The free codes that add least error.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQKMeans, SinkhornResolver
    >>> X = np.random.default_rng(0).normal(size=(100, 16))
    >>> model = RQKMeans(n_levels=2, n_clusters=16, random_state=0).fit(X)
    >>> ids = model.semantic_id(model.encode(X))
    >>> unique = SinkhornResolver().assign(ids, embeddings=X, model=model)
    >>> len(set(ids)) < len(set(unique)) == 100
    True
    """

    def __init__(
        self,
        max_iterations: int = 20,
        sk_epsilon: float | None = None,
        fallback_suffix: bool = True,
        store: CollisionStore | None = None,
    ) -> None:
        self.max_iterations = max_iterations
        self.sk_epsilon = sk_epsilon
        self.fallback_suffix = fallback_suffix
        self.store = InMemoryCollisionStore() if store is None else store

    @staticmethod
    def _find_collision_groups(ids: Iterable[str]) -> list[list[int]]:
        """Return the positions of equal ids, for ids that are not alone, in the order of their first positions."""
        groups: dict[str, list[int]] = {}
        for i, id in enumerate(ids):
            groups.setdefault(id, []).append(i)
        return [group for group in groups.values() if len(group) > 1]

    def _check(self) -> None:
        check_int("max_iterations", self.max_iterations, 0)
        if self.sk_epsilon is not None and check_float("sk_epsilon", self.sk_epsilon, 0) == 0:
            raise ValueError(f"sk_epsilon={self.sk_epsilon!r}: want a number > 0")

    def _propose(self, problem: Problem, model: Any) -> Proposal:
        epsilon = _SK_EPSILON if self.sk_epsilon is None else float(self.sk_epsilon)
        iters = check_int("sk_iters", getattr(model, "sk_iters", _SK_ITERS), 0)
        moved = _moves.sinkhorn(problem, epsilon, iters, int(self.max_iterations))
        most = (moved.codes != problem.codes).any(axis=1).astype(np.int64)
        if self.fallback_suffix:
            return Proposal(moved, most, np.zeros(len(most), bool))
        # Only the first of a code that the store does not hold has its id to itself.
        _, first = np.unique(np.concatenate([problem.held, moved.codes]), axis=0, return_index=True)
        shared = np.ones(len(most), bool)
        shared[first[first >= len(problem.held)] - len(problem.held)] = False
        return Proposal(moved, np.ones(len(most), np.int64), shared)


_SK_EPSILON, _SK_ITERS = 0.003, 100  # those of RQ-VAE


class CapacityResolver(_MovingResolver):
    """Moves items from codes that too many share to the free codes that add least squared error.

    As few items move as can be: of the items of a code only those beyond `capacity`, and which of them is decided with
    where they go. They go to codes that differ in the last level; where there are too few, to codes that differ in the
    level above, and so on, as few as can be. The added squared error is the least that there is for each group of items
    with the same first codes, and for all such groups together that have too few codes of their own; see
    docs/collisions.md for what that means exactly.

    Parameters
    ----------
    capacity : int, default=1
        Items that may share a code, those of earlier batches included. With more than one, later ones get a counter.
    store : CollisionStore, default=None
        Where ids are kept (None: in memory). It must be one of this package.
    max_pairs : int, default=2_000_000
        With more pairs of items and codes than that to choose from in one group, the best pair is taken first, and an
        ApproximationWarning tells so. A group of two million takes some ten seconds on two cores.

    Attributes
    ----------
    store : CollisionStore
        The store in use.
    resolved_ : Resolved
        What `resolve` returned last, also within `assign`.

    See Also
    --------
    SinkhornResolver : Spreads items that share a code.
    UniqueIdResolver : Counts them.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import CapacityResolver, RQKMeans
    >>> X = np.random.default_rng(0).normal(size=(100, 16))
    >>> model = RQKMeans(n_levels=2, n_clusters=16, random_state=0).fit(X)
    >>> ids = model.semantic_id(model.encode(X))
    >>> resolved = CapacityResolver().resolve(ids, embeddings=X, model=model)
    >>> len(set(resolved.ids)), resolved.ids == model.semantic_id(resolved.codes)
    (100, True)
    >>> len(resolved.moved) == 100 - len(set(ids))  # no more than had to
    True
    """

    def __init__(self, capacity: int = 1, store: CollisionStore | None = None, *, max_pairs: int = 2_000_000) -> None:
        self.capacity = capacity
        self.store = InMemoryCollisionStore() if store is None else store
        self.max_pairs = max_pairs

    def _check(self) -> None:
        check_int("capacity", self.capacity, 1)
        check_int("max_pairs", self.max_pairs, 0)

    def _propose(self, problem: Problem, model: Any) -> Proposal:
        moved = _moves.capacity(problem, int(self.capacity), int(self.max_pairs))
        n = len(problem.codes)
        return Proposal(moved, np.full(n, self.capacity, np.int64), np.zeros(n, bool))
