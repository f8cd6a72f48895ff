"""Exact assignment under sizes (core/transport) against POT's network simplex and SciPy's assignment solver."""

import importlib
import threading
import time

import numpy as np
import pytest

ot = pytest.importorskip("ot")
linear_sum_assignment = pytest.importorskip("scipy.optimize").linear_sum_assignment

OK, PARAM, SHAPE, NOT_FINITE, CANCELED = 0, 1, 2, 3, 11


class Result:
    """What a call of the facade gives back."""

    def __init__(self, rows, columns):
        self.columns = np.full(rows, -1, np.int32)
        self.prices = np.full(columns, np.nan)
        self.proof = np.full(3, np.nan)  # cost, bound, gap
        self.control = np.zeros(8, np.int64)
        self.kind, self.text = -1, ""

    def call(self, function, *args):
        text = np.zeros(8192, np.uint8)
        outs = (self.columns, self.prices, self.proof, self.control, text)
        self.kind = function(*args, *(address(out) for out in outs), text.size)
        self.text = text.tobytes().split(b"\0")[0].decode()
        return self


def address(array):
    return 0 if array is None or array.size == 0 else array.ctypes.data


def facade():
    return importlib.import_module("semantic_id._gopy.facade")


def from_costs(costs, lower, upper, start=None):
    costs = np.ascontiguousarray(costs, np.float64)
    lower, upper = np.array(lower, np.int64), np.array(upper, np.int64)
    rows, columns = costs.shape
    return Result(rows, columns).call(
        facade().TransportCosts, address(costs), rows, columns, address(lower), address(upper), address(start)
    )


def from_points(x, centroids, lower, upper, start=None):
    x, centroids = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(centroids, np.float32)
    lower, upper = np.array(lower, np.int64), np.array(upper, np.int64)
    (rows, dim), columns = x.shape, len(centroids)
    return Result(rows, columns).call(
        facade().TransportDistances,
        address(x), rows, dim, address(centroids), columns, address(lower), address(upper), address(start),
    )  # fmt: skip


def squared_distances(x, centroids):
    x, centroids = np.float64(np.float32(x)), np.float64(np.float32(centroids))
    return np.stack([((x - c) ** 2).sum(1) for c in centroids], 1)


def least_cost(costs, lower, upper):
    """The least cost by POT. A row more takes the places that may stay empty, at no cost where a column has such."""
    rows = len(costs)
    lower, upper = np.asarray(lower), np.minimum(upper, rows)
    offsets = costs.min(1)  # what a row pays anywhere decides nothing
    costs = costs - offsets[:, None]
    scale = max(costs.max(), 1e-300)  # POT's tolerances are absolute
    spare = int(upper.sum()) - rows
    # Places that must be taken and places that may be: the last row cannot have the former.
    must, may = lower > 0, upper > lower
    sizes = np.concatenate([lower[must], (upper - lower)[may]]).astype(float)
    table = np.concatenate([costs[:, must], costs[:, may]], 1) / scale
    amounts = np.ones(rows)
    if spare:
        table = np.vstack([table, np.concatenate([np.full(must.sum(), 4.0 * (rows + 1)), np.zeros(may.sum())])])
        amounts = np.append(amounts, spare)
    plan, log = ot.emd(amounts, sizes, table, numItermax=10**8, log=True)
    assert log["warning"] is None
    return float((plan * table).sum()) * scale + offsets.sum()


def check(result, costs, lower, upper, want=None):
    """An assignment within the sizes, of the cost said, with prices that prove it, and of the cost wanted."""
    assert result.kind == OK, result.text
    rows, columns = costs.shape
    counts = np.bincount(result.columns, minlength=columns)
    assert (counts >= lower).all()
    assert (counts <= upper).all()
    paid = costs[np.arange(rows), result.columns]
    total = np.abs(paid).sum()
    cost, bound, gap = result.proof
    assert cost == pytest.approx(paid.sum(), rel=1e-12, abs=1e-300)
    p = result.prices
    size = np.where(p > 0, np.minimum(upper, rows), lower)
    dual = (costs + p).min(1).sum() - (p * size).sum()
    rounding = 1e-13 * (total + np.abs(p * size).sum() + np.abs(costs.min(1)).sum())
    assert paid.sum() - dual <= 1e-9 * total + rounding
    assert paid.sum() - bound <= 1e-9 * total
    assert 0 <= gap <= 1e-9
    if want is not None:
        assert cost == pytest.approx(want, rel=1e-9, abs=1e-12 * np.abs(costs).max())


def balanced(rows, columns):
    return np.full(columns, rows // columns), np.full(columns, -(-rows // columns))


def some_sizes(rng, rows, columns):
    exact = np.bincount(rng.integers(columns, size=rows), minlength=columns)
    match rng.integers(3):
        case 0:
            return exact, exact  # just fitting
        case 1:
            return balanced(rows, columns)
    return exact - rng.integers(exact + 1), exact + rng.integers(0, 1 + rows // columns, size=columns)


def blobs(rng, rows, columns, dim):
    middles = rng.normal(size=(max(1, columns // 2), dim)) * 3
    return middles[rng.integers(len(middles), size=rows)] + rng.normal(size=(rows, dim))


def points(kind, rng, rows, columns):
    dim = int(rng.integers(1, 40))
    x = blobs(rng, rows, columns, dim)
    c = blobs(rng, columns, columns, dim)
    match kind:
        case "copies":
            x = x[rng.integers(min(rows, 9), size=rows)]
        case "copied centroids":
            c = c[rng.integers(1 + columns // 3, size=columns)]
        case "grid":
            x, c = np.round(x / 2), np.round(c / 2)
        case "one far cluster":
            c[0] += 1000
        case "one far row":
            x[0] += 1e4
        case "all at one place":
            x[:] = x[0]
        case "on the centroids":
            x = c[rng.integers(columns, size=rows)]
        case "uniform":
            x, c = rng.random((rows, dim)), rng.random((columns, dim))
    return x, c


KINDS = ["blobs", "copies", "copied centroids", "grid", "one far cluster", "one far row", "all at one place",
         "on the centroids", "uniform"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_distances_cost_what_pot_finds(kind):
    rng = np.random.default_rng([1, KINDS.index(kind)])
    for case in range(24):
        columns = int(rng.integers(1, 33))
        rows = int(rng.integers(columns, 300)) if case % 6 else columns
        x, c = points(kind, rng, rows, columns)
        lower, upper = some_sizes(rng, rows, columns)
        costs = squared_distances(x, c)
        want = least_cost(costs, lower, upper)
        cold = from_points(x, c, lower, upper)
        check(cold, costs, lower, upper, want)
        check(from_points(x, c, lower, upper, cold.prices * rng.random()), costs, lower, upper, want)
        check(from_costs(costs, lower, upper), costs, lower, upper, want)


@pytest.mark.parametrize("kind", KINDS)
def test_2000_by_64(kind):
    rng = np.random.default_rng([2, KINDS.index(kind)])
    rows, columns = 2000, 64
    for sizes in (balanced, lambda rows, columns: some_sizes(rng, rows, columns)):
        x, c = points(kind, rng, rows, columns)
        lower, upper = sizes(rows, columns)
        costs = squared_distances(x, c)
        check(from_points(x, c, lower, upper), costs, lower, upper, least_cost(costs, lower, upper))


def test_larger_than_is_looked_at_whole():
    rng = np.random.default_rng(3)
    x, c = points("blobs", rng, 9000, 48)
    lower, upper = balanced(9000, 48)
    costs = squared_distances(x, c)
    check(from_points(x, c, lower, upper), costs, lower, upper, least_cost(costs, lower, upper))
    check(from_costs(costs, lower, upper), costs, lower, upper, from_points(x, c, lower, upper).proof[0])


@pytest.mark.parametrize("kind", ["uniform", "integers", "negative", "magnitudes", "all equal", "zero", "rows at odds"])
def test_any_costs(kind):
    rng = np.random.default_rng(4)
    for case in range(30):
        columns = int(rng.integers(1, 20))
        rows = int(rng.integers(columns, 120)) if case % 5 else columns
        costs = rng.random((rows, columns))
        match kind:
            case "integers":
                costs = np.floor(costs * 4)
            case "negative":
                costs -= 2
            case "magnitudes":
                costs *= 10.0 ** rng.integers(-6, 7, size=(rows, 1))
            case "all equal":
                costs[:] = 3
            case "zero":
                costs[:] = 0
            case "rows at odds":
                costs = 1 + costs[:, :1] * np.arange(columns)
        lower, upper = some_sizes(rng, rows, columns)
        check(from_costs(costs, lower, upper), costs, lower, upper, least_cost(costs, lower, upper))


@pytest.mark.parametrize("kind", ["uniform", "integers", "distances", "holes"])
@pytest.mark.parametrize("n", [1, 2, 17, 200, 1200])
def test_as_many_columns_as_rows(kind, n):
    rng = np.random.default_rng([5, n])
    costs = rng.random((n, n))
    if kind == "integers":
        costs = np.floor(costs * 10)
    elif kind == "distances":
        costs = squared_distances(rng.normal(size=(n, 5)), rng.normal(size=(n, 5)))
    one = np.ones(n, np.int64)
    if kind == "holes":
        holes = np.where((rng.random((n, n)) < 0.7) & ~np.eye(n, dtype=bool), np.inf, costs)
        want = holes[linear_sum_assignment(holes)].sum()
        result = from_costs(holes, one, one)
        assert result.kind == OK, result.text
        assert sorted(result.columns) == list(range(n))
        assert holes[np.arange(n), result.columns].sum() == pytest.approx(want, rel=1e-9)
        assert result.proof[2] <= 1e-9
        return
    check(from_costs(costs, one, one), costs, one, one, costs[linear_sum_assignment(costs)].sum())


def test_k_means_constrained_finds_nothing_cheaper():
    """It minimises distances, not squared, and rounded: ours on the same centroids costs no more."""
    kmc = pytest.importorskip("k_means_constrained")
    rng = np.random.default_rng(6)
    for _ in range(5):
        x = blobs(rng, 300, 8, 6).astype(np.float32)
        model = kmc.KMeansConstrained(8, size_min=37, size_max=38, n_init=1, max_iter=5, random_state=0)
        labels = model.fit_predict(x.astype(np.float64))
        costs = squared_distances(x, model.cluster_centers_)
        lower, upper = balanced(300, 8)
        ours = from_points(x, model.cluster_centers_, lower, upper)
        check(ours, costs, lower, upper)
        assert ours.proof[0] <= costs[np.arange(300), labels].sum() * (1 + 1e-12)


def test_bad_input():
    costs = np.ones((3, 2))
    for lower, upper, words in [
        ([2, 2], [3, 3], "3 rows, but the lower sizes of the 2 columns ask for 4 or more: 1 too few"),
        ([0, 0], [1, 1], "3 rows, but the upper sizes of the 2 columns leave room for 2: 1 too many"),
        ([0, -1], [3, 3], "the lower size of column 1 is -1"),
        ([0, 3], [3, 2], "column 1 is to take at least 3 and at most 2 rows"),
    ]:
        result = from_costs(costs, lower, upper)
        assert result.kind == PARAM
        assert words in result.text
    costs[1, 0] = np.nan
    result = from_costs(costs, [0, 0], [3, 3])
    assert (result.kind, "row 1 costs NaN in column 0" in result.text) == (NOT_FINITE, True)
    result = from_points([[1.0], [np.inf]], [[0.0]], [0], [2])
    assert (result.kind, "row 1;" in result.text) == (NOT_FINITE, True)
    assert from_costs(np.ones((0, 2)), [0, 0], [3, 3]).kind == SHAPE


def test_an_interrupt_ends_it_soon():
    rng = np.random.default_rng(7)
    x, c = rng.random((200_000, 16), np.float32), rng.random((200, 16), np.float32) / 8
    lower, upper = (np.array(size, np.int64) for size in balanced(200_000, 200))
    result = Result(len(x), len(c))
    work = threading.Thread(
        target=result.call,
        args=(facade().TransportDistances, address(x), 200_000, 16, address(c), 200, address(lower), address(upper), 0),
    )
    work.start()
    time.sleep(0.1)
    result.control[0] = 1
    start = time.monotonic()
    work.join()
    assert result.kind == CANCELED
    assert time.monotonic() - start < 1
