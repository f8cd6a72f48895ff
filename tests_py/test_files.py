"""Model files: golden directories, files both ways with Go and with 0.2.5, and everything that is no model."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from semantic_id import RQKMeans, _files
from semantic_id._npz import read_codebooks, write_codebooks
from semantic_id.exceptions import ModelFileError, SemanticIdError

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "tests_go" / "testdata" / "models"
GOLDENS = sorted(path.parent.name for path in MODELS.glob("*/metadata.json"))
SETTINGS = ("n_clusters", "metric", "implementation", "max_iter", "tol", "random_state", "n_init", "D")


def golden(name):
    """What stands beside the golden directory, and the codebooks in it."""
    held = json.loads((MODELS / f"{name}.json").read_text())
    return held, [np.array(rows, np.float32) for rows in held["codebooks"]]


def same(a, b):
    """Compare bit by bit, which tells 0 from -0."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype == np.float32 and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def resave_with_go(source, target):
    if shutil.which("go") is None or not (ROOT / "go.mod").exists():
        pytest.skip("needs Go and the sources")
    subprocess.run(
        ["go", "run", "./tests_go/testdata/resave", str(source), str(target)],
        cwd=ROOT,
        env=os.environ | {"CGO_ENABLED": "0"},
        check=True,
    )


def peer(code, *args):
    """Run code in a Python that has semantic-id 0.2.5."""
    python = os.environ.get("SEMANTIC_ID_PEER_PYTHON")
    if not python:
        pytest.skip("SEMANTIC_ID_PEER_PYTHON names no Python that has semantic-id 0.2.5")
    done = subprocess.run([python, "-c", code, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_goldens():
    assert {"semantic-id-0.2.5", "version-1-go", "version-1-python"} <= set(GOLDENS)


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_models_load_for_ever(name, tmp_path):
    held, books = golden(name)
    for path in MODELS / name, str(MODELS / name), os.fsencode(MODELS / name):
        meta, got = _files.load_model(path)
        assert {key: meta[key] for key in SETTINGS} == {key: held[key] for key in SETTINGS}
        assert same(got, books)
    _files.save_rq_kmeans(tmp_path / "again", meta, got)
    again, got = _files.load_model(tmp_path / "again")
    assert {key: again[key] for key in SETTINGS} == {key: held[key] for key in SETTINGS}
    assert same(got, books)


def test_checksums_are_as_format_md_says():
    """Worked out here from that page alone."""
    text = (
        "type=RQKMeans\nn_levels=3\nn_clusters=6,1,4\nmetric=cosine\nimplementation=constrained\nmax_iter=25\n"
        "tol=0000000000000000\nrandom_state=null\nn_init=3\nD=5\n"
    )
    meta = json.loads((MODELS / "version-1-python" / "metadata.json").read_text())
    npz = (MODELS / "version-1-python" / "codebooks.npz").read_bytes()
    assert meta["settings_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert meta["sha256"] == {"codebooks.npz": hashlib.sha256(npz).hexdigest()}


def test_the_model_of_0_2_5_gives_its_codes():
    held, _ = golden("semantic-id-0.2.5")
    model = RQKMeans.load(MODELS / "semantic-id-0.2.5")
    codes = model.encode(np.array(held["x"], np.float32))
    assert codes.tolist() == held["codes"]
    np.testing.assert_array_equal(model.decode(codes), np.array(held["decoded"], np.float32))


@pytest.mark.parametrize("name", GOLDENS)
def test_go_reads_what_python_writes_and_the_reverse(name, tmp_path):
    held, books = golden(name)
    meta, got = _files.load_model(MODELS / name)
    _files.save_rq_kmeans(tmp_path / "python", meta, got)
    resave_with_go(tmp_path / "python", tmp_path / "go")
    again, got = _files.load_model(tmp_path / "go")
    assert {key: again[key] for key in SETTINGS} == {key: held[key] for key in SETTINGS}
    assert (
        again["settings_sha256"] == json.loads((tmp_path / "python" / "metadata.json").read_text())["settings_sha256"]
    )
    assert same(got, books)


ENCODE_WITH_PEER = """
import json, sys
from semantic_id import RQKMeans
model = RQKMeans.load(sys.argv[1])
x = json.loads(sys.argv[2])
import numpy as np
codes = model.encode(np.array(x, dtype=np.float32))
print(json.dumps([codes.tolist(), model.decode(codes).tolist(), model.n_clusters, model.max_iter, model.n_init]))
"""

FIT_WITH_PEER = """
import json, sys
import numpy as np
from semantic_id import RQKMeans
x = np.random.default_rng(1).normal(size=(80, 4)).astype(np.float32)
model = RQKMeans(2, [6, 5], random_state=3, n_init=2, max_iter=20, tol=0.001).fit(x)
model.save(sys.argv[1])
print(json.dumps([x.tolist(), model.encode(x).tolist()]))
"""


@pytest.mark.parametrize("go", [False, True], ids=["python", "go"])
def test_0_2_5_reads_our_files(tmp_path, go):
    x = np.random.default_rng(5).normal(size=(200, 4)).astype(np.float32)
    model = RQKMeans(2, [8, 3], random_state=0, n_init=2, max_iter=30).fit(x)
    model.save(tmp_path / "model")
    if go:
        resave_with_go(tmp_path / "model", tmp_path / "go")
    codes, decoded, *settings = peer(
        ENCODE_WITH_PEER, tmp_path / ("go" if go else "model"), json.dumps(x[:20].tolist())
    )
    assert codes == model.encode(x[:20]).tolist()
    np.testing.assert_array_equal(np.array(decoded, np.float32), model.decode(codes))
    assert settings == [[8, 3], 30, 2]


def test_we_read_the_files_of_0_2_5(tmp_path):
    x, codes = peer(FIT_WITH_PEER, tmp_path / "model")
    model = RQKMeans.load(tmp_path / "model")
    assert model.encode(np.array(x, np.float32)).tolist() == codes
    assert model.get_params() == {
        "n_levels": 2,
        "n_clusters": [6, 5],
        "metric": "l2",
        "implementation": "kmeans",
        "max_iter": 20,
        "tol": 0.001,
        "random_state": 3,
        "verbose": False,
        "n_init": 2,
    }


# --- writing ---

META = {"metric": "l2", "implementation": "kmeans", "max_iter": 100, "tol": 1e-4, "random_state": 7, "n_init": None}
BOOKS = [np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((2, 3), np.float32)]


def test_what_is_written(tmp_path):
    meta = META | {"random_state": np.int64(7), "max_iter": np.int32(100), "tol": np.float32(0.5), "verbose": object()}
    books = [BOOKS[0].T.copy().T, BOOKS[1][:, ::-1]]  # other strides
    _files.save_rq_kmeans(tmp_path / "a", meta, books)
    _files.save_rq_kmeans(tmp_path / "b", meta, books)
    assert sorted(os.listdir(tmp_path / "a")) == ["codebooks.npz", "metadata.json"]
    for name in "codebooks.npz", "metadata.json":
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "metadata.json").read_text()
    assert list(json.loads(text)) == [
        *(
            "type",
            "n_levels",
            "n_clusters",
            "metric",
            "implementation",
            "max_iter",
            "tol",
            "random_state",
            "n_init",
            "D",
        ),
        *("format_version", "settings_sha256", "sha256"),
    ]
    assert json.loads(text)["n_clusters"] == [4, 2]
    with np.load(tmp_path / "a" / "codebooks.npz", allow_pickle=False) as npz:  # as NumPy reads it
        assert npz.files == ["codebook_0", "codebook_1"]
        assert same([npz["codebook_0"], npz["codebook_1"]], BOOKS)
        assert all(info.compress_type == zipfile.ZIP_DEFLATED for info in npz.zip.infolist())


@pytest.mark.parametrize(
    ("key", "value"), [("random_state", np.random.default_rng(0)), ("random_state", 2**64), ("n_init", "auto")]
)
def test_what_no_reader_could_use_is_null(tmp_path, key, value):
    _files.save_rq_kmeans(tmp_path / "model", META | {key: value}, BOOKS)
    assert _files.load_model(tmp_path / "model")[0][key] is None


@pytest.mark.parametrize(
    ("meta", "books", "words"),
    [
        ({}, [], "n_levels is 0"),
        ({}, [np.ones((2, 3)), np.ones((2, 4))], r"codebook 1 of shape \(2, 4\)"),
        ({}, [np.ones(3)], r"codebook 0 of shape \(3,\)"),
        ({}, [np.ones((0, 3))], "n_clusters of level 0 is 0"),
        ({}, [np.ones((2, 0))], "D is 0"),
        ({}, [np.array([[1, np.nan]])], "finite"),
        ({"metric": "dot"}, BOOKS, "metric is 'dot'"),
        ({"implementation": None}, BOOKS, "implementation is None"),
        ({"tol": np.inf}, BOOKS, "tol is inf"),
        ({"max_iter": 2**63}, BOOKS, "max_iter is"),
    ],
)
def test_what_is_not_written(tmp_path, meta, books, words):
    with pytest.raises(ValueError, match=words):
        _files.save_rq_kmeans(tmp_path / "model", META | meta, books)
    assert not os.listdir(tmp_path)


# --- reading what is damaged ---


@pytest.mark.parametrize("file", ["metadata.json", "codebooks.npz"])
@pytest.mark.parametrize("name", GOLDENS)
def test_damaged_models(tmp_path, name, file):
    """Cut anywhere, or a bit changed: a clear error or the model that was there; 0.2.5's settings have no checksum."""
    held, books = golden(name)
    path = shutil.copytree(MODELS / name, tmp_path / "model")
    whole = (path / file).read_bytes()
    cuts = [whole[:at] for at in range(0, len(whole), 5)]
    flips = []
    for bit in range(0, 8 * len(whole), 23):
        flips.append(bytearray(whole))
        flips[-1][bit // 8] ^= 1 << bit % 8
    loaded = 0
    for damaged in cuts + flips:
        (path / file).write_bytes(damaged)
        try:
            meta, got = _files.load_model(path)
        except ModelFileError as e:
            assert file in str(e), e  # noqa: PT017
            assert str(path) in str(e), e  # noqa: PT017
            continue
        loaded += 1
        assert same(got, books)
        if name != "semantic-id-0.2.5":
            assert {key: meta[key] for key in SETTINGS} == {key: held[key] for key in SETTINGS}
    assert loaded < len(flips) // 2
    if file == "codebooks.npz" and name != "semantic-id-0.2.5":
        assert loaded == 0


def test_the_files_of_two_models(tmp_path):
    _files.save_rq_kmeans(tmp_path / "a", META, BOOKS)
    _files.save_rq_kmeans(tmp_path / "b", META, BOOKS[::-1])
    _files.save_rq_kmeans(tmp_path / "c", META, [BOOKS[0] + 1, BOOKS[1]])
    shutil.copy(tmp_path / "c" / "codebooks.npz", tmp_path / "a" / "codebooks.npz")
    with pytest.raises(ModelFileError, match=r"codebooks.npz: damaged or of another model .* copy the whole directory"):
        _files.load_model(tmp_path / "a")


# --- reading what is no model ---


def with_metadata(tmp_path, change):
    path = shutil.copytree(MODELS / "semantic-id-0.2.5", tmp_path / "model")
    (path / "metadata.json").write_bytes(change((path / "metadata.json").read_bytes()))
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"D"', b'"mine": [{}], "D"'),
        (b'"implementation": "kmeans",', b""),
        (b'"n_init": null,', b""),
        (b'"n_init": null', b'"n_init": "auto"'),
        (b'"n_init": null', b'"n_init": 3'),
        (b"0.0001", b"0"),
        (b'"random_state": 7', b'"random_state": null'),
    ],
)
def test_metadata_that_is_fine(tmp_path, old, new):
    assert same(
        _files.load_model(with_metadata(tmp_path, lambda text: text.replace(old, new)))[1],
        golden("semantic-id-0.2.5")[1],
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"{", b"[", "not a JSON object"),
        (b"}", b"", "not a JSON object"),
        (b"}", b"} {}", "not a JSON object"),
        (b"}", b', "x": ' + b"[" * 100_000, "not a JSON object"),
        (b'"D"', b'"' + b"x" * (1 << 20) + b'": 0, "D"', "more than 1048576 bytes"),
        (b"l2", b"l\xff", "not a JSON object"),
        (b"RQKMeans", b"RQVAE", "Invalid model type: 'RQVAE', want 'RQKMeans'"),
        (b'"type"', b'"Type"', "Invalid model type: no type"),
        (b'"RQKMeans"', b"5", "Invalid model type: 5"),
        (b'"D"', b'"format_version": 2, "D"', "newer version: format_version 2, .* upgrade semantic-id"),
        (b'"D"', b'"format_version": 0, "D"', '"format_version" is 0'),
        (b'"D"', b'"format_version": true, "D"', '"format_version" is True'),
        (b'"D"', b'"format_version": 1, "D"', 'no key "settings_sha256"'),
        (b'"D"', b'"sha256": {}, "D"', 'no key "settings_sha256"'),
        (b'"D"', b'"sha256": {}, "settings_sha256": "0", "D"', "if you edited it on purpose"),
        (b'"D": 3', b'"D": null', "before it was fitted"),
        (b'"D": 3', b'"D": 0', "D is 0"),
        (b'"D": 3', b'"D": 2147483648', "D is 2147483648"),
        (b'"D": 3', b'"D": 3.0', '"D" is 3.0'),
        (b'"D": 3', b'"D": ' + b"9" * 5000, "not a JSON object|D"),
        (b'"D"', b'"d"', 'no key "D"'),
        (b'"n_levels": 2', b'"n_levels": 3', "n_levels is 3, n_clusters has 2"),
        (b'"n_levels": 2', b'"n_levels": true', '"n_levels" is True'),
        (b"4,", b"0,", "level 0 is 0"),
        (b"4,", b"true,", "level 0 is True"),
        (b"4,", b"null,", "level 0 is None"),
        (b"l2", b"l3", "metric is 'l3'"),
        (b'"l2"', b"null", '"metric" is None'),
        (b'"kmeans"', b'"other"', "implementation is 'other'"),
        (b"100", b'"100"', '"max_iter" is'),
        (b"0.0001", b"NaN", "NaN is not JSON"),
        (b"0.0001", b"1e999", "tol is inf"),
        (b"0.0001", b"1" + b"0" * 400, "tol is inf"),
        (b"0.0001", b"false", '"tol" is False'),
        (b'"random_state": 7', b'"random_state": 9223372036854775808', '"random_state" is'),
        (b'"random_state": 7,', b"", 'no key "random_state"'),
        (b'"n_init": null', b'"n_init": "many"', '"n_init" is'),
    ],
)
def test_metadata_that_is_refused(tmp_path, old, new, words):
    path = with_metadata(tmp_path, lambda text: text.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=words) as raised:
        _files.load_model(path)
    assert str(path / "metadata.json") in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, SemanticIdError)


def test_another_type_when_asked(tmp_path):
    with pytest.raises(ValueError, match="Invalid model type: 'RQKMeans', want 'RQVAE'"):
        _files.load_model(MODELS / "version-1-go", "RQVAE")


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asanyarray(array), version=version)
    return file.getvalue()


def npy_header(header, version=1, values=b""):
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text + values


def npz(*members, method=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as z:
        for name, data in members:
            z.writestr(name, data)
    return file.getvalue()


def read(data, clusters=(2,), dim=3):
    return read_codebooks(io.BytesIO(data), len(data), clusters, dim)


ARRAY = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
ONE = "codebook_0.npy"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    "data",
    [
        npy(ARRAY),
        npy(ARRAY, (2, 0)),
        npy(ARRAY, (3, 0)),
        npy(np.asfortranarray(ARRAY)),
        npy(ARRAY.astype(np.float64) + 1e-12),
        npy(np.asfortranarray(ARRAY.astype(np.float64))),
        npy_header("{'descr':'<f4','fortran_order':False,'shape':(2,3)}", values=ARRAY.tobytes()),
    ],
    ids=["1.0", "2.0", "3.0", "fortran", "float64", "float64 fortran", "no spaces"],
)
def test_all_that_numpy_writes_is_read(data, method):
    (got,) = read(npz((ONE, data), method=method))
    assert same([got], [ARRAY])
    assert got.flags.c_contiguous
    assert got.flags.writeable


class Bomb:
    def __reduce__(self):
        return os._exit, (66,)


def declared(data, size):
    """Change the length that the zip's directory gives for its only member."""
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", size) + data[at + 4 :]


def method_of(data, method):
    local, central = data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10
    data = bytearray(data)
    data[local : local + 2] = data[central : central + 2] = struct.pack("<H", method)
    return bytes(data)


GOOD = npz((ONE, npy(ARRAY)))
HUGE = 2**31 - 1
HUGE_HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (2147483647, 2147483647), }"


@pytest.mark.parametrize(
    ("data", "clusters", "dim", "words"),
    [
        (b"", (2,), 3, "zip"),
        (b"PK\x03\x04 not really", (2,), 3, "zip"),
        (npz((ONE, npy(np.array([[1, 2, 3]], object)))), (1,), 3, "dtype '.O', want '<f4'"),
        (npz((ONE, pickle.dumps(Bomb()))), (1,), 3, "not a .npy array"),
        (npz((ONE, npy(ARRAY.astype(int)))), (2,), 3, "dtype '<i8'"),
        (npz((ONE, npy(ARRAY.astype(">f4")))), (2,), 3, "dtype '>f4'"),
        (npz((ONE, npy(np.zeros(2, [("a", "<f4")])))), (2,), 3, "two-dimensional"),
        (npz((ONE, npy(ARRAY[0]))), (2,), 3, "two-dimensional"),
        (npz((ONE, npy(ARRAY[None]))), (2,), 3, "two-dimensional"),
        (
            npz((ONE, npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (exit(), 3), }"))),
            (2,),
            3,
            "two-dim",
        ),
        (npz((ONE, npy_header("x", version=4))), (2,), 3, "version 4.0"),
        (npz((ONE, npy_header("x" * 70000, version=2))), (2,), 3, "header of 70001 bytes"),
        (npz((ONE, b"\x93NUMPY\x01")), (2,), 3, "ends too early"),
        (GOOD, (3,), 2, r"shape \(2, 3\), want \(3, 2\)"),
        (npz((ONE, npy(ARRAY)[:-1])), (2,), 3, "too few or too many"),
        (npz((ONE, npy(ARRAY) + b"0")), (2,), 3, "too few or too many"),
        (npz(("codebook_1.npy", npy(ARRAY))), (2,), 3, "no array codebook_0.npy"),
        (npz((ONE, npy(ARRAY)), ("codebook_1.npy", npy(ARRAY))), (2,), 3, "2 arrays, want 1"),
        (npz((ONE, npy(np.float32([[1, 2], [3, np.nan]])))), (2,), 2, "NaN or infinity in row 1"),
        (npz((ONE, npy(np.array([[1e300]])))), (1,), 1, "NaN or infinity in row 0"),
        (npz((ONE, npy(np.zeros((4096, 4096), np.float32)))), (2,), 3, "shape"),
        (npz((ONE, npy_header(HUGE_HEADER))), (HUGE,), HUGE, "too few or too many"),
        (declared(GOOD, 2**32 - 2), (2**15,), 2**15, "declares 4294967294 bytes"),
        (declared(npz((ONE, npy(ARRAY)[:-4])), 128 + 24), (2,), 3, "early|zip"),
        (method_of(GOOD, 12), (2,), 3, "compression method 12"),
        (method_of(GOOD, 0), (2,), 3, "declares|zip"),
    ],
)
def test_hostile_arrays_are_refused(data, clusters, dim, words):
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=words):
            read(data, clusters, dim)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_long_arrays(tmp_path):
    books = [np.random.default_rng(0).normal(size=(k, 100)).astype(np.float32) for k in (5000, 1)]  # beyond the buffers
    file = io.BytesIO()
    write_codebooks(file, books)
    assert same(read(file.getvalue(), (5000, 1), 100), books)
    _files.save_rq_kmeans(tmp_path / "model", META, books)
    assert same(_files.load_model(tmp_path / "model")[1], books)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("none", FileNotFoundError, "none"),
        ("file", NotADirectoryError, "pass the one that holds metadata.json"),
        ("empty", FileNotFoundError, "not the directory of a saved model.*empty"),
        ("half", FileNotFoundError, "the model is incomplete.*half.codebooks.npz"),
        ("odd", ModelFileError, "metadata.json: not a file"),
        ("pipe", ModelFileError, "codebooks.npz: not a file"),
    ],
)
def test_where_no_model_is(tmp_path, name, error, words):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "metadata.json").mkdir(parents=True)
    for copy in "half", "pipe":
        shutil.copytree(MODELS / "version-1-go", tmp_path / copy)
        (tmp_path / copy / "codebooks.npz").unlink()
    os.mkfifo(tmp_path / "pipe" / "codebooks.npz")
    with pytest.raises(error, match=words):
        _files.load_model(tmp_path / name)


def test_the_native_library_is_not_loaded(python):
    out = python(
        f"""
        import sys, tempfile
        from semantic_id import RQKMeans
        model = RQKMeans.load({str(MODELS / "version-1-go")!r})
        with tempfile.TemporaryDirectory() as folder:
            model.save(folder + "/model")
        print([name for name in sys.modules if "_gopy" in name])
        """
    )
    assert out == "[]\n"
