"""The Parquet file that Apple's Embedding Atlas opens; takes pyarrow."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _native_metrics
from ._arrays import CodeMatrix, FloatMatrix
from ._given import Parts, as_places, is_missing, one_each, read_codes
from ._params import check_int
from ._pca import principal_map
from .exceptions import ShapeMismatchError
from .utils._neighbors import _as_both

__all__ = ["to_embedding_atlas"]

_ROWS = 1 << 16  # of a row group: what is held as text at a time


def to_embedding_atlas(
    X: Any,
    codes: Any,
    path: str | os.PathLike[str],
    items: Any = None,
    *,
    labels: Any = None,
    ids: Any = None,
    columns: Mapping[str, Any] | None = None,
    coordinates: Any = None,
    n_neighbors: int = 0,
    sep: str = "-",
) -> str:
    """Write embeddings and codes to a file for Apple's Embedding Atlas, and return the command that opens it.

    Embedding Atlas (``pip install embedding-atlas``) shows the items as points that can be searched, coloured by any
    column and filtered by several at once. This package only writes the file, of these columns:

    - text: `items`, to read and to search.
    - label: `labels`.
    - prefix_1, prefix_2, ...: the first one, two, ... codes, as text: "3", "3-9". Colour by prefix_1 to see what the
      first code tells.
    - semantic_id: `ids`.
    - those of `columns`, by their names.
    - x, y: the place on the map.
    - neighbors: row numbers and distances, if `n_neighbors` is not 0.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Embeddings. None will do if `coordinates` are given and `n_neighbors` is 0.
    codes : array-like of shape (n_samples, n_levels), or sequence of ids, or encoder, or engine
        Codes; or an id for each embedding, such as "3-9-1" or "<a_3><b_9>" or a list of codes or tokens, all of one
        length; or a mapping of items to such ids; or a fitted model or an engine, which encodes `X`.
    path : str or path-like
        A file that ends in .parquet. It appears whole or not at all.
    items : array-like of shape (n_samples,), default=None
        The text of each item, or None or NaN where there is none. It is shown as it is; HTML in it is not run.
    labels : array-like of shape (n_samples,), default=None
        A category of each item, or None or NaN.
    ids : array-like of shape (n_samples,), default=None
        Unique ids, as `SemanticIdEngine` gives them (None: the codes, as text).
    columns : mapping of str to array-like of shape (n_samples,), default=None
        What else is known of the items, such as prices: anything that Arrow makes a column of, also a pandas frame.
    coordinates : array-like of shape (n_samples, 2), default=None
        Places on the map, such as UMAP finds them (None: those along the two principal directions of `X`).
    n_neighbors : int, default=0
        How many nearest neighbors in `X` to write for each item, which the page lists when an item is chosen. They are
        exact, so the time grows with the square of the number of items: 63,666 x 384 take some seconds, 250 times as
        long a million.
    sep : str, default="-"
        What stands between the codes of an id, in `codes` and in the file.

    Returns
    -------
    command : str
        What to type into a shell, ``embedding-atlas items.parquet --x x --y y --text text``.

    Raises
    ------
    ShapeMismatchError
        If what is given is not of one length, or of the wrong shape.
    ValueError
        If `X` or `coordinates` hold NaN or infinity, a column cannot be written or has the name of another one, `path`
        does not end in .parquet, or pyarrow is not installed.
    OSError
        If the file cannot be written; what was there before stays.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from semantic_id import RQKMeans, to_embedding_atlas
    >>> X = np.random.default_rng(0).normal(size=(100, 16))
    >>> codes = RQKMeans(n_levels=2, n_clusters=8, random_state=0).fit_encode(X)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     command = to_embedding_atlas(X, codes, f"{directory}/items.parquet", items=range(100))
    >>> command.split()[2:]
    ['--x', 'x', '--y', 'y', '--text', 'text']
    """
    from ._id_files import check_target, replacing  # these take their time to import
    from ._tables import DataError, import_pyarrow

    file = os.fspath(path)
    if not file.lower().endswith(".parquet"):
        raise DataError(f"{file}: want a name that ends in .parquet, by which Embedding Atlas tells how to read it")
    pa, pq = import_pyarrow("writing", file)
    check_target(file)
    c, parts, _, items = read_codes(X, codes, items, sep)
    rows = len(c)
    neighbors = min(check_int("n_neighbors", n_neighbors, 0), rows - 1)

    x = None if X is None else _as_both(X, c)[0]
    if coordinates is not None:
        places = as_places(coordinates, rows).astype(np.float32)
    elif x is not None:
        places = principal_map(x)[0]
    if x is None and (neighbors or coordinates is None):
        raise ValueError("X is None: want embeddings, or coordinates and n_neighbors=0")
    near = None if not neighbors or x is None else _native_metrics.neighbors(x, np.arange(rows), neighbors)

    texts = {"text": ("items", items), "label": ("labels", labels), "semantic_id": ("ids", ids)}
    given = {key: (name, one_each(name, v, rows)) for key, (name, v) in texts.items() if v is not None}
    extra = _extra(pa, {} if columns is None else columns, rows, c.shape[1])
    strings = ["text", "label", *(f"prefix_{n + 1}" for n in range(c.shape[1])), "semantic_id"]
    fields = [(key, pa.string()) for key in strings if key in given or key not in ("text", "label")]
    fields += [(key, column.type) for key, column in extra.items()]
    fields += [("x", pa.float32()), ("y", pa.float32())]
    if near is not None:
        lists = {"ids": pa.list_(pa.int32()), "distances": pa.list_(pa.float32())}
        fields.append(("neighbors", pa.struct(lists)))
    schema = pa.schema(fields)

    with replacing(file) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for low in range(0, rows, _ROWS):
            part = slice(low, min(low + _ROWS, rows))
            arrays: dict[str, Any] = _ids(c[part], parts, sep)
            arrays |= {key: _strings(name, values[part], low) for key, (name, values) in given.items()}
            arrays |= {key: column.slice(low, part.stop - low).combine_chunks() for key, column in extra.items()}
            arrays |= {"x": places[part, 0], "y": places[part, 1]}
            if near is not None:
                arrays["neighbors"] = _neighbors(pa, near[0][part], np.sqrt(near[1][part]).astype(np.float32))
            writer.write_table(pa.table([pa.array(arrays[f.name], f.type) for f in schema], schema=schema))

    options = ["--x", "x", "--y", "y"] + ["--text", "text"] * ("text" in given)
    return shlex.join(["embedding-atlas", file, *options, *["--neighbors", "neighbors"] * (near is not None)])


def _strings(name: str, values: list[Any], first: int) -> list[str | None]:
    """Return values as texts, None where one is missing; `first` is the number of the first row."""
    texts = [None if is_missing(value) else str(value) for value in values]
    for row, text in enumerate(texts, first):
        if text is not None and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{name}[{row}] is {text!r:.80}: not a text in Unicode ({error.reason})") from None
    return texts


def _ids(codes: CodeMatrix, parts: Parts, sep: str) -> dict[str, Any]:
    """Return the columns prefix_1, ..., and the ids of all codes."""
    prefixes: list[list[str]] = []
    for column, part in zip(codes.T.tolist(), parts, strict=True):
        texts = [str(code) if part is None else part[code] for code in column]
        prefixes.append([f"{a}{sep}{b}" for a, b in zip(prefixes[-1], texts, strict=True)] if prefixes else texts)
    return {f"prefix_{n + 1}": prefix for n, prefix in enumerate(prefixes)} | {"semantic_id": prefixes[-1]}


def _extra(pa: Any, columns: Mapping[str, Any], rows: int, levels: int) -> dict[str, Any]:
    """Return columns of the user's as Arrow has them."""
    ours = {"text", "label", "semantic_id", "x", "y", "neighbors", *(f"prefix_{n + 1}" for n in range(levels))}
    extra: dict[str, Any] = {}
    for name in columns.keys():  # noqa: SIM118 - a frame of pandas is given by columns so
        if not isinstance(name, str) or not name:
            raise ValueError(f"columns has the name {name!r}: want texts that are not empty")
        if name.lower() in ours | {other.lower() for other in extra}:
            raise ValueError(f"columns has the name {name!r}, which is taken, as upper and lower case count the same")
        values = columns[name]
        try:
            column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ValueError(f"columns[{name!r}] is no column of one type: {error}") from error
        column = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
        if len(column) != rows:
            raise ShapeMismatchError(f"columns[{name!r}] has {len(column)} values, codes have {rows} rows")
        extra[name] = column
    return extra


def _neighbors(pa: Any, rows: CodeMatrix, distances: FloatMatrix) -> Any:
    ends = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    lists = [pa.ListArray.from_arrays(ends, each.ravel()) for each in (rows, distances)]
    return pa.StructArray.from_arrays(lists, ["ids", "distances"])
