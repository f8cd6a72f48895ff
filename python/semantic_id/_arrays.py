"""From whatever holds numbers to arrays the native library reads: views where possible, copies in chunks where not."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ._foreign import as_ndarray
from .exceptions import CodeError, ShapeMismatchError

FloatMatrix = npt.NDArray[np.float32]
CodeMatrix = npt.NDArray[np.int32]

_CHUNK = 1 << 18  # values converted or checked at a time: 1 MiB of float32, which stays in a cache
_FLOAT32 = np.dtype(np.float32)


def as_matrix(X: Any, n_features: int | None = None, estimator: str = "this model") -> npt.NDArray[Any]:
    """Return `X` as a 2-D array of real numbers with at least one row and one column, without a copy where it can.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        An array, nested lists, a DLPack tensor, an Arrow column of lists, a pandas or Polars frame.
    n_features : int, default=None
        The number of columns wanted (None: any).
    estimator : str
        Who wants them, for the error.

    Raises
    ------
    ShapeMismatchError
        If `X` is not 2-D, or has no rows, no columns, or another number of columns.
    ValueError
        If the elements are not real numbers, or are masked.
    TypeError
        If `X` is sparse.
    """
    array = X if type(X) is np.ndarray else as_ndarray(X)
    if array.dtype.kind == "O" and array.ndim == 1:
        array = _stack_rows(array)
    if array.ndim != 2:
        hint = ". Reshape your data: one sample is X.reshape(1, -1)" if array.ndim == 1 else ""
        if isinstance(X, (str, os.PathLike)):
            hint = ". Open a file of embeddings by semantic_id.io.open_rows(path)"
        raise ShapeMismatchError(f"Expected 2-D input (N, D), got {array.ndim}-D array with shape {array.shape}{hint}")
    rows, columns = array.shape
    if n_features is not None and columns != n_features:
        raise ShapeMismatchError(
            f"Expected D={n_features}, got D={columns}: X has {columns} features, "
            f"but {estimator} is expecting {n_features} features as input"
        )
    if rows == 0:
        raise ShapeMismatchError(f"Input must contain at least one sample (N > 0), got shape {array.shape}")
    if columns == 0:
        raise ShapeMismatchError(
            f"Found array with 0 feature(s) (shape={array.shape}) while a minimum of 1 is required."
        )
    if array.dtype is not _FLOAT32:
        _check_kind(array.dtype)
    return array


def is_float32(array: npt.NDArray[Any]) -> bool:
    """Tell whether the native library can read `array` as it is: float32, C-ordered, aligned."""
    flags = array.flags
    return bool(array.dtype == _FLOAT32 and flags.c_contiguous and flags.aligned)


def to_float32(array: npt.NDArray[Any], first_row: int = 0) -> FloatMatrix:
    """Return a C-ordered float32 copy of a 2-D array, made and checked for NaN and infinity in chunks.

    `first_row` is the number that errors give to row 0.
    """
    rows, columns = array.shape
    out = np.empty((rows, columns), np.float32)
    step = max(1, _CHUNK // columns)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found below, by row
        for low in range(0, rows, step):
            chunk = array[low : low + step]
            if chunk.dtype.kind == "O":
                chunk = _numbers(chunk)
            out[low : low + step] = chunk
            bad = _first_not_finite(out[low : low + step])
            if bad >= 0:
                raise _not_finite(first_row + low + bad, chunk[bad])
    return out


def check_finite(array: FloatMatrix) -> None:
    """Raise a ValueError that names the first row holding NaN or infinity."""
    step = max(1, _CHUNK // array.shape[1])
    for low in range(0, array.shape[0], step):
        bad = _first_not_finite(array[low : low + step])
        if bad >= 0:
            raise _not_finite(low + bad, array[low + bad])


def as_codes(codes: Any, levels: int | None = None) -> CodeMatrix:
    """Return `codes` as C-ordered int32 (n_samples, n_levels), without a copy where it can.

    Raises
    ------
    ShapeMismatchError
        If `codes` is not 2-D, has no columns, or not `levels` of them.
    CodeError
        If a code does not fit into 32 bits.
    ValueError
        If `codes` holds anything but integers.
    """
    array = codes if type(codes) is np.ndarray else as_ndarray(codes)
    if array.ndim != 2:
        raise ShapeMismatchError(f"Expected 2-D codes (N, L), got {array.ndim}-D array with shape {array.shape}")
    if array.shape[1] != levels if levels is not None else array.shape[1] == 0:
        raise ShapeMismatchError(
            f"Expected codes of {levels or 'at least 1'} levels, got {array.shape[1]}: shape {array.shape}"
        )
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"Expected integer codes, got dtype {array.dtype}")
    if array.dtype.itemsize > 4 or array.dtype == np.uint32:
        bad = (array > 2**31 - 1) | (array < -(2**31))
        if bad.any():
            row, level = (int(i[0]) for i in bad.nonzero())
            raise CodeError(
                f"code out of range: {array[row, level]} at row {row}, level {level} does not fit into int32"
            )
    return np.ascontiguousarray(array, dtype=np.int32)


def as_weights(sample_weight: Any, rows: int) -> npt.NDArray[np.float64] | None:
    """Return `sample_weight`, None, one number or one per row, as float64 (rows,); None for equal weights."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "fiub":
        raise ValueError(f"sample_weight: want numbers, got dtype {weights.dtype}")
    if weights.ndim == 0:
        weights = np.broadcast_to(weights, (rows,))
    if weights.shape != (rows,):
        raise ShapeMismatchError(f"sample_weight.shape == {weights.shape}, expected {(rows,)}: one weight per row of X")
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    bad = ~(weights >= 0) | np.isinf(weights)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"sample_weight is {weights[row]} at row {row}: want finite numbers >= 0, no NaN")
    total = float(weights.sum())
    if not 0 < total < np.inf:
        raise ValueError(
            f"sample_weight sums to {total}: want a finite number > 0, so at least one weight that is not zero"
        )
    return weights


def _stack_rows(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a 1-D object array of equally long rows as a 2-D array; any other as it is."""
    if array.size == 0 or not all(hasattr(row, "__len__") and not isinstance(row, (str, bytes)) for row in array):
        return array
    length = len(array[0])
    for i, row in enumerate(array):
        if len(row) != length:
            raise ShapeMismatchError(
                f"Expected 2-D input (N, D), got rows of {length} numbers and, at row {i}, of {len(row)}"
            )
    return np.asarray([np.asarray(row) for row in array])


def _check_kind(dtype: np.dtype[Any]) -> None:
    if dtype.kind in "fiubO":
        return
    if dtype.kind == "c":
        raise ValueError("Complex data not supported: embeddings are real numbers")
    if (
        dtype.kind == "V"
        and dtype.names is None
        and dtype.name.startswith(("bfloat16", "float8", "float6", "float4", "int4", "uint4", "int2", "uint2"))
    ):
        return  # ml_dtypes; NumPy converts them
    raise ValueError(f"Expected numbers, got dtype {dtype}")


def _numbers(chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an object array of numbers as float64."""
    for value in chunk.flat:
        if isinstance(value, (str, bytes)):
            raise ValueError(f"Expected numbers, could not convert string to float: {value!r}")
        if isinstance(value, (complex, np.complexfloating)):
            raise ValueError("Complex data not supported: embeddings are real numbers")
    return chunk.astype(np.float64)


def _first_not_finite(array: FloatMatrix) -> int:
    finite = np.isfinite(array)
    return -1 if finite.all() else int(finite.all(axis=1).argmin())


def _not_finite(row: int, values: npt.NDArray[Any]) -> ValueError:
    wide = values.astype(np.float64) if values.dtype.kind in "iuV" else values
    too_large = wide[np.isfinite(wide)]
    if too_large.size == wide.size:
        return ValueError(
            f"Input contains NaN or Inf values once in float32: row {row} holds {np.abs(too_large).max():g}, "
            "the largest float32 is 3.4e38; scale the data"
        )
    return ValueError(f"Input contains NaN or Inf values, first in row {row}; remove or impute such rows")
