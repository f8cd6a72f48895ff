"""Data larger than memory: what is mapped from files is not copied, and the models are the same."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
import pytest
from semantic_id import RQKMeans, _large
from semantic_id.cli import main
from semantic_id.io import open_rows

RNG = np.random.default_rng(3)
X = (RNG.normal(size=(40, 24))[RNG.integers(0, 40, 3000)] + RNG.normal(size=(3000, 24)) / 4).astype(np.float32)


@pytest.fixture
def large(monkeypatch):
    """All that is mapped counts as large."""
    monkeypatch.setattr(_large, "LARGE", 1)
    monkeypatch.setattr(_large, "_BLOCK", 700 * 24)


def mapped(path, array):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["f4", "f2", "f8", ">f4", "fortran"])
def test_the_model_is_that_of_memory(tmp_path, large, monkeypatch, kind, weighted, metric):
    array = np.asfortranarray(X) if kind == "fortran" else X.astype(kind)
    weights = np.arange(len(X)) % 4 if weighted else None
    x = mapped(tmp_path / "x.npy", array)
    assert _large.is_large(np.asarray(x))
    assert not _large.is_large(array)
    want = RQKMeans(3, [30, 10, 20], metric=metric, random_state=1, tol=0.01)
    want_codes = want.fit_encode(array, sample_weight=weights)
    got = RQKMeans(3, [30, 10, 20], metric=metric, random_state=1, tol=0.01)
    np.testing.assert_array_equal(got.fit_encode(x, sample_weight=weights), want_codes)
    for a, b in zip(got.codebooks_, want.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(got.inertia_, want.inertia_)
    np.testing.assert_array_equal(got.encode(x), want_codes)
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("semantic-id-")]


@pytest.mark.parametrize("dtype", ["f4", "f2", "f8"])
def test_nan_is_found_by_row(tmp_path, large, dtype):
    array = X.astype(dtype)
    array[2345, 7] = np.nan
    with pytest.raises(ValueError, match=r"NaN or Inf.*row 2345"):
        RQKMeans(2, 8).fit(mapped(tmp_path / "x.npy", array))


def test_a_zero_row_is_found(tmp_path, large):
    array = X.copy()
    array[1234] = 0
    with pytest.raises(ValueError, match="row 1234"):
        RQKMeans(2, 8, metric="cosine").fit(mapped(tmp_path / "x.npy", array))


def test_a_slice_of_a_mapped_array_is_mapped(tmp_path, large):
    x = mapped(tmp_path / "x.npy", X)
    assert _large.is_large(np.asarray(x[10:, ::2]))
    assert _large.is_large(np.asarray(x).view(np.int32))
    assert not _large.is_large(np.array(x))


def test_small_mapped_arrays_are_as_any_other(tmp_path):
    assert not _large.is_large(np.asarray(mapped(tmp_path / "x.npy", X)))


@pytest.mark.parametrize("call", ["fit(x)", "encode(x)"])
def test_a_file_that_is_shortened(tmp_path, call):
    """Reading past its end is an error, not the end of the process, in every kernel."""
    code = f"""
        import numpy as np
        from semantic_id import RQKMeans, _large
        _large.LARGE = 1
        model = RQKMeans(2, 8, random_state=0, tol=1).fit(np.random.default_rng(0).normal(size=(100, 24)))
        x = np.load("x.npy", mmap_mode="r")
        open("x.npy", "r+b").truncate(100_000)
        try:
            model.{call}
        except OSError as error:
            print(error)
        print(model.encode(x[:3]).shape)
    """
    for level in ("generic", "avx2", "avx512"):
        np.save(tmp_path / "x.npy", np.tile(X, (4, 1)))
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=tmp_path,
            env=os.environ | {"SEMANTIC_ID_CPU": level},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "rows became unreadable: the file they are mapped from was shortened" in done.stdout
        assert done.stdout.endswith("(3, 2)\n")


def write_parquet(path, array, number, **options):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    kind = pa.list_(pa.from_numpy_dtype(number), array.shape[1])
    flat = pa.array(np.ascontiguousarray(array, number).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=kind)
    pq.write_table(pa.table({"item": pa.array(range(len(array))), "embedding": vectors}), path, **options)


@pytest.mark.parametrize("number", ["float32", "float16", "float64"])
def test_open_rows_of_parquet(tmp_path, large, number):
    x = X.astype(number)
    (tmp_path / "parts").mkdir()
    write_parquet(tmp_path / "a.parquet", x[:1000], number, row_group_size=300)
    write_parquet(tmp_path / "parts" / "b.parquet", x[1000:1700], number)
    write_parquet(tmp_path / "parts" / "c.parquet", x[1700:], number)
    rows = open_rows([tmp_path / "a.parquet", str(tmp_path / "parts")], column="embedding")
    assert _large.is_large(np.asarray(rows))
    assert isinstance(rows, np.memmap)
    np.testing.assert_array_equal(rows, x.astype(np.float32))
    want = RQKMeans(2, 16, random_state=0, tol=0.01).fit(x)
    got = RQKMeans(2, 16, random_state=0, tol=0.01)
    np.testing.assert_array_equal(got.fit_encode(rows), want.encode(x))
    np.testing.assert_array_equal(got.codebooks_[1], want.codebooks_[1])


def test_the_command_line(tmp_path, large, capsys):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "parts").mkdir()
    write_parquet(tmp_path / "parts" / "a.parquet", X[:2000], "float32")
    write_parquet(tmp_path / "parts" / "b.parquet", X[2000:], "float32")
    want = RQKMeans(2, 16, random_state=0, tol=0.01)
    codes = want.fit_encode(X)
    for name in ("x.npy", "parts"):
        place, model, ids = (str(tmp_path / n) for n in (name, "model", "ids.csv"))
        settings = ["--levels", "2", "--clusters", "16", "--tol", "0.01", "--model", model]
        assert main(["fit", place, *settings]) == 0
        for a, b in zip(RQKMeans.load(model).codebooks_, want.codebooks_, strict=True):
            np.testing.assert_array_equal(a, b)
        assert main(["encode", place, "--model", model, "--out", ids]) == 0
        table = np.loadtxt(ids, str, delimiter=",", skiprows=1)
        assert table[:, 0].tolist() == [str(n) for n in range(len(X))]
        assert table[:, 1].tolist() == want.semantic_id(codes)
    assert "3,000 rows" in capsys.readouterr().out


def test_open_rows_of_other_files(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    rows = open_rows(tmp_path / "x.npy")
    assert (type(rows), rows.dtype) == (np.memmap, np.float16)
    np.savez(tmp_path / "x.npz", a=X, b=X[::-1])
    np.testing.assert_array_equal(open_rows(tmp_path / "x.npz", key="b"), X[::-1])
    with pytest.raises(ValueError, match="list of paths is empty"):
        open_rows([])
    with pytest.raises(ValueError, match="cannot tell the format"):
        open_rows(["x.txt"])


def test_a_path_is_no_array(tmp_path):
    for path in (tmp_path / "x.npy", str(tmp_path / "x.npy")):
        with pytest.raises(ValueError, match=r"Open a file of embeddings by semantic_id\.io\.open_rows"):
            RQKMeans(2, 16).fit(path)


def test_truncated_files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    write_parquet(tmp_path / "x.parquet", X, "float32")
    for name in ("x.npy", "x.parquet"):
        with open(tmp_path / name, "r+b") as file:
            file.truncate(100_000)
        with pytest.raises(ValueError, match=rf"{name}: not a complete \{name[1:]} file"):
            open_rows(tmp_path / name)


def test_a_full_disk(monkeypatch, large):
    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_large, "_write", write)
    with pytest.raises(OSError, match=r"No space left on device.*TMPDIR") as caught:
        _large.spool([X])
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == tempfile.gettempdir()


def test_ctrl_c_leaves_no_file(tmp_path):
    code = """
        import itertools, os
        import numpy as np
        from semantic_id import _large
        _large.LARGE = 1
        def blocks():
            for n in itertools.count():
                yield np.zeros((1000, 100), np.float32)
                if n == 3:
                    print("ready", flush=True)
                if n > 100:
                    import time; time.sleep(0.1)
        _large.spool(blocks())
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == -number
        assert list(tmp_path.iterdir()) == []
