"""Write files of ids: .csv, .parquet and .jsonl, whole or not at all.

A row is the item's id, its semantic id and its codes: in .csv the columns id, semantic_id, code_0, code_1,
...; in .parquet and .jsonl id, semantic_id and codes, a list.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import secrets
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ._tables import DataError, import_pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class IdWriter(Protocol):
    """Takes the rows in order, some at a time."""

    def write(
        self, ids: Sequence[str] | Sequence[int], semantic_ids: Sequence[str], codes: NDArray[np.int32]
    ) -> None: ...


@contextmanager
def id_writer(path: str, levels: int) -> Iterator[IdWriter]:
    """Give a writer for `path`, "-" being CSV on stdout; the file appears when the block ends well.

    Raises
    ------
    DataError
        If the extension is unknown, or the path is taken by something that is not a file.
    """
    if path == "-":
        yield _CsvWriter(sys.stdout, levels)
        return
    writers: dict[str, Callable[[str], Any]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
    extension = os.path.splitext(path)[1].lower()
    if extension not in writers:
        raise DataError(f"{path}: cannot tell the format by the name, want {', '.join(writers)} or - for stdout")
    if extension == ".parquet":
        import_pyarrow("writing", path)
    with replacing(path) as temporary, writers[extension](temporary) as make:
        yield make(levels)


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give the path of a temporary file beside `path`, which takes its place when the block ends well.

    If it does not, by an error or an interrupt, the temporary file is removed and `path` stays as it was.
    """
    target = check_target(path)
    temporary = os.path.join(os.path.dirname(target), f".semantic-id-{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb"):  # not tempfile: the file is to have the usual permissions
            pass
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and (error.errno in _FULL or error.filename == temporary):
            raise OSError(error.errno, os.strerror(error.errno or 0), path) from error  # the name the user knows
        raise


def check_target(path: str) -> str:
    """Return the file that `path` leads to, or say why none can be written there."""
    if not os.path.basename(path):
        raise DataError(f"{path!r} is no name of a file: want one after the last {os.sep}")
    target = os.path.realpath(path)  # a link keeps pointing to the file it points to
    if os.path.lexists(target) and not os.path.isfile(target):
        what = "a directory" if os.path.isdir(target) else "not a regular file"
        raise DataError(f"{path}: is {what}; choose another name")
    directory = os.path.dirname(target)
    if not os.path.isdir(directory):
        raise DataError(f"{path}: the directory {directory} does not exist; make it first")
    return target


@contextmanager
def _csv(path: str) -> Iterator[Callable[[int], IdWriter]]:
    with open(path, "w", encoding="utf-8", newline="") as file:
        yield lambda levels: _CsvWriter(file, levels)


@contextmanager
def _jsonl(path: str) -> Iterator[Callable[[int], IdWriter]]:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        yield lambda levels: _JsonlWriter(file)


@contextmanager
def _parquet(path: str) -> Iterator[Callable[[int], IdWriter]]:
    writer = _ParquetWriter(path)
    try:
        yield lambda levels: writer
        writer.close()
    except BaseException:
        with suppress(Exception):  # the file is thrown away, and the first error is the one to tell
            writer.close()
        raise


class _CsvWriter:
    def __init__(self, file: TextIO, levels: int) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._header: list[str] | None = ["id", "semantic_id", *(f"code_{level}" for level in range(levels))]

    def write(self, ids: Sequence[str] | Sequence[int], semantic_ids: Sequence[str], codes: NDArray[np.int32]) -> None:
        if self._header:  # only now: an error before the first row leaves nothing on stdout
            self._rows.writerow(self._header)
            self._header = None
        rows = zip(ids, semantic_ids, codes.tolist(), strict=True)
        self._rows.writerows([row_id, semantic_id, *row] for row_id, semantic_id, row in rows)


class _JsonlWriter:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, ids: Sequence[str] | Sequence[int], semantic_ids: Sequence[str], codes: NDArray[np.int32]) -> None:
        for row_id, semantic_id, row in zip(ids, semantic_ids, codes.tolist(), strict=True):
            record = {"id": row_id, "semantic_id": semantic_id, "codes": row}
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")


class _ParquetWriter:
    def __init__(self, path: str) -> None:
        self._pa, self._pq = import_pyarrow("writing", path)
        self._path = path
        self._writer: Any = None

    def write(self, ids: Sequence[str] | Sequence[int], semantic_ids: Sequence[str], codes: NDArray[np.int32]) -> None:
        pa = self._pa
        id_type = pa.string() if isinstance(ids[0], str) else pa.int64()
        try:
            column = pa.array(ids, id_type)
        except (pa.ArrowException, OverflowError) as error:
            raise DataError("an id does not fit 64 bits, so .parquet cannot hold it; write .csv or .jsonl") from error
        flat = pa.array(codes.reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(flat, codes.shape[1]).cast(pa.list_(pa.int32()))
        table = pa.table({"id": column, "semantic_id": pa.array(semantic_ids, pa.string()), "codes": lists})
        if self._writer is None:
            self._writer = self._pq.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
