"""Reads the tensors of a dict that torch.save wrote, without PyTorch and without trust: no code of the file runs.

core/persist has the same in Go.
"""

import io
import os
import pickletools
import zipfile
from typing import Any, BinaryIO

import numpy as np

from ._npz import _UNREADABLE
from ._safetensors import DTYPES, Tensors, read_values, size_of
from .exceptions import ModelFileError

_MAX_PICKLE = 16 << 20  # bytes; a tensor takes about two hundred
_STORAGES = {
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"


def read(file: BinaryIO) -> Tensors:
    """Read a dict of tensors in the zip format of PyTorch 1.6 and later, in the dict's order.

    Of what a pickle can say it knows only tensors, dicts, lists, tuples, strings and numbers; it looks up no name and
    calls nothing.

    Raises
    ------
    ModelFileError
        If the file holds anything else, which the message names.
    """
    try:
        with zipfile.ZipFile(file) as z:
            return _Archive(z, file.seek(0, os.SEEK_END)).tensors()
    except ModelFileError:
        raise
    except _UNREADABLE as e:
        raise ModelFileError(f"damaged, or not a file of torch.save: {e}") from e


class _Storage:
    """The values that tensors are views of."""

    def __init__(self, kind: str, key: str, values: int) -> None:
        self.kind, self.key, self.values = kind, key, values


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


class _Global:
    def __init__(self, name: str) -> None:
        self.name = name


class _Archive:
    """The zip: members of one folder, not compressed."""

    def __init__(self, z: zipfile.ZipFile, length: int) -> None:
        self.z, self.length = z, length
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.top = ""
        for info in z.infolist():
            if info.filename in self.members:
                raise ModelFileError(f"{info.filename!r:.80} comes twice in the zip")
            self.members[info.filename] = info
            top, slash, name = info.filename.rpartition("/")
            if slash and name == "data.pkl" and "/" not in top:
                self.top = top

    def open(self, name: str) -> tuple[Any, int]:
        info = self.members.get(f"{self.top}/{name}")
        if info is None:
            raise ModelFileError(f"no {name} in the zip")
        size = info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != size or size > self.length:
            raise ModelFileError(
                f"{info.filename} declares {size} bytes by method {info.compress_type}, "
                f"want them as they are, within the file's {self.length}"
            )
        return self.z.open(info), size

    def read(self, name: str, most: int) -> bytes:
        member, size = self.open(name)
        with member:
            if size > most:
                raise ModelFileError(f"{name} has {size} bytes, want at most {most}")
            data: bytes = member.read()
            return data

    def tensors(self) -> Tensors:
        pickle = self.read("data.pkl", _MAX_PICKLE)
        if f"{self.top}/byteorder" in self.members:
            order = self.read("byteorder", 16)
            if order != b"little":
                raise ModelFileError(f"byte order {order!r}, want 'little': load and save it on a usual machine first")
        root = _unpickle(pickle)
        if not isinstance(root, dict):
            raise ModelFileError(
                f"the file holds {_kind(root)}, want a dict of tensors: torch.save(model.state_dict(), path)"
            )
        tensors: Tensors = {}
        left = self.length  # values of all tensors together: several may share a storage, but not to grow without bound
        for name, value in root.items():
            if not isinstance(name, str) or not isinstance(value, _Tensor):
                raise ModelFileError(
                    f"{_kind(value)} under {name!r:.80}, want only tensors under names: "
                    "torch.save(model.state_dict(), path)"
                )
            try:
                tensors[name] = self.tensor(value, left)
            except ModelFileError as e:
                raise ModelFileError(f"tensor {name!r:.80}: {e}") from e
            left -= tensors[name].size
        return tensors

    def tensor(self, t: _Tensor, most: int) -> Any:
        kind, values = t.storage.kind, t.storage.values
        itemsize = np.dtype(DTYPES[kind]).itemsize
        member, size = self.open(f"data/{t.storage.key}")
        with member:
            if values < 0 or size != values * itemsize:
                raise ModelFileError(f"storage {t.storage.key!r} has {size} bytes, want {values} values of {itemsize}")
            n = size_of(list(t.shape), min(most, values))
            last = t.offset + sum((d - 1) * s for d, s in zip(t.shape, t.strides, strict=True) if d > 1)
            steps = all(s > 0 for d, s in zip(t.shape, t.strides, strict=True) if d > 1)
            if t.offset < 0 or not steps or t.offset > values or (n > 0 and last >= values):
                raise ModelFileError(
                    f"shape {t.shape} from value {t.offset} by steps of {t.strides} goes beyond the {values} it has"
                )
            stored = read_values(member, kind, values)
            if member.read(1):  # at the end zipfile compares checksums
                raise ModelFileError(f"storage {t.storage.key!r} is too long")
        if n == 0:
            return np.empty(t.shape, stored.dtype)
        strides = [s * stored.itemsize if d > 1 else 0 for d, s in zip(t.shape, t.strides, strict=True)]
        view = np.lib.stride_tricks.as_strided(stored[t.offset :], t.shape, strides, writeable=False)
        return np.array(view, order="C")


def _kind(value: Any) -> str:
    if isinstance(value, _Global):
        return value.name.replace(" ", ".")
    return "a tensor" if isinstance(value, _Tensor) else f"a {type(value).__name__}"


def _global(name: str) -> _Global:
    """Return the object of a name, if it is one of those a state_dict needs."""
    module, _, rest = name.partition(" ")
    if name in (_ORDERED_DICT, _REBUILD_TENSOR) or (module == "torch" and rest in _STORAGES):
        return _Global(name)
    raise ModelFileError(
        f"it refers to {name.replace(' ', '.')!r:.200}, which is not part of a dict of tensors; it was not run. "
        "Load it where you trust it and save model.state_dict()"
    )


def _storage(args: Any) -> _Storage:
    """Read ("storage", class, key, place, values)."""
    if type(args) is tuple and len(args) == 5 and args[0] == "storage" and isinstance(args[1], _Global):
        _, cls, key, _, values = args
        kind = _STORAGES.get(cls.name.removeprefix("torch "))
        if kind and type(key) is str and type(values) is int:
            return _Storage(kind, key, values)
    raise ModelFileError("a storage is not as torch.save writes it")


def _reduce(function: Any, args: Any) -> Any:
    """Return what calling function would give, for the two there are."""
    if isinstance(function, _Global) and type(args) is tuple:
        if function.name == _ORDERED_DICT and not args:
            return {}
        if function.name == _REBUILD_TENSOR and len(args) in (6, 7):
            storage, offset, shape, strides = args[:4]
            whole = isinstance(storage, _Storage) and type(offset) is int and type(shape) is type(strides) is tuple
            if whole and len(shape) == len(strides) <= 16 and all(type(v) is int for v in shape + strides):
                return _Tensor(storage, offset, shape, strides)
    raise ModelFileError(f"{_kind(function)} with arguments that torch.save does not write")


def _unpickle(data: bytes) -> Any:
    """Run a pickle of protocols 2 to 5 on a machine that knows what torch.save writes for dicts of tensors."""
    try:
        return _run(data)
    except ModelFileError:
        raise
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as e:
        raise ModelFileError(f"data.pkl is damaged, or no pickle: {e}") from e


_MARK = object()
_PUSHED = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                items = stack[i + 1 :]
                del stack[i:]
                return items
        raise ValueError("no mark")

    def top(kind: type) -> Any:
        if type(stack[-1]) is not kind:
            raise ValueError(f"a {type(stack[-1]).__name__}, want a {kind.__name__}")
        return stack[-1]

    arg: Any
    for op, arg, _ in pickletools.genops(io.BytesIO(data)):
        name = op.name
        if name in _PUSHED:
            if isinstance(arg, int) and not -(2**63) <= arg < 2**63:
                raise ModelFileError("an integer of more than 64 bits")
            stack.append(arg)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "PROTO":
            if not 2 <= arg <= 5:
                raise ModelFileError(f"pickle protocol {arg}, want 2 to 5")
        elif name == "FRAME":
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            n = int(name[-1])
            if len(stack) < n:
                raise ValueError("too few values")
            stack[-n:] = [tuple(stack[-n:])]
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "APPEND":
            value = stack.pop()
            top(list).append(value)
        elif name == "APPENDS":
            items = since_mark()
            top(list).extend(items)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else since_mark()
            if len(items) % 2:
                raise ValueError("a key without a value")
            for key, value in zip(items[::2], items[1::2], strict=True):
                if type(key) not in (str, int):
                    raise ModelFileError(f"{_kind(key)} as a key, want names")
                if key in top(dict):
                    raise ModelFileError(f"{key!r:.80} comes twice")
                top(dict)[key] = value
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[arg] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[arg])
        elif name == "GLOBAL":
            stack.append(_global(arg))
        elif name == "STACK_GLOBAL":
            last = stack.pop()
            stack.append(_global(f"{stack.pop()} {last}"))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            args = stack.pop()
            stack.append(_reduce(stack.pop(), args))
        elif name == "BUILD":  # attributes of an OrderedDict, which a dict of tensors does not need
            stack.pop()
            top(dict)
        elif name == "STOP":
            return stack.pop()
        else:
            raise ModelFileError(
                f"it holds the pickle instruction {name}, which no dict of tensors needs; it was not run"
            )
    raise ValueError("no end")
