"""The calls of core/sinkhorn, through `_native`: entropic transport. Arrays are C-ordered."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._native import _address

Floats = npt.NDArray[np.float64]


class Plan(NamedTuple):
    """How much of each row goes to each column: exp((f + g - cost) / epsilon)."""

    plan: Floats  # (rows, cols)
    f: Floats
    g: Floats
    error: float  # by what share of their sum the weights of the rows are off
    n_iter: int


def solve(costs: Floats, a: Floats | None, b: Floats | None, epsilon: float, max_iter: int, tol: float) -> Plan:
    """Find the plan of least cost less `epsilon` times entropy, between weights `a` of rows and `b` of columns."""
    rows, cols = costs.shape
    plan, f, g, error, n_iter = np.empty((rows, cols)), np.empty(rows), np.empty(cols), np.empty(1), np.empty(1, int)

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.SinkhornSolve(
            _address(costs), rows, cols, 0 if a is None else _address(a), 0 if b is None else _address(b), epsilon,
            max_iter, tol, _address(plan), _address(f), _address(g), _address(error), _address(n_iter),
            control, text, size,
        )  # fmt: skip

    _native._call_long(call, None)
    return Plan(plan, f, g, float(error[0]), int(n_iter[0]))


def assign(costs: Floats, epsilon: float, n_iter: int) -> npt.NDArray[np.int32]:
    """Return the column of each row after `n_iter` iterations, with costs centered as core/sinkhorn says."""
    rows, cols = costs.shape
    labels = np.empty(rows, np.int32)

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.SinkhornAssign(
            _address(costs), rows, cols, epsilon, n_iter, _address(labels), control, text, size
        )

    _native._call_long(call, None)
    return labels
