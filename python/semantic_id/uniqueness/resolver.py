"""How equal ids become unique ones."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy.typing as npt

from .. import _native_stores as _stores
from .._arrays import as_codes
from .._later import not_yet
from .._versions import fingerprint, warn_of_another_model
from ..exceptions import SemanticIdError, ShapeMismatchError
from .stores import CollisionStore, InMemoryCollisionStore, as_items, native_store

__all__ = ["BaseResolver", "CapacityResolver", "SinkhornResolver", "UniqueIdResolver"]


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
        if isinstance(semantic_ids, str):
            raise TypeError(f"semantic_ids={semantic_ids!r}: want a list of strings")
        ids = list(semantic_ids)
        if not sep or re.search(r"\d", sep):
            raise ValueError(f"sep={sep!r}: want a separator that is not empty and has no digits")
        if item_ids is not None and item_keys is not None:
            raise ValueError("item_ids and item_keys are both given: want one of them")
        beside, texts = _stores.PLAIN, list[str]()
        if item_ids is not None:
            beside, texts = _stores.NAMES, [str(name) for name in _checked(item_ids, "item_ids", len(ids))]
        elif item_keys is not None:
            beside, texts = _stores.ITEMS, as_items(_checked(item_keys, "item_keys", len(ids)))
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


class SinkhornResolver(BaseResolver):
    """Re-encodes what collides, evenly. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("SinkhornResolver", "unique ids")

    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Raise NotImplementedError.

        Parameters
        ----------
        semantic_ids : list of str
            Not used.
        **kwargs : object
            Not used.
        """
        raise not_yet("SinkhornResolver", "unique ids")


class CapacityResolver(BaseResolver):
    """Gives each id a fixed number of holders. It has not landed yet: making one raises NotImplementedError.

    Parameters
    ----------
    *args, **kwargs : object
        Not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise not_yet("CapacityResolver", "unique ids")

    def assign(self, semantic_ids: list[str], **kwargs: Any) -> list[str]:
        """Raise NotImplementedError.

        Parameters
        ----------
        semantic_ids : list of str
            Not used.
        **kwargs : object
            Not used.
        """
        raise not_yet("CapacityResolver", "unique ids")
