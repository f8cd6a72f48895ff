"""Read files of embeddings: .npy, .npz, .parquet, .csv and .jsonl, and directories of .parquet files.

`open_embeddings` looks at a file and returns an `Embeddings`: all rows as one array for `fit`, or block
after block with the ids of the rows for `encode`. Every complaint is a `DataError` of one sentence that
names the file, and the line or row and column where there is one. Lines count from 1, as editors do; rows
count from 0, as NumPy does.

Which column holds what, in .parquet, .csv and .jsonl:

- The id column is the one asked for, else one named "id", else there is none and a row's number is its id.
- The vector column is the one asked for, else one named "embedding", "embeddings" or "vector".
- If there is no such column, .parquet and .jsonl take the only column of lists, and .parquet and .csv take
  all columns but the id column, one number of the vector in each.
"""

from __future__ import annotations

import csv
import json
import os
from abc import ABC, abstractmethod
from array import array
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ._arrays import to_float32
from ._large import spool
from .exceptions import SemanticIdError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_VECTOR_NAMES = ("embedding", "embeddings", "vector")
_ID_NAME = "id"
_BLOCK_NUMBERS = 1 << 22  # 16 MiB of float32 a block: much work for a call, little memory, frequent progress
_BLOCK_ROWS = 1 << 16


class DataError(SemanticIdError, ValueError):
    """A file that cannot be read as embeddings, with what to do about it."""


@dataclass(frozen=True)
class Block:
    """Some rows in a row: `vectors` of shape (rows, D), and one id each."""

    start: int
    ids: Sequence[str] | Sequence[int]
    vectors: NDArray[Any]


class Embeddings(ABC):
    """A file of embeddings. `rows` is None where only reading to the end could tell."""

    rows: int | None = None

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Give all rows in order, checked to be finite, in blocks of about 16 MiB."""

    def matrix(self, progress: Callable[[int], object] | None = None) -> NDArray[Any]:
        """Return all rows as one array of shape (N, D), mapped where it is large; `progress` is told of rows read."""

        def vectors() -> Iterator[NDArray[np.float32]]:
            start = 0
            for block in self.blocks():
                with naming(self.path):
                    yield to_float32(block.vectors, start)
                start += len(block.vectors)
                if progress is not None:
                    progress(len(block.vectors))
            if not start:
                raise DataError(f"{self.path}: holds no rows")

        return spool(vectors())


def open_embeddings(
    path: str | Sequence[str], *, column: str | None = None, id_column: str | None = None, key: str | None = None
) -> Embeddings:
    """Open `path` by its extension.

    Parameters
    ----------
    path : str or sequence of str
        A file that ends in .npy, .npz, .parquet, .csv or .jsonl; a directory of .parquet files, taken in the order of
        their names; or several of them, one after the other.
    column : str, optional
        The column that holds the vectors.
    id_column : str, optional
        The column, or in .npz the array, that holds the ids.
    key : str, optional
        The array of a .npz to read, if it holds several.

    Raises
    ------
    DataError
        If the extension is unknown, the file is not what it says, or there is no such column.
    """
    if not isinstance(path, str):
        if not path:
            raise DataError("no files: the list of paths is empty")
        files = [open_embeddings(each, column=column, id_column=id_column, key=key) for each in path]
        return files[0] if len(files) == 1 else _Several(f"{path[0]} and {len(files) - 1} more", files)
    openers: dict[str, Callable[[], Embeddings]] = {
        ".npy": lambda: _ArrayFile(path, _load_npy(path)),
        ".npz": lambda: _load_npz(path, key, id_column),
        ".parquet": lambda: _ParquetFile(path, column, id_column),
        ".csv": lambda: _CsvFile(path, column, id_column),
        ".jsonl": lambda: _JsonlFile(path, column, id_column),
    }
    extension = os.path.splitext(path)[1].lower()
    if extension in ("", ".parquet") and os.path.isdir(path):
        parts = _parquet_files(path)
        if not parts:
            raise DataError(f"{path}: is a directory without .parquet files")
        return _Several(path, [_ParquetFile(part, column, id_column) for part in parts])
    if extension not in openers:
        raise DataError(f"{path}: cannot tell the format by the name, want one of {', '.join(openers)}")
    for option, given, takes in (
        ("--key", key, (".npz",)),
        ("--column", column, (".parquet", ".csv", ".jsonl")),
        ("--id-column", id_column, (".npz", ".parquet", ".csv", ".jsonl")),
    ):
        if given is not None and extension not in takes:
            raise DataError(f"{path}: {option} does not apply to a {extension} file")
    return openers[extension]()


def _parquet_files(directory: str) -> list[str]:
    """Return the .parquet files below a directory; names that begin with . or _ are those of programs at work."""
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(directory)
        for name in names
        if name.lower().endswith(".parquet")
        and not any(
            part.startswith((".", "_")) for part in os.path.relpath(os.path.join(place, name), directory).split(os.sep)
        )
    )


class _Several(Embeddings):
    """Files one after the other. Where they have no ids, rows are numbered through."""

    def __init__(self, path: str, files: Sequence[Embeddings]) -> None:
        super().__init__(path)
        self.files = files
        rows = [file.rows for file in files]
        self.rows = None if None in rows else sum(n or 0 for n in rows)

    def blocks(self) -> Iterator[Block]:
        start, first = 0, None
        for file in self.files:
            for block in file.blocks():
                first = block if first is None else first
                width, want = block.vectors.shape[1], first.vectors.shape[1]
                if width != want:
                    raise DataError(f"{file.path}: has embeddings of {width} numbers, {self.files[0].path} of {want}")
                numbered = isinstance(block.ids, range)
                if numbered != isinstance(first.ids, range):
                    one, other = (file, self.files[0]) if numbered else (self.files[0], file)
                    raise DataError(f"{one.path}: has no ids, {other.path} has; choose them by --id-column")
                ids = range(start, start + len(block.vectors)) if numbered else block.ids
                yield Block(start, ids, block.vectors)
                start += len(block.vectors)


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name before an error about the array that was read from it."""
    try:
        yield
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error


# Arrays: .npy and .npz.


class _ArrayFile(Embeddings):
    rows: int

    def __init__(self, path: str, vectors: NDArray[Any], ids: NDArray[Any] | None = None) -> None:
        super().__init__(path)
        if vectors.ndim != 2:
            raise DataError(f"{path}: the array has shape {vectors.shape}, want 2-D: one embedding a row")
        if vectors.dtype.kind not in "fiub":
            raise DataError(f"{path}: the array has dtype {vectors.dtype}, want floats or integers")
        if 0 in vectors.shape:
            raise DataError(f"{path}: the array has shape {vectors.shape}, so there is nothing in it")
        if ids is not None and ids.shape != (len(vectors),):
            raise DataError(f"{path}: ids of shape {ids.shape} for {len(vectors)} rows, want one id a row")
        if ids is not None and ids.dtype.kind not in "iuU":
            raise DataError(f"{path}: ids of dtype {ids.dtype}, want integers or strings")
        self.vectors, self.ids, self.rows = vectors, ids, len(vectors)

    def matrix(self, progress: Callable[[int], object] | None = None) -> NDArray[Any]:
        return self.vectors

    def blocks(self) -> Iterator[Block]:
        step = _block_rows(self.vectors.shape[1])
        for start in range(0, self.rows, step):
            vectors = self.vectors[start : start + step]
            _check_finite(vectors, self.path, "row", range(start, start + len(vectors)))
            ids = range(start, start + len(vectors)) if self.ids is None else self.ids[start : start + step].tolist()
            yield Block(start, ids, vectors)


def _load_npy(path: str) -> NDArray[Any]:
    try:
        # Not numpy.load, which would also take a .npz or a pickle under this name.
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # whatever a damaged header makes NumPy's parser raise
        raise DataError(f"{path}: not a complete .npy file ({_first_line(error)}); write it by numpy.save") from error


def _load_npz(path: str, key: str | None, id_column: str | None) -> _ArrayFile:
    with open(path, "rb") as opened, _npz_complaints(path), np.load(opened, allow_pickle=False) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(f"{path}: is a .npy file; name it so")
        names = list(file.files)
        if id_column is None and _ID_NAME in names and key != _ID_NAME:
            id_column = _ID_NAME
        if key is None:
            others = [name for name in names if name != id_column]
            if len(others) != 1:
                raise DataError(f"{path}: holds {_list(names)}; choose the embeddings by --key")
            key = others[0]
        for name in (key, id_column):
            if name is not None and name not in names:
                raise DataError(f"{path}: no array {name!r} in it, only {_list(names)}")
        return _ArrayFile(path, file[key], None if id_column is None else file[id_column])


@contextmanager
def _npz_complaints(path: str) -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # of zip, zlib and NumPy's parser, of many classes
        raise DataError(f"{path}: not a complete .npz file ({_first_line(error)}); write it by numpy.savez") from error


# Tables: .parquet.


class _ParquetFile(Embeddings):
    rows: int

    def __init__(self, path: str, column: str | None, id_column: str | None) -> None:
        super().__init__(path)
        pa, pq = import_pyarrow("reading", path)
        self._pa, self._pq = pa, pq
        open(path, "rb").close()  # Python's own errors for a file that is not there
        with self._complaints(), self._open() as file:
            schema = file.schema_arrow
            self.rows = file.metadata.num_rows
        if self.rows == 0:
            raise DataError(f"{path}: holds no rows")
        names = list(schema.names)
        self._id = _find(path, names, id_column, (_ID_NAME,))
        self._column = _find(path, names, column, _VECTOR_NAMES)
        if self._column is None:
            lists = [name for name in names if name != self._id and self._is_list(schema.field(name).type)]
            if len(lists) > 1:
                raise DataError(f"{path}: several columns hold lists ({_list(lists)}); choose one by --column")
            self._column = lists[0] if lists else None
        self._vectors = [self._column] if self._column is not None else [n for n in names if n != self._id]
        for name in self._vectors:
            kind = schema.field(name).type
            if self._is_list(kind):
                kind = kind.value_type
            elif self._column is not None:
                raise DataError(f"{path}: column {name!r} is of type {kind}, want a list of numbers")
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise DataError(
                    f"{path}: column {name!r} holds {kind}, want numbers; choose the column of vectors by --column"
                )
        if self._id is not None:
            kind = schema.field(self._id).type
            if pa.types.is_dictionary(kind):
                kind = kind.value_type
            if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise DataError(f"{path}: id column {self._id!r} is of type {kind}, want strings or integers")

    def _open(self) -> Any:
        # Without a buffer, the column of a whole row group is read at once, which may be all of the file.
        return self._pq.ParquetFile(self.path, buffer_size=1 << 20, pre_buffer=False)

    def blocks(self) -> Iterator[Block]:
        columns = self._vectors if self._id is None else [*self._vectors, self._id]
        start, width = 0, None
        with self._complaints(), self._open() as file:
            for batch in file.iter_batches(batch_size=8192, columns=columns):
                if batch.num_rows == 0:
                    continue
                vectors = self._batch_vectors(batch, start)
                width = vectors.shape[1] if width is None else width
                if vectors.shape[1] != width:
                    raise DataError(f"{self.path}: row {start} has {vectors.shape[1]} numbers, row 0 has {width}")
                _check_finite(vectors, self.path, "row", range(start, start + len(vectors)))
                ids: Sequence[Any] = range(start, start + len(vectors))
                if self._id is not None:
                    self._check_nulls(batch.column(self._id), self._id, start)
                    ids = batch.column(self._id).to_pylist()
                yield Block(start, ids, vectors)
                start += len(vectors)

    def _batch_vectors(self, batch: Any, start: int) -> NDArray[Any]:
        if self._column is None:
            for name in self._vectors:
                self._check_nulls(batch.column(name), name, start)
            return np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in self._vectors])
        lists = batch.column(self._column)
        self._check_nulls(lists, self._column, start)
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
        other = np.flatnonzero(lengths != lengths[0])
        if len(other):
            row = int(other[0])
            raise DataError(
                f"{self.path}: row {start + row} has {lengths[row]} numbers, the rows before have {lengths[0]}"
            )
        if lengths[0] == 0:
            raise DataError(f"{self.path}: row {start} has an empty list in column {self._column!r}")
        numbers = lists.flatten()
        if numbers.null_count:
            row = int(np.argmax(numbers.is_null().to_numpy(zero_copy_only=False))) // int(lengths[0])
            raise DataError(f"{self.path}: row {start + row} has a null in column {self._column!r}")
        flat: NDArray[Any] = numbers.to_numpy(zero_copy_only=False)
        return flat.reshape(len(lengths), int(lengths[0]))

    def _check_nulls(self, column: Any, name: str, start: int) -> None:
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise DataError(f"{self.path}: row {start + row} has a null in column {name!r}")

    def _is_list(self, kind: Any) -> bool:
        types = self._pa.types
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (self._pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: not a complete .parquet file ({_first_line(error)})") from error


def import_pyarrow(doing: str, path: str) -> tuple[Any, Any]:
    """Return pyarrow and pyarrow.parquet, or say how to get them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(f"{path}: {doing} .parquet needs pyarrow: pip install 'semantic-id[parquet]'") from error
    return pyarrow, pyarrow.parquet


# Text: .csv and .jsonl. Each gives rows of (line, id or None, numbers); what they share stands in _TextFile.


class _TextFile(Embeddings):
    @abstractmethod
    def _rows(self, file: TextIO) -> Iterator[tuple[int, str | int | None, array[float]]]: ...

    def blocks(self) -> Iterator[Block]:
        start, width, first_line = 0, 0, 0
        numbers, ids, lines = array("f"), list[Any](), list[int]()
        with _open_text(self.path) as file:
            for line, row_id, row in self._rows(file):
                if not width:
                    width, first_line = len(row), line
                if len(row) != width:
                    raise DataError(
                        f"{self.path}: line {line} has {len(row)} numbers, line {first_line} has {width}; "
                        "every embedding must be as long as the first"
                    )
                row_id = start + len(lines) if row_id is None else row_id
                if ids and type(row_id) is not type(ids[0]):
                    raise DataError(f"{self.path}: line {line} has id {row_id!r}, after {ids[0]!r}; want one type")
                numbers.extend(row)
                ids.append(row_id)
                lines.append(line)
                if len(lines) == _block_rows(width):
                    yield self._block(start, numbers, ids, lines)
                    start += len(lines)
                    numbers, ids, lines = array("f"), [], []
        if lines:
            yield self._block(start, numbers, ids, lines)
        elif not start:
            raise DataError(f"{self.path}: holds no rows")

    def _block(self, start: int, numbers: array[float], ids: list[Any], lines: list[int]) -> Block:
        vectors = np.frombuffer(numbers, np.float32).reshape(len(lines), -1)
        _check_finite(vectors, self.path, "line", lines)
        return Block(start, ids, vectors)


class _CsvFile(_TextFile):
    def __init__(self, path: str, column: str | None, id_column: str | None) -> None:
        super().__init__(path)
        with _open_text(path) as file:
            first = next(self._records(file), None)
        if first is None:
            raise DataError(f"{path}: is empty")
        cells = first[1]
        self._header = not all(_is_number(cell) for cell in cells) or _is_count(cells)
        if not self._header:
            if column is not None or id_column is not None:
                raise DataError(f"{path}: line 1 is all numbers, so there are no column names to choose by")
            self._names = [str(n + 1) for n in range(len(cells))]
            self._id: int | None = None
            self._column: int | None = None
            return
        data = next((cell for cell in cells if _is_data(cell)), None)
        if data is not None:
            raise DataError(f"{path}: line 1 must name the columns or be all numbers, but has {_short(data)}")
        self._names = cells
        # pandas writes its index as a first column without a name.
        id_names = (_ID_NAME, "") if cells[0] == "" else (_ID_NAME,)
        id_name = _find(path, cells, id_column, id_names)
        name = _find(path, cells, column, _VECTOR_NAMES)
        self._id = None if id_name is None else cells.index(id_name)
        self._column = None if name is None else cells.index(name)

    def _rows(self, file: TextIO) -> Iterator[tuple[int, str | int | None, array[float]]]:
        records = self._records(file)
        if self._header:
            next(records)
        for line, cells in records:
            if len(cells) != len(self._names):
                raise DataError(f"{self.path}: line {line} has {len(cells)} cells, line 1 has {len(self._names)}")
            row_id = None if self._id is None else cells[self._id]
            if self._column is not None:
                numbers = _vector_cell(cells[self._column])
                names: Sequence[str] = [self._names[self._column]]
            else:
                numbers, names = cells, self._names
                if self._id is not None:
                    numbers = [*cells[: self._id], *cells[self._id + 1 :]]
                    names = [*self._names[: self._id], *self._names[self._id + 1 :]]
            try:
                row = array("f", map(float, numbers))
            except ValueError:
                bad = next(n for n, cell in enumerate(numbers) if not _is_number(cell))
                name = names[0] if self._column is not None else names[bad]
                hint = "" if self._column is not None else "; choose the columns by --column and --id-column"
                what = f"{_short(numbers[bad])} is not a number{hint}"
                raise DataError(f"{self.path}: line {line}, column {name!r}: {what}") from None
            if not row:
                raise DataError(f"{self.path}: line {line}, column {names[0] if names else ''!r} holds no numbers")
            yield line, row_id, row

    def _records(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Give each record that is not blank, with the line it starts on."""
        limit = csv.field_size_limit(1 << 30)  # the usual 128 KiB is less than a long vector in one cell
        reader = csv.reader(file, strict=True)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self.path}: line {line} is not CSV: {error}") from error
        finally:
            csv.field_size_limit(limit)


class _JsonlFile(_TextFile):
    def __init__(self, path: str, column: str | None, id_column: str | None) -> None:
        super().__init__(path)
        with _open_text(path) as file:
            first = next(self._records(file), None)
        if first is None:
            raise DataError(f"{path}: holds no rows")
        names = list(first[1])
        self._id = _find(path, names, id_column, (_ID_NAME,))
        name = _find(path, names, column, _VECTOR_NAMES)
        if name is None:
            lists = [key for key, value in first[1].items() if isinstance(value, list)]
            if len(lists) != 1:
                raise DataError(f"{path}: line {first[0]} has the keys {_list(names)}; choose the vector by --column")
            name = lists[0]
        self._column = name

    def _rows(self, file: TextIO) -> Iterator[tuple[int, str | int | None, array[float]]]:
        for line, record in self._records(file):
            for key in (self._column, self._id):
                if key is not None and key not in record:
                    raise DataError(f"{self.path}: line {line} has no key {key!r}")
            row_id = None if self._id is None else record[self._id]
            if self._id is not None and (isinstance(row_id, bool) or not isinstance(row_id, str | int)):
                raise DataError(f"{self.path}: line {line}: id {_short(row_id)} is neither a string nor an integer")
            vector = record[self._column]
            if not isinstance(vector, list) or not vector:
                what = f"{self._column!r} is {_short(vector)}, want a list of numbers"
                raise DataError(f"{self.path}: line {line}: {what}")
            try:
                row = array("f", vector)
            except (TypeError, OverflowError):
                bad = next((v for v in vector if isinstance(v, bool) or not isinstance(v, int | float)), vector[0])
                what = f"{_short(bad)} in {self._column!r} is not a number"
                raise DataError(f"{self.path}: line {line}: {what}") from None
            yield line, row_id, row

    def _records(self, file: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
        for line, text in enumerate(file, 1):
            if text.isspace():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self.path}: line {line} is not JSON: {_first_line(error)}") from error
            if not isinstance(record, dict):
                raise DataError(f"{self.path}: line {line} is {_short(record)}, want an object with a key per column")
            yield line, record


@contextmanager
def _open_text(path: str) -> Iterator[TextIO]:
    """Open UTF-8 text, with or without a byte order mark, and turn away all other encodings."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        raise DataError(f"{path}: is UTF-16 or binary, not UTF-8 text; save it as UTF-8")
    try:
        with open(path, encoding="utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path}: is not UTF-8 text (it has the byte 0x{byte:02x}); save it as UTF-8") from error


def _find(path: str, names: Sequence[str], asked: str | None, usual: Sequence[str]) -> str | None:
    """Return the column asked for, else the first of the usual names there is."""
    if asked is None:
        return next((name for name in usual if name in names), None)
    if asked not in names:
        raise DataError(f"{path}: no column {asked!r}, only {_list(names)}")
    if names.count(asked) > 1:
        raise DataError(f"{path}: more than one column is named {asked!r}")
    return asked


def _check_finite(vectors: NDArray[Any], path: str, place: str, numbers: Sequence[int]) -> None:
    """Complain about the first row with NaN or infinity, the i-th of which is at `place` `numbers[i]`."""
    if vectors.dtype.kind != "f":
        return
    finite = np.isfinite(vectors)
    if not finite.all():
        row, column = (int(n) for n in np.argwhere(~finite)[0])
        raise DataError(
            f"{path}: NaN or Inf in {place} {numbers[row]}, number {column + 1} of the embedding; "
            "drop the row or embed the item again"
        )


def _block_rows(width: int) -> int:
    return max(1, min(_BLOCK_ROWS, _BLOCK_NUMBERS // max(1, width)))


def _vector_cell(cell: str) -> list[str]:
    """Split a vector in one cell: a JSON list, NumPy's printed form, or numbers between spaces."""
    return cell.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_data(cell: str) -> bool:
    """Tell a cell that no column would be named: 0.12 or [1, 2, though 12 may be."""
    return cell.lstrip().startswith("[") or (_is_number(cell) and not cell.strip().isdigit())


def _is_count(cells: list[str]) -> bool:
    """Tell pandas' default column names, 0, 1, 2, ..., from a first row of data."""
    return len(cells) > 1 and cells == [str(n) for n in range(len(cells))]


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown or "nothing"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
