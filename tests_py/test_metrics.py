"""Metrics against scipy, scikit-learn and brute force in NumPy."""

import json
import math
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import semantic_id
import sklearn.metrics
from semantic_id import RQKMeans, ShapeMismatchError, evaluate, find_similar, ndcg_at_k
from semantic_id.exceptions import CodeError, UndefinedMetricWarning
from semantic_id.utils import metrics
from sklearn.metrics.cluster import contingency_matrix

RNG = np.random.default_rng(5)
N = 400
LUMPS = RNG.integers(0, 12, N)
X = (RNG.normal(size=(12, 6))[LUMPS] * 3 + RNG.normal(size=(N, 6))).astype(np.float32)
CODES = np.stack([LUMPS // 4, (LUMPS + RNG.integers(0, 2, N)) % 5, RNG.integers(0, 4, N)], axis=1).astype(np.int32)
LABELS = (LUMPS + RNG.integers(0, 2, N)) // 2
METRICS = ["hierarchical", "hamming"]


def code_distances(codes, metric):
    differ = codes[:, None] != codes[None]
    if metric == "hamming":
        return differ.sum(axis=2)
    return np.maximum.accumulate(differ, axis=2).sum(axis=2)


def neighbors(distances, row, k):
    order = np.argsort(distances[row], kind="stable")
    return order[order != row][:k]


def distances(x):
    return ((x[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)


def drawn(seed, n):
    return np.random.RandomState(seed).choice(N, n, replace=False)


# Near in X, near in codes.


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("k", "sample_size", "seed"), [(10, 100, 42), (1, None, 0), (399, 5, 3), (25, 1000, 1)])
def test_recall_and_ndcg_are_those_of_brute_force(k, sample_size, seed, metric):
    near, far = distances(X), code_distances(CODES, metric)
    rows = range(N) if sample_size is None else drawn(seed, min(sample_size, N))
    recall, ndcg = [], []
    for row in rows:
        truth, found = neighbors(near, row, k), neighbors(far, row, k)
        recall.append(len(set(truth.tolist()) & set(found.tolist())) / k)
        relevance = np.zeros(N)
        relevance[truth] = np.arange(k, 0, -1)
        discount = 1 / np.log2(np.arange(k) + 2)
        ndcg.append((relevance[found] * discount).sum() / (np.arange(k, 0, -1) * discount).sum())
    options = {"k": k, "sample_size": sample_size, "seed": seed, "metric": metric}
    assert metrics.recall_at_k(X, CODES, **options) == pytest.approx(np.mean(recall), abs=1e-12)
    assert ndcg_at_k(X, CODES, **options) == pytest.approx(np.mean(ndcg), abs=1e-12)


def test_expectation_over_ties_is_what_scikit_learn_says():
    """Its ndcg_score gives tied items the mean of their gains."""
    k, near, far = 10, distances(X), code_distances(CODES, "hierarchical")
    want = []
    for row in range(N):
        others = np.arange(N) != row
        relevance = np.zeros(N)
        relevance[neighbors(near, row, k)] = np.arange(k, 0, -1)
        want.append(sklearn.metrics.ndcg_score([relevance[others]], [-far[row][others]], k=k))
    assert metrics.item_ndcg_at_k(X, CODES, sample_size=None) == pytest.approx(np.mean(want), abs=1e-12)


def test_item_recall_is_the_mean_over_shuffles():
    shuffled = []
    for seed in range(300):
        order = np.random.default_rng(seed).permutation(N)
        shuffled.append(metrics.recall_at_k(X[order], CODES[order], sample_size=None))
    error = np.std(shuffled) / math.sqrt(len(shuffled))
    assert metrics.item_recall_at_k(X, CODES, sample_size=None) == pytest.approx(np.mean(shuffled), abs=5 * error)


def test_one_id_for_all_scores_chance_and_own_codes_score_all():
    same = np.zeros((N, 3), np.int32)
    assert metrics.item_recall_at_k(X, same, k=7) == pytest.approx(7 / (N - 1), abs=1e-12)
    line = np.arange(64)[:, None].astype(np.float32)
    bits = (np.arange(64)[:, None] >> np.arange(5, -1, -1)) & 1
    # The nearest of two equally near is the one before: of odd rows the sibling, of even ones another, but for row 0.
    assert metrics.item_recall_at_k(line, bits, k=1, sample_size=None) == 33 / 64
    assert metrics.recall_at_k(np.repeat(line, 2, axis=0), np.repeat(bits, 2, axis=0), k=1) == 1
    assert metrics.item_recall_at_k(np.repeat(line, 2, axis=0), np.repeat(bits, 2, axis=0), k=1) == 1


def test_equal_rows_are_neighbors_in_the_order_of_their_numbers():
    x = np.zeros((50, 3), np.float32)
    codes = np.arange(50)[:, None] // 5 * 0
    assert metrics.recall_at_k(x, codes, k=4, sample_size=None) == 1
    assert ndcg_at_k(x, codes, k=4, sample_size=None) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_distance_correlation_is_scipys(metric):
    random = np.random.RandomState(3)
    a, b = random.randint(0, N, 700), random.randint(0, N, 700)
    want = scipy.stats.spearmanr(distances(X)[a, b], code_distances(CODES, metric)[a, b]).statistic
    got = metrics.distance_correlation(X, CODES, n_pairs=700, seed=3, metric=metric)
    assert got == pytest.approx(want, abs=1e-12)
    assert got > 0.1


def test_scale_and_type_of_x_do_not_matter():
    want = evaluate(X, CODES)
    for x in (X.astype(np.float64), X.tolist(), np.asfortranarray(X), X * np.float32(2**-100), X * np.float32(2**90)):
        got = evaluate(x, CODES.tolist())
        assert got == want


# How codes are used.


def test_use():
    counts = [np.bincount(CODES[:, level], minlength=6) for level in range(3)]
    sizes = [6, 7, 8]
    ids = np.unique(CODES, axis=0, return_counts=True)[1]
    prefixes = [1] + [len(np.unique(CODES[:, : level + 1], axis=0)) for level in range(3)]
    close = {"rel": 1e-12}
    assert metrics.collision_rate_per_level(CODES) == pytest.approx([1 - p / N for p in prefixes[1:]], **close)
    assert metrics.prefix_fan_out(CODES) == pytest.approx(np.divide(prefixes[1:], prefixes[:3]), **close)
    entropies = [scipy.stats.entropy(c) for c in counts]
    assert metrics.code_entropy_per_level(CODES) == pytest.approx(entropies, **close)
    assert metrics.perplexity_per_level(CODES) == pytest.approx(np.exp(entropies), **close)
    used = [np.count_nonzero(c) for c in counts]
    assert metrics.code_utilization_per_level(CODES, sizes) == pytest.approx(np.divide(used, sizes), **close)
    assert metrics.code_utilization_per_level(CODES, 9) == pytest.approx(np.divide(used, 9), **close)
    assert metrics.code_utilization_per_level(CODES) == [1.0] * 3
    assert metrics.dead_codes_per_level(CODES, sizes) == [s - u for s, u in zip(sizes, used, strict=True)]
    assert metrics.singleton_rate(CODES) == pytest.approx((ids == 1).sum() / N, **close)
    assert metrics.largest_bucket(CODES) == ids.max()
    assert metrics.perplexity(CODES) == pytest.approx(np.exp(scipy.stats.entropy(ids)), **close)
    assert metrics.gini(CODES) == pytest.approx(gini(ids), **close)
    assert metrics.gini_per_level(CODES, 6) == pytest.approx([gini(c) for c in counts], **close)


def gini(counts):
    """Half the mean absolute difference of two counts, over the mean."""
    return np.abs(np.subtract.outer(counts, counts)).mean() / 2 / np.mean(counts)


# What prefixes mean.


def test_purity_and_nmi_are_those_of_scikit_learn():
    purity, nmi = metrics.prefix_purity(CODES, LABELS), metrics.prefix_nmi(CODES, LABELS)
    for depth in range(4):
        prefix = np.unique(CODES[:, :depth], axis=0, return_inverse=True)[1].reshape(-1) if depth else np.zeros(N, int)
        assert purity[depth] == pytest.approx(contingency_matrix(prefix, LABELS).max(axis=1).sum() / N, abs=1e-12)
        assert nmi[depth] == pytest.approx(sklearn.metrics.normalized_mutual_info_score(LABELS, prefix), abs=1e-12)
    assert nmi[2] > 0.5


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "b", None, "a", float("nan"), "b"],
        pd.Series(["a", "b", None, "a", pd.NA, "b"]),
        pd.array([1, 2, None, 1, None, 2], dtype="Int64"),
        np.array([1.0, 2.0, np.nan, 1.0, np.nan, 2.0]),
        pd.to_datetime(["2020", "2021", None, "2020", None, "2021"]),
        pd.Categorical(["a", "b", None, "a", None, "b"]),
    ],
)
def test_labels_with_missing_values(labels):
    codes = np.array([[0], [1], [0], [0], [1], [0]])
    assert metrics.prefix_purity(codes, labels) == pytest.approx([0.5, 0.75])
    kept = [0, 1, 3, 5]
    want = sklearn.metrics.normalized_mutual_info_score([0, 1, 0, 1], codes[kept, 0])
    assert metrics.prefix_nmi(codes, labels)[1] == pytest.approx(want)
    assert evaluate(np.eye(6), codes, k=2, labels=labels)["n_labeled"] == 4


def test_no_label_at_all_is_nan_with_a_warning():
    with pytest.warns(UndefinedMetricWarning, match="no row has a label"):
        assert np.isnan(metrics.prefix_purity(CODES, [None] * N)).all()


def test_alignment_of_pairs():
    pairs = np.array([(i, j) for i in range(N) for j in range(i) if LUMPS[i] == LUMPS[j]])
    values = metrics.cooccurrence_alignment(CODES, pairs)
    far = code_distances(CODES, "hierarchical")
    all_pairs = far[np.triu_indices(N, 1)]
    given = far[pairs[:, 0], pairs[:, 1]]
    u = scipy.stats.mannwhitneyu(all_pairs, given).statistic
    assert values["pair_auc"] == pytest.approx(u / len(given) / len(all_pairs), abs=1e-12)
    assert values["pair_shared_per_level"] == pytest.approx([(given <= 2 - level).mean() for level in range(3)])
    assert values["pair_chance_per_level"] == pytest.approx([(all_pairs <= 2 - level).mean() for level in range(3)])
    random = np.random.default_rng(0).permuted(np.tile(np.arange(N), (300, 1)), axis=1)[:, :2]
    assert metrics.cooccurrence_alignment(CODES, random)["pair_auc"] == pytest.approx(0.5, abs=0.06)


# Similar rows.


@pytest.mark.parametrize("metric", METRICS)
def test_find_similar(metric):
    far = code_distances(CODES, metric)
    for row in (0, 17, N - 1):
        indices, found = find_similar(CODES, row, k=30, metric=metric)
        assert indices.dtype == found.dtype == np.int64
        want = neighbors(far, row, 30)
        np.testing.assert_array_equal(indices, want)
        np.testing.assert_array_equal(found, far[row][want])
        again, _ = find_similar(CODES, CODES[row], k=31, metric=metric)
        np.testing.assert_array_equal(again, np.argsort(far[row], kind="stable")[:31])
    assert len(find_similar(CODES, 3, k=10_000)[0]) == N - 1
    assert len(find_similar(CODES, [9, 9, 9], k=10_000)[0]) == N
    assert find_similar([[1]], 0)[0].size == 0
    np.testing.assert_array_equal(find_similar(CODES, -1)[0], find_similar(CODES, N - 1)[0])


# All together.


def test_evaluate_is_the_functions(model, blobs):
    codes = model.encode(blobs)
    values = evaluate(blobs, codes, model, k=5, n_pairs=500, seed=9)
    assert values == {
        "n_samples": 2000,
        "n_unique_codes": len(np.unique(codes, axis=0)),
        "collision_rate": 1 - len(np.unique(codes, axis=0)) / 2000,
        "collision_rate_per_level": metrics.collision_rate_per_level(codes),
        "recall_at_5": metrics.recall_at_k(blobs, codes, 5, seed=9),
        "ndcg_at_5": ndcg_at_k(blobs, codes, 5, seed=9),
        "distance_correlation": metrics.distance_correlation(blobs, codes, n_pairs=500, seed=9),
        "code_utilization_per_level": metrics.code_utilization_per_level(codes, [20, 10, 5]),
        "code_entropy_per_level": metrics.code_entropy_per_level(codes),
        "quantization_mse": values["quantization_mse"],
    }
    error = np.mean((blobs.astype(np.float64) - model.decode(codes)) ** 2)
    assert values["quantization_mse"] == pytest.approx(error, rel=1e-12)
    assert metrics.evaluate_quality is evaluate

    more = evaluate(
        blobs, codes, model, k=5, n_pairs=500, seed=9, full=True, labels=codes[:, 0], pairs=[[0, 1], [2, 3]]
    )
    new = {
        "item_recall_at_5": metrics.item_recall_at_k(blobs, codes, 5, seed=9),
        "item_ndcg_at_5": metrics.item_ndcg_at_k(blobs, codes, 5, seed=9),
        "singleton_rate": metrics.singleton_rate(codes),
        "largest_bucket": metrics.largest_bucket(codes),
        "gini": metrics.gini(codes),
        "perplexity": metrics.perplexity(codes),
        "gini_per_level": metrics.gini_per_level(codes, [20, 10, 5]),
        "perplexity_per_level": metrics.perplexity_per_level(codes),
        "dead_codes_per_level": metrics.dead_codes_per_level(codes, [20, 10, 5]),
        "prefix_fan_out": metrics.prefix_fan_out(codes),
        "n_labeled": 2000,
        "prefix_purity": metrics.prefix_purity(codes, codes[:, 0]),
        "prefix_nmi": metrics.prefix_nmi(codes, codes[:, 0]),
    } | metrics.cooccurrence_alignment(codes, [[0, 1], [2, 3]])
    assert more == values | new
    assert json.loads(json.dumps(more)) == more


def test_error_under_cosine_lives_on_the_unit_sphere(blobs):
    model = RQKMeans(2, 10, metric="cosine", random_state=0).fit(blobs)
    codes = model.encode(blobs)
    unit = blobs / np.linalg.norm(blobs.astype(np.float64), axis=1, keepdims=True)
    want = np.mean((unit - model.decode(codes)) ** 2)
    assert evaluate(blobs, codes, model, sample_size=10)["quantization_mse"] == pytest.approx(want, rel=1e-5)


def test_encoders_of_all_kinds():
    class Decodes:
        num_emb_list = (20, 10, 5)

        def decode(self, codes):
            return np.zeros((len(codes), 6))

    class DoesNot(Decodes):
        n_clusters = 20

        def decode(self, codes):
            raise NotImplementedError

    values = evaluate(X, CODES, Decodes())
    assert values["quantization_mse"] == pytest.approx(np.mean(X.astype(np.float64) ** 2))
    assert values["code_utilization_per_level"] == metrics.code_utilization_per_level(CODES, [20, 10, 5])
    values = evaluate(X, CODES, DoesNot())
    assert "quantization_mse" not in values
    assert values["code_utilization_per_level"] == metrics.code_utilization_per_level(CODES, 20)
    with pytest.raises(ShapeMismatchError, match=r"decodes to shape \(400, 6\), X has \(400, 5\)"):
        evaluate(X[:, :5], CODES, Decodes())


def test_mapped_and_large_embeddings(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr("semantic_id._large.LARGE", 1000)
    assert evaluate(np.load(tmp_path / "x.npy", mmap_mode="r"), CODES) == evaluate(X, CODES)


def test_a_mapped_file_that_is_shortened(tmp_path, python):
    """Reading past its end is an error, not the end of the process."""
    np.save(tmp_path / "x.npy", np.ones((20_000, 24), np.float32))
    said = python(
        f"""
        import numpy as np
        from semantic_id import evaluate
        path = {str(tmp_path / "x.npy")!r}
        x = np.load(path, mmap_mode="r")
        with open(path, "r+b") as file:
            file.truncate(100_000)
        try:
            evaluate(x, np.arange(len(x))[:, None])
        except OSError as error:
            print(error)
        """
    )
    assert "rows became unreadable: the file they are mapped from was shortened" in said


# Bad input.


def test_lengths_that_differ():
    for call in (evaluate, metrics.recall_at_k, metrics.item_ndcg_at_k, metrics.distance_correlation):
        with pytest.raises(ShapeMismatchError, match="X has 400 rows, codes have 399"):
            call(X, CODES[1:])
    with pytest.raises(ShapeMismatchError, match="3 labels for 400 rows"):
        metrics.prefix_nmi(CODES, [1, 2, 3])


def test_k_that_is_too_large():
    with pytest.raises(ValueError, match="k=400 must be less than N=400"):
        ndcg_at_k(X, CODES, k=400)
    values = evaluate(X[:5], CODES[:5])
    assert not [name for name in values if "_at_" in name]
    for k in (0, -1, 2.5, True, "3"):
        with pytest.raises(ValueError, match="k="):
            evaluate(X, CODES, k=k)


def test_constant_codes_and_constant_x_are_nan_with_a_warning():
    for x, codes in ((X, np.zeros_like(CODES)), (np.ones_like(X), CODES), (X[:1], CODES[:1])):
        with pytest.warns(UndefinedMetricWarning, match="distance_correlation is NaN"):
            values = evaluate(x, codes, full=True)
        assert math.isnan(values.pop("distance_correlation"))
        assert all(np.isfinite(value).all() for value in values.values())


def test_one_row_and_two():
    with pytest.warns(UndefinedMetricWarning):
        values = evaluate([[1.0]], [[5]], full=True)
    assert (values["perplexity"], values["gini"], values["singleton_rate"], values["largest_bucket"]) == (1, 0, 1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        values = evaluate([[1.0], [2.0]], [[0], [1]], k=1)
    assert values["recall_at_1"] == 1


def test_other_refusals():
    bad, codes = X.copy(), CODES.copy()
    bad[7, 1], codes[3, 1] = np.nan, -1
    with pytest.raises(ValueError, match=r"NaN or Inf.*row 7;"):
        evaluate(bad, CODES)
    for wrong in ({"seed": -1}, {"seed": None}, {"n_pairs": 0}, {"sample_size": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
            evaluate(X, CODES, **wrong)
    with pytest.raises(ValueError, match="metric='cosine': want one of 'hierarchical', 'hamming'"):
        metrics.recall_at_k(X, CODES, metric="cosine")
    with pytest.raises(CodeError, match="-1 at row 3, level 1"):
        metrics.code_entropy_per_level(codes)
    with pytest.raises(CodeError, match="want from 0 to 1"):
        metrics.code_utilization_per_level(CODES, [3, 2, 4])
    with pytest.raises(ShapeMismatchError, match="n_clusters names 2 levels, codes have 3"):
        metrics.dead_codes_per_level(CODES, [3, 2])
    with pytest.raises(ShapeMismatchError):
        metrics.largest_bucket(CODES[:0])
    with pytest.raises(IndexError, match="query 400 is out of range"):
        find_similar(CODES, 400)
    with pytest.raises(ShapeMismatchError, match="query has 2 codes, want 3"):
        find_similar(CODES, [1, 2])
    with pytest.raises(ValueError, match="want the number of a row, or codes"):
        find_similar(CODES, 1.5)
    for pairs, error, words in (
        ([[0, 400]], IndexError, "pair 0 is of rows"),
        ([[0, 1], [5, 5]], ValueError, "pair 1 is of row 5 and itself"),
        ([[0, 1, 2]], ShapeMismatchError, "at least one pair"),
        ([], ShapeMismatchError, "at least one pair"),
        ([[0.5, 1]], ValueError, "numbers of rows"),
    ):
        with pytest.raises(error, match=words):
            metrics.cooccurrence_alignment(CODES, pairs)
    with pytest.raises(ValueError, match="want one label a row"):
        metrics.prefix_nmi(CODES, [[1]] * N)


def test_from_many_threads_at_once():
    want = evaluate(X, CODES)
    got = []
    threads = [threading.Thread(target=lambda: got.append(evaluate(X, CODES))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [want] * 4


def test_number_of_threads_changes_nothing():
    before, want = semantic_id._native.num_threads(), evaluate(X, CODES, sample_size=None, full=True)
    try:
        for n in (1, 3):
            semantic_id.set_num_threads(n)
            assert evaluate(X, CODES, sample_size=None, full=True) == want
    finally:
        semantic_id.set_num_threads(before)


def test_the_cpu_changes_nothing(python):
    code = """
        import numpy as np
        from semantic_id import evaluate
        rng = np.random.default_rng(1)
        x = (rng.normal(size=(30, 64))[rng.integers(0, 30, 700)] + 0.1 * rng.normal(size=(700, 64))).astype("f4")
        x[400:500] = x[:100]  # ties
        print(evaluate(x, np.abs(x[:, :3] * 3).astype(int), sample_size=None, full=True))
    """
    said = {level: python(code, SEMANTIC_ID_CPU=level) for level in ("generic", "avx2", "avx512")}
    assert len(set(said.values())) == 1, said


def test_ctrl_c_ends_it(python):
    start = time.monotonic()
    python(
        """
        import _thread, threading, time
        import numpy as np
        from semantic_id.utils.metrics import recall_at_k
        x = np.random.default_rng(0).normal(size=(120_000, 256)).astype(np.float32)
        threading.Timer(1, _thread.interrupt_main).start()
        try:
            recall_at_k(x, np.zeros((len(x), 1), int), sample_size=None)
        except KeyboardInterrupt:
            print("interrupted")
        else:
            print("it ended before the interrupt")
        """
    )
    assert time.monotonic() - start < 20
