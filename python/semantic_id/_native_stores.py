"""The calls of core/store and core/resolve, through `_native`. Texts cross as one buffer, a zero byte between them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from . import _native
from ._native import _address

PLAIN, NAMES, ITEMS = 0, 1, 2  # what stands beside the ids of `assign`, by their numbers in the facade


def join(what: str, texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return texts as one buffer. `what` names them in an error."""
    try:
        joined = "\0".join(texts)
    except TypeError:
        bad = next(i for i, text in enumerate(texts) if not isinstance(text, str))
        raise TypeError(f"{what}[{bad}] is {texts[bad]!r}: want a string") from None
    if joined.count("\0") != max(len(texts) - 1, 0):
        bad = next(i for i, text in enumerate(texts) if "\0" in text)
        raise ValueError(f"{what}[{bad}] is {texts[bad]!r}: want a string without zero bytes")
    return np.frombuffer(joined.encode() or b"\0", np.uint8)


def _size(texts: Sequence[str], buffer: npt.NDArray[np.uint8]) -> int:
    return buffer.size if len(texts) > 1 or (texts and texts[0]) else 0


class NativeStore:
    """A store inside the library, closed when nobody refers to it any more and when Python ends."""

    __slots__ = ("__weakref__", "close", "handle")

    def __init__(self, open_it: Callable[[int, int, int, int], int]) -> None:
        out = np.zeros(1, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return open_it(_address(out), control, text, size)

        _native._call_long(call, None)
        self.handle = int(out[0])
        self.close = weakref.finalize(self, _free, self.handle, os.getpid())

    @classmethod
    def memory(cls, contents: bytes) -> NativeStore:
        """Make a store in memory with the contents that `snapshot` gave, or none."""
        data = np.frombuffer(contents or b"\0", np.uint8)
        size = len(contents)
        return cls(lambda out, _, text, n: _native._lib.StoreMemory(_address(data), size, out, text, n))

    @classmethod
    def sqlite(cls, path: str, timeout: float) -> NativeStore:
        """Open a database."""
        data = np.frombuffer(os.fsencode(path) or b"\0", np.uint8)
        size = data.size if path else 0
        return cls(
            lambda out, control, text, n: _native._lib.StoreSQLite(_address(data), size, timeout, out, control, text, n)
        )

    @classmethod
    def postgres(cls, dsn: str, timeout: float) -> NativeStore:
        """Connect to a database."""
        data = np.frombuffer(dsn.encode() or b"\0", np.uint8)
        size = data.size if dsn else 0
        return cls(
            lambda out, control, text, n: _native._lib.StorePostgres(
                _address(data), size, timeout, out, control, text, n
            )
        )

    def next_suffixes(self, keys: Sequence[str]) -> list[int]:
        """Count one more holder of each key."""
        data, out = join("keys", keys), np.zeros(max(len(keys), 1), np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreNextSuffixes(
                self.handle, _address(data), _size(keys, data), len(keys), _address(out), control, text, size
            )

        _native._call_long(call, None)
        suffixes: list[int] = out[: len(keys)].tolist()
        return suffixes

    def assign(self, ids: Sequence[str], sep: str, beside: int, texts: Sequence[str]) -> list[str]:
        """Return unique ids."""
        data, extra = join("semantic_ids", ids), join("item_ids" if beside == NAMES else "item_keys", texts)
        between = np.frombuffer(sep.encode() or b"\0", np.uint8)
        changed, found = np.zeros(max(len(ids), 1), np.uint8), np.zeros(2, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreAssign(
                self.handle, _address(data), _size(ids, data), len(ids), _address(between), len(sep.encode()),
                _address(extra), _size(texts, extra), beside, _address(changed), _address(found),
                _address(found[1:]), control, text, size,
            )  # fmt: skip

        _native._call_long(call, None)
        unique = list(ids)
        for i, id in zip(np.flatnonzero(changed).tolist(), _take(found).decode().split("\0"), strict=False):
            unique[i] = id
        return unique

    def lookup(self, ids: Sequence[str]) -> list[str]:
        """Return the items that have ids, with their type in front, "" for none."""
        data, found = join("ids", ids), np.zeros(2, np.int64)
        _native.call(
            _native._lib.StoreLookup, self.handle, _address(data), _size(ids, data), len(ids), _address(found),
            _address(found[1:]),
        )  # fmt: skip
        return _take(found).decode().split("\0") if len(ids) > 1 or found[1] else [""] * len(ids)

    def release(self, items: Sequence[str]) -> int:
        """Forget items, give their ids back, and return how many were known."""
        data, known = join("item_keys", items), np.zeros(1, np.int64)
        _native.call(
            _native._lib.StoreRelease, self.handle, _address(data), _size(items, data), len(items), _address(known)
        )
        return int(known[0])

    def snapshot(self) -> bytes:
        """Return the contents of a store in memory."""
        found = np.zeros(2, np.int64)
        _native.call(_native._lib.StoreSnapshot, self.handle, _address(found), _address(found[1:]))
        return _take(found)

    def backup(self, path: str) -> None:
        """Copy a database to a new file."""
        data = np.frombuffer(os.fsencode(path), np.uint8)
        _native.call(_native._lib.StoreBackup, self.handle, _address(data), data.size)


def _free(handle: int, pid: int) -> None:
    if os.getpid() == pid:
        _native._lib.StoreFree(handle)


def _take(found: npt.NDArray[np.int64]) -> bytes:
    """Return a text that a call has kept, by its handle and length."""
    if not found[0]:
        return b""
    out = np.empty(int(found[1]), np.uint8)
    _native.call(_native._lib.TextTake, int(found[0]), _address(out), out.size)
    return out.tobytes()
