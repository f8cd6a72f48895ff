"""The safetensors format (https://huggingface.co/docs/safetensors), by NumPy alone, read without trust.

core/persist has the same in Go.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .exceptions import ModelFileError

_MAX_HEADER = 16 << 20  # bytes; a tensor takes about a hundred
_CHUNK = 1 << 20
_MAX_DIM = 2**31 - 1

Tensors = dict[str, npt.NDArray[Any]]  # float32, or int64 for counts

# How a file stores values: little-endian in all of them.
DTYPES = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def write(file: BinaryIO, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write float32 arrays as F32 and int64 arrays as I64, in their order; equal arrays give equal bytes."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    arrays = []
    for name, tensor in tensors.items():
        kind = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}[tensor.dtype]
        array = np.asarray(tensor, DTYPES[kind], order="C")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # values begin at a multiple of eight
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for array in arrays:
        file.write(array.tobytes())


def read(file: BinaryIO, length: int) -> Tensors:
    """Read the tensors of a file of `length` bytes, in the order of their values.

    F64, F16 and BF16 become float32, I32 becomes int64. Nothing is allocated before the header fits the length.

    Raises
    ------
    ModelFileError
        If the file is anything else: a name that comes twice, values that overlap, leave gaps or end elsewhere.
    """
    start = file.read(8)
    n = int.from_bytes(start, "little")
    if len(start) < 8 or n > min(_MAX_HEADER, length - 8):
        raise ModelFileError(f"a header of {n} bytes in a file of {length}; want at most {_MAX_HEADER}")
    places = _parse(file.read(n), length - 8 - n)
    tensors = {}
    for name, kind, shape, _, _ in places:
        tensors[name] = read_values(file, kind, math.prod(shape)).reshape(shape)
    return tensors


def read_values(file: Any, kind: str, n: int) -> npt.NDArray[Any]:
    """Read n values, which the caller has found to be in the file, as float32 or int64."""
    raw = np.empty(n, DTYPES[kind])
    into = raw.view(np.uint8).data
    at = 0
    while at < len(into):
        data = file.read(min(_CHUNK, len(into) - at))
        if not data:
            raise ModelFileError("ends too early")
        into[at : at + len(data)] = data
        at += len(data)
    if kind == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return raw.astype(np.int64 if kind[0] == "I" else np.float32, copy=False)


def size_of(shape: list[int], most: int) -> int:
    """Return how many values a shape asks for; more than `most` is an error."""
    n = 1
    for d in shape:
        if type(d) is not int or not 0 <= d <= _MAX_DIM:
            raise ModelFileError(f"a shape of {shape!r:.100}, want dimensions of 0 to {_MAX_DIM}")
        n *= d
        if n > most:
            raise ModelFileError(f"a shape of {shape!r:.100}, more than {most} values, all that the file can hold")
    return n


def _parse(text: bytes, values: int) -> list[tuple[str, str, list[int], int, int]]:
    """Return name, dtype, shape and byte range of the tensors in a file with this many bytes of values."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):  # readers differ on which one counts
            raise ValueError("a key comes twice")
        return entries

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError) as e:
        raise ModelFileError(f"the header is not JSON: {e}") from e
    if not isinstance(header, dict):
        raise ModelFileError("the header is not a JSON object")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(v, str) for v in notes.values()):
        raise ModelFileError(f"__metadata__ is {notes!r:.40}, want an object of strings")
    places = []
    for name, entry in header.items():
        fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
        kind, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
        if (
            not isinstance(shape, list)
            or not isinstance(offsets, list)
            or len(offsets) != 2
            or not all(type(v) is int for v in offsets)
        ):
            raise ModelFileError(f"tensor {name!r:.80}: {entry!r:.200}, want dtype, shape and two data_offsets")
        if not isinstance(kind, str) or kind not in DTYPES:
            raise ModelFileError(f"tensor {name!r:.80}: dtype {kind!r:.20}, want one of {', '.join(DTYPES)}")
        begin, end = offsets
        n = size_of(shape, values) * np.dtype(DTYPES[kind]).itemsize
        if begin < 0 or end > values or end - begin != n:
            raise ModelFileError(
                f"tensor {name!r:.80}: bytes {begin} to {end} of {values}, want {n} for {shape} of {kind}"
            )
        places.append((name, kind, shape, begin, end))
    places.sort(key=lambda place: place[3:])
    at = 0
    for name, _, _, begin, end in places:
        if begin != at:
            raise ModelFileError(f"tensor {name!r:.80} begins at byte {begin}, the one before ends at {at}")
        at = end
    if at != values:
        raise ModelFileError(f"the tensors have {at} bytes, the file has {values} for them")
    return places
