"""Encoding with a beam: a definition like that of plain codes, and of lower error."""

import numpy as np
import pytest
from semantic_id import RQKMeans, cli, set_num_threads


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(5)
    centers = rng.normal(size=(40, 24))
    return (centers[rng.integers(40, size=1200)] + 0.5 * rng.normal(size=(1200, 24))).astype(np.float32)


@pytest.fixture(scope="module", params=["l2", "cosine"])
def model(request, x):
    return RQKMeans(n_levels=3, n_clusters=[16, 24, 8], metric=request.param, random_state=0, n_init=1).fit(x)


def error(model, x, codes):
    if model.metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return float(((x.astype(np.float64) - model.decode(codes)) ** 2).sum())


def oracle(model, row, beam):
    """The definition: the best `beam` prefixes at each level by float64 distances of float32 residuals."""
    if model.metric == "cosine":
        square = 0.0
        for v in row.astype(np.float64):
            square += v * v
        row = (row.astype(np.float64) / np.sqrt(square)).astype(np.float32)
    kept = [((), row)]
    for book in model.codebooks_:
        found = []
        for codes, rest in kept:
            distance = np.zeros(len(book))
            for i in range(book.shape[1]):
                d = np.float64(rest[i]) - book[:, i].astype(np.float64)
                distance += d * d
            found += [(d, (*codes, k), rest - book[k]) for k, d in enumerate(distance)]
        kept = [(codes, rest) for _, codes, rest in sorted(found, key=lambda f: f[:2])[:beam]]
    return kept[0][0]


@pytest.mark.parametrize("beam", [2, 5, 30])
def test_it_is_its_definition(model, x, beam):
    codes = model.encode(x[:12], beam_size=beam)
    assert codes.dtype == np.int32
    assert [tuple(c) for c in codes.tolist()] == [oracle(model, row, beam) for row in x[:12]]


def test_error_falls(model, x):
    errors = [error(model, x, model.encode(x, beam_size=b)) for b in (1, 2, 8)]
    assert errors[0] > errors[1] > errors[2]


def test_a_beam_that_drops_nothing_finds_the_best_codes(x):
    model = RQKMeans(n_levels=2, n_clusters=[8, 9], random_state=0).fit(x)
    every = np.array([(i, j) for i in range(8) for j in range(9)])
    distance = ((x[:, None, :].astype(np.float64) - model.decode(every)) ** 2).sum(axis=2)
    best = error(model, x, model.encode(x, beam_size=72))
    assert best == pytest.approx(distance.min(axis=1).sum(), rel=1e-6)


def test_same_codes_any_way(model, x):
    want = model.encode(x, beam_size=7)
    for batch_size in (1, 100, 5000):
        np.testing.assert_array_equal(model.encode(x, beam_size=7, batch_size=batch_size), want)
    np.testing.assert_array_equal(model.encode(x.astype(np.float64), beam_size=7), want)
    np.testing.assert_array_equal(model.encode(x[:9], beam_size=np.int64(7)), want[:9])
    try:
        set_num_threads(1)
        np.testing.assert_array_equal(model.encode(x, beam_size=7), want)
    finally:
        set_num_threads(2)


@pytest.mark.parametrize("level", ["generic", "avx2"])
def test_same_codes_on_another_cpu(model, x, tmp_path, python, level):
    model.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", x)
    python(
        f"""
        import numpy as np
        from semantic_id import RQKMeans
        model = RQKMeans.load({str(tmp_path / "model")!r})
        np.save({str(tmp_path / "codes.npy")!r}, model.encode(np.load({str(tmp_path / "x.npy")!r}), beam_size=7))
        """,
        SEMANTIC_ID_CPU=level,
    )
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), model.encode(x, beam_size=7))


def test_one_is_plain_and_transform_and_predict_stay_plain(model, x):
    plain = model.encode(x)
    np.testing.assert_array_equal(model.encode(x, beam_size=1), plain)
    np.testing.assert_array_equal(model.transform(x), plain)
    assert not np.array_equal(model.encode(x, beam_size=7), plain)


@pytest.mark.parametrize("beam", [0, -1, 4097, 2.0, None, "5"])
def test_sizes_that_are_none(model, x, beam):
    with pytest.raises(ValueError, match=r"beam_size=.*want an integer from 1 to 4096"):
        model.encode(x, beam_size=beam)


def test_bad_rows_have_their_number(model, x):
    bad = x.copy()
    bad[700, 3] = np.nan
    with pytest.raises(ValueError, match="row 700"):
        model.encode(bad, beam_size=4)


def test_on_the_command_line(model, x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    model.save(tmp_path / "model")
    out = tmp_path / "ids.csv"
    arguments = ["encode", str(tmp_path / "x.npy"), "--model", str(tmp_path / "model"), "--out", str(out)]
    assert cli.main([*arguments, "--beam-size", "7"]) == 0
    codes = np.loadtxt(out, delimiter=",", skiprows=1, usecols=(2, 3, 4), dtype=np.int32)
    np.testing.assert_array_equal(codes, model.encode(x, beam_size=7))
    assert cli.main([*arguments, "--beam-size", "5000"]) == 1
