"""The calls of core/store and core/resolve, through `_native`. Texts cross as one buffer, a zero byte between them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._arrays import CodeMatrix
from ._native import _address
from .exceptions import StoreLockedError

_FEW = 1000  # texts of a call that takes a moment
_AT_ONCE = np.array([0, 0, 0, 0, 0, 1, 0, 0], np.int64)  # a control block: not to wait for other processes
PLAIN, NAMES, ITEMS = 0, 1, 2  # what stands beside the ids of `assign`, by their numbers in the facade
FULL = 2  # what `assign` is told of ids that would have too many holders


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


_Bytes = npt.NDArray[np.uint8]


def _bytes(text: str) -> _Bytes:
    return np.frombuffer(text.encode() or b"\0", np.uint8)


class Item(NamedTuple):
    """An item of a store: its key with the type in front, its id, its codes as "3-9-1-"."""

    key: str
    id: str
    path: str


def _size(texts: Sequence[str], buffer: npt.NDArray[np.uint8]) -> int:
    return buffer.size if len(texts) > 1 or (texts and texts[0]) else 0


class FullError(Exception):
    """Ids would have more holders than they may: `rows` of the batch."""

    def __init__(self, rows: npt.NDArray[np.int64]) -> None:
        super().__init__(rows)
        self.rows = rows


class NativeStore:
    """A store inside the library, closed when nobody refers to it any more and when Python ends."""

    __slots__ = ("__weakref__", "at_once", "close", "handle")

    def __init__(self, open_it: Callable[[int, int, int, int], int], at_once: bool = False) -> None:
        out = np.zeros(1, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return open_it(_address(out), control, text, size)

        _native._call_long(call, None)
        self.handle, self.at_once = int(out[0]), at_once
        self.close = weakref.finalize(self, _free, self.handle, os.getpid())

    @classmethod
    def memory(cls, contents: bytes) -> NativeStore:
        """Make a store in memory with the contents that `snapshot` gave, or none."""
        data = np.frombuffer(contents or b"\0", np.uint8)
        size = len(contents)
        return cls(lambda out, _, text, n: _native._lib.StoreMemory(_address(data), size, out, text, n), True)

    @classmethod
    def sqlite(cls, path: str, timeout: float) -> NativeStore:
        """Open a database."""
        data = np.frombuffer(os.fsencode(path) or b"\0", np.uint8)
        size = data.size if path else 0
        return cls(
            lambda out, control, text, n: _native._lib.StoreSQLite(
                _address(data), size, timeout, out, control, text, n
            ),
            True,
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

    def _call(self, call: Callable[[int, int, int], int], n: int) -> None:
        """Make a call about `n` texts: in this thread, if that takes a moment. In another one Ctrl-C would end it."""
        if self.at_once and n < _FEW:
            with suppress(StoreLockedError):
                return _native.call(call, _address(_AT_ONCE))
        return _native._call_long(call, None)

    def next_suffixes(self, keys: Sequence[str]) -> list[int]:
        """Count one more holder of each key."""
        data, out = join("keys", keys), np.zeros(max(len(keys), 1), np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreNextSuffixes(
                self.handle, _address(data), _size(keys, data), len(keys), _address(out), control, text, size
            )

        self._call(call, len(keys))
        suffixes: list[int] = out[: len(keys)].tolist()
        return suffixes

    def assign(
        self,
        ids: Sequence[str],
        sep: str,
        beside: int,
        texts: Sequence[str],
        codes: CodeMatrix | None = None,
        version: str = "",
        model: str = "",
        most: npt.NDArray[np.int64] | None = None,
    ) -> tuple[list[str], bool]:
        """Return unique ids, and whether items new to the version got some although another model made its others.

        `most` has for each id how many holders it may have, 0 for any number; if one would have more, a FullError tells
        which, and nothing is given out.
        """
        data, extra = join("semantic_ids", ids), join("item_ids" if beside == NAMES else "item_keys", texts)
        between, of, by = _bytes(sep), _bytes(version), _bytes(model)
        levels = 0 if codes is None or not codes.size else codes.shape[1]
        rows = 0 if codes is None or not codes.size else _address(codes)
        changed, found = np.zeros(max(len(ids), 1), np.uint8), np.zeros(3, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreAssign(
                self.handle, _address(data), _size(ids, data), len(ids), _address(between), len(sep.encode()),
                _address(extra), _size(texts, extra), beside, rows, levels,
                _address(of), len(version.encode()), _address(by), len(model), 0 if most is None else _address(most),
                _address(changed), _address(found[2:]),
                _address(found), _address(found[1:]), control, text, size,
            )  # fmt: skip

        self._call(call, len(ids))
        if most is not None and (changed == FULL).any():
            raise FullError(np.flatnonzero(changed == FULL))
        fresh = iter(_take(found).decode().split("\0")).__next__
        unique = [fresh() if anew else id for id, anew in zip(ids, changed.tobytes(), strict=False)]
        return unique, bool(found[2])

    def holders(self, ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return how many holders ids have."""
        data, out = join("ids", ids), np.zeros(max(len(ids), 1), np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreHolders(
                self.handle, _address(data), _size(ids, data), len(ids), _address(out), control, text, size
            )

        self._call(call, len(ids))
        return out[: len(ids)]

    def knows(self, version: str, items: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which items have an id of a version."""
        data, of, out = join("item_keys", items), _bytes(version), np.zeros(max(len(items), 1), np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreKnows(
                self.handle, _address(of), len(version.encode()), _address(data), _size(items, data), len(items),
                _address(out), control, text, size,
            )  # fmt: skip

        self._call(call, len(items))
        return out[: len(items)].astype(bool)

    def lookup(self, ids: Sequence[str]) -> list[str]:
        """Return the items that have ids, with their type in front, "" for none."""
        data, found = join("ids", ids), np.zeros(2, np.int64)
        _native.call(
            _native._lib.StoreLookup, self.handle, _address(data), _size(ids, data), len(ids), _address(found),
            _address(found[1:]),
        )  # fmt: skip
        return _take(found).decode().split("\0") if len(ids) > 1 or found[1] else [""] * len(ids)

    def forget(self, version: str, items: Sequence[str], release: bool) -> int:
        """Forget items, give their ids back if asked to, and return how many were known."""
        data, of, known = join("item_keys", items), _bytes(version), np.zeros(1, np.int64)
        _native.call(
            _native._lib.StoreForget, self.handle, _address(of), len(version.encode()), _address(data),
            _size(items, data), len(items), int(release), _address(known),
        )  # fmt: skip
        return int(known[0])

    def pages(self, version: str, prefix: Sequence[int], size: int = 1 << 16) -> Iterator[list[Item]]:
        """Give the items of a version whose codes begin with `prefix`, in the order of their codes as text."""
        after = Item("", "", "")
        while page := self._page(version, prefix, after, size):
            yield page
            if len(page) < size:
                return
            after = page[-1]

    def _page(self, version: str, prefix: Sequence[int], after: Item, limit: int) -> list[Item]:
        of, path, key, codes = _bytes(version), _bytes(after.path), _bytes(after.key), np.array(prefix, np.int32)
        found = np.zeros(3, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StorePage(
                self.handle, _address(of), len(version.encode()), _address(codes), len(codes), _address(path),
                len(after.path.encode()), _address(key), len(after.key.encode()), limit, _address(found[2:]),
                _address(found), _address(found[1:]), control, text, size,
            )  # fmt: skip

        _native._call_long(call, None)
        if not found[2]:
            return []
        parts = _take(found).decode().split("\0")
        return [Item(*row) for row in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]

    def import_items(self, version: str, items: Sequence[Item]) -> int:
        """Make a version know items and return how many it did not."""
        of, added = _bytes(version), np.zeros(1, np.int64)
        columns = [[item[part] for item in items] for part in range(3)]
        keys, ids, paths = (
            join(what, column) for what, column in zip(("item keys", "ids", "codes"), columns, strict=True)
        )

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.StoreImport(
                self.handle, _address(of), len(version.encode()), _address(keys), _size(columns[0], keys),
                _address(ids), _size(columns[1], ids), _address(paths), _size(columns[2], paths), len(items),
                _address(added), control, text, size,
            )  # fmt: skip

        _native._call_long(call, None)
        return int(added[0])

    def model(self, version: str) -> str:
        """Return what tells the model of a version from others, "" if nothing does."""
        of, found = _bytes(version), np.zeros(2, np.int64)
        _native.call(
            _native._lib.StoreModel, self.handle, _address(of), len(version.encode()), _address(found),
            _address(found[1:]),
        )  # fmt: skip
        return _take(found).decode()

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
