"""Files of RQVAE models: golden ones, both ways with Go, safetensors and PyTorch, and everything that is no model."""

import io
import json
import math
import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from semantic_id import RQVAE, _rqvae_files, _safetensors, _torch_files
from semantic_id.exceptions import ModelFileError
from test_files import peer, resave_with_go

DATA = Path(__file__).parents[1] / "tests_go" / "testdata" / "rqvae"
SETTINGS = {
    "in_dim": 2,
    "num_emb_list": [3],
    "e_dim": 2,
    "layers": [],
    "dropout_prob": 0.1,
    "bn": False,
    "loss_type": "l1",
    "quant_loss_weight": 0.25,
    "beta": 1 / 3,
    "kmeans_init": False,
    "kmeans_iters": 7,
    "sk_epsilons": [0.003],
    "sk_iters": 9,
    "loss_reduction": "sum",
    "random_state": 7,
}
WEIGHTS = {
    "encoder.mlp_layers.1.weight": np.array([[1, 2], [1e-42, -3]], np.float32),
    'é"\n': np.array([-0.0, 3.4028235e38], np.float32),
    "num_batches_tracked": np.array(-(2**62)),
    "none": np.zeros((0, 3), np.float32),
}
ANY = {key: lambda value: True for key in SETTINGS if key not in ("loss_reduction", "random_state")}


def held(name):
    return json.loads((DATA / name).read_text())


def same(a, b):
    """Compare bit by bit."""
    assert list(a) == list(b)
    for name in a:
        x, y = np.asarray(a[name]), np.asarray(b[name])
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes(), name
    return True


def arrays(tensors):
    """Return what the script beside the golden files says they hold."""
    out = {}
    for name, t in tensors.items():
        integer = t["values"] and all(type(v) is int for v in t["values"])
        out[name] = np.array(t["values"], np.int64 if integer else np.float32).reshape(t["shape"])
    return out


@pytest.mark.parametrize("name", ["odd.pt", "odd-protocol-4.pt"])
def test_reads_what_torch_writes(name):
    with open(DATA / name, "rb") as file:
        assert same(_torch_files.read(file), arrays(held("odd.json")["tensors"]))


def test_a_model_of_025_loads_for_ever():
    meta, weights = _rqvae_files.load(DATA / "semantic-id-0.2.5", ANY)
    assert same(weights, arrays(held("semantic-id-0.2.5.json")["tensors"]))
    assert (meta["in_dim"], meta["num_emb_list"], meta["bn"], meta["sk_epsilons"]) == (6, [4, 3], True, [0.0, 0.01])


def test_a_normalized_model_loads_for_ever():
    """It was made by Python, and tests_go reads it too."""
    model, want = RQVAE.load(DATA / "version-1-normalized"), held("version-1-normalized.json")
    x = np.array(want["x"], np.float32)
    assert model.encode(x).tolist() == want["codes"]
    assert model.decode(want["codes"]).tolist() == want["decoded"]
    assert model.normalize_input == "columns"


def test_round_trip(tmp_path):
    for settings in SETTINGS, SETTINGS | {"sk_epsilons": None, "random_state": None, "beta": 1}:
        _rqvae_files.save(tmp_path / "model", settings, WEIGHTS)
        meta, weights = _rqvae_files.load(tmp_path / "model", ANY)
        assert {key: meta[key] for key in settings} == settings
        assert same(weights, WEIGHTS)


def test_go_reads_and_writes_the_same(tmp_path):
    _rqvae_files.save(tmp_path / "python", SETTINGS, WEIGHTS)
    resave_with_go(tmp_path / "python", tmp_path / "go")
    for name in "metadata.json", "model.safetensors":
        ours, theirs = ((tmp_path / side / name).read_bytes() for side in ("python", "go"))
        assert json.loads(ours) == json.loads(theirs) if name == "metadata.json" else ours == theirs
    meta, weights = _rqvae_files.load(tmp_path / "go", ANY)
    assert {key: meta[key] for key in SETTINGS} == SETTINGS
    assert same(weights, WEIGHTS)


def test_the_safetensors_package_reads_and_writes_the_same(tmp_path):
    with open(tmp_path / "ours", "wb") as file:
        _safetensors.write(file, WEIGHTS)
    with safetensors.safe_open(tmp_path / "ours", "np") as f:
        assert f.metadata() == {"format": "pt"}
        theirs = {name: f.get_tensor(name) for name in WEIGHTS}
    assert same(theirs, WEIGHTS)
    wide = {"a": np.array([1 / 3]), "b": np.array([[1.5, 6e-8]], np.float16), "c": np.array([7], np.int32)}
    safetensors.numpy.save_file(wide | WEIGHTS, tmp_path / "theirs", {"any": "thing"})
    with open(tmp_path / "theirs", "rb") as file:
        got = _safetensors.read(file, os.path.getsize(tmp_path / "theirs"))
    wide = {
        "a": np.array([1 / 3], np.float32),
        "b": np.array([[1.5, 6e-8]], np.float16).astype(np.float32),
        "c": np.array([7]),
    }
    assert same(dict(sorted(got.items())), dict(sorted((wide | WEIGHTS).items())))


def test_pytorch_reads_what_we_write(tmp_path):
    """Its own loader of safetensors, into a network of its own."""
    _rqvae_files.save(tmp_path / "model", SETTINGS, {"1.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 8,
                                                     "1.bias": np.array([-1, 2.5], np.float32)})  # fmt: skip
    got = peer(
        """
import json, sys, torch, safetensors.torch
net = torch.nn.Sequential(torch.nn.Dropout(0.0), torch.nn.Linear(3, 2))
net.load_state_dict(safetensors.torch.load_file(sys.argv[1]))
print(json.dumps(net(torch.tensor([[1.0, 2.0, 3.0]])).tolist()))
""",
        tmp_path / "model" / "model.safetensors",
    )
    assert got == [[0.0, 5.75]]


def test_025_saved_over_ours(tmp_path):
    """Its metadata.json says that model.pt counts."""
    _rqvae_files.save(tmp_path, SETTINGS, WEIGHTS)
    for name in "metadata.json", "model.pt":
        shutil.copy(DATA / "semantic-id-0.2.5" / name, tmp_path / name)
    _, weights = _rqvae_files.load(tmp_path, ANY)
    assert same(weights, arrays(held("semantic-id-0.2.5.json")["tensors"]))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("RQVAE", "RQKMeans", "Invalid model type"),
        ('"format_version": 1', '"format_version": 2', "upgrade"),
        ('"in_dim": 2', '"in_dim": 3', "settings_sha256"),
        ('"bn": false', '"bn": true', "settings_sha256"),
        ('"sum"', '"mean"', "settings_sha256"),
        ('"in_dim"', '"dim"', "no key"),
        ("model.safetensors", "other", "does not name"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path, old, new, says):
    _rqvae_files.save(tmp_path, SETTINGS, WEIGHTS)
    text = (tmp_path / "metadata.json").read_text()
    assert old in text
    (tmp_path / "metadata.json").write_text(text.replace(old, new, 1))
    with pytest.raises(ModelFileError, match=says):
        _rqvae_files.load(tmp_path, ANY)


def test_weights_that_do_not_fit(tmp_path):
    _rqvae_files.save(tmp_path, SETTINGS, WEIGHTS)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ModelFileError, match="damaged"):
        _rqvae_files.load(tmp_path, ANY)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="incomplete"):
        _rqvae_files.load(tmp_path, ANY)
    _rqvae_files.save(tmp_path, SETTINGS, {"a": np.array([1, np.nan], np.float32)})
    with pytest.raises(ModelFileError, match="NaN"):
        _rqvae_files.load(tmp_path, ANY)


def bounded(read, file):
    """Return the error of reading, which takes little memory whatever the file asks for."""
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError) as error:
            read(io.BytesIO(file))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    return str(error.value)


def tensor(dtype='"F32"', shape="[2]", offsets="[0,8]"):
    return f'{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}'


def with_header(header, values):
    return len(header).to_bytes(8, "little") + header.encode() + bytes(values)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "header of"),
        (bytes(7), "header of"),
        (b"\xff" * 8, "header of"),
        (with_header("", 0), "JSON"),
        (with_header("[]", 0), "JSON object"),
        (with_header('{"a":', 0), "JSON"),
        (with_header('{"a":' + tensor() + ',"a":' + tensor() + "}", 8), "twice"),
        (with_header('{"a":' + "[" * 100_000, 0), "JSON"),
        (with_header('{"__metadata__":{"x":1}}', 0), "__metadata__"),
        (with_header('{"a":1}', 0), "want dtype"),
        (with_header('{"a":' + tensor('"BOOL"') + "}", 8), "BOOL"),
        (with_header('{"a":' + tensor("[]") + "}", 8), "dtype"),
        (with_header('{"a":' + tensor(shape="[2.0]") + "}", 8), "dimensions"),
        (with_header('{"a":' + tensor(shape="[-1,-2]") + "}", 8), "dimensions"),
        (with_header('{"a":' + tensor(shape="[true,2]") + "}", 8), "dimensions"),
        (with_header('{"a":' + tensor(shape="[2147483647,2147483647]") + "}", 8), "more than 8 values"),
        (with_header('{"a":' + tensor(shape="[3]") + "}", 8), "want 12"),
        (with_header('{"a":' + tensor(offsets="[0]") + "}", 8), "two data_offsets"),
        (with_header('{"a":' + tensor(offsets="[-8,0]") + "}", 8), "bytes -8"),
        (with_header('{"a":' + tensor(offsets="[4,12]") + "}", 8), "bytes 4 to 12"),
        (with_header('{"a":' + tensor() + ',"b":' + tensor(shape="[1]", offsets="[4,8]") + "}", 8), "begins at byte 4"),
        (with_header('{"a":' + tensor() + ',"b":' + tensor(shape="[1]", offsets="[12,16]") + "}", 16), "begins at"),
        (with_header('{"a":' + tensor() + "}", 9), "the file has 9"),
    ],
)
def test_hostile_safetensors(file, says):
    assert says in bounded(lambda f: _safetensors.read(f, len(file)), file)


def torch_file(data, values=b"", more=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as z:
        z.writestr("m/data.pkl", data)
        z.writestr("m/data/0", values)
        for name, text in more:
            z.writestr(name, text)
    return file.getvalue()


def a_tensor(cls="FloatStorage", values=4, rest=b"K\x00K\x04\x85K\x01\x85"):
    """Return the pickle of {"a": a tensor}: of a storage of so many values, then offset, shape and strides."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        + cls.encode()
        + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK"
        + bytes([values])
        + b"tQ"
        + rest
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


class Runs:
    def __reduce__(self):
        return os.system, ("touch should-not-be-there",)


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"", "zip"),
        (torch_file(b"")[:50], "zip"),
        (torch_file(pickle.dumps({"a": Runs()})), "posix.system"),
        (torch_file(pickle.dumps(Runs(), 2)), "posix.system"),
        (torch_file(pickle.dumps({"a": OrderedDict}, 4)), "collections.OrderedDict under"),
        (torch_file(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R."), "builtins.eval"),
        (torch_file(b"(S'id'\nios\nsystem\n."), "instruction STRING"),
        (torch_file(b"\x80\x02(X\x02\x00\x00\x00idios\nsystem\n."), "instruction INST"),
        (torch_file(b"\x80\x02(ccollections\nOrderedDict\no."), "instruction OBJ"),
        (torch_file(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "instruction NEWOBJ"),
        (torch_file(b"\x80\x02\x82\x01."), "instruction EXT1"),
        (torch_file(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n."), "__globals__"),
        (torch_file(b"\x80\x02ccollections\nOrderedDict\n]\x85R."), "arguments"),
        (torch_file(b"\x80\x02ctorch\nFloatStorage\n)R."), "arguments"),
        (torch_file(b"\x80\x02."), "damaged"),
        (torch_file(b"\x80\x02]e."), "damaged"),
        (torch_file(b"\x80\x02h\x05."), "damaged"),
        (torch_file(b"\x80\x02Nr\xff\xff\xff\x7f0."), "instruction POP"),
        (torch_file(b"\x80\x02\x96\xff\xff\xff\xff\xff\xff\xff\x0f."), "damaged"),
        (torch_file(b"\x80\x02X\xff\xff\xff\xffa."), "damaged"),
        (torch_file(b"\x80\x02}" + b"q\x00h\x00\x86" * 100 + b"."), "holds a tuple"),
        (torch_file(b"\x80\x02})" + b"q\x00h\x00\x86" * 100 + b"K\x01s."), "as a key"),
        (torch_file(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."), "want only tensors"),
        (torch_file(a_tensor("ComplexFloatStorage")), "ComplexFloatStorage"),
        (torch_file(a_tensor(), bytes(12)), "has 12 bytes"),
        (torch_file(a_tensor(), bytes(16), [("m/byteorder", "big")]), "byte order"),
        (torch_file(a_tensor(rest=b"K\x01K\x04\x85K\x01\x85"), bytes(16)), "beyond"),
        (torch_file(a_tensor(rest=b"K\x00K\x03\x85K\x02\x85"), bytes(16)), "beyond"),
        (torch_file(a_tensor(rest=b"K\x00K\x04\x85K\x00\x85"), bytes(16)), "beyond"),
        (torch_file(a_tensor(rest=b"K\x03K\x02\x85J\xff\xff\xff\xff\x85"), bytes(16)), "beyond"),
        (torch_file(a_tensor(rest=b"J\xff\xff\xff\xffK\x01\x85K\x01\x85"), bytes(16)), "beyond"),
        (torch_file(a_tensor(rest=b"K\x00J\xff\xff\xff\x7f\x85K\x01\x85"), bytes(16)), "more than"),
        (torch_file(a_tensor(rest=b"K\x00K\x04\x85)"), bytes(16)), "arguments"),
    ],
)
def test_hostile_torch_files(file, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in bounded(_torch_files.read, file)
    assert not os.listdir(tmp_path)


def test_bits_of_half_and_bfloat16():
    """Every one of them, against what NumPy and the definition of bfloat16 say."""
    for kind, name in (("F16", "<f2"), ("BF16", "<u2")):
        raw = np.arange(1 << 16, dtype=np.uint16)
        got = _safetensors.read_values(io.BytesIO(raw.tobytes()), kind, len(raw))
        want = (
            raw.view(name).astype(np.float32)
            if kind == "F16"
            else np.array([struct.unpack("<f", struct.pack("<I", v << 16))[0] for v in raw.tolist()], np.float32)
        )
        both = np.isnan(got) & np.isnan(want)
        assert (both | (got.view(np.uint32) == want.view(np.uint32))).all()
        assert math.isclose(got[0x3C00], 1 if kind == "F16" else struct.unpack("<f", b"\0\0\0\x3c")[0])
