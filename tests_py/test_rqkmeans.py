"""RQKMeans as its documentation says."""

import copy
import logging
import warnings

import numpy as np
import pytest
from semantic_id import ConvergenceWarning, NotFittedError, RQKMeans, SemanticIdError, ShapeMismatchError
from semantic_id.exceptions import CodeError, DeviceError
from sklearn.cluster import KMeans

# --- parameters ---


def test_n_clusters_is_always_a_list_and_get_params_gives_back_what_was_passed():
    assert RQKMeans(n_levels=3, n_clusters=10).n_clusters == [10, 10, 10]
    assert RQKMeans(n_levels=3, n_clusters=10).get_params()["n_clusters"] == 10
    sizes = [4, 3]
    model = RQKMeans(n_levels=2, n_clusters=sizes)
    assert model.n_clusters == [4, 3]
    assert model.get_params()["n_clusters"] is sizes
    assert RQKMeans(n_levels=2, n_clusters=(4, 3)).n_clusters == [4, 3]
    assert RQKMeans(n_levels=2, n_clusters=np.array([4, 3])).n_clusters == [4, 3]
    assert RQKMeans(n_levels=np.int64(2), n_clusters=range(4, 2, -1)).n_clusters == [4, 3]
    assert RQKMeans().n_clusters == [256] * 4
    assert RQKMeans(n_clusters=7).set_params(n_levels=2).n_clusters == [7, 7]


@pytest.mark.parametrize("sizes", [[4], [4, 3, 2], (4,), np.array([4, 3, 2])])
def test_a_list_of_the_wrong_length(sizes):
    with pytest.raises(ValueError, match=rf"len\(n_clusters\) {len(sizes)} must match n_levels 2"):
        RQKMeans(n_levels=2, n_clusters=sizes)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_levels": 0}, r"n_levels=0: want an integer from 1 to 4096"),
        ({"n_levels": -1}, r"n_levels=-1"),
        ({"n_levels": 1.5}, r"n_levels=1.5"),
        ({"n_levels": True}, r"n_levels=True"),
        ({"n_clusters": 0}, r"n_clusters=0: want an integer from 1 to n_samples=2000"),
        ({"n_clusters": 2001}, r"n_clusters=2001: want an integer from 1 to n_samples=2000"),
        ({"n_clusters": [5, 2001]}, r"n_clusters\[1\]=2001: want an integer from 1 to n_samples=2000"),
        ({"n_clusters": [5, -1]}, r"n_clusters\[1\]=-1"),
        ({"n_clusters": 5.0}, r"n_clusters=5.0: want an integer"),
        ({"n_clusters": "many"}, r"n_clusters='many': want an integer"),
        ({"n_clusters": None}, r"n_clusters=None: want an integer"),
        ({"metric": "euclid"}, r"metric='euclid': want one of 'l2', 'cosine'"),
        ({"metric": None}, r"metric=None"),
        ({"implementation": "fast"}, r"implementation='fast': want one of 'kmeans', 'constrained'"),
        ({"max_iter": 0}, r"max_iter=0: want an integer >= 1"),
        ({"max_iter": "x"}, r"max_iter='x'"),
        ({"tol": -1e-9}, r"tol=-1e-09: want a number >= 0"),
        ({"tol": np.nan}, r"tol=nan"),
        ({"tol": None}, r"tol=None"),
        ({"n_init": 0}, r"n_init=0: want an integer >= 1"),
        ({"n_init": "auto"}, r"n_init='auto'"),
        ({"random_state": -1}, r"random_state=-1: want None, an integer from 0 to 2\*\*63-1"),
        ({"random_state": 2**63}, r"random_state=9223372036854775808"),
        ({"random_state": "seed"}, r"random_state='seed'"),
    ],
)
def test_bad_values_are_errors_of_fit(blobs, params, words):
    model = RQKMeans(**{"n_levels": 2, "n_clusters": 5} | params)
    with pytest.raises(ValueError, match=words):
        model.fit(blobs)
    assert not hasattr(model, "codebooks_")


def test_a_length_that_set_params_made_wrong(blobs):
    model = RQKMeans(n_levels=2, n_clusters=[5, 5]).set_params(n_levels=3)
    with pytest.raises(ValueError, match=r"len\(n_clusters\) 2 must match n_levels 3"):
        model.fit(blobs)


def test_values_of_numpy_types(blobs):
    model = RQKMeans(np.int64(2), np.int32(5), max_iter=np.int64(20), tol=np.float32(0.01), random_state=np.int64(3))
    plain = RQKMeans(2, 5, max_iter=20, tol=float(np.float32(0.01)), random_state=3)
    np.testing.assert_array_equal(model.fit(blobs).codebooks_[1], plain.fit(blobs).codebooks_[1])


def test_set_params():
    model = RQKMeans()
    assert model.set_params(n_levels=2, n_clusters=3, tol=0.5) is model
    assert (model.n_levels, model.n_clusters, model.tol) == (2, [3, 3], 0.5)
    with pytest.raises(ValueError, match=r"Invalid parameter 'levels' for estimator RQKMeans\(.*'n_levels'"):
        model.set_params(levels=3)


def test_repr():
    assert repr(RQKMeans()) == "RQKMeans()"
    assert repr(RQKMeans(3, [1, 2, 3], tol=0.5)) == "RQKMeans(n_levels=3, n_clusters=[1, 2, 3], tol=0.5)"


# --- random_state ---


def test_equal_seeds_give_equal_models(blobs, model):
    again = RQKMeans(n_levels=3, n_clusters=[20, 10, 5], random_state=0).fit(blobs)
    for a, b in zip(model.codebooks_, again.codebooks_, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.inertia_, again.inertia_)


def test_other_seeds_and_none_differ(blobs):
    def first(random_state):
        return RQKMeans(1, 20, random_state=random_state, max_iter=1, tol=1e9).fit(blobs).codebooks_[0].tobytes()

    assert first(0) != first(1)
    assert first(0) != first(2**62)
    assert first(None) != first(None)


def test_generators_move_on(blobs):
    def first(random_state):
        return RQKMeans(1, 20, random_state=random_state, max_iter=1, tol=1e9).fit(blobs).codebooks_[0].tobytes()

    for make in (np.random.default_rng, np.random.RandomState):
        rng = make(5)
        a, b = first(rng), first(rng)
        assert a != b
        assert first(make(5)) == a


# --- fit ---


def test_fitted_attributes(model, blobs):
    assert isinstance(model.codebooks_, list)
    assert [b.shape for b in model.codebooks_] == [(20, 12), (10, 12), (5, 12)]
    assert {b.dtype for b in model.codebooks_} == {np.dtype(np.float32)}
    assert model.D_ == model.n_features_in_ == 12
    assert model.inertia_.shape == model.n_iter_.shape == (3,)
    assert (model.n_iter_ >= 1).all()
    assert (np.diff(model.inertia_) < 0).all()
    assert type(model.D_) is int


def test_inertia_is_what_each_level_leaves(model, blobs):
    codes = model.encode(blobs)
    for level in range(3):
        left = blobs.astype(np.float64) - sum(model.codebooks_[i][codes[:, i]] for i in range(level + 1))
        np.testing.assert_allclose(model.inertia_[level], (left**2).sum(), rtol=1e-5)


def test_centroids_are_means_once_no_label_moves(blobs):
    model = RQKMeans(2, 15, tol=0, max_iter=1000, random_state=1).fit(blobs)
    residual, codes = blobs, model.encode(blobs)
    for level in range(2):
        for k in range(15):
            mean = residual[codes[:, level] == k].mean(axis=0, dtype=np.float64)
            np.testing.assert_allclose(model.codebooks_[level][k], mean, rtol=1e-5, atol=1e-5)
        residual = residual - model.codebooks_[level][codes[:, level]]


def test_fit_returns_self_and_takes_y(blobs):
    model = RQKMeans(2, 5)
    assert model.fit(blobs, np.zeros(2000)) is model
    assert model.fit(blobs, y=None, device="cpu") is model


def test_fit_encode_and_transform(blobs):
    make = lambda: RQKMeans(3, 12, random_state=4)  # noqa: E731
    codes = make().fit_encode(blobs)
    assert codes.dtype == np.int32
    model = make().fit(blobs)
    np.testing.assert_array_equal(codes, model.encode(blobs))
    np.testing.assert_array_equal(codes, model.transform(blobs))
    np.testing.assert_array_equal(codes, make().fit_transform(blobs))
    np.testing.assert_array_equal(codes, make().fit_transform(blobs, None))


def test_fit_leaves_its_input_alone(blobs):
    x = blobs.copy()
    RQKMeans(2, 5, metric="cosine").fit(x)
    np.testing.assert_array_equal(x, blobs)


def test_a_failed_fit_changes_nothing(blobs):
    model = RQKMeans(2, 5, random_state=0).fit(blobs)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN or Inf"):
        model.fit(np.full((10, 3), np.nan, np.float32))
    with pytest.raises(ValueError, match="n_clusters=5"):
        model.fit(blobs[:4])
    assert vars(model) == before


def test_fitting_again_replaces_all(blobs):
    model = RQKMeans(2, 5, random_state=0).fit(blobs)
    model.encode(blobs)
    model.set_params(n_levels=1).fit(blobs[:, :4])
    assert model.D_ == model.n_features_in_ == 4
    assert model.encode(blobs[:, :4]).shape == (2000, 1)
    with pytest.raises(ShapeMismatchError):
        model.encode(blobs)


def test_more_levels_and_restarts_reconstruct_better(blobs):
    def error(**params):
        model = RQKMeans(n_clusters=8, random_state=0, **params).fit(blobs)
        return ((model.decode(model.encode(blobs)) - blobs) ** 2).mean()

    errors = [error(n_levels=n) for n in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert error(n_levels=1, n_init=8) <= error(n_levels=1, n_init=1)


def test_one_run_by_default():
    x = np.random.default_rng(3).normal(size=(120, 6))
    for k in (20, 3):
        default, one = RQKMeans(1, k, random_state=0).fit(x), RQKMeans(1, k, random_state=0, n_init=1).fit(x)
        np.testing.assert_array_equal(default.codebooks_[0], one.codebooks_[0])


def test_few_rows_end_lower_than_the_best_of_ten_of_lloyd():
    x = np.random.default_rng(5).normal(size=(400, 24)).astype(np.float32)
    ours = RQKMeans(1, 40, random_state=0).fit(x).inertia_[0]
    theirs = KMeans(40, n_init=10, random_state=0).fit(x).inertia_
    assert ours < 0.97 * theirs


def test_as_many_clusters_as_rows():
    x = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    model = RQKMeans(1, 9).fit(x)
    np.testing.assert_array_equal(model.decode(model.encode(x)), x)


def test_one_row():
    model = RQKMeans(2, 1).fit([[3.0, 4.0]])
    assert model.encode([[0.0, 0.0]]).tolist() == [[0, 0]]
    assert model.decode([[0, 0]]).tolist() == [[3.0, 4.0]]


# --- warnings ---


def test_fewer_distinct_rows_than_clusters():
    x = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"level 0: fewer distinct rows than n_clusters=5") as caught:
        model = RQKMeans(1, 5, random_state=0).fit(x)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(model.decode(model.encode(x)), x)


def test_no_convergence(blobs):
    with pytest.warns(ConvergenceWarning, match=r"level 0 did not converge within max_iter=1;") as caught:
        RQKMeans(1, 50, max_iter=1, tol=0, random_state=0).fit(blobs)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RQKMeans(1, 50, max_iter=1000, random_state=0).fit(blobs)


# --- weights ---


def test_weights_scale_nothing(blobs):
    plain = RQKMeans(2, 8, random_state=0).fit(blobs)
    for weight in (np.ones(2000), np.ones(2000, int), [1] * 2000, 1, 1.0):
        weighted = RQKMeans(2, 8, random_state=0).fit(blobs, sample_weight=weight)
        np.testing.assert_array_equal(plain.codebooks_[1], weighted.codebooks_[1])
        np.testing.assert_allclose(plain.inertia_, weighted.inertia_)


def test_weight_zero_leaves_out(blobs):
    x = np.concatenate([blobs[:100], 1000 + blobs[:5]])
    weight = np.r_[np.ones(100), np.zeros(5)]
    model = RQKMeans(1, 10, random_state=0).fit(x, sample_weight=weight)
    assert np.abs(model.codebooks_[0]).max() < 500


def test_centroids_are_weighted_means(blobs):
    weight = np.random.default_rng(2).uniform(0.1, 3, 2000)
    model = RQKMeans(1, 10, tol=0, max_iter=1000, random_state=0).fit(blobs, sample_weight=weight)
    codes = model.encode(blobs)[:, 0]
    for k in range(10):
        of_k = codes == k
        mean = np.average(blobs[of_k].astype(np.float64), axis=0, weights=weight[of_k])
        np.testing.assert_allclose(model.codebooks_[0][k], mean, rtol=1e-5, atol=1e-5)
    left = ((blobs - model.decode(codes[:, None])).astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(model.inertia_[0], (left * weight).sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.ones(1999), r"sample_weight.shape == \(1999,\), expected \(2000,\)"),
        (np.ones((2000, 1)), "sample_weight.shape"),
        (np.r_[np.ones(1999), -1], "sample_weight is -1.0 at row 1999"),
        (np.r_[np.nan, np.ones(1999)], "sample_weight is nan at row 0"),
        (np.r_[np.inf, np.ones(1999)], "sample_weight is inf at row 0"),
        (np.zeros(2000), "sample_weight sums to 0.0"),
        (["a"] * 2000, "sample_weight: want numbers"),
    ],
)
def test_bad_weights(blobs, weight, words):
    with pytest.raises(ValueError, match=words):
        RQKMeans(2, 5).fit(blobs, sample_weight=weight)


# --- cosine ---


def test_cosine_ignores_length(blobs):
    x = blobs * np.random.default_rng(3).uniform(0.25, 4, size=(2000, 1)).astype(np.float32)
    model = RQKMeans(3, 20, metric="cosine", random_state=0).fit(x)
    np.testing.assert_array_equal(model.encode(x), model.encode(x * 2))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    back = model.decode(model.encode(x))
    assert ((back - unit) ** 2).sum(axis=1).mean() < 0.1
    np.testing.assert_allclose(np.linalg.norm(back, axis=1).mean(), 1, atol=0.1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_has_no_place_for_zero_rows(blobs, dtype, monkeypatch):
    monkeypatch.setattr("semantic_id.algorithms.rq_kmeans._BLOCK", 1 << 12)  # so that float64 goes in several blocks
    model = RQKMeans(2, 5, metric="cosine").fit(blobs)
    x = blobs.astype(dtype)
    x[1234] = 0
    for call in (model.encode, model.fit):
        with pytest.raises(ValueError, match=r"row of zeros.*row 1234"):
            call(x)


# --- encode ---


def test_codes(model, blobs):
    codes = model.encode(blobs)
    assert codes.shape == (2000, 3)
    assert codes.dtype == np.int32
    assert codes.flags.c_contiguous
    assert (codes >= 0).all()
    assert (codes < [20, 10, 5]).all()


@pytest.mark.parametrize("batch_size", [1, 7, 256, 100_000, np.int64(3)])
def test_batch_size_changes_nothing(model, blobs, batch_size):
    np.testing.assert_array_equal(model.encode(blobs, batch_size=batch_size), model.encode(blobs))
    np.testing.assert_array_equal(model.encode(blobs.astype(float), batch_size=batch_size), model.encode(blobs))


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "all"])
def test_bad_batch_sizes(model, blobs, batch_size):
    with pytest.raises(ValueError, match=r"batch_size=.*want an integer >= 1"):
        model.encode(blobs, batch_size=batch_size)


def test_plain_search_is_the_default(model, blobs):
    np.testing.assert_array_equal(model.encode(blobs, balanced=False, beam_size=1), model.encode(blobs))


# --- decode ---


def test_decode_sums_the_centroids(model, blobs):
    codes = model.encode(blobs)
    want = model.codebooks_[0][codes[:, 0]] + model.codebooks_[1][codes[:, 1]] + model.codebooks_[2][codes[:, 2]]
    got = model.decode(codes)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
    for other in (codes.astype(np.int64), codes.astype(np.uint8), codes.tolist(), np.asfortranarray(codes)):
        np.testing.assert_array_equal(model.decode(other), want)
    assert model.decode(codes[:0]).shape == (0, 12)


def test_decode_in_pieces(model, blobs, monkeypatch):
    monkeypatch.setattr("semantic_id._native._PIECE_BYTES", 1000)
    codes = model.encode(blobs)
    got = model.decode(codes)
    monkeypatch.undo()
    np.testing.assert_array_equal(got, model.decode(codes))
    monkeypatch.setattr("semantic_id._native._PIECE_BYTES", 1000)
    codes[1234, 1] = 10
    with pytest.raises(CodeError, match="code out of range: 10 at row 1234, level 1"):
        model.decode(codes)


@pytest.mark.parametrize("code", [20, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**40])
def test_a_code_out_of_range(model, code):
    codes = np.zeros((5, 3), np.int64)
    codes[3, 0] = code
    for error in (CodeError, ValueError, IndexError, SemanticIdError):
        with pytest.raises(error, match=rf"code out of range: {code} at row 3, level 0"):
            model.decode(codes)
    with pytest.raises(IndexError, match="level 2, want 0 to 4"):
        model.decode([[0, 0, 5]])


def test_codes_of_the_wrong_shape(model):
    for codes in (np.zeros((2, 2), int), np.zeros((2, 4), int), np.zeros(3, int), np.zeros((1, 1, 3), int), 3):
        with pytest.raises(ShapeMismatchError):
            model.decode(codes)


def test_codes_that_are_no_integers(model):
    with pytest.raises(ValueError, match="integer codes, got dtype float64"):
        model.decode([[0.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match="integer codes"):
        model.decode([["0", "1", "2"]])


# --- before fit ---


def test_not_fitted(tmp_path, blobs):
    model = RQKMeans()
    for call in (
        lambda: model.encode(blobs),
        lambda: model.transform(blobs),
        lambda: model.decode([[0] * 4]),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(NotFittedError, match=r"not fitted yet.*fit"):
            call()
    assert issubclass(NotFittedError, SemanticIdError)
    assert not (tmp_path / "model").exists()


def test_ids_need_no_fit():
    assert RQKMeans(n_levels=2).semantic_id([[3, 9, 1]]) == ["3-9-1"]


# --- codebooks of one's own ---


def test_codebooks_are_read_only(model):
    with pytest.raises(ValueError, match="read-only"):
        model.codebooks_[0][0] = 0


def test_codebooks_can_be_replaced(blobs):
    model = RQKMeans(2, 5, random_state=0).fit(blobs)
    before = model.encode(blobs)
    model.codebooks_[0] = model.codebooks_[0][::-1].copy()
    np.testing.assert_array_equal(model.encode(blobs)[:, 0], 4 - before[:, 0])
    model.codebooks_[0][:] = model.codebooks_[0][::-1].copy()  # in place, in an array that is not read-only
    np.testing.assert_array_equal(model.encode(blobs), before)
    frozen = model.codebooks_[0]
    frozen.flags.writeable = False
    np.testing.assert_array_equal(model.encode(blobs), before)
    frozen.flags.writeable = True
    frozen[:] = frozen[::-1].copy()
    np.testing.assert_array_equal(model.encode(blobs)[:, 0], 4 - before[:, 0])


def test_a_view_of_an_array_that_changes(blobs):
    model = RQKMeans(1, 5, random_state=0).fit(blobs)
    own = model.codebooks_[0].copy()
    view = own[:]
    view.flags.writeable = False
    model.codebooks_ = [view]
    before = model.encode(blobs)
    own[:] = own[::-1].copy()
    np.testing.assert_array_equal(model.encode(blobs), 4 - before)


def test_a_model_made_by_hand(tmp_path):
    model = RQKMeans(n_levels=2, n_clusters=2)
    model.codebooks_ = [np.float64([[0, 0], [10, 0]]), np.float32([[0, 0], [0, 1]])]
    assert model.encode([[9, 1], [1, 0]]).tolist() == [[1, 1], [0, 0]]
    assert model.decode([[1, 1]]).tolist() == [[10, 1]]
    model.codebooks_ = [[[0, 0], [10, 0]], [[0, 0], [0, 1]]]
    assert copy.deepcopy(model).decode([[1, 1]]).tolist() == [[10, 1]]
    model.save(tmp_path / "model")
    assert RQKMeans.load(tmp_path / "model").decode([[1, 1]]).tolist() == [[10, 1]]
    model.codebooks_ = [np.zeros((2, 2)), np.zeros((2, 3))]
    with pytest.raises(ShapeMismatchError, match=r"codebooks_ have shapes \[\(2, 2\), \(2, 3\)\]"):
        model.encode([[9, 1]])
    model.codebooks_ = [np.full((2, 2), np.nan)]
    with pytest.raises(ValueError, match=r"codebook 0.*NaN"):
        model.encode([[9, 1]])


def test_metric_can_change_after_fit(blobs):
    model = RQKMeans(1, 20, random_state=0).fit(blobs / np.linalg.norm(blobs, axis=1, keepdims=True))
    assert (model.encode(blobs * 100) != model.set_params(metric="cosine").encode(blobs)).any()
    np.testing.assert_array_equal(model.encode(blobs * 100), model.encode(blobs))


# --- devices ---


def test_devices(blobs, model, monkeypatch):
    monkeypatch.setattr("semantic_id._devices._warned_mps", False)
    codes = model.encode(blobs)
    np.testing.assert_array_equal(model.encode(blobs, device="auto"), codes)
    with pytest.warns(UserWarning, match="mps"):
        model.encode(blobs, device="mps")
    model.encode(blobs, device="mps")  # one warning is enough
    for device in ("cuda", "cuda:0", "cuda:1"):
        for call in (model.encode, RQKMeans(2, 5).fit):
            with pytest.raises(DeviceError, match=device) as caught:
                call(blobs, device=device)
            assert isinstance(caught.value, SemanticIdError)
            assert isinstance(caught.value, RuntimeError)
    for device in ("gpu", "cuda:", "cuda:x", "CPU", "", None, 0):
        with pytest.raises(ValueError, match="want 'cpu', 'cuda', 'cuda:N', 'auto' or 'mps'"):
            model.encode(blobs, device=device)


# --- files ---


@pytest.mark.parametrize("name", ["model", "new/folder/model"])
def test_save_and_load(model, blobs, tmp_path, name):
    model.save(tmp_path / name)
    model.save(str(tmp_path / name))
    back = RQKMeans.load(tmp_path / name, device="cpu")
    assert repr(back) == "RQKMeans(n_levels=3, n_clusters=[20, 10, 5], random_state=0)"
    assert back.D_ == back.n_features_in_ == 12
    np.testing.assert_array_equal(back.encode(blobs), model.encode(blobs))
    np.testing.assert_array_equal(back.decode([[1, 2, 3]]), model.decode([[1, 2, 3]]))
    with pytest.raises(ValueError, match="read-only"):
        back.codebooks_[0][0] = 0


def test_all_settings_are_saved(blobs, tmp_path):
    settings = {
        "n_levels": 2,
        "n_clusters": [6, 5],
        "metric": "cosine",
        "implementation": "kmeans",
        "max_iter": 50,
        "tol": 0.5,
        "random_state": 11,
        "n_init": 2,
    }
    RQKMeans(**settings).fit(blobs).save(tmp_path / "model")
    back = RQKMeans.load(tmp_path / "model").get_params()
    assert back.pop("verbose") is False
    assert back == settings
    RQKMeans(2, 5, random_state=np.random.default_rng(0)).fit(blobs).save(tmp_path / "model")
    assert RQKMeans.load(tmp_path / "model").random_state is None


def test_load_refuses(tmp_path, model):
    with pytest.raises(FileNotFoundError):
        RQKMeans.load(tmp_path / "nothing")
    model.save(tmp_path / "model")
    with pytest.raises(DeviceError):
        RQKMeans.load(tmp_path / "model", device="cuda")
    meta = tmp_path / "model" / "metadata.json"
    meta.write_text(meta.read_text().replace('"RQKMeans"', '"RQVAE"'))
    with pytest.raises(ValueError, match="Invalid model type"):
        RQKMeans.load(tmp_path / "model")


# --- logging ---


def test_fit_logs_and_prints_nothing(blobs, caplog, capfd):
    with caplog.at_level(logging.INFO, "semantic_id"):
        RQKMeans(2, 5, random_state=0).fit(blobs)
    assert "2000 rows of 12 columns" in caplog.text
    assert capfd.readouterr() == ("", "")
