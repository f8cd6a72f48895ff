"""Entropic transport, held against POT, and assignment, held against its definition step by step."""

import numpy as np
import pytest
from semantic_id import _native_sinkhorn as sinkhorn

ot = pytest.importorskip("ot")


def problem(seed, rows, cols, dim=3):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, dim)), rng.normal(size=(cols, dim))
    costs = ((x[:, None] - y) ** 2).sum(axis=2)
    a, b = rng.uniform(0.2, 1, rows), rng.uniform(0.2, 1, cols)
    return costs, a / a.sum(), b / b.sum()


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 5), (7, 1), (20, 20), (100, 16), (300, 33), (700, 12)])
@pytest.mark.parametrize("epsilon", [10.0, 1.0, 0.3])
def test_equal_to_pot(rows, cols, epsilon, equal):
    costs, a, b = problem(rows + cols, rows, cols)
    if equal:
        a, b = np.full(rows, 1 / rows), np.full(cols, 1 / cols)
    want = ot.sinkhorn(a, b, costs, epsilon, numItermax=100_000, stopThr=1e-13, warn=False)
    ours = sinkhorn.solve(costs, None if equal else a, None if equal else b, epsilon, 100_000, 1e-13)
    np.testing.assert_allclose(ours.plan, want, rtol=1e-9, atol=0)
    np.testing.assert_allclose(ours.plan.sum(axis=1), a, rtol=1e-9)
    np.testing.assert_allclose(ours.plan.sum(axis=0), b, rtol=1e-12)
    np.testing.assert_allclose(np.exp((ours.f[:, None] + ours.g - costs) / epsilon), ours.plan, rtol=1e-10)
    assert ours.error <= 1e-13


@pytest.mark.parametrize("epsilon", [0.05, 0.02])
def test_equal_to_pot_in_logarithms(epsilon):
    costs, a, b = problem(1, 40, 8)
    costs *= 10  # exponents of some thousand
    want = ot.bregman.sinkhorn_log(a, b, costs, epsilon, numItermax=200_000, stopThr=1e-13, warn=False)
    ours = sinkhorn.solve(costs, a, b, epsilon, 200_000, 1e-13)
    assert ours.error <= 1e-13  # else nothing is compared
    np.testing.assert_allclose(ours.plan, want, rtol=1e-9, atol=1e-15)


def test_less_entropy_comes_close_to_the_exact_plan():
    costs, a, b = problem(2, 30, 6)
    exact = ot.emd2(a, b, costs)
    ours = sinkhorn.solve(costs, a, b, 1e-3, 100_000, 1e-9)
    assert 0 <= (ours.plan * costs).sum() - exact < 1e-3


def definition(distances, epsilon, iterations, dtype=np.longdouble):
    """Assign as the definition of Sinkhorn in an RQ-VAE says, in extended precision."""
    d = distances.astype(dtype)
    mid = (d.max() + d.min()) / 2
    half = d.max() - mid
    centered = (d - mid) / (half + dtype(1e-5))
    q = np.exp(-centered / dtype(epsilon))
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    assert np.isfinite(q).all()
    return q


@pytest.mark.parametrize("epsilon", [0.5, 0.05, 0.01, 0.003, 0.0005])
@pytest.mark.parametrize("iterations", [0, 1, 5, 100])
@pytest.mark.parametrize(("rows", "cols"), [(1, 4), (3, 256), (100, 16), (512, 64)])
def test_assign_is_the_definition(rows, cols, iterations, epsilon):
    costs, _, _ = problem(rows, rows, cols, dim=8)
    q = definition(costs, epsilon, iterations)
    labels = sinkhorn.assign(costs, epsilon, iterations)
    best = q.max(axis=1)
    # The same column, or one that gets as much but for rounding in float64.
    assert (q[np.arange(rows), labels] >= best * (1 - 1e-9)).all()
    if rows > cols:  # else many a row has all of several columns, but for rounding
        assert (labels == q.argmax(axis=1)).mean() > 0.99


def test_assign_in_float64_as_others_write_it():
    costs, _, _ = problem(5, 2048, 256, dim=16)
    q = definition(costs, 0.003, 50, np.float64)
    labels = sinkhorn.assign(costs, 0.003, 50)
    assert (labels == q.argmax(axis=1)).mean() > 0.999


@pytest.mark.parametrize("iterations", [1, 2, 10, 300])
@pytest.mark.parametrize(("rows", "cols"), [(64, 8), (300, 40)])
def test_tiny_epsilon(rows, cols, iterations):
    costs, _, _ = problem(6, rows, cols)
    d = costs.astype(np.longdouble)
    half = (d.max() - d.min()) / 2
    q = -(d - d.min()) / (half + np.longdouble(1e-5)) / np.longdouble(1e-6)
    assert q.min() < -1e6  # no float holds e to the power of that
    for _ in range(iterations):
        for axis in (1, 0):
            most = q.max(axis=axis, keepdims=True)
            q -= most + np.log(np.exp(q - most).sum(axis=axis, keepdims=True))
    labels = sinkhorn.assign(costs, 1e-6, iterations)
    assert (q[np.arange(rows), labels] >= q.max(axis=1) - 1e-6).all()
    assert (labels == q.argmax(axis=1)).mean() > 0.97


def test_all_equal_and_copies():
    assert (sinkhorn.assign(np.ones((9, 4)), 0.003, 100) == 0).all()
    assert sinkhorn.assign(np.array([[3.0, 1.0, 2.0]]), 0.003, 1) == [1]  # a row alone has all of each: the nearest
    costs, _, _ = problem(7, 50, 6)
    costs[:, 4] = costs[:, 2]  # copies of a column: the lower one
    labels = sinkhorn.assign(costs, 0.01, 30)
    assert (labels != 4).all()
    assert (labels == 2).any()


@pytest.mark.parametrize(
    ("costs", "epsilon", "iterations", "message"),
    [
        (np.array([[0.0, np.nan]]), 0.1, 3, "NaN or Inf: the cost of row 0 and column 1"),
        (np.array([[0.0], [np.inf]]), 0.1, 3, "NaN or Inf: the cost of row 1 and column 0"),
        (np.ones((2, 2)), 0.0, 3, "Epsilon is 0, want a number > 0"),
        (np.ones((2, 2)), -1.0, 3, "Epsilon is -1"),
        (np.ones((2, 2)), 0.1, -1, "MaxIter is -1, want at least 0"),
        (np.ones((0, 2)), 0.1, 3, "0 rows and 2 columns"),
    ],
)
def test_bad_input(costs, epsilon, iterations, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn.assign(costs, epsilon, iterations)
    with pytest.raises(ValueError, match=message):
        sinkhorn.solve(costs, None, None, epsilon, iterations, 1e-9)


def test_bad_weights():
    costs = np.ones((2, 2))
    with pytest.raises(ValueError, match="the weight of column 1 is 0"):
        sinkhorn.solve(costs, None, np.array([1.0, 0.0]), 0.1, 10, 1e-9)
    with pytest.raises(ValueError, match="rows weigh 2, columns 1"):
        sinkhorn.solve(costs, np.ones(2), None, 0.1, 10, 1e-9)
