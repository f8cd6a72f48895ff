"""Embeddings from any container: what is accepted, what is copied, and what each refusal says."""

import array
import importlib.util
import tracemalloc
import warnings

import array_api_strict
import ml_dtypes
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from semantic_id import RQKMeans, SemanticIdError, ShapeMismatchError
from semantic_id.core import _validate_embeddings as validate
from semantic_id.exceptions import DeviceError

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def same(given, expected=X):
    got = validate(given)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, expected)
    return got


def backed_by(array):
    """An array that the memory of `array` belongs to."""
    return np.shares_memory(validate(array), array)


# --- NumPy ---


def test_float32_in_c_order_is_not_copied():
    assert validate(X) is X


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float32",
        "float64",
        "longdouble",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        ">f4",
        ">f8",
        ">i2",
    ],
)
def test_dtypes(dtype):
    x = (np.abs(X) * 50).astype(dtype)
    same(x, x.astype(np.float32))


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_dtypes_of_other_packages(dtype):
    x = X.astype(dtype)
    same(x, x.astype(np.float32))


def test_strides():
    same(np.asfortranarray(X))
    same(X.T.copy().T)
    same(np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3])
    same(X[::-1].copy()[::-1])
    same(np.broadcast_to(X[:1], (4, 3)), X[[0, 0, 0, 0]])
    unaligned = np.frombuffer(b"\0" + X.tobytes(), np.float32, offset=1).reshape(X.shape)
    assert not unaligned.flags.aligned
    same(unaligned)


def test_read_only_and_memory_mapped(tmp_path):
    read_only = X.copy()
    read_only.flags.writeable = False
    assert backed_by(read_only)
    np.save(tmp_path / "x.npy", X)
    for mode in ("r", "c", "r+"):
        mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
        same(mapped)
        assert backed_by(mapped)
    np.save(tmp_path / "x16.npy", X.astype(np.float16))
    same(np.load(tmp_path / "x16.npy", mmap_mode="r"), X.astype(np.float16).astype(np.float32))


def test_subclasses():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        same(np.asmatrix(X))
    same(np.ma.masked_array(X, mask=False))
    with pytest.raises(ValueError, match=r"masked values, the first at index \(1, 2\)"):
        validate(np.ma.masked_array(X, mask=[[0, 0, 0], [0, 0, 1], *[[0, 0, 0]] * 4]))


def test_lists():
    same(X.tolist())
    same([tuple(row) for row in X.tolist()])
    same(list(X))
    same([[1, 2], [3, 4]], np.float32([[1, 2], [3, 4]]))
    same(X.astype(object))
    rows = np.empty(6, object)
    rows[:] = list(X)
    same(rows)


def test_whatever_asarray_takes():
    class Array:
        def __array__(self, dtype=None, copy=None):
            return X.astype(dtype or np.float64)

    same(Array())
    assert np.shares_memory(same(memoryview(X)), X)
    same([array.array("f", [1.0, 2.0])], np.float32([[1, 2]]))


def test_conversion_goes_in_chunks():
    x = np.ones((1 << 20, 16), np.float16)
    tracemalloc.start()
    got = validate(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.1 * got.nbytes
    tracemalloc.start()
    assert validate(got) is got
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.1 * got.nbytes


# --- other libraries ---


class Tensor:
    """A DLPack producer that is nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return (1, 0)


class DeviceTensor(Tensor):
    """One whose memory NumPy cannot read."""

    def __dlpack__(self, **kwargs):
        raise BufferError("not here")

    def __dlpack_device__(self):
        return (2, 0)


class Torchlike(DeviceTensor):
    def cpu(self):
        return Tensor(self.array)


class Cupylike(DeviceTensor):
    def get(self):
        return self.array


def test_dlpack():
    assert np.shares_memory(same(Tensor(X)), X)
    same(Tensor(X.astype(np.float64)), X)
    same(Tensor(X[:, ::2]), X[:, ::2])
    same(array_api_strict.asarray(X))
    same(Torchlike(X))
    same(Cupylike(X))


def test_tensors_of_installed_libraries():
    if importlib.util.find_spec("torch"):
        import torch

        tensor = torch.from_numpy(X.copy())
        assert np.shares_memory(same(tensor), tensor.numpy())
        same(tensor.clone().requires_grad_())
        same(tensor.bfloat16(), tensor.bfloat16().float().numpy())
        same(tensor.double())
    if importlib.util.find_spec("jax"):
        import jax.numpy

        same(jax.numpy.asarray(X))
        same(jax.numpy.asarray(X, dtype=jax.numpy.bfloat16), X.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_a_device_tensor_that_does_not_move():
    with pytest.raises(DeviceError, match=r"device \(2, 0\); move it to the CPU"):
        validate(DeviceTensor(X))


def arrow_columns():
    flat = pa.array(X.ravel())
    fixed = pa.FixedSizeListArray.from_arrays(flat, 3)
    yield "fixed", fixed
    yield "list", fixed.cast(pa.list_(pa.float32()))
    yield "large list", fixed.cast(pa.large_list(pa.float32()))
    yield "float64", fixed.cast(pa.list_(pa.float64(), 3))
    yield "float16", pa.FixedSizeListArray.from_arrays(pa.array(X.ravel().astype(np.float16)), 3)
    yield "chunked", pa.chunked_array([fixed[:2], fixed[2:2], fixed[2:]])
    yield "one chunk", pa.chunked_array([fixed])
    yield "table of lists", pa.table({"e": fixed})
    yield "record batch of lists", pa.record_batch({"e": fixed})
    yield "table of numbers", pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    yield "record batch of numbers", pa.record_batch({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})
    yield "struct", pa.StructArray.from_arrays([pa.array(X[:, i]) for i in range(3)], ["a", "b", "c"])
    yield "tensor", pa.FixedShapeTensorArray.from_numpy_ndarray(X)


@pytest.mark.parametrize(("name", "column"), list(arrow_columns()))
def test_arrow(name, column):
    same(column, X.astype(np.float16) if name == "float16" else X)


def test_arrow_memory_is_not_copied():
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 3)
    values = fixed.values.to_numpy()
    assert np.shares_memory(same(fixed), values)
    assert np.shares_memory(same(fixed[2:5], X[2:5]), values)
    assert np.shares_memory(same(pa.chunked_array([fixed])), values)


class Exporter:
    """An Arrow array of a library that is not pyarrow."""

    def __init__(self, array):
        self.array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self.array.__arrow_c_array__(requested_schema)


class StreamExporter(Exporter):
    __arrow_c_array__ = None

    def __arrow_c_stream__(self, requested_schema=None):
        return self.array.__arrow_c_stream__(requested_schema)


def test_the_arrow_interface():
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 3)
    same(Exporter(fixed))
    same(StreamExporter(pa.chunked_array([fixed[:2], fixed[2:]])))
    same(StreamExporter(pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})))


def test_arrow_refusals():
    with pytest.raises(ShapeMismatchError, match="lists of 2 numbers and, at row 1, of 1"):
        validate(pa.array([[1.0, 2.0], [3.0]]))
    with pytest.raises(ValueError, match="nulls, first in row 1"):
        validate(pa.array([[1.0, 2.0], None]))
    with pytest.raises(ValueError, match="nulls, first in row 1"):
        validate(pa.array([[1.0, 2.0], [3.0, None]]))
    with pytest.raises(ValueError, match="nulls, first in row 0"):
        validate(pa.table({"a": [None, 1.0]}))
    with pytest.raises(ValueError, match="Arrow type string"):
        validate(pa.array([["a", "b"]]))
    with pytest.raises(ShapeMismatchError, match="Expected 2-D"):
        validate(pa.array([1.0, 2.0]))
    with pytest.raises(ShapeMismatchError, match="at least one sample"):
        validate(pa.array([], pa.list_(pa.float32(), 3)))


def test_pandas():
    same(pd.DataFrame(X))
    same(pd.DataFrame(X, columns=list("abc"), index=list("uvwxyz")))
    same(pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype(np.float64), "c": X[:, 2]}))
    same(pd.DataFrame(np.arange(6).reshape(3, 2)), np.arange(6, dtype=np.float32).reshape(3, 2))
    same(pd.DataFrame(X).astype("Float32"))
    same(pd.DataFrame(X).astype("float32[pyarrow]"))
    same(pd.DataFrame(X).astype(object))
    same(pd.Series(list(X)))
    same(pd.DataFrame({"embedding": X.tolist()}))
    same(pd.Series(pd.arrays.ArrowExtensionArray(pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 3))))
    same(pd.DataFrame({"one": X[:, 0]}), X[:, :1])


def test_pandas_refusals():
    with pytest.raises(ValueError, match=r"columns of numbers, got \w+ in column 'title'"):
        validate(pd.DataFrame({"a": [1.0], "title": ["x"]}))
    with pytest.raises(ValueError, match="NaN or Inf values, first in row 1"):
        validate(pd.DataFrame({"a": [1.0, None], "b": [1, 2]}))
    with pytest.raises(ValueError, match="NaN or Inf values, first in row 1"):
        validate(pd.DataFrame({"a": pd.array([1.0, None], dtype="Float32")}))


def test_polars():
    frame = pl.DataFrame(X, schema=["a", "b", "c"])
    same(frame)
    same(frame.select(pl.concat_list("a", "b", "c").alias("e")))
    same(frame.select(pl.concat_list("a", "b", "c").list.to_array(3).alias("e")))
    same(frame.select(pl.concat_list("a", "b", "c").alias("e")).to_series())
    array = frame.select(pl.concat_list("a", "b", "c").list.to_array(3).alias("e")).to_series()
    same(array)
    same(pl.DataFrame({"a": [1, 2], "b": [0.5, 3.0]}), np.float32([[1, 0.5], [2, 3]]))


def test_polars_refusals():
    with pytest.raises(TypeError, match="collect"):
        validate(pl.LazyFrame({"a": [1.0]}))
    with pytest.raises(ValueError, match="nulls, first in row 1"):
        validate(pl.Series([[1.0, 2.0], None]))
    with pytest.raises(ShapeMismatchError, match="lists of 1 to 2 numbers"):
        validate(pl.Series([[1.0, 2.0], [1.0]]))
    with pytest.raises(ValueError, match="NaN or Inf"):
        validate(pl.DataFrame({"a": [1.0, None]}))
    with pytest.raises(ValueError, match="Expected numbers"):
        validate(pl.DataFrame({"a": ["x"]}))


# --- refusals ---


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_not_2d(shape):
    with pytest.raises(ShapeMismatchError, match="Expected 2-D input") as caught:
        validate(np.zeros(shape))
    assert str(shape) in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, SemanticIdError)


def test_empty():
    with pytest.raises(ShapeMismatchError, match="at least one sample"):
        validate(np.zeros((0, 3)))
    with pytest.raises(ShapeMismatchError, match=r"0 feature\(s\)"):
        validate(np.zeros((3, 0)))
    with pytest.raises(ShapeMismatchError, match="Expected 2-D input"):
        validate([])


def test_width():
    assert validate(X, 3) is X
    with pytest.raises(ShapeMismatchError, match="Expected D=4, got D=3"):
        validate(X, 4)
    with pytest.raises(ShapeMismatchError, match="Expected D=4, got D=3"):
        validate(X, expected_dim=4)


def test_rows_of_different_lengths():
    with pytest.raises(ShapeMismatchError, match="rows of different lengths"):
        validate([[1.0, 2.0], [3.0]])
    rows = np.empty(2, object)
    rows[:] = [[1.0, 2.0], [3.0]]
    with pytest.raises(ShapeMismatchError, match="rows of 2 numbers and, at row 1, of 1"):
        validate(rows)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, object])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 1, 4999])
def test_not_finite_names_the_first_bad_row(dtype, value, row):
    x = np.zeros((5000, 100), np.float32).astype(dtype)  # more than one chunk
    x[row:, 99] = value
    with pytest.raises(ValueError, match=rf"NaN or Inf values, first in row {row};"):
        validate(x)


def test_too_large_for_float32_names_the_row():
    x = np.zeros((5000, 100))
    x[4321, 7] = -1e39
    with pytest.raises(ValueError, match=r"NaN or Inf values once in float32: row 4321 holds 1e\+39"):
        validate(x)
    x[4321, 7] = 3.4e38
    assert validate(x)[4321, 7] == np.float32(3.4e38)


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([["a", "b"]], ValueError, "Expected numbers, got dtype <U1"),
        (np.array([["1", 2.0]], object), ValueError, "could not convert string to float: '1'"),
        (np.array([[1j, 2.0]]), ValueError, "Complex data not supported"),
        (np.array([[1j, 2.0]], object), ValueError, "Complex data not supported"),
        (np.array([[{}, 2.0]], object), TypeError, "must be a string or a real number"),
        (np.zeros((2, 2), "M8[s]"), ValueError, "Expected numbers, got dtype datetime64"),
        (np.zeros((2, 2), [("a", "f4")]), ValueError, "Expected numbers, got dtype"),
        (scipy.sparse.csr_matrix(np.eye(3)), TypeError, "sparse input is not supported.*toarray"),
        (scipy.sparse.coo_array(np.eye(3)), TypeError, "sparse input is not supported.*toarray"),
        (None, ShapeMismatchError, "Expected 2-D input"),
        ("abc", ShapeMismatchError, "Expected 2-D input"),
        ({"a": [1.0]}, ShapeMismatchError, "Expected 2-D input"),
    ],
)
def test_what_is_no_matrix_of_numbers(x, error, words):
    with pytest.raises(error, match=words):
        validate(x)


# --- through the model ---


def test_the_model_takes_all_of_it(model, blobs):
    codes = model.encode(blobs)
    for given in (
        blobs.astype(np.float64),
        np.asfortranarray(blobs),
        blobs.tolist(),
        Tensor(blobs.copy()),
        pa.FixedSizeListArray.from_arrays(pa.array(blobs.ravel()), 12),
        pd.DataFrame(blobs),
        pl.DataFrame(blobs),
    ):
        np.testing.assert_array_equal(model.encode(given), codes)
        refitted = RQKMeans(n_levels=3, n_clusters=[20, 10, 5], random_state=0).fit(given)
        np.testing.assert_array_equal(refitted.codebooks_[2], model.codebooks_[2])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_model_refuses(model, blobs, dtype):
    bad = blobs.astype(dtype)
    bad[1500, 3] = np.nan
    for call in (model.encode, RQKMeans(2, 2).fit, RQKMeans(2, 2).fit_encode, model.transform):
        with pytest.raises(ValueError, match=r"NaN or Inf.*row 1500"):
            call(bad)
        with pytest.raises(ShapeMismatchError, match="Expected 2-D input"):
            call(blobs[0])
        with pytest.raises(ShapeMismatchError, match="at least one sample"):
            call(blobs[:0])
    with pytest.raises(ShapeMismatchError, match="Expected D=12, got D=11"):
        model.encode(blobs[:, :11].astype(dtype))


def test_encode_converts_in_blocks(model, monkeypatch):
    monkeypatch.setattr("semantic_id.algorithms.rq_kmeans._BLOCK", 1 << 16)
    x = np.random.default_rng(1).normal(size=(100_000, 12))
    tracemalloc.start()
    codes = model.encode(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < codes.nbytes + x.nbytes / 10
    np.testing.assert_array_equal(codes, model.encode(x.astype(np.float32)))
    x[77_777, 5] = np.inf
    with pytest.raises(ValueError, match="row 77777"):
        model.encode(x)
