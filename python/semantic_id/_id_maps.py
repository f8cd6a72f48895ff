"""Read files of ids: .csv, .parquet and .jsonl as `encode` writes them, .json objects, .npy arrays of codes.

Every complaint is a `DataError` of one sentence that names the file, and the line, row or item where there is one.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from ._id_parts import split_id
from ._tables import DataError, _find, _first_line, _list, _load_npy, _open_text, import_pyarrow, naming

_ID_NAMES = ("semantic_id", "semantic_ids", "sid", "codes")
_ITEM_NAMES = ("id", "item_id", "item")


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
    readers: dict[str, Callable[[], Iterator[tuple[str, Any, Any]]]] = {
        ".csv": lambda: _csv(path, id_column, item_column),
        ".parquet": lambda: _parquet(path, id_column, item_column),
        ".jsonl": lambda: _jsonl(path, id_column, item_column),
        ".json": lambda: _json(path),
        ".npy": lambda: _npy(path),
    }
    extension = os.path.splitext(path)[1].lower()
    if extension not in readers:
        raise DataError(f"{path}: cannot tell the format of ids by the name, want one of {', '.join(readers)}")
    if extension in (".json", ".npy") and (id_column is not None or item_column is not None):
        raise DataError(f"{path}: a {extension} file of ids has no columns to choose from")
    ids: dict[str, tuple[str, ...]] = {}
    with naming(path):
        for place, item, value in readers[extension]():
            if str(item) in ids:
                raise DataError(f"{path}: item {str(item)!r} comes a second time at {place}")
            ids[str(item)] = split_id(value, sep, f"the id at {place}")
    if not ids:
        raise DataError(f"{path}: holds no ids")
    return ids


def _csv(path: str, id_column: str | None, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    with _open_text(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, [])
            column, items = _columns(path, names, id_column, item_column)
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


def _jsonl(path: str, id_column: str | None, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    columns: tuple[str, str | None] | None = None
    n = 0
    with _open_text(path) as file:
        for line, text in enumerate(file, 1):
            if text.isspace():
                continue
            record = _parsed(path, f"line {line}", text)
            if columns is None:
                columns = _columns(path, list(record), id_column, item_column)
            for name in columns:
                if name is not None and name not in record:
                    raise DataError(f"{path}: line {line} has no key {name!r}")
            yield f"line {line}", n if columns[1] is None else record[columns[1]], record[columns[0]]
            n += 1


def _json(path: str) -> Iterator[tuple[str, Any, Any]]:
    with _open_text(path) as file:
        record = _parsed(path, "the file", file.read())
    for item, value in record.items():
        yield f"item {item!r}", item, value


def _parsed(path: str, place: str, text: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: {place} is not JSON: {_first_line(error)}") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: {place} is not a JSON object")
    return record


def _parquet(path: str, id_column: str | None, item_column: str | None) -> Iterator[tuple[str, Any, Any]]:
    pa, pq = import_pyarrow("reading", path)
    open(path, "rb").close()  # Python's own errors for a file that is not there
    try:
        with pq.ParquetFile(path) as file:
            column, items = _columns(path, list(file.schema_arrow.names), id_column, item_column)
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


def _columns(path: str, names: list[str], id_column: str | None, item_column: str | None) -> tuple[str, str | None]:
    """Return the names of the columns of ids and of items."""
    column = _find(path, names, id_column, _ID_NAMES)
    if column is None:
        raise DataError(f"{path}: has {_list(names)}; choose the column of semantic ids by --semantic-id-column")
    return column, _find(path, names, item_column, _ITEM_NAMES)
