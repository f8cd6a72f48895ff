"""Speed, memory and quality of this package beside the alternatives: `make bench`. See README.md in this folder.

    python benchmarks/run.py [--quick] [--only NAME] [--data DIR]

NAME is one of kernel, encode, one-row, fit, memory, import, wheel. A whole run writes its tables into README.md; with
--quick or --only they are only printed. The exit code is 0 when everything ran, whether or not the targets were met.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
import semantic_id
from peers import MissingError, Worker, environ
from report import Section, Target, machine, not_measured, replace_generated, targets_table

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


# --- what is measured ---


def kernel(bench: Bench) -> Section:
    """The assignment kernel beside a loop of nothing but fused multiply-adds."""
    section = Section(
        "Assignment kernel: share of the FMA peak",
        [
            "instructions",
            "peak, one core",
            "kernel, one core",
            "kernel, two cores",
            "gain of two cores over the loop's",
        ],
    )
    output = _go_bench("BenchmarkPeak", "0.3s" if bench.quick else "3s", bench.threads)
    for level in ("avx2", "avx512"):
        line = re.search(rf"^BenchmarkPeak/level={level}/.*$", output, re.MULTILINE)
        figures = {unit: float(value) for value, unit in re.findall(r"([\d.]+) (\S+)", line[0])} if line else {}
        reason = f"no {level} on this CPU"
        share, gain = figures.get("%ofpeak1"), figures.get("gain")
        section.targets += [
            Target(f"kernel, {level}, one core: share of the FMA peak", share, 70, True, " %", reason),
            Target(f"kernel, {level}: gain of two cores over the loop's", gain, 0.9, True, "", reason),
        ]
        if line:
            section.rows.append([
                level, f"{figures['peakGFLOPS']:.0f} GFLOP/s", f"{share:.0f} %", f"{figures.get('%ofpeak2', 0):.0f} %",
                "" if gain is None else f"{gain:.3f}",
            ])  # fmt: skip
    section.notes.append(
        f"256 rows of {DIM}, {CLUSTERS} centroids; the best of many turns of half a millisecond, which alternate."
    )
    return section


def encode(bench: Bench) -> Section:
    """Encode with one set of codebooks in all programs."""
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Encode {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, the same codebooks",
        ["program", "median", "range", "times ours", "equal codes"],
    )
    programs = ["ours", "0.2.5", "0.2.5-batches", "faiss-rq", "faiss-rq-tables"]
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        model = str(RESULTS / "model")
        workers[0].ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0)
        workers[0].ask("save", path=model)
        for worker in workers[1:]:
            worker.ask("load", path=model)
        seconds = _alternate(workers, bench.rounds(9) + 1, lambda w, _: w.ask("encode"), drop=1)
        codes = {}
        for worker in workers:
            file = RESULTS / f"codes-{worker.program}.npy"
            worker.ask("save_codes", path=str(file))
            codes[worker.program] = np.load(file)
        section.notes.append(_versions(workers))
    for p in programs:
        equal = np.mean((codes[p] == codes["ours"]).all(axis=1))
        section.rows.append([
            NAMES[p], f"{median(seconds[p]):.3f} s", f"{min(seconds[p]):.3f} - {max(seconds[p]):.3f} s",
            f"{_ratio(seconds, p):.2f}", f"{100 * equal:.3f} % of rows",
        ])  # fmt: skip
    section.notes.append(
        "A program's first call is left out. Codes differ where float32 rounding decides between two centroids, "
        "and from there on down the levels."
    )
    section.targets = [
        Target("encode: semantic-id 0.2.5, times ours", _ratio(seconds, "0.2.5"), 5, True),
        Target("encode: faiss.ResidualQuantizer at beam 1, times ours",
               min(_ratio(seconds, "faiss-rq"), _ratio(seconds, "faiss-rq-tables")), 3, True),
    ]  # fmt: skip
    return section


def one_row(bench: Bench) -> Section:
    """One row through Python, beside the arithmetic in it."""
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Encode one row of {DIM}, {LEVELS} x {CLUSTERS}, from Python", ["", "median of rounds", "best round"]
    )
    programs = ["ours", "0.2.5", "faiss-rq"]
    arithmetic = []
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        model = str(RESULTS / "model")
        workers[0].ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0)
        workers[0].ask("save", path=model)
        for worker in workers[1:]:
            worker.ask("load", path=model)
        _alternate(workers, 1, lambda w, _: w.ask("encode_one", calls=10))  # warm up
        seconds: dict[str, list[float]] = {p: [] for p in programs}
        for _ in range(bench.rounds(9)):
            arithmetic.append(_one_row_arithmetic(bench))
            for p, turn in _alternate(workers, 1, lambda w, _: w.ask("encode_one", calls=500)).items():
                seconds[p] += turn
    timed = [(f"arithmetic alone: {LEVELS} x nearest of {CLUSTERS}, in Go", arithmetic)]
    for name, values in timed + [(NAMES[p], seconds[p]) for p in programs]:
        section.rows.append([name, f"{1e6 * median(values):.1f} us", f"{1e6 * min(values):.1f} us"])
    over = [1e6 * (o - a) for o, a in zip(seconds["ours"], arithmetic, strict=True)]
    section.targets = [Target("one row through Python: time over the arithmetic", median(over), 20, False, " us")]
    return section


def fit(bench: Bench) -> list[Section]:
    """Fit, and the error of what was learned, seed by seed."""
    seeds = range(bench.rounds(5))
    sections = []
    for name, targets in ((PACKAGES, True), (INDUSTRIAL, False)):
        try:
            sections.append(_fit(bench, name, seeds, targets))
        except MissingError as error:
            sections.append(not_measured(f"fit {name}", error))
    return sections


def _fit(bench: Bench, name: str, seeds: Sequence[int], targets: bool) -> Section:
    data, rows = bench.data(name)
    section = Section(
        f"Fit {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}, n_init=1, {len(seeds)} seeds",
        ["program", "median", "range", "times ours", "mean error", "error / 0.2.5's"],
    )
    programs = ["ours", "0.2.5", "faiss-rq", "faiss-kmeans", "sklearn", "superkmeans"]
    errors: dict[str, list[float]] = {p: [] for p in programs}

    def turn(worker: Worker, seed: int) -> float:
        seconds = worker.ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=seed)
        errors[worker.program].append(worker.ask("error"))
        return seconds

    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        seconds = _alternate(workers, len(seeds), turn)
        section.notes.append(_versions(workers))
    for p in programs:
        section.rows.append([
            NAMES[p], f"{median(seconds[p]):.2f} s", f"{min(seconds[p]):.2f} - {max(seconds[p]):.2f} s",
            f"{_ratio(seconds, p):.2f}", f"{mean(errors[p]):.4e}", f"{mean(errors[p]) / mean(errors['0.2.5']):.4f}",
        ])  # fmt: skip
    section.notes.append(
        "Error: mean squared difference per element, in float64, between the rows and their decoded codes, each "
        "program encoding and decoding for itself. Both RQKMeans run to their tolerance (tol=1e-4, max_iter=100), the "
        "others for a fixed number of iterations (faiss.ResidualQuantizer: its default)."
    )
    if targets:
        error = mean(errors["ours"]) / mean(errors["0.2.5"])
        section.targets = [
            Target("fit, n_init=1: semantic-id 0.2.5, times ours", _ratio(seconds, "0.2.5"), 8, True),
            Target("fit, n_init=1: mean decode error over 0.2.5's", error, 1.002, False),
        ]
    return section


def memory(bench: Bench) -> Section:
    """The most memory a fit needs beyond the input, each in a fresh process."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Memory of the fit of {rows:,} x {DIM}, beyond the {rows * DIM * 4 / 1e6:.0f} MB of input",
        ["program", "peak beyond input and imports", "as a share of the input", "imports"],
    )
    size = rows * DIM * 4
    programs = ["ours"] if bench.quick else ["ours", "ours", "ours", "0.2.5", "faiss-rq"]  # a fit of the others is long
    peaks: dict[str, float] = {}
    loads: dict[str, float] = {}
    for p in programs:
        with Worker(p, data, rows, bench.threads) as worker:
            peak = worker.ask("fit_memory", levels=LEVELS, clusters=CLUSTERS, seed=0)
            loads[p] = worker.ask("loading_memory")
        peaks[p] = max(peak, peaks.get(p, 0))
    for p, peak in peaks.items():
        section.rows.append([NAMES[p], f"{peak / 1e6:.0f} MB", f"{peak / size:.2f}", f"{loads[p] / 1e6:.0f} MB"])
    section.notes.append(
        "The highest VmHWM after a fit less VmRSS before it, when the input and all libraries are loaded. What loading "
        "them took, the Go library included but not NumPy, is in the last column and in no other."
    )
    section.targets = [Target("fit: peak memory beyond the input, over the input", peaks["ours"] / size, 1.5, False)]
    return section


def imports(bench: Bench) -> Section:
    """Import in fresh processes, after NumPy."""
    section = Section("Import, in fresh processes", ["", "median", "range"])
    script = (
        "import time; t0 = time.perf_counter(); import numpy; t1 = time.perf_counter(); import semantic_id; "
        "t2 = time.perf_counter(); semantic_id.RQKMeans(n_levels=1, n_clusters=1).fit(numpy.ones((1, 1), 'f4')); "
        "print(t1 - t0, t2 - t1, time.perf_counter() - t2)"
    )
    runs = []
    for _ in range(bench.rounds(21, 5) + 1):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environ(bench.threads),
            cwd=HERE,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        runs.append([1e3 * float(word) for word in done.stdout.split()])
    columns = list(zip(*runs[1:], strict=True))  # without the first, which may find files not in memory
    names = ("NumPy", "semantic_id, after NumPy", "its first fit, of one row: loads the native library")
    for name, values in zip(names, columns, strict=True):
        section.rows.append([name, f"{median(values):.0f} ms", f"{min(values):.0f} - {max(values):.0f} ms"])
    section.targets = [Target("import semantic_id, over NumPy's own", median(columns[1]), 150, False, " ms")]
    return section


def wheel(bench: Bench) -> Section:
    """The size of the wheel."""
    folder = RESULTS / "wheel"
    for old in folder.glob("*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True)
    (file,) = folder.glob("*.whl")
    size = file.stat().st_size / 1e6
    return Section(
        "Size of the wheel", ["wheel", "size"], [[file.name, f"{size:.1f} MB"]],
        targets=[Target("size of the wheel", size, 15, False, " MB")],
    )  # fmt: skip


# --- how ---


def _alternate(
    workers: Sequence[Worker], rounds: int, turn: Callable[[Worker, int], float], drop: int = 0
) -> dict[str, list[float]]:
    """Let the workers take turns, in another order each round; return what `turn` gave, less the first `drop`."""
    values: dict[str, list[float]] = {w.program: [] for w in workers}
    for i in range(rounds):
        shift = i % len(workers)
        for worker in [*workers[shift:], *workers[:shift]]:
            values[worker.program].append(turn(worker, i))
    return {p: v[drop:] for p, v in values.items()}


def _ratio(seconds: dict[str, list[float]], program: str) -> float:
    """The median, over the rounds, of a program's time over ours."""
    return median(theirs / ours for theirs, ours in zip(seconds[program], seconds["ours"], strict=True))


def _versions(workers: Sequence[Worker]) -> str:
    return "Versions: " + "; ".join(sorted({w.versions for w in workers})) + "."


def _go_bench(name: str, duration: str, threads: int) -> str:
    go = subprocess.run([sys.executable, ROOT / "tools" / "golang.py"], capture_output=True, text=True, check=False)
    if go.returncode:
        raise MissingError("there is no Go on this machine")
    program = str(Path(go.stdout.strip()) / "go")
    command = [program, "test", "-run", "^$", "-bench", name, "-benchtime", duration, "./core/internal/f32"]
    env = environ(threads) | {"GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _one_row_arithmetic(bench: Bench) -> float:
    """The seconds that Nearest takes for one row, at the best level of this CPU, times the levels of the model."""
    output = _go_bench(f"BenchmarkNearest/^level=.*$/^rows=1$/^dim={DIM}$/^k={CLUSTERS}$", "0.2s", bench.threads)
    return LEVELS * 1e-9 * min(float(ns) for ns in re.findall(r"([\d.]+) ns/row", output))


MEASUREMENTS: dict[str, Callable[[Bench], Section | list[Section]]] = {
    "kernel": kernel,
    "encode": encode,
    "one-row": one_row,
    "fit": fit,
    "memory": memory,
    "import": imports,
    "wheel": wheel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: to see that it runs")
    parser.add_argument("--only", choices=MEASUREMENTS, metavar="NAME", help="one measurement")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the embeddings are")
    options = parser.parse_args()

    bench = Bench(options.data, options.quick)
    load, start = os.getloadavg()[0], time.monotonic()
    sections: list[Section] = []
    failed: list[str] = []
    for name, measure in MEASUREMENTS.items():
        if options.only not in (None, name):
            continue
        print(f"{name} ...", flush=True)
        try:
            measured = measure(bench)
        except MissingError as error:
            measured = not_measured(name, error)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            failed.append(name)
            measured = not_measured(name, error)
        for section in measured if isinstance(measured, list) else [measured]:
            sections.append(section)
            print(f"\n{section.markdown()}\n", flush=True)
    print(targets_table(sections))
    if options.quick:
        print("\nThe targets are for the whole sizes, not for those of --quick.")

    minutes = (time.monotonic() - start) / 60
    about = (
        f"{datetime.date.today()}, semantic-id {semantic_id.__version__} at commit {_commit()}. "
        f"{machine()}; {bench.threads} threads. "
        f"Load average before the run: {load:.1f}. The run took {minutes:.0f} minutes."
    )
    if failed:
        sys.exit(f"{about}\nThese failed: {', '.join(failed)}. README.md is as it was.")
    if options.quick or options.only:
        print(f"\n{about}\nREADME.md is as it was: only a whole run writes it.")
        return
    text = "\n\n".join([about, targets_table(sections), *(section.markdown() for section in sections)])
    replace_generated(HERE / "README.md", text)


def _commit() -> str:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
