"""Data larger than memory: what a fit of a file of 4 GB takes of memory that is not the file's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from bench import CLUSTERS, LEVELS, RESULTS, Bench
from peers import MissingError
from report import Section, Target

BYTES = 4_000_000_000
LIMIT = 1e9
ITERATIONS = 3  # memory does not grow with them
COMPARED = 100_000  # rows of the file that are fitted both ways


def stream(bench: Bench) -> Section:
    """The most anonymous memory of a fit and an encode of a mapped file, and whether the model is that of memory."""
    if not Path("/proc/self/status").exists():
        raise MissingError("there is no /proc on this system")
    size = BYTES // 20 if bench.quick else BYTES
    section = Section(
        f"Data larger than memory: float32 files of {size / 1e9:.1f} GB, {LEVELS} levels of {CLUSTERS}, "
        f"{ITERATIONS} iterations a level",
        ["rows x columns", "fit: anonymous memory", "fit: time", "encode: anonymous memory", "encode: time"],
    )
    RESULTS.mkdir(exist_ok=True)
    if shutil.disk_usage(RESULTS).free < 1.5 * size:
        raise MissingError(f"the disk has no room for a file of {size / 1e9:.1f} GB")
    most, different = 0.0, 0
    for dim in (128, 384, 768):
        rows = size // (4 * dim)
        with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
            path = Path(folder) / "rows.npy"
            generate(path, rows, dim)
            command = [sys.executable, __file__, str(path), str(bench.threads)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        got = json.loads(done.stdout)
        most = max(most, got["fit"][0], got["encode"][0])
        different += not got["equal"]
        cells = [
            f"{v / 1e6:.0f} MB" if i == 0 else f"{v:.0f} s"
            for call in ("fit", "encode")
            for i, v in enumerate(got[call])
        ]
        section.rows.append([f"{rows:,} x {dim}", *cells])
    section.notes.append(
        "The highest RssAnon of the process, sampled every 10 ms, interpreter and libraries included, for "
        "`fit(np.load(path, mmap_mode='r'))` and `encode` of the same. The file's own pages are not in it: the system "
        f"gives them up when memory is short. The codebooks of the first {COMPARED:,} rows, fitted as a mapped "
        f"file and as an array in memory, {'differ' if different else 'are equal, bit for bit'}."
    )
    section.targets = [
        Target("larger than memory: most anonymous memory, in GB", most / 1e9, LIMIT / 1e9, False),
        Target("larger than memory: models unlike those of memory", different, 0.5, False),
    ]
    return section


def generate(path: Path, rows: int, dim: int) -> None:
    """Write a mixture whose clusters fall into clusters, a block at a time."""
    rng = np.random.default_rng(dim)
    centers = [scale * rng.standard_normal((1000, dim), np.float32) for scale in (1, 0.5)]
    out = np.lib.format.open_memmap(path, "w+", np.float32, (rows, dim))
    step = (1 << 24) // dim
    for low in range(0, rows, step):
        block = 0.25 * rng.standard_normal((min(step, rows - low), dim), np.float32)
        for c in centers:
            block += c[rng.integers(0, len(c), len(block))]
        out[low : low + step] = block
    out.flush()


def main() -> None:
    """Measure the file that the command line names, in this process."""
    import semantic_id
    from semantic_id import RQKMeans, _large

    path, threads = sys.argv[1:]
    semantic_id.set_num_threads(int(threads))
    settings = {"n_levels": LEVELS, "n_clusters": CLUSTERS, "max_iter": ITERATIONS, "tol": 1e-12, "random_state": 0}
    model = RQKMeans(**settings)
    x = np.load(path, mmap_mode="r")
    if x.nbytes < _large.LARGE:
        _large.LARGE = 1  # --quick
    results: dict[str, object] = {}
    for name, call in (("fit", model.fit), ("encode", model.encode)):
        peak, ended = [0], threading.Event()
        sampler = threading.Thread(target=sample, args=(peak, ended))
        sampler.start()
        start = time.perf_counter()
        call(x)
        seconds = time.perf_counter() - start
        ended.set()
        sampler.join()
        results[name] = [peak[0], seconds]
    part = x[:COMPARED]
    _large.LARGE = 1
    mapped = RQKMeans(**settings).fit(part)
    stored = RQKMeans(**settings).fit(np.array(part))
    results["equal"] = all(np.array_equal(a, b) for a, b in zip(mapped.codebooks_, stored.codebooks_, strict=True))
    print(json.dumps(results))


def sample(peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.01):
        with open("/proc/self/status", encoding="ascii") as f:
            anonymous = next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))
        peak[0] = max(peak[0], anonymous)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # that three iterations do not converge
    main()
