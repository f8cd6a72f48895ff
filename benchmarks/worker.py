"""One program under test, in a process and an environment of its own: reads a JSON request per line, answers in kind.

    python worker.py PROGRAM DATA ROWS THREADS

DATA is a float32 .npy file, of which the first ROWS rows are used, or a number of columns, to be generated. Needs NumPy
and the program. Times are of the call alone, memory is of the whole process.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from generate import mixture
from programs import PROGRAMS, Floats


class Tasks:
    """What run.py can ask for. Each returns a number, a string, or null."""

    def __init__(self, program: str, data: str, rows: int, threads: int) -> None:
        self.x: Floats = mixture(rows, int(data)) if data.isdigit() else np.load(data)[:rows]
        kind, before = PROGRAMS[program], _memory("VmRSS")
        self.version = f"{kind.package} {version(kind.package)}"
        self.program = kind(threads)
        self.loaded = _memory("VmRSS") - before

    def versions(self) -> str:
        return f"{self.version}, NumPy {np.__version__}"

    def fit(self, levels: int, clusters: int, seed: int, **settings: Any) -> float:
        """Fit, and return the seconds it took."""
        _forget_peak()
        self.before = _memory("VmRSS")
        start = time.perf_counter()
        self.program.fit(self.x, levels, clusters, seed, **settings)
        return time.perf_counter() - start

    def peak(self) -> float:
        """Return the most memory the process had during the last fit or encode beyond what it had before, in bytes."""
        return _memory("VmHWM") - self.before

    def iterations(self) -> float:
        """Return the iterations over all rows, of all levels, of the last fit."""
        return float(self.program.iterations())

    def loading_memory(self) -> float:
        """Return what importing the program took, in bytes."""
        return self.loaded

    def use_beam(self, beam: int) -> None:
        """Encode with this beam from now on, in a program that has one."""
        self.program.beam = beam

    def encode(self) -> float:
        """Encode, and return the seconds it took."""
        _forget_peak()
        self.before = _memory("VmRSS")
        start = time.perf_counter()
        self.codes = self.program.encode(self.x)
        return time.perf_counter() - start

    def encode_one(self, calls: int) -> float:
        """Encode one row at a time, and return the seconds each call took, once caches are warm."""
        one = [self.x[i : i + 1] for i in range(calls)]
        encode = self.program.encode
        for row in one[: calls // 5]:
            encode(row)
        start = time.perf_counter()
        for row in one:
            encode(row)
        return (time.perf_counter() - start) / calls

    def error(self) -> float:
        """Return the mean squared difference, per element and in float64, between the data and its decoded codes."""
        codes, total = self.program.encode(self.x), 0.0
        for low in range(0, len(codes), 4096):
            decoded = self.program.decode(codes[low : low + 4096])
            total += float(((self.x[low : low + 4096].astype(np.float64) - decoded) ** 2).sum())
        return total / self.x.size

    def evaluate(self, codes: str, **settings: Any) -> float:
        """Measure what codes are worth, and return the seconds it took."""
        array = np.load(codes)
        start = time.perf_counter()
        self.values = self.program.evaluate(self.x, array, **settings)
        return time.perf_counter() - start

    def value(self, name: str, level: int | None = None) -> float:
        """Return one of the values of the last `evaluate`."""
        value = self.values[name]
        return float(value if level is None else value[level])

    def neighbors(self, k: int, codes: str) -> float:
        """Find the nearest neighbors of all rows, and return the seconds it took."""
        array = np.load(codes)
        start = time.perf_counter()
        self.program.neighbors(self.x, array, k)
        return time.perf_counter() - start

    def certificate(self, level: int, part: int) -> float:
        """Return the primal (0), the dual (1) or the gap (2) of a level of the last fit or encode."""
        return float(self.program.certificates[level][part])

    def use_plain(self, plain: bool) -> None:
        """Encode by the nearest centroids from now on, in a program that balances, or balanced again."""
        self.program.plain = plain

    def unique_ids(self, rows: int, clusters: int) -> float:
        """Write random codes of three levels as ids, make them unique in memory, and return the seconds it took."""
        codes = np.random.default_rng(0).integers(0, clusters, (rows, 3), dtype=np.int32)
        start = time.perf_counter()
        ids = self.program.unique_ids(codes)
        seconds = time.perf_counter() - start
        assert len(set(ids)) == rows
        return seconds

    def count(self, folder: str, keys: int, distinct: int) -> float:
        """Count keys, so many distinct ones, in a new SQLite database, and return the seconds it took."""
        rng = np.random.default_rng(0)
        numbers = rng.permutation(np.concatenate([np.arange(distinct), rng.integers(0, distinct, keys - distinct)]))
        listed = [f"{n % 41}-{n // 41 % 43}-{n // 1763}" for n in numbers.tolist()]
        with tempfile.TemporaryDirectory(dir=folder) as here:
            store = self.program.sqlite(f"{here}/ids.db")
            store.next_suffix("the database is made")
            start = time.perf_counter()
            suffixes = self.program.count(store, listed)
            seconds = time.perf_counter() - start
            assert suffixes.count(0) == distinct
        return seconds

    def count_one(self, folder: str, calls: int) -> float:
        """Count one key at a time in a SQLite database, and return the seconds each call took."""
        with tempfile.TemporaryDirectory(dir=folder) as here:
            store = self.program.sqlite(f"{here}/ids.db")
            store.next_suffix("the database is made")
            start = time.perf_counter()
            for i in range(calls):
                store.next_suffix(f"1-2-{i % 100}")
            return (time.perf_counter() - start) / calls

    def save_codes(self, path: str) -> None:
        np.save(path, self.codes.astype(np.int32))

    def save(self, path: str) -> None:
        self.program.save(path)

    def load(self, path: str) -> None:
        self.program.load(path)


def _memory(field: str) -> int:
    if not os.path.exists("/proc/self/status"):
        return 0  # run.py does not ask then
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field + ":"))


def _forget_peak() -> None:
    """Let VmHWM start from what the process has now."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the program prints must not get between the answers
    program, data, rows, threads = sys.argv[1:]
    tasks = Tasks(program, data, int(rows), int(threads))
    print(json.dumps(tasks.versions()), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(getattr(tasks, request.pop("task"))(**request)), file=answers, flush=True)


if __name__ == "__main__":
    main()
