"""Checks of constructor parameters, as `fit` makes them: each error names the value and what would do."""

import math
import os
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np


def check_int(name: str, value: Any, low: int, high: int | None = None, limit: str = "") -> int:
    """Return `value` as an int from `low` to `high`; `limit` says in words where `high` comes from."""
    if (
        not isinstance(value, (int, np.integer))
        or isinstance(value, bool)
        or value < low
        or (high is not None and value > high)
    ):
        want = f">= {low}" if high is None else f"from {low} to {limit or high}"
        raise ValueError(f"{name}={value!r}: want an integer {want}")
    return int(value)


def check_float(name: str, value: Any, low: float) -> float:
    """Return `value` as a finite float >= `low`."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value) or value < low:
        raise ValueError(f"{name}={value!r}: want a number >= {low:g}")
    return float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return `value`, one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={value!r}: want one of {', '.join(map(repr, choices))}")
    return value


def check_seed(random_state: Any) -> int:
    """Return the 64-bit seed that `random_state` stands for: for None a new one each time, for a generator its next."""
    if random_state is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(random_state, (int, np.integer)) and type(random_state) is not bool and 0 <= random_state < 2**63:
        return int(random_state)
    if isinstance(random_state, np.random.Generator):  # last, as NumPy imports np.random when it is first named
        return int(random_state.integers(0, 2**64, dtype=np.uint64))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(0, 2**64, dtype=np.uint64))
    raise ValueError(
        f"random_state={random_state!r}: want None, an integer from 0 to 2**63-1, "
        "a numpy.random.Generator or a numpy.random.RandomState"
    )
