"""What it takes to have the package and to import it."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from bench import HERE, RESULTS, ROOT, Bench
from peers import environ
from report import Section, Target


def imports(bench: Bench) -> Section:
    """Import in fresh processes, after NumPy."""
    section = Section("Import, in fresh processes", ["", "median", "range"])
    script = (
        "import time; t0 = time.perf_counter(); import numpy; t1 = time.perf_counter(); import semantic_id; "
        "t2 = time.perf_counter(); semantic_id.RQKMeans(n_levels=1, n_clusters=1).fit(numpy.ones((1, 1), 'f4')); "
        "print(t1 - t0, t2 - t1, time.perf_counter() - t2)"
    )
    env = environ(bench.threads) | {"PYTHONPYCACHEPREFIX": str(RESULTS / "bytecode")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # with bytecode, which pip makes when it installs
    runs = []
    for _ in range(bench.rounds(21, 5) + 1):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=env,
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
