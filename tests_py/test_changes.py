"""churn, compare and drift."""

import json
import math

import numpy as np
import pytest
import sklearn.metrics
from semantic_id import RQKMeans, ShapeMismatchError, churn, compare, evaluate, ids_to_codes
from semantic_id.core import codes_to_ids
from semantic_id.utils.changes import drift
from semantic_id.utils.metrics import measure_codes

RNG = np.random.default_rng(2)
BEFORE = RNG.integers(0, 4, (300, 3)).astype(np.int32)
AFTER = np.where(RNG.random((300, 3)) < 0.1, RNG.integers(0, 4, (300, 3)), BEFORE).astype(np.int32)


def test_churn_of_codes_is_brute_force():
    values = churn(BEFORE, AFTER)
    moved = [float((BEFORE[:, :d] != AFTER[:, :d]).any(axis=1).mean()) for d in (1, 2, 3)]
    assert values["change_rate_per_level"] == pytest.approx(moved)
    assert values["change_rate"] == pytest.approx(moved[-1])
    assert values["n_changed"] == round(300 * moved[-1])
    for d in (1, 2, 3):
        old, new = (np.unique(c[:, :d], axis=0, return_inverse=True)[1].reshape(-1) for c in (BEFORE, AFTER))
        want = sklearn.metrics.normalized_mutual_info_score(old, new)
        assert values["prefix_nmi_per_level"][d - 1] == pytest.approx(want)
    reused = set()
    for item, new in enumerate(AFTER.tolist()):
        holders = {i for i, old in enumerate(BEFORE.tolist()) if old == new}
        if holders and item not in holders:
            reused.add(tuple(new))
    assert values["n_reused"] == len(reused)
    assert json.loads(json.dumps(values)) == values


def same(got, want):
    """Sums may run in another order."""
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name] == pytest.approx(value, abs=1e-12)
    return True


@pytest.mark.parametrize("fmt", ["plain", "token"])
def test_all_forms_of_ids_say_the_same(fmt):
    want = churn(BEFORE, AFTER)
    texts = [codes_to_ids(c, fmt=fmt) for c in (BEFORE, AFTER)]
    assert same(churn(*texts), want)
    assert same(churn(*(dict(enumerate(t)) for t in texts)), want)
    assert same(churn(dict(enumerate(BEFORE.tolist())), dict(enumerate(AFTER))), want)
    tokens = [[[f"<{'abc'[i]}_{v}>" for i, v in enumerate(row)] for row in c.tolist()] for c in (BEFORE, AFTER)]
    assert same(churn(*tokens), want)
    assert same(churn(*(codes_to_ids(c, sep="/") for c in (BEFORE, AFTER)), sep="/"), want)


def test_other_names_for_the_same_groups():
    values = churn(BEFORE, 3 - BEFORE)
    assert values["change_rate"] == 1
    assert values["prefix_nmi_per_level"] == pytest.approx([1, 1, 1])


def test_tokens_of_other_forms():
    assert churn(["<a_1><b_2>"], ["1-2"])["n_changed"] == 0
    assert churn(["<x_1><b_2>"], ["1-2"])["n_changed"] == 1
    assert churn(["<red><blue>", "<red><red>"], [["<red>", "<blue>"], ["<red>", "<red>"]])["n_changed"] == 0


def test_items_that_come_and_go_and_ids_of_unequal_length():
    values = churn({"a": "1-1", "b": "1-1-1", "c": "2-1"}, {"a": "1-1", "b": "1-2", "d": "2-1", "e": "9"})
    want = {
        "n_before": 3,
        "n_after": 4,
        "n_common": 2,
        "n_added": 2,
        "n_removed": 1,
        "n_changed": 1,
        "change_rate": 0.5,
        "change_rate_per_level": [0.0, 0.5, 0.5],
        "prefix_nmi_per_level": [1.0, 0.0, 1.0],
        "n_reused": 1,
    }
    assert same(values, want)
    values = churn({"a": "1"}, {"b": "1"})
    assert math.isnan(values["change_rate"])
    assert values["n_reused"] == 1
    assert churn({}, {})["n_common"] == 0


def test_refusals_of_churn():
    with pytest.raises(ShapeMismatchError, match="2 ids before, 1 after"):
        churn(["1", "2"], ["1"])
    with pytest.raises(ValueError, match="one of ids_before and ids_after maps items"):
        churn(["1"], {"a": "1"})
    for bad in ([""], ["1--2"], [[]], [None], [3.5], {"x": None}):
        with pytest.raises(ValueError, match=r"ids_before\["):
            churn(bad, bad)
    for bad in ("1-2", b"1", 7):
        with pytest.raises(ValueError, match="want a mapping of item to id, or a sequence"):
            churn(bad, bad)


def test_compare(model, blobs):
    codes = model.encode(blobs)
    ids = model.semantic_id(codes)
    values = compare(ids, codes[:, :2], blobs, sample_size=200, labels=codes[:, 0], pairs=[[0, 1]])
    rest = {"sample_size": 200, "full": True, "labels": codes[:, 0], "pairs": [[0, 1]]}
    assert values["a"] == evaluate(blobs, codes, **rest)
    assert values["b"] == evaluate(blobs, codes[:, :2], **rest)
    assert values["churn"] == churn(ids, codes[:, :2])

    values = compare(dict(zip("abc", ids, strict=False)), dict(zip("cbx", ids, strict=False)))
    assert values["a"] == measure_codes(ids_to_codes([ids[1], ids[2]]))
    assert values["b"]["n_samples"] == values["churn"]["n_common"] == 2


def test_compare_takes_names_for_codes():
    values = compare(["red-1", "red-2", "blue-1"], ["a-123456789", "a-123456789", "b-1"])
    assert values["a"]["code_utilization_per_level"] == [1.0, 2 / 3]
    assert values["b"]["n_unique_codes"] == 2


def test_refusals_of_compare():
    with pytest.raises(ShapeMismatchError, match="ids_b has an id of 3 codes for item 1, the first has 2"):
        compare(["1-1", "1-2"], ["1-1", "1-1-1"])
    with pytest.raises(ValueError, match="no item in common"):
        compare({"a": "1"}, {"b": "1"})
    with pytest.raises(ShapeMismatchError, match="X has 3 rows, codes have 2"):
        compare(["1", "2"], ["1", "2"], np.eye(3))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    centres = rng.normal(scale=4, size=(40, 16))
    return (centres[rng.integers(40, size=6000)] + rng.normal(size=(6000, 16))).astype(np.float32)


@pytest.mark.parametrize("clusters", [16, 64, 256])
def test_new_rows_like_the_old_are_no_drift(data, clusters):
    """Also where few rows a centroid make the error on new rows much greater than that of training."""
    model = RQKMeans(n_levels=3, n_clusters=clusters, random_state=0).fit(data[:3000])
    for values in (drift(model, data[3000:]), drift(model, data[3000:], data[:3000])):
        assert not values["refit"], values
        assert abs(values["excess_error"]) < 0.1 + values["expected_ratio"] - 1
        assert values["advice"] == "keep the model: the new rows are like the old ones"
        assert values["n_train"] == 3000
        for is_used, expected in zip(
            values["code_utilization_per_level"], values["expected_utilization_per_level"], strict=True
        ):
            assert is_used == pytest.approx(expected, abs=0.15)
    assert max(values["psi_per_level"]) < 0.1 or clusters == 256
    if clusters == 256:
        assert values["error_ratio"] > 1.3


def test_drift(data):
    model = RQKMeans(n_levels=2, n_clusters=32, random_state=0).fit(data)
    values = drift(model, data * 1.5)
    assert values["refit"]
    assert values["advice"].startswith("fit anew: the error is ")
    error = np.mean((data * np.float64(1.5) - model.decode(model.encode(data * 1.5))) ** 2)
    assert values["quantization_mse"] == pytest.approx(error, rel=1e-6)
    near = model.encode(data)[:, 0] < 8
    values = drift(model, data[near], data)  # like the old, but only some of them
    assert values["refit"]
    assert "the codes of the first level are used otherwise" in values["advice"]
    assert values["psi_per_level"][0] > 1
    assert not drift(model, data[:5])["refit"]
    assert "too few" in drift(model, data[:5])["advice"]


def test_drift_of_a_model_with_as_many_centroids_as_rows():
    x = np.random.default_rng(0).normal(size=(40, 3))
    values = drift(RQKMeans(1, 40, random_state=0).fit(x), x)
    assert not values["refit"]
    assert "cannot be judged: fit to more than 40 rows" in values["advice"]


def test_what_a_model_knows_of_its_training(data, tmp_path):
    weights = np.linspace(0, 2, len(data))
    for model in (
        RQKMeans(2, 32, random_state=0).fit(data),
        RQKMeans(2, 32, random_state=0).fit(data).refine(data, max_iter=3),
    ):
        want = np.mean((data.astype(np.float64) - model.decode(model.encode(data))) ** 2)
        assert model.quantization_mse_ == pytest.approx(want, rel=1e-5)
        model.save(tmp_path / "model")
        loaded = RQKMeans.load(tmp_path / "model")
        assert (loaded.quantization_mse_, loaded.n_samples_fit_) == (model.quantization_mse_, 6000)
        assert drift(loaded, data[:500] + 1) == drift(model, data[:500] + 1)
    model = RQKMeans(2, 32, random_state=0).fit(data, sample_weight=weights)
    squares = ((data.astype(np.float64) - model.decode(model.encode(data))) ** 2).mean(axis=1)
    assert model.quantization_mse_ == pytest.approx(np.average(squares, weights=weights), rel=1e-5)


def test_a_model_that_knows_nothing_of_its_training(data, tmp_path):
    model = RQKMeans(2, 8, random_state=0).fit(data)
    del model.quantization_mse_, model.n_samples_fit_
    model.save(tmp_path / "model")
    assert "quantization_mse" not in (tmp_path / "model" / "metadata.json").read_text()
    with pytest.raises(ValueError, match="does not know its error on its training data: pass that"):
        drift(RQKMeans.load(tmp_path / "model"), data)
    assert not drift(model, data, data[:3000])["refit"]
    with pytest.raises(ShapeMismatchError, match="Expected D=16"):
        drift(model, data[:, :5])
