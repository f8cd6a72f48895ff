"""How the measurements are made: the data, the rounds, programs that take turns, Go benchmarks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from peers import MissingError, Worker, environ

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"  # not in git

LEVELS, CLUSTERS, DIM = 3, 256, 384
PACKAGES, INDUSTRIAL = "packages_63666x384_f16.npy", "industrial_3686x384.npy"
NAMES = {
    "ours": "**semantic-id, this one**",
    "0.2.5": "semantic-id 0.2.5",
    "0.2.5-batches": "semantic-id 0.2.5, batch_size=2048",
    "faiss-rq": "faiss.ResidualQuantizer, beam 1",
    "faiss-rq-tables": "faiss.ResidualQuantizer, beam 1, use_beam_LUT",
    "faiss-kmeans": "faiss.Kmeans per level, 25 iterations",
    "sklearn": "scikit-learn Lloyd per level, random start, 25 iterations",
    "superkmeans": "superkmeans per level, 25 iterations",
}


@dataclass
class Bench:
    """How to measure."""

    folder: Path  # of the data
    quick: bool
    threads: int = 2

    def data(self, name: str) -> tuple[Path, int]:
        """Return a float32 copy of the data set `name`, and how many of its rows to use."""
        source = self.folder / name
        if not source.exists():
            raise MissingError(f"the data set {name} is not here")
        RESULTS.mkdir(exist_ok=True)
        copy = RESULTS / f"float32-{name}"
        if not copy.exists():
            np.save(copy, np.load(source).astype(np.float32))
        rows = len(np.load(copy, mmap_mode="r"))
        return copy, min(rows, 3000) if self.quick else rows

    def rounds(self, whole: int, quick: int = 2) -> int:
        return quick if self.quick else whole


def alternate(
    workers: Sequence[Worker], rounds: int, turn: Callable[[Worker, int], float], drop: int = 0
) -> dict[str, list[float]]:
    """Let the workers take turns, in another order each round; return what `turn` gave, less the first `drop`."""
    values: dict[str, list[float]] = {w.program: [] for w in workers}
    for i in range(rounds):
        shift = i % len(workers)
        for worker in [*workers[shift:], *workers[:shift]]:
            values[worker.program].append(turn(worker, i))
    return {p: v[drop:] for p, v in values.items()}


def ratio(seconds: dict[str, list[float]], program: str) -> float:
    """The median, over the rounds, of a program's time over ours."""
    return median(theirs / ours for theirs, ours in zip(seconds[program], seconds["ours"], strict=True))


def versions(workers: Sequence[Worker]) -> str:
    return "Versions: " + "; ".join(sorted({w.versions for w in workers})) + "."


def go_bench(name: str, duration: str, threads: int) -> str:
    go = subprocess.run([sys.executable, ROOT / "tools" / "golang.py"], capture_output=True, text=True, check=False)
    if go.returncode:
        raise MissingError("there is no Go on this machine")
    program = str(Path(go.stdout.strip()) / "go")
    command = [program, "test", "-run", "^$", "-bench", name, "-benchtime", duration, "./core/internal/f32"]
    env = environ(threads) | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
