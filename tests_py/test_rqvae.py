"""RQVAE: training, codes, files, and what goes wrong."""

import copy
import json
import logging
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import semantic_id
from semantic_id import RQVAE, NotFittedError, RQKMeans, ShapeMismatchError
from semantic_id.exceptions import CodeError, CollapseWarning, DeviceError, DivergenceError, ModelFileError

X = np.random.default_rng(1).normal(size=(12, 10)).astype(np.float32)[np.random.default_rng(2).integers(12, size=300)]
X += np.random.default_rng(3).normal(scale=0.3, size=X.shape).astype(np.float32)


def small(**changes):
    settings = {"num_emb_list": [8, 6, 4], "e_dim": 4, "layers": [9, 7], "kmeans_init": True, "lr": 1e-2}
    return RQVAE(10, **(settings | {"epochs": 6, "batch_size": 64, "random_state": 0} | changes))


@pytest.fixture(scope="module")
def model():
    return small().fit(X)


@pytest.fixture(scope="module")
def normed():
    return small(bn=True, dropout_prob=0.1, loss_type="l1", loss_reduction="sum", lr_scheduler="cosine").fit(X)


@pytest.fixture(scope="module")
def scaled():
    return small(normalize_input="columns", rotation_trick=True, ema_decay=0.9, level_dropout=0.3).fit(X)


def forward(model, x):
    """Latents by NumPy in float64."""
    state, z = model.state_dict(), np.asarray(x, np.float64)
    if "normalizer.mean" in state:
        z = (z - state["normalizer.mean"]) / state["normalizer.scale"]
    step = 4 if model.bn else 3
    for i in range(len(model.layers) + 1):
        at = f"encoder.mlp_layers.{i * step + 1}."
        z = z @ state[at + "weight"].T + state[at + "bias"]
        if i < len(model.layers):
            at = f"encoder.mlp_layers.{i * step + 2}."
            if model.bn:
                z = (z - state[at + "running_mean"]) / np.sqrt(state[at + "running_var"] + 1e-5)
                z = z * state[at + "weight"] + state[at + "bias"]
            z = np.maximum(z, 0)
    return z


@pytest.mark.parametrize("which", ["model", "normed", "scaled"])
def test_codes_are_nearest_vectors_of_latents(which, request):
    model = request.getfixturevalue(which)
    rest, codes = forward(model, X), model.encode(X)
    assert codes.dtype == np.int32
    assert codes.shape == (300, 3)
    for level in range(3):
        book = model.state_dict()[f"rq.vq_layers.{level}.embedding.weight"]
        distances = ((rest[:, None] - book) ** 2).sum(2)
        np.testing.assert_allclose(distances[range(300), codes[:, level]], distances.min(1), atol=1e-4)
        rest = rest - book[codes[:, level]]


def test_training_learns_and_tells(model):
    history = model.history_
    assert all(len(history[name]) == 6 for name in ("loss", "recon_loss", "collision_rate", "lr", "error"))
    assert history["recon_loss"][-1] < history["recon_loss"][0] < history["loss"][0]
    assert all(0 < used <= 1 for levels in history["utilization"] for used in levels)
    assert all(1 <= p <= k for levels in history["perplexity"] for p, k in zip(levels, [8, 6, 4], strict=True))
    codes, kept = model.encode(X), model.kept_epoch_
    np.testing.assert_allclose(np.mean((X - model.decode(codes)) ** 2), history["error"][kept], rtol=1e-4)
    assert 1 - len(set(map(tuple, codes.tolist()))) / 300 == pytest.approx(history["collision_rate"][kept])
    assert history["error"][kept] <= 1.05 * min(history["error"])


def test_the_seed_decides(model):
    again = small().fit(X)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, again.state_dict()[name])
    assert again.history_ == model.history_
    other = small(random_state=1).fit(X).state_dict()
    assert any((array != other[name]).any() for name, array in model.state_dict().items())


def test_input_of_every_kind(model):
    codes = model.encode(X)
    for x in (X.astype(np.float64), X.tolist(), np.asfortranarray(X), X.astype(np.float32)[::1]):
        np.testing.assert_array_equal(model.encode(x), codes)
    for size in (1, 7, 1000):
        np.testing.assert_array_equal(model.encode(X, batch_size=size), codes)
    np.testing.assert_array_equal(model.transform(X), codes)
    np.testing.assert_array_equal(np.vstack([model.encode(X[i : i + 1]) for i in range(20)]), codes[:20])
    assert model.semantic_id(codes[:1]) == ["-".join(map(str, codes[0]))]


@pytest.mark.parametrize("which", ["model", "normed", "scaled"])
def test_files_and_copies(which, request, tmp_path):
    model = request.getfixturevalue(which)
    codes = model.encode(X)
    model.save(tmp_path / "m")
    assert sorted(os.listdir(tmp_path / "m")) == ["metadata.json", "model.safetensors"]
    loaded = RQVAE.load(tmp_path / "m")
    unpickled = pickle.loads(pickle.dumps(model))
    other = RQVAE(**{name: getattr(model, name) for name in ("in_dim", "num_emb_list", "e_dim", "layers", "bn")})
    other.load_state_dict(model.state_dict())
    for same in (loaded, unpickled, copy.deepcopy(model), other):
        np.testing.assert_array_equal(same.encode(X), codes)
        np.testing.assert_array_equal(same.decode(codes), model.decode(codes))
        assert list(same.state_dict()) == list(model.state_dict())
    assert loaded.num_emb_list == [8, 6, 4]
    with pytest.raises(ValueError, match="Invalid model type"):
        RQKMeans.load(tmp_path / "m")


def test_files_and_copies_need_no_library(model, tmp_path, python):
    model.save(tmp_path / "m")
    python(f"""
        import pickle, sys
        from semantic_id import RQVAE
        model = RQVAE.load({str(tmp_path / "m")!r})
        pickle.loads(pickle.dumps(model)).save({str(tmp_path / "n")!r})
        assert not any("_gopy" in name for name in sys.modules)
    """)
    assert (tmp_path / "m/model.safetensors").read_bytes() == (tmp_path / "n/model.safetensors").read_bytes()


def damage(path, change):
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_damaged_files(model, tmp_path):
    def fresh():
        model.save(tmp_path / "m")
        return tmp_path / "m/model.safetensors", tmp_path / "m/metadata.json"

    weights, meta = fresh()
    damage(weights, lambda data: data.__setitem__(-1, data[-1] ^ 1))
    with pytest.raises(ModelFileError, match="damaged"):
        RQVAE.load(tmp_path / "m")
    text = json.loads(meta.read_text())
    for change, words in (
        ({"type": "RQKMeans"}, "Invalid model type: 'RQKMeans'"),
        ({"format_version": 2}, "newer version"),
        ({"in_dim": -1}, '"in_dim" is -1'),
        ({"num_emb_list": []}, "num_emb_list"),
        ({"sha256": 3}, "sha256"),
        ({"e_dim": None}, "e_dim"),
    ):
        meta.write_text(json.dumps(text | change))
        with pytest.raises(ModelFileError, match=words):
            RQVAE.load(tmp_path / "m")
    weights, meta = fresh()
    meta.write_text(json.dumps(text | {"e_dim": 5}))
    with pytest.raises(ModelFileError, match="settings"):
        RQVAE.load(tmp_path / "m")
    weights, meta = fresh()
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="incomplete"):
        RQVAE.load(tmp_path / "m")
    with pytest.raises(FileNotFoundError):
        RQVAE.load(tmp_path / "nowhere")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-was-here",)


@pytest.mark.parametrize("what", [Hostile(), {"a": Hostile()}, {"a": 1}, [1, 2], {"a": np.ones(3)}])
def test_hostile_pickles_do_nothing(model, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    model.save(tmp_path / "m")
    meta = json.loads((tmp_path / "m/metadata.json").read_text())
    for key in ("format_version", "sha256"):
        del meta[key]
    (tmp_path / "m/metadata.json").write_text(json.dumps(meta))
    with zipfile.ZipFile(tmp_path / "m/model.pt", "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(what, protocol=2))
    with pytest.raises(ModelFileError):
        RQVAE.load(tmp_path / "m")
    assert not os.path.exists("hostile-was-here")


FIT_WITH_PEER = """
import sys, numpy as np, torch
from semantic_id import RQVAE, RQKMeans
folder = sys.argv[1]
torch.manual_seed(0)
X = np.load(folder + "/x.npy")
for name, changes in {"plain": {}, "norm": {"bn": True, "dropout_prob": 0.1}, "plus": {"e_dim": X.shape[1]}}.items():
    settings = {"num_emb_list": [8, 6], "e_dim": 4, "layers": [9, 7], "epochs": 3, "batch_size": 64, "lr": 1e-2}
    model, more = RQVAE(X.shape[1], **(settings | changes)), {}
    if name == "plus":
        RQKMeans(2, [8, 6], random_state=0, n_init=1).fit(X).save(folder + "/km")
        more = {"pretrained_codebook_path": folder + "/km/codebooks.npz"}
    model.fit(X, **more)
    model.save(f"{folder}/{name}")
    codes = model.encode(X)
    np.savez(f"{folder}/{name}.npz", codes=codes, decoded=model.decode(codes))
"""

LOAD_IN_TORCH = """
import json, struct, sys, numpy as np, torch
from torch import nn
folder = sys.argv[1]
raw = open(folder + "/m/model.safetensors", "rb").read()
length = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8 : 8 + length])
kinds = {"F32": (torch.float32, "<f4"), "I64": (torch.int64, "<i8")}
state = {}
for name, entry in header.items():
    if name != "__metadata__":
        low, high = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(raw[low:high], kinds[entry["dtype"]][1]).reshape(entry["shape"])
        state[name] = torch.tensor(array, dtype=kinds[entry["dtype"]][0])
meta = json.load(open(folder + "/m/metadata.json"))

class MLP(nn.Module):
    def __init__(self, widths):
        super().__init__()
        modules = []
        for i in range(len(widths) - 1):
            modules += [nn.Dropout(meta["dropout_prob"]), nn.Linear(widths[i], widths[i + 1])]
            if i < len(widths) - 2:
                modules += ([nn.BatchNorm1d(widths[i + 1])] if meta["bn"] else []) + [nn.ReLU()]
        self.mlp_layers = nn.Sequential(*modules)

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [meta["in_dim"], *meta["layers"], meta["e_dim"]]
        self.encoder, self.decoder, self.rq = MLP(widths), MLP(widths[::-1]), nn.Module()
        levels = [nn.Module() for _ in meta["num_emb_list"]]
        for level, size in zip(levels, meta["num_emb_list"]):
            level.embedding = nn.Embedding(size, meta["e_dim"])
        self.rq.vq_layers = nn.ModuleList(levels)
        self.normalizer = nn.Module()
        for name in ("mean", "scale"):
            if f"normalizer.{name}" in state:
                self.normalizer.register_buffer(name, torch.zeros(meta["in_dim"]))

    def forward(self, x):
        if "normalizer.mean" in state:
            x = (x - self.normalizer.mean) / self.normalizer.scale
        return self.encoder.mlp_layers(x)

network = Network()
network.load_state_dict(state)  # strict: no name too few or too many
network.eval()
with torch.no_grad():
    z = network(torch.tensor(np.load(folder + "/x.npy")))
np.save(folder + "/latents.npy", z.numpy())
"""


@pytest.fixture(scope="module")
def peer():
    python = os.environ.get("SEMANTIC_ID_PEER_PYTHON")
    if not python:
        pytest.skip("SEMANTIC_ID_PEER_PYTHON names no Python that has semantic-id 0.2.5")

    def run(code, folder):
        done = subprocess.run([python, "-B", "-c", code, str(folder)], capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr

    return run


def test_models_of_0_2_5(peer, tmp_path):
    np.save(tmp_path / "x.npy", X)
    peer(FIT_WITH_PEER, tmp_path)
    for name in ("plain", "norm", "plus"):
        model = RQVAE.load(tmp_path / name)
        codes = model.encode(X)
        with np.load(tmp_path / f"{name}.npz") as theirs:
            assert (codes == theirs["codes"]).all(1).mean() > 0.99  # but for near-ties
            np.testing.assert_allclose(model.decode(theirs["codes"]), theirs["decoded"], atol=1e-5)
        model.save(tmp_path / "again")
        np.testing.assert_array_equal(RQVAE.load(tmp_path / "again").encode(X), codes)


@pytest.mark.parametrize("which", ["model", "normed", "scaled"])
def test_our_files_in_torch(peer, which, request, tmp_path):
    model = request.getfixturevalue(which)
    np.save(tmp_path / "x.npy", X)
    model.save(tmp_path / "m")
    peer(LOAD_IN_TORCH, tmp_path)
    latents, codes = np.load(tmp_path / "latents.npy").astype(np.float64), model.encode(X)
    np.testing.assert_allclose(latents, forward(model, X), rtol=1e-5, atol=1e-5 * np.abs(latents).max())
    rest = latents
    for level in range(3):
        book = model.state_dict()[f"rq.vq_layers.{level}.embedding.weight"]
        distances = ((rest[:, None] - book) ** 2).sum(2)
        two = np.sort(distances, axis=1)
        clear = two[:, 1] - two[:, 0] > 1e-4
        assert clear.mean() > 0.9
        assert (distances.argmin(1) == codes[:, level])[clear].all()
        rest = rest - book[codes[:, level]]


def test_an_rq_kmeans_start(tmp_path):
    RQKMeans(2, [8, 6], random_state=0).fit(X).save(tmp_path / "km")
    path = tmp_path / "km/codebooks.npz"
    model = RQVAE(10, [8, 6], e_dim=10, layers=[7], epochs=1, lr=0.0, random_state=0)
    model.fit(X, pretrained_codebook_path=path)
    np.testing.assert_array_equal(model.encode(X), RQKMeans.load(tmp_path / "km").encode(X))
    assert "encoder.mlp.mlp_layers.1.weight" in model.state_dict()
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(RQVAE.load(tmp_path / "m").encode(X), model.encode(X))
    with pytest.raises(ValueError, match="e_dim=4 and in_dim=10"):
        RQVAE(10, [8, 6], e_dim=4).fit(X, pretrained_codebook_path=path)
    with pytest.raises(ValueError, match=r"\(8, 10\), \(6, 10\)\]: want \[\(8, 10\), \(7, 10\)\]"):
        RQVAE(10, [8, 7], e_dim=10).fit(X, pretrained_codebook_path=path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss_type": "l3"}, "loss_type='l3'"),
        ({"lr_scheduler": "linear"}, "lr_scheduler='linear'"),
        ({"loss_reduction": "max"}, "loss_reduction='max'"),
        ({"sk_epsilons": [0.1]}, "want a list of 3 numbers"),
        ({"num_emb_list": [8, 0, 4]}, r"num_emb_list\[1\]=0"),
        ({"layers": 5}, "layers=5"),
        ({"dropout_prob": 1.0}, "dropout_prob=1.0"),
        ({"num_emb_list": [65, 6, 4]}, "at least 65 rows for codebook 0"),
        ({"bn": True, "batch_size": 299, "kmeans_init": False}, "batch of one row"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"epochs": 0}, "epochs=0"),
        ({"random_state": -1}, "random_state=-1"),
        ({"verbose": -2}, "verbose=-2"),
        ({"patience": 0}, "patience=0"),
        ({"max_grad_norm": -1.0}, "max_grad_norm=-1.0"),
        ({"restart_dead": 1}, "restart_dead=1"),
        ({"rotation_trick": "yes"}, "rotation_trick='yes'"),
        ({"ema_decay": 0}, "ema_decay=0: want"),
        ({"ema_decay": 1.0}, "ema_decay=1.0: want"),
        ({"normalize_input": True}, "normalize_input=True: want|unknown normalize_input"),
        ({"level_dropout": 1.01}, "level_dropout=1.01: want"),
    ],
)
def test_bad_parameters(changes, words):
    with pytest.raises(ValueError, match=words):
        small(**changes).fit(X)


def test_bad_input(model):
    with pytest.raises(ShapeMismatchError, match="Expected D=10, got D=9"):
        small().fit(X[:, :9])
    with pytest.raises(ShapeMismatchError):
        model.encode(X[:, :9])
    bad = X.copy()
    bad[123, 4] = np.nan
    for call in (small().fit, model.encode):
        with pytest.raises(ValueError, match=r"NaN or Inf.*row 123"):
            call(bad)
    for call in (RQVAE(10).encode, RQVAE(10).save):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        RQVAE(10).decode([[0] * 4])
    with pytest.raises(CodeError):
        model.decode([[0, 6, 0]])
    with pytest.raises(ShapeMismatchError):
        model.decode([[0, 0]])
    with pytest.raises(DeviceError):
        model.encode(X, device="cuda")
    state = model.state_dict()
    with pytest.raises(ValueError, match="missing"):
        small().load_state_dict({name: a for name, a in state.items() if "rq" not in name})
    with pytest.raises(ValueError, match="'more' is no tensor"):
        small().load_state_dict(state | {"more": np.ones(3)})


def test_divergence_keeps_the_last_good_weights():
    wild = small(lr_scheduler="step", lr_step_size=3, lr_gamma=1e33, epochs=9)
    with pytest.raises(DivergenceError, match=r"epoch \d, with a learning rate of"):
        wild.fit(X)
    assert 3 <= len(wild.history_["loss"]) < 9
    assert np.isfinite(wild.decode(wild.encode(X))).all()
    with pytest.raises(DivergenceError):
        small(lr=1e30).fit(X)


def test_training_that_is_broken_off_goes_on(tmp_path, model):
    file = tmp_path / "state"
    with pytest.raises(ValueError, match="checkpoint_every=0"):
        small().fit(X, checkpoint_path=file, checkpoint_every=0)
    small(epochs=4).fit(X, checkpoint_path=file, checkpoint_every=3)
    resumed = small().fit(X, checkpoint_path=file)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, resumed.state_dict()[name])
    assert resumed.history_ == model.history_
    with pytest.raises(ValueError, match="other rows or settings"):
        small(beta=0.5).fit(X, checkpoint_path=file)


def test_aids():
    still = small(lr=0.0, epochs=40, patience=3).fit(X)
    assert len(still.history_["loss"]) == 4
    clipped = small(max_grad_norm=1e-9, restart_dead=True).fit(X)
    assert np.isfinite(clipped.history_["loss"]).all()
    assert (
        clipped.state_dict()["decoder.mlp_layers.1.weight"]
        != small().fit(X).state_dict()["decoder.mlp_layers.1.weight"]
    ).any()


def test_the_rotation_trick_learns(model):
    turned = small(rotation_trick=True).fit(X)
    assert turned.history_["recon_loss"][-1] < turned.history_["recon_loss"][0]
    name = "encoder.mlp_layers.1.weight"
    assert (turned.state_dict()[name] != model.state_dict()[name]).any()


def test_ema_codebooks_are_running_means(tmp_path):
    """With a learning rate of 0 the RQ-KMeans+ encoder stays the identity, so NumPy can follow the codebooks."""
    rng, decay, small = np.random.default_rng(5), 0.8, 1e-5
    books = [X[rng.choice(300, size, replace=False)] * scale for size, scale in ((8, 1.0), (6, 0.3))]
    np.savez(tmp_path / "books.npz", codebook_0=books[0], codebook_1=books[1])
    model = RQVAE(10, [8, 6], e_dim=10, layers=[7], epochs=6, lr=0.0, ema_decay=decay, random_state=0)
    model.fit(X, pretrained_codebook_path=tmp_path / "books.npz")
    counts = [np.full(len(book), 300 / len(book)) for book in books]

    def smoothed(n):
        return (n + small) / (n.sum() + len(n) * small) * n.sum()

    sums = [book * smoothed(n)[:, None] for book, n in zip(books, counts, strict=True)]
    for _ in range(model.kept_epoch_ + 1):
        rest = X.astype(np.float64)
        for level, book in enumerate(books):
            chosen = np.eye(len(book))[((rest[:, None] - book) ** 2).sum(2).argmin(1)]
            counts[level] = decay * counts[level] + (1 - decay) * chosen.sum(0)
            sums[level] = decay * sums[level] + (1 - decay) * chosen.T @ rest
            rest = rest - chosen @ book
            books[level] = sums[level] / smoothed(counts[level])[:, None]
    assert model.kept_epoch_ > 0
    for level, book in enumerate(books):
        got = model.state_dict()[f"rq.vq_layers.{level}.embedding.weight"]
        np.testing.assert_allclose(got, book, atol=1e-5 * np.abs(book).max())


def test_level_dropout_teaches_prefixes():
    """The decoder of the first codes alone, by NumPy, over a few seeds."""

    def error(level_dropout, seed):
        settings = {"num_emb_list": [4, 4, 4], "epochs": 60, "quant_loss_weight": 0.3, "batch_size": 32}
        model = small(**settings, level_dropout=level_dropout, random_state=seed).fit(X)
        state = model.state_dict()
        y = state["rq.vq_layers.0.embedding.weight"][model.encode(X)[:, 0]]
        for i in (1, 4, 7):
            y = y @ state[f"decoder.mlp_layers.{i}.weight"].T + state[f"decoder.mlp_layers.{i}.bias"]
            y = np.maximum(y, 0) if i < 7 else y
        return np.mean((X - y) ** 2)

    assert sum(error(0.5, seed) for seed in range(3)) < 0.95 * sum(error(0.0, seed) for seed in range(3))


@pytest.mark.parametrize("how", ["columns", "all"])
def test_a_normalized_model_takes_embeddings_as_they_are(how, tmp_path):
    raw = X * np.linspace(0.01, 5, 10, dtype=np.float32) + np.arange(10, dtype=np.float32)
    model = small(normalize_input=how).fit(raw)
    state = model.state_dict()
    mean, scale = (state.pop(f"normalizer.{name}").astype(np.float64) for name in ("mean", "scale"))
    np.testing.assert_allclose(mean, raw.mean(0, np.float64), rtol=1e-6)
    spread = raw.var(0, dtype=np.float64)
    np.testing.assert_allclose(scale, np.sqrt(spread if how == "columns" else np.full(10, spread.mean())), rtol=1e-6)
    bare = small().load_state_dict(state)
    rows, codes = ((raw - mean) / scale).astype(np.float32), model.encode(raw)
    np.testing.assert_array_equal(bare.encode(rows), codes)
    decoded = (bare.decode(codes) * scale + mean).astype(np.float32)
    np.testing.assert_array_equal(model.decode(codes), decoded)
    np.testing.assert_array_equal(model.residual_space(raw)[0], bare.residual_space(rows)[0])
    np.testing.assert_allclose(np.mean((raw - decoded) ** 2), model.history_["error"][model.kept_epoch_], rtol=1e-4)
    model.save(tmp_path / "m")
    loaded = RQVAE.load(tmp_path / "m")
    assert loaded.normalize_input == how
    np.testing.assert_array_equal(loaded.encode(raw), codes)
    np.testing.assert_array_equal(loaded.decode(codes), decoded)
    with pytest.raises(ValueError, match=r"'normalizer\.scale' holds -1"):
        small().load_state_dict(model.state_dict() | {"normalizer.scale": -np.ones(10)})
    with pytest.raises(ValueError, match=r"'normalizer\.mean' is no tensor"):
        small().load_state_dict(state | {"normalizer.mean": mean})


def test_normalized_codebooks_to_begin_with(tmp_path):
    raw = X * 0.01 + 3
    km = RQKMeans(2, [8, 6], random_state=0).fit(raw)
    km.save(tmp_path / "km")
    model = RQVAE(10, [8, 6], e_dim=10, layers=[7], epochs=1, lr=0.0, random_state=0, normalize_input="all")
    model.fit(raw, pretrained_codebook_path=tmp_path / "km/codebooks.npz")
    np.testing.assert_array_equal(model.encode(raw), km.encode(raw))


def test_training_with_all_aids_goes_on(scaled, tmp_path):
    settings = {"normalize_input": "columns", "rotation_trick": True, "ema_decay": 0.9, "level_dropout": 0.3}
    small(**settings, epochs=4).fit(X, checkpoint_path=tmp_path / "state", checkpoint_every=3)
    resumed = small(**settings).fit(X, checkpoint_path=tmp_path / "state")
    for name, array in scaled.state_dict().items():
        np.testing.assert_array_equal(array, resumed.state_dict()[name])
    with pytest.raises(ValueError, match="other rows or settings"):
        small(**settings | {"ema_decay": 0.8}).fit(X, checkpoint_path=tmp_path / "state")


def test_collapse_is_told():
    with pytest.warns(CollapseWarning, match=r"level 0 uses .* kmeans_init=True"):
        small(kmeans_init=False, num_emb_list=[64], layers=[], lr=1e-6, epochs=2).fit(X)


def test_lines_and_bars(capsys, caplog):
    small(verbose=2, epochs=5).fit(X)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert [line.split(":")[0] for line in lines] == ["epoch 2/5", "epoch 4/5", "epoch 5/5"]
    small(verbose=True).fit(X)
    assert "epochs" in capsys.readouterr().err
    with caplog.at_level(logging.INFO, "semantic_id"):
        small().fit(X)
    assert "trained RQVAE" in caplog.text
    assert capsys.readouterr() == ("", "")


def test_the_picture_of_the_history(model, tmp_path):
    figure = model.plot_history()
    losses, collisions, use = figure.axes
    shown = {line.get_label(): line.get_ydata() for line in losses.lines}
    np.testing.assert_array_equal(shown["error of codes"], model.history_["error"])
    np.testing.assert_array_equal(collisions.lines[0].get_ydata(), model.history_["collision_rate"])
    assert len(use.lines) == 3 + 1
    assert [axes.lines[-1].get_xdata()[0] for axes in figure.axes] == [model.kept_epoch_ + 1] * 3
    figure.savefig(tmp_path / "history.png")
    with pytest.raises(NotFittedError, match="no history"):
        small().load_state_dict(model.state_dict()).plot_history()


def test_it_is_an_estimator(model):
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    again = clone(model)
    assert again.get_params() == model.get_params()
    assert not hasattr(again, "history_")
    assert RQVAE().num_emb_list == [256] * 4
    assert RQVAE().layers == [512, 256, 128]
    assert RQVAE().get_params()["num_emb_list"] is None
    assert repr(RQVAE(5, bn=True)) == "RQVAE(in_dim=5, bn=True)"
    assert make_pipeline(StandardScaler(), small()).fit_transform(X).shape == (300, 3)


def test_metrics_and_ids(model):
    values = semantic_id.evaluate(X, model.encode(X), model, k=5)
    assert values["quantization_mse"] == pytest.approx(model.history_["error"][model.kept_epoch_], rel=1e-4)
    resolver = semantic_id.UniqueIdResolver()
    assert len(set(resolver.assign(model.semantic_id(model.encode(X))))) == 300


def test_ctrl_c(python):
    python("""
        import os, signal, threading, time, numpy as np
        from semantic_id import RQVAE
        X = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
        model = RQVAE(64, [32], e_dim=8, layers=[64], epochs=10**6)
        threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        try:
            model.fit(X)
        except KeyboardInterrupt:
            assert time.monotonic() - start < 3
            assert not hasattr(model, "history_")
        else:
            raise AssertionError
    """)


def test_the_command_line(model, tmp_path):
    model.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", X)
    from semantic_id.cli import main

    assert (
        main(["encode", str(tmp_path / "x.npy"), "--model", str(tmp_path / "m"), "--out", str(tmp_path / "ids.csv")])
        == 0
    )
    rows = Path(tmp_path / "ids.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == model.semantic_id(model.encode(X))
    assert main(["info", str(tmp_path / "m")]) == 0
