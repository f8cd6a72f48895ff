"""Speed, memory and quality of this package beside the alternatives: `make bench`. See README.md in this folder.

    python benchmarks/run.py [--quick] [--full] [--only NAME ...] [--data DIR]

NAME is a key of MEASUREMENTS below; measure_*.py have what each does. What was measured is kept in results.json, each
with its date and commit, and README.md has the tables of all that is kept; --quick only prints. The exit code is 0 when
all ran, whether or not the targets were met.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import measure_balanced
import measure_beam
import measure_encode
import measure_estimate
import measure_fit
import measure_growth
import measure_ids
import measure_install
import measure_kernel
import measure_memory
import measure_metrics
import measure_resolvers
import measure_rqvae
import measure_stream
import measure_vae_quality
import semantic_id
from bench import HERE, ROOT, Bench, commit
from peers import MissingError
from report import Section, keep, machine, not_measured, targets_table, where_others_win, write_readme

MEASUREMENTS: dict[str, Callable[[Bench], Section | list[Section]]] = {
    "kernel": measure_kernel.kernel,
    "encode": measure_encode.encode,
    "one-row": measure_encode.one_row,
    "fit": measure_fit.fit,
    "restarts": measure_fit.restarts,
    "beam": measure_beam.beam,
    "balanced": measure_balanced.balanced,
    "rqvae": measure_rqvae.rqvae,
    "vae-quality": measure_vae_quality.quality,
    "growth": measure_growth.growth,
    "memory": measure_memory.memory,
    "estimate": measure_estimate.estimate,
    "metrics": measure_metrics.metrics,
    "ids": measure_ids.ids,
    "resolvers": measure_resolvers.resolvers,
    "stream": measure_stream.stream,
    "import": measure_install.imports,
    "wheel": measure_install.wheel,
}


LONG = "restarts"  # nine minutes: only when asked for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows and rounds: to see that it runs")
    parser.add_argument("--full", action="store_true", help="also what takes many minutes each")
    parser.add_argument("--only", choices=MEASUREMENTS, metavar="NAME", nargs="+", help="these measurements")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="where the embeddings are")
    options = parser.parse_args()

    bench = Bench(options.data, options.quick, options.full)
    names = options.only or [n for n in MEASUREMENTS if n != LONG or options.full or options.quick]
    sections: list[Section] = []
    failed: list[str] = []
    for name in names:
        print(f"{name} ...", flush=True)
        load, start = os.getloadavg()[0], time.monotonic()
        try:
            result = MEASUREMENTS[name](bench)
        except MissingError as error:
            result = not_measured(name, error)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            failed.append(name)
            print(f"{name} failed: {error}", flush=True)
            continue
        measured = result if isinstance(result, list) else [result]
        sections += measured
        for section in measured:
            print(f"\n{section.markdown()}\n", flush=True)
        minutes = (time.monotonic() - start) / 60
        if not options.quick:
            when = f"{datetime.date.today()}, commit {commit()}, load average before {load:.1f}, {minutes:.0f} min"
            keep(HERE, name, measured, when)
    print(f"{targets_table(sections)}\n\n{where_others_win(sections)}")
    if options.quick:
        print("\nThe targets are for the whole sizes, not for those of --quick. README.md is as it was.")
    else:
        about = f"semantic-id {semantic_id.__version__}. {machine()}; {bench.threads} threads."
        write_readme(HERE, list(MEASUREMENTS), about)
    if failed:
        sys.exit(f"These failed, and README.md has their figures of before: {', '.join(failed)}")


if __name__ == "__main__":
    main()
