"""Embeddings to unique ids in one object: an encoder, a resolver of equal ids, and its store."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ._html import engine_html
from ._native_stores import Item, NativeStore
from ._params import check_int
from ._versions import check_version, fingerprint, under
from .exceptions import SemanticIdError
from .uniqueness.resolver import UniqueIdResolver
from .uniqueness.stores import as_items, item_key, native_store

__all__ = ["SemanticIdEngine"]

Formatter = Callable[[npt.NDArray[Any]], str]


class SemanticIdEngine:
    """An encoder and a resolver of equal ids: embeddings to ids that are given out once.

    With `item_keys` an item has its id for good: asked again, it gets the id it had, whatever its embedding is now or
    which model encodes it. What an item's id is, which item has an id, and which items share their first codes, the
    store knows from then on.

    Ids of one model mean nothing to another. To give items ids by a new model and to keep those they have, make an
    engine with the new model, the same resolver and another `version`.

    Parameters
    ----------
    encoder : RQKMeans, RQVAE or object
        Anything with the methods of `BaseSemanticEncoder`.
    unique_resolver : BaseResolver, default=None
        Anything with a method ``assign(ids, **kw)`` (None: a `UniqueIdResolver` that counts in memory). It is given
        `sep`, `item_ids` where there are some, and of `item_keys`, `codes`, `embeddings`, `model`, `version`, `fmt` and
        `formatter` those that the signature of its `assign` names.
    version : str, default=""
        A name for the ids of this encoder: letters, digits, points and underscores. Each id begins with it, "2:3-9-1",
        or as a token, "<2><a_3><b_9><c_1>". Each version knows items for itself.

    Attributes
    ----------
    encoder : object
        The encoder.
    unique_resolver : object
        The resolver; its `store`, if it has one, keeps counts and items.
    version : str
        The version.

    Examples
    --------
    >>> import numpy as np
    >>> from semantic_id import RQKMeans, SemanticIdEngine
    >>> X = np.array([[0.0, 0.0], [0.0, 0.0], [8.0, 0.0], [8.0, 1.0]])
    >>> engine = SemanticIdEngine(RQKMeans(n_levels=1, n_clusters=2, random_state=0)).fit(X)
    >>> ids = engine.unique_ids(X, item_keys=["a", "b", "c", "d"])
    >>> sorted(ids)
    ['0', '0-1', '1', '1-1']
    >>> engine.unique_ids(X[::-1], item_keys=["b", "c", "d", "a"]) == [ids[1], ids[2], ids[3], ids[0]]
    True
    >>> engine.lookup(ids[2])
    'c'
    >>> engine.items(engine.encoder.encode(X[:1])[0])
    ['a', 'b']
    """

    def __init__(self, encoder: Any, unique_resolver: Any = None, *, version: str = "") -> None:
        self.encoder = encoder
        self.unique_resolver = UniqueIdResolver() if unique_resolver is None else unique_resolver
        self.version = check_version(version)

    def __repr__(self) -> str:
        shown = [repr(self.encoder), repr(self.unique_resolver)] + [f"version={self.version!r}"] * bool(self.version)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_html_(self) -> str:
        """Return what notebooks show: the encoder, and what gives the ids out."""
        state = f"gives ids of version {self.version!r}" if self.version else "gives each id once"
        return engine_html(type(self).__name__, state, self.encoder, [("unique_resolver", self.unique_resolver)])

    def fit(self, X: Any, *, device: str = "cpu") -> SemanticIdEngine:
        """Fit the encoder. Ids that were given out stay.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to work.

        Returns
        -------
        self : SemanticIdEngine
            The engine.
        """
        self.encoder.fit(X, device=device)
        return self

    def unique_ids(
        self,
        X: Any,
        *,
        device: str = "cpu",
        batch_size: int | None = None,
        sep: str = "-",
        fmt: str = "plain",
        formatter: Formatter | None = None,
        item_ids: Iterable[str | int] | None = None,
        item_keys: Iterable[str | int] | None = None,
    ) -> list[str]:
        """Return a unique id for each embedding, in order. All are given out in one transaction of the store.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings.
        device : str, default="cpu"
            Where to encode.
        batch_size : int, default=None
            Rows encoded at once (None: all). Bounds memory.
        sep : str, default="-"
            What stands between the codes of a plain id, and before a suffix: not empty and without digits.
        fmt : {"plain", "token"}, default="plain"
            "3-9-1" or "<a_3><b_9><c_1>".
        formatter : callable, default=None
            Gets each row of codes and returns its id, in place of `fmt`.
        item_ids : iterable of str or int, default=None
            For each embedding what to append to its id instead of a number, if others have it already.
        item_keys : iterable of str or int, default=None
            For each embedding the item it is of, each item once; the type is part of the key. An item that the store
            knows keeps its id. Not together with `item_ids`.

        Returns
        -------
        ids : list of str
            Unique ids.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        ShapeMismatchError
            If `X` is empty, not 2-D, or of another n_features than in `fit`, or a list is not as long as it.
        ValueError
            If `sep` cannot be used, or an item comes twice.
        TypeError
            If an item is neither a string nor an integer.
        StoreError
            If the store fails; then nothing was given out.

        Warns
        -----
        ModelChangedWarning
            If items are new, and others of this version got their ids by another model.
        """
        check_sep(sep, self.version)
        if item_ids is not None and item_keys is not None:
            raise ValueError("item_ids and item_keys are both given: want one of them")
        takes = inspect.signature(self.unique_resolver.assign).parameters
        if item_keys is not None and "item_keys" not in takes:
            raise SemanticIdError(
                f"{type(self.unique_resolver).__name__}.assign takes no item_keys, so it cannot give items the ids "
                "they had: use UniqueIdResolver, or add the parameter"
            )
        if self.version and formatter is None and "version" not in takes and "formatter" in takes:
            raise SemanticIdError(
                f"{type(self.unique_resolver).__name__}.assign writes ids anew and takes no version: add the parameter"
            )
        codes = self.encoder.encode(X, device=device, batch_size=batch_size)
        ids = self.encoder.semantic_id(codes, sep=sep, fmt=fmt, formatter=formatter)
        ids = under(self.version, ids, token=fmt == "token" and formatter is None)
        offered = {"item_keys": item_keys, "codes": codes, "embeddings": X, "model": self.encoder}
        offered |= {"version": self.version, "fmt": fmt, "formatter": formatter}
        given = {name: value for name, value in offered.items() if name in takes}
        if item_ids is not None:
            given["item_ids"] = item_ids
        unique: list[str] = self.unique_resolver.assign(ids, sep=sep, **given)
        return unique

    def append(
        self,
        X: Any,
        item_keys: Iterable[str | int],
        *,
        device: str = "cpu",
        batch_size: int | None = None,
        sep: str = "-",
        fmt: str = "plain",
        formatter: Formatter | None = None,
    ) -> list[str]:
        """Give new items ids beside those of the map, which stay as they are, and return the ids of all of `item_keys`.

        This is `unique_ids` with `item_keys`, for a map that is frozen: the model must be the one that made it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Embeddings, those of items that have an id already among them or not.
        item_keys : iterable of str or int
            For each embedding the item it is of, each item once.
        device : str, default="cpu"
            Where to encode.
        batch_size : int, default=None
            Rows encoded at once (None: all).
        sep : str, default="-"
            As in `unique_ids`; give the form that the ids of the map have.
        fmt : {"plain", "token"}, default="plain"
            As in `unique_ids`.
        formatter : callable, default=None
            As in `unique_ids`.

        Returns
        -------
        ids : list of str
            The id of each item.

        Raises
        ------
        SemanticIdError
            If the ids of this version were made by another model; nothing was given out.
        """
        made_by, ours = self._native("append").model(self.version), fingerprint(self.encoder)
        if made_by and ours and made_by != ours:
            of = f"of version {self.version!r}" if self.version else "in the store"
            raise SemanticIdError(
                f"the ids {of} were made by another model: append with that model, or give the ids of this one a "
                'version of their own, SemanticIdEngine(..., version="2")'
            )
        return self.unique_ids(
            X, device=device, batch_size=batch_size, sep=sep, fmt=fmt, formatter=formatter, item_keys=item_keys
        )

    @overload
    def lookup(self, id: str) -> str | int | None: ...  # type: ignore[overload-overlap]

    @overload
    def lookup(self, id: Iterable[str]) -> list[str | int | None]: ...

    def lookup(self, id: str | Iterable[str]) -> str | int | list[str | int | None] | None:
        """Return the key of the item that has an id, of whichever version.

        Parameters
        ----------
        id : str or iterable of str
            A unique id, or several.

        Returns
        -------
        item_key : str, int or None, or list of them
            The key it was given out with; None if it was given out without a key, or not at all.
        """
        native = self._native("lookup")
        if isinstance(id, str):
            return item_key(native.lookup([id])[0])
        return [item_key(item) for item in native.lookup(list(id))]

    def items(self, prefix: Sequence[int] | npt.NDArray[np.integer[Any]] = ()) -> list[str | int]:
        """Return the keys of the items whose codes begin with `prefix`, by an index and not by looking at all items.

        Parameters
        ----------
        prefix : sequence of int, default=()
            The first codes, coarse level first; all codes of an id, or none for all items of this version.

        Returns
        -------
        item_keys : list of str or int
            In the order of their codes, as text. Items that were given ids without codes are under no prefix but ().

        Examples
        --------
        >>> import numpy as np
        >>> from semantic_id import RQKMeans, SemanticIdEngine
        >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [8.0, 0.0], [8.0, 1.0]])
        >>> engine = SemanticIdEngine(RQKMeans(n_levels=2, n_clusters=2, random_state=0)).fit(X)
        >>> ids = engine.append(X, ["a", "b", "c", "d"])
        >>> first, second = engine.encoder.encode(X[:1])[0].tolist()
        >>> sorted(engine.items([first])), engine.items([first, second]), len(engine.items())
        (['a', 'b'], ['a'], 4)
        """
        if isinstance(prefix, str):
            raise TypeError(f"prefix={prefix!r}: want codes, such as (3, 9)")
        codes = [check_int("a code of prefix", code, 0, 2**31 - 1) for code in prefix]
        pages = self._native("items").pages(self.version, codes)
        return [key for page in pages for item in page if (key := item_key(item.key)) is not None]

    def release(self, item_keys: Iterable[str | int]) -> int:
        """Forget items of this version and give their ids back, which may then be given out again, to other items.

        Parameters
        ----------
        item_keys : iterable of str or int
            Keys of items.

        Returns
        -------
        known : int
            How many of them this version knew.

        See Also
        --------
        forget : The same without giving ids back.
        """
        return self._native("release").forget(self.version, _keys(item_keys), release=True)

    def forget(self, item_keys: Iterable[str | int]) -> int:
        """Forget items of this version; their ids are never given out again.

        Parameters
        ----------
        item_keys : iterable of str or int
            Keys of items.

        Returns
        -------
        known : int
            How many of them this version knew.

        See Also
        --------
        release : Also give the ids back.
        """
        return self._native("forget").forget(self.version, _keys(item_keys), release=False)

    def export(self, path: str | os.PathLike[str]) -> int:
        """Write the items of this version, with their ids and codes, to a file that others can read.

        Parameters
        ----------
        path : str or path-like
            A file that ends in .parquet (takes pyarrow), .csv or .jsonl. It appears whole or not at all, and has the
            columns of `semantic-id encode`: id, the item's key, semantic_id, and its codes; where the type of a key
            would be lost, also id_type, "int" or "str".

        Returns
        -------
        n_items : int
            How many there are.

        See Also
        --------
        import_map : The way back.
        """
        native = self._native("export")
        from ._item_files import write_items

        def pages() -> Iterator[list[Item]]:
            return native.pages(self.version, ())

        return write_items(os.fspath(path), pages)

    def import_map(
        self,
        path: str | os.PathLike[str],
        *,
        id_column: str | None = None,
        item_column: str | None = None,
        item_type: str | None = None,
    ) -> int:
        """Make this version know the items of a file by the ids they have there, all of them or, on an error, none.

        An id that was given out to no known item becomes that of its item; one that was not given out is from now on.

        Parameters
        ----------
        path : str or path-like
            A file as `export` writes it, or another .parquet, .csv or .jsonl file of items and ids.
        id_column : str, default=None
            The column of ids (None: semantic_id).
        item_column : str, default=None
            The column of items (None: id).
        item_type : {"int", "str"}, default=None
            The type of the items' keys, where the file does not say it (None: as they are; in .csv "str").

        Returns
        -------
        n_added : int
            How many of the items this version did not know.

        Raises
        ------
        ValueError
            If an item of the file has another id already, an id another item, or one of them comes twice; or if the
            file is not what it says. The message names the place.
        """
        native = self._native("import_map")
        from ._item_files import read_items

        items = read_items(os.fspath(path), id_column, item_column, item_type)
        for item in items:
            if self.version and not item.id.startswith((f"{self.version}:", f"<{self.version}>")):
                raise ValueError(f"{os.fspath(path)}: the id {item.id!r} is none of version {self.version!r}")
        return native.import_items(self.version, items)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write encoder, counts and items to a directory.

        Parameters
        ----------
        path : str or path-like
            The directory. What is there is replaced as a whole, or stays as it was. A SQLite database is copied as it
            is between two transactions, unless the one in use is that of the directory: it stays there, and goes on.

        Raises
        ------
        NotFittedError
            Before `fit` or `load`.
        OSError
            If it cannot be written; what was there before stays.
        """
        from ._engine_files import save

        save(self, os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "cpu", store: Any = None) -> SemanticIdEngine:
        """Read what `save` wrote, or semantic-id 0.2.5.

        Counts and items go on where they were when saved: those of a SQLite store in the database in the directory,
        those of an in-memory store in memory. From then on the copy and the original give out ids apart, and so may
        both give out the same one. To share a store that lives on, pass it as `store`.

        Parameters
        ----------
        path : str or path-like
            The directory.
        device : str, default="cpu"
            Where to work.
        store : CollisionStore, default=None
            The store to use (None: the saved one).

        Returns
        -------
        engine : SemanticIdEngine
            The engine.

        Raises
        ------
        FileNotFoundError
            If there is no engine.
        ModelFileError
            If a file is truncated, altered or foreign, or of a newer version; it is a ValueError.
        SemanticIdError
            If the store was not one that is saved, as a PostgreSQL database, and `store` is not given.
        """
        from ._engine_files import load

        return load(cls, os.fspath(path), device, store)

    def _native(self, doing: str) -> NativeStore:
        """Return the store, which must be one that knows items."""
        store = getattr(self.unique_resolver, "store", None)
        native = native_store(store)
        if native is None:
            what = f"{type(store).__name__} only counts" if store is not None else "the resolver has none"
            raise SemanticIdError(
                f"{doing} needs a store that knows items, and {what}: use InMemoryCollisionStore or "
                "SQLiteCollisionStore"
            )
        return native


def _keys(item_keys: Iterable[str | int]) -> list[str]:
    if isinstance(item_keys, str):
        raise TypeError(f"item_keys={item_keys!r}: want a list of keys")
    return as_items(list(item_keys))


def check_sep(sep: str, version: str) -> None:
    """Complain about a separator that would make ids with suffixes or a version ambiguous."""
    if not isinstance(sep, str) or not sep or re.search(r"\d", sep):
        raise ValueError(f"sep={sep!r}: want a separator that is not empty and has no digits")
    if version and ":" in sep:
        raise ValueError(f"sep={sep!r}: want one without a colon, which stands behind the version")
