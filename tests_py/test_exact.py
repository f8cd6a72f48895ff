"""Codes are a definition: the same on any number of threads, any batch size and any CPU."""

import numpy as np
import pytest
from semantic_id import RQKMeans
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits


def nearest(rows, centroids):
    """Argmin of the squared distances in float64, columns ascending, each product rounded before it is added."""
    distance = np.zeros((len(rows), len(centroids)))
    for i in range(rows.shape[1]):
        d = rows[:, i : i + 1].astype(np.float64) - centroids[:, i].astype(np.float64)
        distance += d * d
    return distance.argmin(axis=1)


def encode(rows, codebooks, metric):
    if metric == "cosine":
        square = np.zeros(len(rows))
        for i in range(rows.shape[1]):
            square += rows[:, i].astype(np.float64) ** 2
        rows = (rows.astype(np.float64) / np.sqrt(square)[:, None]).astype(np.float32)
    codes = []
    for codebook in codebooks:
        codes.append(nearest(rows, codebook))
        rows = rows - codebook[codes[-1]]
    return np.stack(codes, axis=1)


def by_hand(codebooks, metric="l2"):
    model = RQKMeans(n_levels=len(codebooks), n_clusters=[len(b) for b in codebooks], metric=metric)
    model.codebooks_ = [np.ascontiguousarray(b, np.float32) for b in codebooks]
    return model


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize(("rows", "dim", "clusters"), [(1, 1, 1), (300, 7, 33), (257, 64, 100), (500, 100, 256)])
def test_encode_is_its_definition(metric, rows, dim, clusters):
    rng = np.random.default_rng(dim)
    x = rng.normal(size=(rows, dim)).astype(np.float32)
    model = by_hand([rng.normal(size=(clusters, dim)) / (1 + level) for level in range(3)], metric)
    np.testing.assert_array_equal(model.encode(x), encode(x, model.codebooks_, metric))


@pytest.mark.parametrize("scale", [1e-42, 1e-20, 1.0, 1e18])
def test_ties_and_near_ties(scale):
    rng = np.random.default_rng(0)
    book = rng.normal(size=(40, 24)).astype(np.float32)
    book[10:20] = book[:10]  # equal ones: the lower wins
    book[20:30] = np.nextafter(book[:10], np.float32(9))  # as near as float32 allows
    book[30] = 2 * book[31]
    x = np.concatenate([book, (book[:20] + book[20:]) / 2, rng.normal(size=(200, 24))]).astype(np.float32)
    x, book = x * np.float32(scale), book * np.float32(scale)
    model = by_hand([book, book])
    codes = model.encode(x)
    np.testing.assert_array_equal(codes, encode(x, [book, book], "l2"))
    assert not np.isin(codes[:, 0], np.arange(10, 20)).any()


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_fitted_model_encodes_by_the_definition(blobs, metric):
    model = RQKMeans(3, 30, metric=metric, random_state=0)
    codes = model.fit_encode(blobs)
    np.testing.assert_array_equal(codes, encode(blobs, model.codebooks_, metric))


def test_one_result_on_any_number_of_threads_any_batch_and_any_cpu(python):
    code = """
        import hashlib, warnings
        import numpy as np
        import semantic_id
        warnings.simplefilter("ignore", semantic_id.ConvergenceWarning)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(70_000, 9)).astype(np.float32)
        weight = rng.uniform(size=len(x))
        for metric in ("l2", "cosine"):
            model = semantic_id.RQKMeans(3, [40, 17, 3], metric=metric, random_state=3, max_iter=6)
            codes = model.fit_encode(x, sample_weight=weight)
            digest = hashlib.sha256(codes.tobytes())
            for book in model.codebooks_:
                digest.update(book.tobytes())
            digest.update(model.inertia_.tobytes())
            digest.update(model.n_iter_.tobytes())
            for batch_size in (None, 1000):
                digest.update(model.encode(x, batch_size=batch_size).tobytes())
            print(digest.hexdigest())
    """
    runs = [("generic", "2"), ("avx2", "1"), ("avx512", "1"), ("avx512", "5")]  # the level goes no higher than the CPU
    results = {python(code, SEMANTIC_ID_CPU=cpu, SEMANTIC_ID_NUM_THREADS=threads) for cpu, threads in runs}
    assert len(results) == 1


def test_as_good_as_scikit_learn_at_every_level():
    x = load_digits().data.astype(np.float32)
    ours = RQKMeans(3, 32, random_state=0).fit(x)
    residual, codes = x, ours.encode(x)
    for level in range(3):
        theirs = np.mean([KMeans(32, random_state=seed).fit(residual).inertia_ for seed in range(3)])
        assert ours.inertia_[level] < 1.02 * theirs
        residual = residual - ours.codebooks_[level][codes[:, level]]
