"""Where resolvers keep how often each id was handed out."""

import os
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from numbers import Integral
from typing import Any, TypeGuard

from .._native_stores import NativeStore

__all__ = ["CollisionStore", "InMemoryCollisionStore", "PostgresCollisionStore", "SQLiteCollisionStore"]

_opening = threading.Lock()


class CollisionStore(ABC):
    """Counts the holders of each id. Derive from it to keep the counts in a place of your own."""

    @abstractmethod
    def next_suffix(self, key: str) -> int:
        """Count one more holder of `key`.

        Parameters
        ----------
        key : str
            An id.

        Returns
        -------
        suffix : int
            How many holders there were before: 0 for the first.
        """

    def next_suffixes(self, keys: Iterable[str]) -> list[int]:
        """Count one more holder of each key, in order.

        Parameters
        ----------
        keys : iterable of str
            Ids, equal ones among them or not.

        Returns
        -------
        suffixes : list of int
            What `next_suffix` gives for each.
        """
        return [self.next_suffix(key) for key in keys]


class _NativeCollisionStore(CollisionStore):
    """A store of the native library, opened at its first use."""

    _native_store: NativeStore | None = None

    def _open(self) -> NativeStore:
        raise NotImplementedError

    def _store(self) -> NativeStore:
        with _opening:
            if self._native_store is None:
                self._native_store = self._open()
            return self._native_store

    def _close(self) -> None:
        with _opening:
            native, self._native_store = self._native_store, None
        if native is not None:
            native.close()

    def next_suffix(self, key: str) -> int:
        """Count one more holder of `key`.

        Parameters
        ----------
        key : str
            An id, not empty.

        Returns
        -------
        suffix : int
            How many holders there were before: 0 for the first.

        Raises
        ------
        TypeError
            If `key` is not a string.
        StoreError
            If the store cannot count; then it has not.
        """
        return self.next_suffixes([key])[0]

    def next_suffixes(self, keys: Iterable[str]) -> list[int]:
        """Count one more holder of each key, in order, in one transaction.

        Parameters
        ----------
        keys : iterable of str
            Ids, equal ones among them or not.

        Returns
        -------
        suffixes : list of int
            What `next_suffix` gives for each.

        Raises
        ------
        TypeError
            If a key is not a string.
        StoreError
            If the store cannot count; then it has counted none.
        """
        if isinstance(keys, str):
            raise TypeError(f"keys={keys!r}: want a list of strings")
        return self._store().next_suffixes(list(keys))

    def lookup(self, id: str) -> str | int | None:
        """Return the key of the item that has an id.

        Parameters
        ----------
        id : str
            A unique id.

        Returns
        -------
        item_key : str, int or None
            The key it was given out with; None if it was given out without a key, or not at all.
        """
        return item_key(self._store().lookup([id])[0])

    def release(self, item_keys: Iterable[str | int], *, version: str = "") -> int:
        """Forget items and give their ids back; only then may their ids be given out again.

        Parameters
        ----------
        item_keys : iterable of str or int
            Keys of items.
        version : str, default=""
            The version of the ids, see `SemanticIdEngine`.

        Returns
        -------
        known : int
            How many of them the store knew.
        """
        return self._store().forget(version, as_items(list(item_keys)), release=True)


class InMemoryCollisionStore(_NativeCollisionStore):
    """Counts in this process. A copy or pickle has the counts of its moment, and then counts apart.

    Examples
    --------
    >>> from semantic_id import InMemoryCollisionStore
    >>> InMemoryCollisionStore().next_suffixes(["a", "b", "a"])
    [0, 0, 1]
    """

    _contents = b""

    def __repr__(self) -> str:
        return "InMemoryCollisionStore()"

    def _open(self) -> NativeStore:
        return NativeStore.memory(self._contents)

    def _snapshot(self) -> bytes:
        """Return the contents, without loading the library if nobody has used it."""
        with _opening:
            native = self._native_store
        return self._contents or b'{"version":1}\n' if native is None else native.snapshot()

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_native_store"}
        return state | {"_contents": self._snapshot()}


class SQLiteCollisionStore(_NativeCollisionStore):
    """Counts in a SQLite database, which processes of one machine may share, and which outlasts crashes.

    A batch is one transaction, on the disk when the call returns. Databases of semantic-id 0.2.5 are continued. The
    file is opened at the first use; do not open it with another SQLite library, such as the module sqlite3, in a
    process that has it open, for closing it there would take its locks away.

    Parameters
    ----------
    db_path : str or path-like, default="collisions.db"
        The file; made if it is not there.

    Attributes
    ----------
    db_path : str
        The path as it was given.
    """

    _timeout = 60.0  # seconds to wait for other processes

    def __init__(self, db_path: str | os.PathLike[str] = "collisions.db") -> None:
        self.db_path = os.fspath(db_path)
        in_memory = self.db_path in ("", ":memory:")
        self._path = self.db_path if in_memory else os.path.abspath(self.db_path)  # the working directory may change

    def __repr__(self) -> str:
        return f"SQLiteCollisionStore({self.db_path!r})"

    def _open(self) -> NativeStore:
        return NativeStore.sqlite(self._path, self._timeout)

    def close(self) -> None:
        """Close the database. It is opened again when the store is used again."""
        self._close()

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the database, as it is between two transactions.

        Parameters
        ----------
        path : str or path-like
            A file that is not there yet.
        """
        if os.path.lexists(path):
            raise FileExistsError(f"{os.fspath(path)} is there already: a backup goes to a new file")
        self._store().backup(os.path.abspath(path))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_native_store"}


class PostgresCollisionStore(_NativeCollisionStore):
    """Counts in a PostgreSQL database, which many machines may share.

    A batch is one transaction, on the server's disk when the call returns; it waits only for those that count or look
    at the same ids. The tables, whose names start with semantic_id_, are made at the first use, in the first schema of
    the search path that there is. A connection lost in the middle of a batch raises StoreError, and nothing of the
    batch has been counted; if it was lost while the batch was being committed, the error says so: then all of it may
    have been counted, and its ids are not given out again.

    Parameters
    ----------
    dsn : str
        Where the database is: "postgresql://user:password@host:5432/database", or "host=... dbname=..." as for libpq,
        whose environment variables and password file are used for what is not said.

    Attributes
    ----------
    dsn : str
        As it was given. Copies and pickles have it, with the password if there is one in it.

    Examples
    --------
    >>> from semantic_id import PostgresCollisionStore, UniqueIdResolver
    >>> store = PostgresCollisionStore("postgresql://ids@db.example.com/catalogue")  # connects at the first use
    >>> resolver = UniqueIdResolver(store)
    """

    _timeout = 60.0  # seconds to wait for another transaction

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def __repr__(self) -> str:
        shown = re.sub(r"(://[^/@:]*):.*(?=@)|(\bpassword\s*=\s*)('[^']*'|\S+)", r"\1\2***", str(self.dsn))
        return f"PostgresCollisionStore({shown!r})"

    def _open(self) -> NativeStore:
        if not isinstance(self.dsn, str):
            raise TypeError(f"dsn={self.dsn!r}: want a string such as 'postgresql://user@host/database'")
        return NativeStore.postgres(self.dsn, self._timeout)

    def close(self) -> None:
        """Close the connections. They are made again when the store is used again."""
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_native_store"}


def as_items(keys: list[str | int]) -> list[str]:
    """Return keys of items as the native library has them: 1 and "1" are two items."""
    items = []
    for i, key in enumerate(keys):
        if isinstance(key, str):
            items.append("t" + key)
        elif isinstance(key, Integral) and not isinstance(key, bool):
            items.append(f"i{int(key)}")
        else:
            raise TypeError(f"item_keys[{i}] is {key!r}: want a string or an integer")
    return items


def item_key(item: str) -> str | int | None:
    """Return the key of an item as its caller knows it; None for ""."""
    return None if not item else int(item[1:]) if item[0] == "i" else item[1:]


def counts_as_we_do(store: object) -> TypeGuard[_NativeCollisionStore]:
    """Return whether `store` is one of ours, or derived from one without counting in another way."""
    return (
        isinstance(store, _NativeCollisionStore)
        and type(store).next_suffix is _NativeCollisionStore.next_suffix
        and type(store).next_suffixes is _NativeCollisionStore.next_suffixes
    )


def native_store(store: object) -> NativeStore | None:
    """Return what `store` works on inside the library, if it is one of ours that counts as we do."""
    return store._store() if counts_as_we_do(store) else None
