"""Programs as users of semantic-id 0.2.5 write them, after the words of its README."""

import numpy as np
import pytest
from semantic_id import RQVAE, NotFittedError, RQKMeans, SemanticIdEngine, SemanticIdError, ShapeMismatchError, evaluate

X = np.random.default_rng(42).random((100, 16))


@pytest.fixture
def model():
    return RQKMeans(n_levels=3, n_clusters=10, random_state=42, verbose=False).fit(X)


def test_the_basics(model):
    codes = model.encode(X)
    assert codes.shape == (100, 3)
    sids = model.semantic_id(codes)
    assert len(sids) == 100
    assert sids[0] == "-".join(str(c) for c in codes[0])
    assert model.decode(codes).shape == X.shape
    assert ((model.decode(codes) - X) ** 2).mean() < X.var()


def test_save_and_load(model, tmp_path):
    model.save(str(tmp_path / "my_model"))
    loaded = RQKMeans.load(str(tmp_path / "my_model"))
    np.testing.assert_array_equal(loaded.encode(X), model.encode(X))


def test_ids_for_language_models(model):
    codes = model.encode(X[:1])
    a, b, c = codes[0]
    assert model.semantic_id(codes, fmt="token") == [f"<a_{a}><b_{b}><c_{c}>"]
    assert model.semantic_id(codes, sep="_") == [f"{a}_{b}_{c}"]
    assert model.semantic_id(codes, formatter=lambda row: "|".join(f"L{i}:{v}" for i, v in enumerate(row))) == [
        f"L0:{a}|L1:{b}|L2:{c}"
    ]


def test_one_size_for_each_level():
    model = RQKMeans(n_levels=3, n_clusters=[16, 8, 4], max_iter=50, tol=1e-3, n_init=1, random_state=0).fit(X)
    assert [len(b) for b in model.codebooks_] == [16, 8, 4]
    assert model.encode(X, device="cpu", batch_size=32).shape == (100, 3)


def test_balanced_clusters():
    model = RQKMeans(n_levels=3, n_clusters=10, implementation="constrained").fit(X)
    assert np.bincount(model.encode(X, balanced=True)[:, 0]).tolist() == [10] * 10


def test_quality(model):
    codes = model.encode(X)
    values = evaluate(X, codes, encoder=model)
    for name in ("collision_rate", "recall_at_10", "ndcg_at_10", "distance_correlation", "quantization_mse"):
        assert 0 < values[name] < 1, name
    assert len(values["code_utilization_per_level"]) == codes.shape[1]


def test_engine(model):
    assert len(set(SemanticIdEngine(encoder=model).unique_ids(X))) == len(X)


def test_neural_models(tmp_path):
    model = RQVAE(in_dim=16, num_emb_list=[8, 8], e_dim=8, epochs=1, kmeans_init=True)
    model.fit(X, device="cpu")
    codes = model.encode(X, device="cpu")
    model.save(str(tmp_path / "model"))
    assert RQVAE.load(str(tmp_path / "model")).semantic_id(codes) == model.semantic_id(codes)


def test_errors(model):
    with pytest.raises(NotFittedError):
        RQKMeans().encode(X)
    with pytest.raises(ShapeMismatchError):
        model.encode(X[:, :8])
    with pytest.raises(SemanticIdError):
        model.encode(X[0])
    with pytest.raises(ValueError, match="NaN or Inf"):
        model.encode(np.full((2, 16), np.nan))
