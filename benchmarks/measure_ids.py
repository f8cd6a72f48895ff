"""Unique ids: formatted and made unique in memory, and counted durably in SQLite, in batches and one at a time."""

from __future__ import annotations

from statistics import median

from bench import NAMES, RESULTS, Bench, alternate, ratio, spread, versions
from peers import Worker
from report import Section, Target

ROWS = 1_000_000
KEYS, DISTINCT = 100_000, 70_000
OLD_KEYS = 1_000  # what 0.2.5 counts, one connection and one commit a key


def ids(bench: Bench) -> Section:
    """This package and 0.2.5, in turns."""
    section = Section("Unique ids", ["", "program", "median", "range", "a second", "times ours"])
    rows, keys, calls = (20_000, 2_000, 20) if bench.quick else (ROWS, KEYS, 300)
    distinct = keys * DISTINCT // KEYS
    RESULTS.mkdir(exist_ok=True)
    folder = str(RESULTS)  # on a disk: /tmp may be memory
    with Worker("ours", 1, 1, bench.threads) as ours, Worker("0.2.5", 1, 1, bench.threads) as old:
        both, rounds = [ours, old], bench.rounds(3)
        wide = alternate(both, rounds + 1, lambda w, _: w.ask("unique_ids", rows=rows, clusters=256), drop=1)
        narrow = alternate(both, rounds, lambda w, _: w.ask("unique_ids", rows=rows, clusters=64))
        one = alternate(both, rounds, lambda w, _: w.ask("count_one", folder=folder, calls=calls))

        def batch(worker: Worker, _: int) -> float:
            """Return the seconds of a key."""
            n, d = (keys, distinct) if worker is ours else (min(keys, OLD_KEYS), min(keys, OLD_KEYS) * DISTINCT // KEYS)
            return worker.ask("count", folder=folder, keys=n, distinct=d) / n

        many = alternate(both, rounds, batch)
        section.notes.append(versions(both))
    for what, seconds, per in (
        (f"{rows:,} ids of 3 x 256, in memory", wide, rows),
        (f"{rows:,} ids of 3 x 64, in memory", narrow, rows),
        (f"{keys:,} keys into SQLite, one batch", many, 0),
        ("SQLite, one key a call", one, 0),
    ):
        for program, values in seconds.items():
            shown = spread(values) if per else _micro(values)
            rate = (per or 1) / median(values)
            times = median(values) / median(seconds["ours"])
            section.rows.append([what, NAMES[program], *shown, f"{rate:,.0f}", f"{times:.2f}"])
    section.notes.append(
        f"Ids in memory: random codes, written and made unique; of 3 x 64 there are 262,144, and three of four ids get "
        f"a suffix. SQLite: times of one key, on the disk when the call returns. 0.2.5 has no batches and makes a "
        f"connection for every key: it counts {min(keys, OLD_KEYS):,} keys of which, as of ours, 70 % differ."
    )
    section.targets = [
        Target(f"{what}: semantic-id 0.2.5, times ours", ratio(seconds["0.2.5"], seconds["ours"]), limit, True)
        for what, seconds, limit in (
            ("ids of 3 x 256 in memory", wide, 5),
            ("ids of 3 x 64 in memory", narrow, 5),
            ("a batch into SQLite", many, 100),
            ("one key into SQLite", one, 2),
        )
    ]
    return section


def _micro(seconds: list[float]) -> list[str]:
    low, high = f"{1e6 * min(seconds):,.1f}", f"{1e6 * max(seconds):,.1f}"
    return [f"{1e6 * median(seconds):,.1f} µs", f"{low} - {high} µs"]
