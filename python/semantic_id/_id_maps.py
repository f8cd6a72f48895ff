"""Read a column of a file by item: ids from .csv, .parquet, .jsonl, .json and .npy files, and names and labels.

Every complaint is a `DataError` of one sentence that names the file, and the line, row or item where there is one.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ._id_parts import split_id
from ._tables import DataError, _find, _first_line, _list, _load_npy, _open_text, import_pyarrow, naming

_ID_NAMES = ("semantic_id", "semantic_ids", "sid", "codes")
_ITEM_NAMES = ("id", "item_id", "item")


class Column(NamedTuple):
    """The column to read: the one asked for, else the first of the usual names; and how to choose it, for errors."""

    asked: str | None
    usual: Sequence[str]
    choice: str


def read_id_map(
    path: str, *, sep: str = "-", id_column: str | None = None, item_column: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the parts of each item's id, by the item as text.

    Parameters
    ----------
    path : str
        A file that ends in .csv, .parquet, .jsonl, .json (an object of item to id) or .npy (codes; items are numbered).
    sep : str, default="-"
        What stands between the codes of a plain id.
    id_column : str, optional
        The column of semantic ids (by default one named semantic_id, semantic_ids, sid or codes).
    item_column : str, optional
        The column of items (by default one named id, item_id or item; without one rows are numbered from 0).

    Raises
    ------
    DataError
        If the extension is unknown, the file is not what it says, an item comes twice, or an id is none.
    """
    ids = read_column(
        path, Column(id_column, _ID_NAMES, "the column of semantic ids by --semantic-id-column"), item_column
    )
    with naming(path):
        return {item: split_id(value, sep, f"the id at {place}") for item, (place, value) in ids.items()}


def read_column(path: str, column: Column, item_column: str | None = None) -> dict[str, tuple[str, Any]]:
    """Return the place and the value of each item, by the item as text.

    The arguments and errors are those of `read_id_map`.
    """
    readers: dict[str, Callable[[], Iterator[tuple[str, Any, Any]]]] = {
        ".csv": lambda: _csv(path, column, item_column),
        ".parquet": lambda: _parquet(path, column, item_column),
        ".jsonl": lambda: _jsonl(path, column, item_column),
        ".json": lambda: _json(path),
        ".npy": lambda: _npy(path),
    }
    extension = os.path.splitext(path)[1].lower()
    if extension not in readers:
        raise DataError(f"{path}: cannot tell the format by the name, want one of {', '.join(readers)}")
    if extension in (".json", ".npy") and (column.asked is not None or item_column is not None):
        raise DataError(f"{path}: a {extension} file has no columns to choose from")
    values: dict[str, tuple[str, Any]] = {}
    with naming(path):
        for place, item, value in readers[extension]():
            if str(item) in values:
                raise DataError(f"{path}: item {str(item)!r} comes a second time at {place}")
            values[str(item)] = place, value
    if not values:
        raise DataError(f"{path}: holds no items")
    return values


def _csv(path: str, wanted: Column, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    with _open_text(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            column, items = _columns(path, names, wanted, item_column)
            at = names.index(column)
            item_at = None if items is None else names.index(items)
            n = 0
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise DataError(f"{path}: line {reader.line_num} has {len(cells)} cells, line 1 has {len(names)}")
                yield f"line {reader.line_num}", n if item_at is None else cells[item_at], _listed(cells[at])
                n += 1
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num} is not CSV: {error}") from error


def _listed(cell: str) -> Any:
    """Return a list written as JSON as that, anything else as it is."""
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


def _jsonl(path: str, wanted: Column, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    columns: tuple[str, str | None] | None = None
    n = 0
    with _open_text(path) as file:
        for line, text in enumerate(file, 1):
            if text.isspace():
                continue
            record = _parsed(path, f"line {line}", text, '{"id": "A", ...}')
            if columns is None:
                columns = _columns(path, list(record), wanted, item_column)
            for name in columns:
                if name is not None and name not in record:
                    raise DataError(f"{path}: line {line} has no key {name!r}")
            yield f"line {line}", n if columns[1] is None else record[columns[1]], record[columns[0]]
            n += 1


def _json(path: str) -> Iterator[tuple[str, Any, Any]]:
    with _open_text(path) as file:
        record = _parsed(path, "the file", file.read(), '{"item A": ..., "item B": ...}')
    for item, value in record.items():
        yield f"item {item!r}", item, value


def _parsed(path: str, place: str, text: str, example: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: {place} is not JSON: {_first_line(error)}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: {place} is not a JSON object, such as {example}")
    return record


def _parquet(path: str, wanted: Column, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    pa, pq = import_pyarrow("reading", path)
    open(path, "rb").close()  # Python's own errors for a file that is not there
    try:
        with pq.ParquetFile(path) as file:
            column, items = _columns(path, list(file.schema_arrow.names), wanted, item_column)
            n = 0
            for batch in file.iter_batches(columns=[column] if items is None else [column, items]):
                values = batch.column(column).to_pylist()
                names = range(n, n + len(values)) if items is None else batch.column(items).to_pylist()
                for item, value in zip(names, values, strict=True):
                    yield f"row {n}", item, value
                    n += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a complete .parquet file ({_first_line(error)})") from error


def _npy(path: str) -> Iterator[tuple[str, Any, Any]]:
    codes = _load_npy(path)
    if codes.ndim != 2 or codes.dtype.kind not in "iu":
        raise DataError(f"{path}: an array of shape {codes.shape} and dtype {codes.dtype}, want 2-D codes, integers")
    for row, values in enumerate(codes.tolist()):
        yield f"row {row}", row, values


def _columns(path: str, names: list[str], wanted: Column, item_column: str | None) -> tuple[str, str | None]:
    """Return the names of the columns of values and of items."""
    column = _find(path, names, wanted.asked, wanted.usual)
    if column is None:
        raise DataError(f"{path}: has {_list(names)}; choose {wanted.choice}")
    return column, _find(path, names, item_column, _ITEM_NAMES)
