"""Speed, memory and quality of this package beside the alternatives: `make bench`. See README.md in this folder.

    python benchmarks/run.py [--quick] [--full] [--only NAME] [--data DIR]

NAME is a key of MEASUREMENTS below; measure_*.py have what each does. A whole run writes its tables into README.md;
with --quick or --only they are only printed. The exit code is 0 when all ran, whether or not the targets were met.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import measure_beam
import measure_encode
import measure_estimate
import measure_fit
import measure_growth
import measure_install
import measure_kernel
import measure_memory
import measure_stream
import semantic_id
from bench import HERE, ROOT, Bench, commit
from peers import MissingError
from report import Section, machine, not_measured, replace_generated, targets_table, where_others_win

MEASUREMENTS: dict[str, Callable[[Bench], Section | list[Section]]] = {
    "kernel": measure_kernel.kernel,
    "encode": measure_encode.encode,
    "one-row": measure_encode.one_row,
    "fit": measure_fit.fit,
    "restarts": measure_fit.restarts,
    "beam": measure_beam.beam,
    "growth": measure_growth.growth,
    "memory": measure_memory.memory,
    "estimate": measure_estimate.estimate,
    "stream": measure_stream.stream,
    "import": measure_install.imports,
    "wheel": measure_install.wheel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: to see that it runs")
    parser.add_argument("--full", action="store_true", help="also ten restarts of 0.2.5 on the large data: 9 minutes")
    parser.add_argument("--only", choices=MEASUREMENTS, metavar="NAME", help="one measurement")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the embeddings are")
    options = parser.parse_args()

    bench = Bench(options.data, options.quick, options.full)
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
    print(f"{targets_table(sections)}\n\n{where_others_win(sections)}")
    if options.quick:
        print("\nThe targets are for the whole sizes, not for those of --quick.")

    minutes = (time.monotonic() - start) / 60
    about = (
        f"{datetime.date.today()}, semantic-id {semantic_id.__version__} at commit {commit()}. "
        f"{machine()}; {bench.threads} threads. "
        f"Load average before the run: {load:.1f}. The run took {minutes:.0f} minutes."
    )
    if failed:
        sys.exit(f"{about}\nThese failed: {', '.join(failed)}. README.md is as it was.")
    if options.quick or options.only:
        print(f"\n{about}\nREADME.md is as it was: only a whole run writes it.")
        return
    text = "\n\n".join([about, targets_table(sections), where_others_win(sections), *(s.markdown() for s in sections)])
    for section in sections:
        if section.picture:
            shutil.copy(section.picture, HERE)
    replace_generated(HERE / "README.md", text)


if __name__ == "__main__":
    main()
