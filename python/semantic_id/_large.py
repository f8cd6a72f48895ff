"""Rows that memory need not hold: what is mapped from files, and files that rows are put together in.

A fit of an array that is mapped from a file and of `LARGE` bytes or more, as float32, keeps no copy of it, neither
in float32 nor of what a level leaves over. The model is the same, whichever way.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ._arrays import FloatMatrix, is_float32, to_float32

LARGE = 1 << 28
_BLOCK = 1 << 22  # values converted at a time: 16 MiB


def is_large(array: npt.NDArray[Any]) -> bool:
    """Tell whether a fit of `array` must keep no copy of it."""
    return array.size * 4 >= LARGE and _is_mapped(array)


def _is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap.mmap)


def float32_rows(array: npt.NDArray[Any]) -> FloatMatrix:
    """Return a 2-D array itself where the native library can read it, and otherwise `to_float32` of it.

    That of a large array goes into a temporary file; see `spool`. Only what is converted is checked for NaN.
    """
    if is_float32(array):
        return array
    if not is_large(array):
        return to_float32(array)
    step = max(1, _BLOCK // array.shape[1])
    return spool(to_float32(array[low : low + step], low) for low in range(0, len(array), step))


def spool(blocks: Iterable[FloatMatrix]) -> FloatMatrix:
    """Put blocks of rows together: in memory, or from `LARGE` bytes on in a file that is mapped.

    The file has no name, so it is gone once nobody refers to the array, however the process ends. It is made in
    `tempfile.gettempdir()`, which the variable TMPDIR sets.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n, D), dtype float32
        At least one, all of the same D.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full.
    """
    held: list[FloatMatrix] = []
    rows, width, file = 0, 0, None
    with ExitStack() as stack:
        for block in blocks:
            rows, width = rows + len(block), block.shape[1]
            held.append(block)
            if file is None and rows * width * 4 < LARGE:
                continue
            with _complaints():
                import tempfile  # takes its time to import

                file = file or stack.enter_context(tempfile.TemporaryFile(prefix="semantic-id-", buffering=0))
                _write(file, held)
            held.clear()
        if file is None:
            return np.concatenate(held)
        return np.memmap(file, np.float32, "r", shape=(rows, width))


@contextmanager
def _complaints() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        import tempfile

        text = f"{error.strerror}, for rows put together in a temporary file; TMPDIR names another directory"
        raise OSError(error.errno, text, tempfile.gettempdir()) from error


def _write(file: IO[bytes], blocks: list[FloatMatrix]) -> None:
    for block in blocks:
        rest = np.ascontiguousarray(block).data.cast("B")
        while rest:
            rest = rest[file.write(rest) :]
