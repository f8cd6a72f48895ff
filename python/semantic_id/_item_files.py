"""Files of items with their ids: .csv, .parquet and .jsonl, written as `semantic-id encode` does and read back.

A row is an item's key, its id and its codes: the columns id, semantic_id, and in .csv code_0, code_1, ..., in .parquet
and .jsonl codes, a list. Where the type of a key would be lost - in .csv, and in .parquet if keys are of both - it
stands in a column id_type, "int" or "str".
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ._id_files import replacing
from ._native_stores import Item
from ._tables import DataError, _find, _first_line, _list, _open_text, _short, import_pyarrow

_INT64 = range(-(2**63), 2**63)
Pages = Callable[[], Iterable[list[Item]]]


def write_items(path: str, pages: Pages) -> int:
    """Write the items that `pages` gives, each time it is called, and return how many; the file whole or not at all."""
    writers = {".csv": _write_csv, ".parquet": _write_parquet, ".jsonl": _write_jsonl}
    extension = os.path.splitext(path)[1].lower()
    if extension not in writers:
        raise DataError(f"{path}: cannot tell the format by the name, want {', '.join(writers)}")
    if extension == ".parquet":
        import_pyarrow("writing", path)
    with replacing(path) as temporary:
        return writers[extension](temporary, pages)


def _key(item: Item) -> str | int:
    return int(item.key[1:]) if item.key[0] == "i" else item.key[1:]


def _codes(item: Item) -> list[int] | None:
    return [int(code) for code in item.path[:-1].split("-")] if item.path else None


def _write_csv(path: str, pages: Pages) -> int:
    levels = max((item.path.count("-") for page in pages() for item in page), default=0)
    rows = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "semantic_id", *(f"code_{level}" for level in range(levels)), "id_type"])
        for page in pages():
            for item in page:
                codes = _codes(item) or []
                kind = "int" if item.key[0] == "i" else "str"
                writer.writerow([_key(item), item.id, *codes, *[""] * (levels - len(codes)), kind])
            rows += len(page)
    return rows


def _write_jsonl(path: str, pages: Pages) -> int:
    rows = 0
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for page in pages():
            for item in page:
                record = {"id": _key(item), "semantic_id": item.id, "codes": _codes(item)}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            rows += len(page)
    return rows


def _write_parquet(path: str, pages: Pages) -> int:
    pa, pq = import_pyarrow("writing", path)
    kinds = {item.key[0] for page in pages() for item in page}
    wide = any(item.key[0] == "i" and int(item.key[1:]) not in _INT64 for page in pages() for item in page)
    numbers = kinds == {"i"} and not wide
    typed = not numbers and kinds != {"t"}
    fields = [("id", pa.int64() if numbers else pa.string()), ("semantic_id", pa.string())]
    fields += [("codes", pa.list_(pa.int32()))] + ([("id_type", pa.string())] if typed else [])
    schema = pa.schema(fields)
    rows = 0
    with pq.ParquetWriter(path, schema) as writer:
        for page in pages():
            keys = [_key(item) if numbers else item.key[1:] for item in page]
            columns = [keys, [item.id for item in page], [_codes(item) for item in page]]
            if typed:
                columns.append(["int" if item.key[0] == "i" else "str" for item in page])
            writer.write_table(
                pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
            )
            rows += len(page)
    return rows


def read_items(path: str, id_column: str | None, item_column: str | None, item_type: str | None) -> list[Item]:
    """Return the items of a file.

    `id_column` and `item_column` name the columns of ids and keys, by default semantic_id and id; `item_type` is the
    type of the keys, "int" or "str", where the file does not say it.
    """
    readers: dict[str, Callable[[str], Iterator[tuple[str, dict[str, Any]]]]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".jsonl": _read_jsonl,
    }
    extension = os.path.splitext(path)[1].lower()
    if extension not in readers:
        raise DataError(f"{path}: cannot tell the format by the name, want one of {', '.join(readers)}")
    if item_type not in (None, "int", "str"):
        raise ValueError(f"item_type={item_type!r}: want 'int', 'str' or None")
    items: list[Item] = []
    names: tuple[str, str] | None = None
    for place, row in readers[extension](path):
        if names is None:
            names = _columns(path, list(row), id_column, item_column)
        for name in names:
            if name not in row:
                raise DataError(f"{path}: {place} has no key {name!r}")
        key = _typed(path, place, row[names[1]], row.get("id_type") or item_type)
        text = row[names[0]]
        if not isinstance(text, str) or not text:
            raise DataError(
                f"{path}: {place}: {names[0]!r} is {_short(text)}, want an id as a string that is not empty"
            )
        for value in (key, text):
            if "\0" in value:
                raise DataError(f"{path}: {place}: {_short(value)} holds a zero byte")
        items.append(Item(key, text, _path(path, place, row)))
    return items


def _columns(path: str, names: list[str], id_column: str | None, item_column: str | None) -> tuple[str, str]:
    found = (_find(path, names, id_column, ("semantic_id",)), _find(path, names, item_column, ("id",)))
    for name, what in zip(found, ("id_column", "item_column"), strict=True):
        if name is None:
            raise DataError(f"{path}: has {_list(names)}; choose by {what}")
    return found  # type: ignore[return-value]


def _typed(path: str, place: str, key: Any, kind: str | None) -> str:
    """Return a key as the store has it."""
    if kind not in (None, "int", "str"):
        raise DataError(f"{path}: {place}: id_type is {_short(kind)}, want int or str")
    if kind == "int" and isinstance(key, str):
        if not key.removeprefix("-").isdigit() or not key.isascii():
            raise DataError(f"{path}: {place}: key {_short(key)} is not an integer")
        key = int(key)
    if kind == "str" and isinstance(key, int):
        key = str(key)
    if isinstance(key, bool) or not isinstance(key, (int, str)) or key == "":
        raise DataError(f"{path}: {place}: key {_short(key)} is neither an integer nor a string that is not empty")
    return f"i{key}" if isinstance(key, int) else f"t{key}"


def _path(path: str, place: str, row: dict[str, Any]) -> str:
    """Return the codes of a row as the store has them, "" without any."""
    codes = row.get("codes")
    if codes is None:
        codes = []
        while row.get(f"code_{len(codes)}") not in (None, ""):
            codes.append(row[f"code_{len(codes)}"])
    try:
        numbers = [int(code) for code in codes]
        if any(isinstance(code, (bool, float)) for code in codes) or not all(0 <= n < 2**31 for n in numbers):
            raise ValueError
    except (TypeError, ValueError):
        raise DataError(f"{path}: {place}: codes are {_short(codes)}, want integers from 0 to 2**31 - 1") from None
    return "".join(f"{n}-" for n in numbers)


def _read_csv(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with _open_text(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            names = next(reader, None)
            if names is None:
                raise DataError(f"{path}: is empty")
            _columns_once(path, names)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(names):
                    raise DataError(f"{path}: line {reader.line_num} has {len(cells)} cells, line 1 has {len(names)}")
                yield f"line {reader.line_num}", dict(zip(names, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}: line {reader.line_num} is not CSV: {error}") from error


def _columns_once(path: str, names: list[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: more than one column is named {twice!r}")


def _read_jsonl(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with _open_text(path) as file:
        for line, text in enumerate(file, 1):
            if text.isspace():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}: line {line} is not JSON: {_first_line(error)}") from error
            if not isinstance(record, dict):
                raise DataError(f"{path}: line {line} is {_short(record)}, want an object with a key per column")
            yield f"line {line}", record


def _read_parquet(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    pa, pq = import_pyarrow("reading", path)
    open(path, "rb").close()  # Python's own errors for a file that is not there
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _columns_once(path, list(schema.names))
            lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
            embeddings = {
                f.name
                for f in schema
                if any(is_a(f.type) for is_a in lists) and pa.types.is_floating(f.type.value_type)
            }
            for batch in file.iter_batches(columns=[name for name in schema.names if name not in embeddings]):
                for record in batch.to_pylist():
                    yield f"row {row}", record
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a complete .parquet file ({_first_line(error)})") from error
