"""From other libraries' containers to NumPy arrays over the same memory; none of them is imported before it is met."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .exceptions import DeviceError, ShapeMismatchError


def as_ndarray(X: Any) -> npt.NDArray[Any]:
    """Return an array over the memory of `X` if there is a way, else a copy."""
    if isinstance(X, np.ma.MaskedArray):
        masked = np.ma.getmaskarray(X)
        if masked.any():
            first = tuple(int(i[0]) for i in masked.nonzero())
            raise ValueError(f"Input has masked values, the first at index {first}; fill them or drop the rows")
        return np.asarray(X)
    if isinstance(X, np.ndarray):  # memmap, matrix
        return np.asarray(X)
    module = type(X).__module__.partition(".")[0]
    if module == "scipy" and hasattr(X, "toarray"):
        raise TypeError("sparse input is not supported, dense data is required: use X.toarray()")
    if module in _FRAMES:
        return _FRAMES[module](X)
    if hasattr(X, "__dlpack__"):
        return _from_dlpack(X)
    if hasattr(X, "__arrow_c_array__") or hasattr(X, "__arrow_c_stream__"):
        return _from_arrow(_pyarrow(X).chunked_array(X if hasattr(X, "__arrow_c_stream__") else [_pyarrow(X).array(X)]))
    try:
        return np.asarray(X)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ShapeMismatchError(f"Expected 2-D input (N, D), got rows of different lengths: {error}") from None
        raise


def _from_dlpack(X: Any) -> npt.NDArray[Any]:
    if hasattr(X, "detach"):  # a torch tensor that requires its gradient refuses to be exported
        X = X.detach()
    kind, number = (int(n) for n in X.__dlpack_device__())
    if kind not in (1, 3):  # neither kDLCPU nor kDLCUDAHost
        for move in ("cpu", "get"):  # torch, CuPy
            if callable(getattr(X, move, None)):
                X = getattr(X, move)()
                break
        else:
            if hasattr(X, "__array__"):
                return np.asarray(X)  # JAX moves by itself
            raise DeviceError(f"the input lives on DLPack device {(kind, number)}; move it to the CPU first")
    if isinstance(X, np.ndarray):
        return X
    try:
        return np.from_dlpack(X)
    except (
        BufferError,
        RuntimeError,
        TypeError,
        ValueError,
    ):  # a type that DLPack or NumPy does not know, such as bfloat16
        if hasattr(X, "float") and hasattr(X, "numpy"):  # torch
            X = X.float()
        return np.asarray(X)


def _pyarrow(X: Any) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise TypeError(f"reading {type(X).__name__} takes pyarrow: pip install pyarrow") from None
    return pyarrow


def _from_arrow(X: Any) -> npt.NDArray[Any]:
    """Return the rows of an Arrow column of lists, or of a table of one such column or of columns of numbers."""
    pa = _pyarrow(X)
    if isinstance(X, (pa.Table, pa.RecordBatch)):
        if X.num_columns == 1 and _is_arrow_list(X.schema.field(0).type):
            return _from_arrow(X.column(0))
        out = np.empty(
            X.shape, np.result_type(*(_arrow_dtype(f.type, f.name) for f in X.schema)) if X.num_columns else np.float32
        )
        for i in range(X.num_columns):
            _check_no_nulls(X.column(i))
            out[:, i] = (
                X.column(i).to_numpy(zero_copy_only=False) if isinstance(X, pa.RecordBatch) else X.column(i).to_numpy()
            )
        return out
    if not isinstance(X, (pa.Array, pa.ChunkedArray)):
        return np.asarray(X)
    if isinstance(X.type, pa.BaseExtensionType):
        X = (
            pa.chunked_array([c.storage for c in X.chunks], X.type.storage_type)
            if isinstance(X, pa.ChunkedArray)
            else X.storage
        )
    if pa.types.is_struct(X.type):
        return _from_arrow(
            pa.Table.from_batches(
                [pa.RecordBatch.from_struct_array(c) for c in (X.chunks if isinstance(X, pa.ChunkedArray) else [X])]
            )
        )
    if not _is_arrow_list(X.type):
        _arrow_dtype(X.type, "X")
        _check_no_nulls(X)
        return np.asarray(X)  # 1-D, for the error about dimensions
    dtype = _arrow_dtype(X.type.value_type, "X")
    chunks = [c for c in (X.chunks if isinstance(X, pa.ChunkedArray) else [X]) if len(c)]
    if not chunks:
        return np.empty((0, getattr(X.type, "list_size", 1)), dtype)
    _check_no_nulls(X)
    parts = [_arrow_rows(c) for c in chunks]
    if len({p.shape[1] for p in parts}) > 1:
        raise ShapeMismatchError(
            f"Expected 2-D input (N, D), got lists of lengths {sorted({p.shape[1] for p in parts})}"
        )
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _arrow_rows(chunk: Any) -> npt.NDArray[Any]:
    """Return one array of lists without nulls as (rows, length) over its own memory."""
    pa = _pyarrow(chunk)
    if pa.types.is_fixed_size_list(chunk.type):
        length = chunk.type.list_size
    else:
        lengths = np.asarray(chunk.value_lengths())
        length = int(lengths[0])
        if (lengths != length).any():
            row = int((lengths != length).argmax())
            raise ShapeMismatchError(
                f"Expected 2-D input (N, D), got lists of {length} numbers and, at row {row}, of {int(lengths[row])}"
            )
    values = chunk.flatten()
    _check_no_nulls(values, length)
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(chunk), length)


def _is_arrow_list(kind: Any) -> bool:
    types = sys.modules["pyarrow"].types
    return bool(types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind))


def _arrow_dtype(kind: Any, name: str) -> np.dtype[Any]:
    types = sys.modules["pyarrow"].types
    if not (types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind)):
        raise ValueError(f"Expected numbers, got Arrow type {kind} in {name}")
    dtype: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
    return dtype


def _check_no_nulls(column: Any, width: int = 1) -> None:
    if column.null_count:
        row = int(np.asarray(column.is_null()).argmax()) // max(1, width)
        raise ValueError(f"Input contains nulls, first in row {row}; fill them or drop the rows")


def _from_pandas(X: Any) -> npt.NDArray[Any]:
    pd = sys.modules["pandas"]
    if isinstance(X, pd.DataFrame) and X.shape == (len(X), 1) and len(X) and hasattr(X.iloc[0, 0], "__len__"):
        X = X.iloc[:, 0]  # one column of lists
    if isinstance(X, pd.Series):
        if hasattr(X.dtype, "pyarrow_dtype"):
            return _from_arrow(_pyarrow(X).chunked_array(X.array.__arrow_array__()))
        return np.asarray(X)
    array: npt.NDArray[Any] = X.to_numpy()
    if array.dtype.kind == "O" and len(X.columns):  # columns of different types, or of types that know missing values
        for name, dtype in zip(X.columns, X.dtypes, strict=True):
            if not pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_object_dtype(dtype):
                raise ValueError(f"Expected columns of numbers, got {dtype} in column {name!r}")
        array = X.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _from_polars(X: Any) -> npt.NDArray[Any]:
    pl = sys.modules["polars"]
    if isinstance(X, pl.LazyFrame):
        raise TypeError("a Polars LazyFrame has no rows yet: use X.collect()")
    if isinstance(X, pl.DataFrame) and X.width == 1 and isinstance(X.dtypes[0], (pl.List, pl.Array)):
        X = X.to_series()  # one column of lists
    if isinstance(X, pl.Series) and isinstance(X.dtype, (pl.List, pl.Array)):
        if X.null_count():
            raise ValueError(f"Input contains nulls, first in row {X.is_null().arg_max()}; fill them or drop the rows")
        if isinstance(X.dtype, pl.List):
            lengths = X.list.len()
            if lengths.n_unique() > 1:
                raise ShapeMismatchError(
                    f"Expected 2-D input (N, D), got lists of {lengths.min()} to {lengths.max()} numbers"
                )
            X = X.reshape((len(X), int(lengths[0]) if len(X) else 1))
    return np.asarray(X.to_numpy())


_FRAMES: dict[str, Callable[[Any], npt.NDArray[Any]]] = {
    "pyarrow": _from_arrow,
    "pandas": _from_pandas,
    "polars": _from_polars,
}
