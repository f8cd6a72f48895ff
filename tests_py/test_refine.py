"""refine: lower error for the same codes' length, and never a higher one."""

import numpy as np
import pytest
from semantic_id import NotFittedError, RQKMeans, ShapeMismatchError, set_num_threads


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(6)
    centers = rng.normal(size=(150, 24))
    return (centers[rng.integers(150, size=1500)] + 0.3 * rng.normal(size=(1500, 24))).astype(np.float32)


def fitted(x, **parameters):
    return RQKMeans(n_levels=3, n_clusters=[20, 30, 16], random_state=0, n_init=1, **parameters).fit(x)


def error(model, x, weights, beam):
    if model.metric == "cosine":
        x = x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    distance = ((x.astype(np.float64) - model.decode(model.encode(x, beam_size=beam))) ** 2).sum(axis=1)
    return float(np.sum(distance if weights is None else weights * distance))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_error_falls(x, metric, beam, weighted):
    weights = np.arange(len(x)) % 3.0 if weighted else None
    model = RQKMeans(n_levels=3, n_clusters=20, metric=metric, random_state=0, n_init=1).fit(x, sample_weight=weights)
    before, first = error(model, x, weights, beam), model.codebooks_
    assert model.refine(x, beam_size=beam, sample_weight=weights) is model
    after, history = error(model, x, weights, beam), model.refine_history_
    assert after < 0.97 * before
    assert (np.diff(history) <= 0).all()
    assert history[[0, -1]] == pytest.approx([before, after], rel=1e-6)
    assert model.inertia_[-1] == history[-1]
    assert (np.diff(model.inertia_) < 0).all()
    assert all(a is not b and a.shape == b.shape for a, b in zip(first, model.codebooks_, strict=True))


def test_reproducible(x):
    books = fitted(x).refine(x, beam_size=3).codebooks_
    try:
        set_num_threads(1)
        again = fitted(x).refine(x.astype(np.float64), beam_size=3).codebooks_
    finally:
        set_num_threads(2)
    for a, b in zip(books, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_again_and_on_a_loaded_model(x, tmp_path):
    fitted(x).refine(x).save(tmp_path / "model")
    model = RQKMeans.load(tmp_path / "model")
    before = error(model, x, None, 1)
    assert error(model.refine(x), x, None, 1) <= before
    assert not hasattr(model.fit(x), "refine_history_")


def test_max_iter(x):
    model = fitted(x)
    books = model.codebooks_
    model.refine(x, max_iter=1)  # which is spent on measuring
    assert all((a == b).all() for a, b in zip(books, model.codebooks_, strict=True))
    assert len(model.refine_history_) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beam_size": 0}, r"beam_size=0: want an integer from 1 to 4096"),
        ({"beam_size": 1.5}, r"beam_size=1.5"),
        ({"max_iter": 0}, r"max_iter=0: want an integer >= 1"),
        ({"tol": -1}, r"tol=-1: want a number >= 0"),
        ({"sample_weight": [1, 2]}, r"sample_weight"),
    ],
)
def test_arguments_that_cannot_be_used(x, arguments, words):
    with pytest.raises(ValueError, match=words):
        fitted(x).refine(x, **arguments)


def test_rows_that_cannot_be_used(x):
    with pytest.raises(NotFittedError):
        RQKMeans().refine(x)
    model = fitted(x)
    with pytest.raises(ShapeMismatchError, match="D=24"):
        model.refine(x[:, :20])
    books, bad = model.codebooks_, x.copy()
    bad[77, 0] = np.inf
    with pytest.raises(ValueError, match="row 77"):
        model.refine(bad)
    assert model.codebooks_ is books
