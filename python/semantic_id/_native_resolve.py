"""The calls of core/resolve that move codes, through `_native`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._arrays import CodeMatrix, FloatMatrix
from ._native import _address, _addresses


class Problem(NamedTuple):
    """What codes to move: rows (n, d) and codebooks (k_l, d), float32; codes (n, levels); and the held codes."""

    rows: FloatMatrix
    books: Sequence[FloatMatrix]
    codes: CodeMatrix
    held: CodeMatrix  # (n_held, levels)
    holders: npt.NDArray[np.int64]  # (n_held,)


class Moved(NamedTuple):
    """Codes after a move, by how much the squared error of each row has grown, and whether that is not proved least."""

    codes: CodeMatrix
    added: npt.NDArray[np.float64]
    guess: bool


def capacity(problem: Problem, most: int, pairs: int) -> Moved:
    """Move rows until no code has more than `most` holders."""
    out = _Out(problem)

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.ResolveCapacity(
            *out.arguments, most, pairs, _address(out.added), _address(out.guess), control, text, size
        )

    _native._call_long(call, None)
    return out.moved()


def sinkhorn(problem: Problem, epsilon: float, iters: int, rounds: int) -> Moved:
    """Re-encode rows that share a code at the last level, at most `rounds` times."""
    out = _Out(problem)

    def call(control: int, text: int, size: int) -> int:
        return _native._lib.ResolveSinkhorn(
            *out.arguments, epsilon, iters, rounds, _address(out.added), control, text, size
        )

    _native._call_long(call, None)
    return out.moved()


class _Out:
    """The arrays of a call, which must live as long as it."""

    def __init__(self, problem: Problem) -> None:
        rows, dim = problem.rows.shape
        self.problem = problem
        self.sizes = np.array([len(b) for b in problem.books], np.int64)
        self.books = _addresses(problem.books)
        self.codes = problem.codes.copy()
        self.added, self.guess = np.zeros(rows), np.zeros(1, np.int64)
        self.arguments = (
            _address(problem.rows), rows, dim, len(problem.books), _address(self.sizes), _address(self.books),
            _address(self.codes), _address(problem.held), _address(problem.holders), len(problem.holders),
        )  # fmt: skip

    def moved(self) -> Moved:
        return Moved(self.codes, self.added, bool(self.guess[0]))
