"""How the measurements are made: the data, the rounds, programs that take turns, Go benchmarks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

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
    "ours-rqvae": "**semantic-id, this one**",
    "0.2.5-rqvae": "semantic-id 0.2.5",
    "0.2.5-torch": "PyTorch, a loop of its own",
    "faiss-rq": "faiss.ResidualQuantizer, beam 1",
    "faiss-rq-tables": "faiss.ResidualQuantizer, beam 1, use_beam_LUT",
    "faiss-flat": "faiss.IndexFlatL2",
    "faiss-kmeans": "faiss.Kmeans",
    "faiss-progressive": "faiss.Kmeans, progressive_dim_steps=6",
    "sklearn": "scikit-learn Lloyd, random start",
    "ours-balanced": "**semantic-id, this one**",
    "k-means-constrained": "k-means-constrained 0.9.1",
    "superkmeans": "superkmeans",
    "superkmeans-hierarchical": "superkmeans, hierarchical",
}


@dataclass
class Bench:
    """How to measure."""

    folder: Path  # of the data
    quick: bool
    full: bool = False  # measure also what takes too long for every run
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


@dataclass
class Fits:
    """A program with certain settings, and what came of its fits, seed by seed from 0."""

    program: str
    rounds: int  # that it takes part in: the first ones
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)  # mean squared, per element
    iterations: list[float] = field(default_factory=list)  # over all rows, of all levels
    peaks: list[float] = field(default_factory=list)  # bytes beyond what the process had before the fit

    def times(self, ours: Fits) -> float:
        return ratio(self.seconds, ours.seconds)

    def error_over(self, other: Fits) -> float:
        """Return the mean error over that of another, both over the seeds that both have."""
        n = min(len(self.errors), len(other.errors))
        return mean(self.errors[:n]) / mean(other.errors[:n])


def race(
    bench: Bench, data: Path | int, rows: int, fits: Sequence[Fits], levels: int = LEVELS, clusters: int = CLUSTERS
) -> str:
    """Make all fits, in turns, in another order each round; return the versions. `data`: a file, or columns to make."""
    with ExitStack() as stack:
        programs = dict.fromkeys(f.program for f in fits)
        workers = {p: stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs}
        for seed in range(max(f.rounds for f in fits)):
            shift = seed * len(fits) // 5 % len(fits)
            for f in [*fits[shift:], *fits[:shift]]:
                if seed >= f.rounds:
                    continue
                worker = workers[f.program]
                f.seconds.append(worker.ask("fit", levels=levels, clusters=clusters, seed=seed, **f.settings))
                f.peaks.append(worker.ask("peak"))
                f.errors.append(worker.ask("error"))
                f.iterations.append(worker.ask("iterations"))
        return versions(list(workers.values()))


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median, over the rounds that both took part in, of their time over ours."""
    return median(a / b for a, b in zip(theirs, ours, strict=False))


def spread(seconds: Sequence[float], digits: int = 2) -> list[str]:
    """Return two cells: the median, and the range."""
    return [f"{median(seconds):.{digits}f} s", f"{min(seconds):.{digits}f} - {max(seconds):.{digits}f} s"]


def versions(workers: Sequence[Worker]) -> str:
    return "Versions: " + "; ".join(sorted({w.versions for w in workers})) + "."


def go_bench(name: str, duration: str, threads: int, package: str = "./core/internal/f32") -> str:
    go = subprocess.run([sys.executable, ROOT / "tools" / "golang.py"], capture_output=True, text=True, check=False)
    if go.returncode:
        raise MissingError("there is no Go on this machine")
    program = str(Path(go.stdout.strip()) / "go")
    command = [program, "test", "-run", "^$", "-bench", name, "-benchtime", duration, package]
    env = environ(threads) | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def commit() -> str:
    """Name the commit that is measured."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
