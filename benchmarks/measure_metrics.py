"""The metrics: evaluate with its defaults and over all rows, and the neighbors alone beside faiss."""

from __future__ import annotations

from contextlib import ExitStack
from statistics import median

from bench import CLUSTERS, DIM, LEVELS, NAMES, PACKAGES, RESULTS, Bench, spread, versions
from peers import Worker
from report import Section, Target

K = 10
# Values whose definition leaves nothing open, not even among ties.
DEFINED = ["collision_rate", "distance_correlation", "quantization_mse"]
DEFINED_PER_LEVEL = ["collision_rate_per_level", "code_utilization_per_level", "code_entropy_per_level"]


def metrics(bench: Bench) -> Section:
    """evaluate of this package and of 0.2.5 on the same codes; exact neighbors of all rows beside faiss."""
    data, rows = bench.data(PACKAGES)
    section = Section(
        f"Metrics of {rows:,} x {DIM}, {LEVELS} x {CLUSTERS}", ["", "program", "median", "range", "times ours"]
    )
    with ExitStack() as stack:
        ours, old, faiss = workers = [
            stack.enter_context(Worker(p, data, rows, bench.threads)) for p in ("ours", "0.2.5", "faiss-flat")
        ]
        model, codes = str(RESULTS / "model"), str(RESULTS / "codes-metrics.npy")
        ours.ask("fit", levels=LEVELS, clusters=CLUSTERS, seed=0)
        ours.ask("save", path=model)
        old.ask("load", path=model)
        ours.ask("encode")
        ours.ask("save_codes", path=codes)

        n = bench.rounds(5)
        defaults = [ours.ask("evaluate", codes=codes) for _ in range(n + 1)][1:]
        theirs = [old.ask("evaluate", codes=codes)]
        differences = [abs(ours.ask("value", name=name) - old.ask("value", name=name)) for name in DEFINED]
        differences += [
            abs(ours.ask("value", name=name, level=level) - old.ask("value", name=name, level=level))
            for name in DEFINED_PER_LEVEL
            for level in range(LEVELS)
        ]
        everything = [ours.ask("evaluate", codes=codes, sample_size=None, full=True) for _ in range(bench.rounds(3))]
        neighbors = [ours.ask("neighbors", k=K, codes=codes) for _ in range(bench.rounds(3))]
        flat = [faiss.ask("neighbors", k=K, codes=codes) for _ in range(bench.rounds(3))]
        section.notes.append(versions(workers))
    for what, program, seconds, base in (
        ("evaluate, defaults", "ours", defaults, defaults),
        ("evaluate, defaults", "0.2.5", theirs, defaults),
        ("evaluate of all rows, full", "ours", everything, everything),
        (f"recall at {K} of all rows", "ours", neighbors, neighbors),
        (f"{K} neighbors of all rows", "faiss-flat", flat, neighbors),
    ):
        section.rows.append([what, NAMES[program], *spread(seconds), f"{median(seconds) / median(base):.2f}"])
    if median(flat) < median(neighbors):
        share = median(flat) / median(neighbors)
        section.losses.append(f"Neighbors of all rows: faiss.IndexFlatL2 takes {share:.2f} of our time.")
    section.notes.append(
        f"Neighbors are exact in both; faiss's distances are float32 sums, ours are settled in float64. 0.2.5 is "
        f"measured once and has no way to take all rows. Values that it defines whatever ties differ from ours by "
        f"{max(differences):.1e} at most."
    )
    section.targets = [
        Target("evaluate, defaults: semantic-id 0.2.5, times ours", theirs[0] / median(defaults), 200, True),
        Target("evaluate of all rows: 0.2.5 with its defaults, times ours", theirs[0] / median(everything), 15, True),
        Target("evaluate: the most a value differs from 0.2.5's, in 1e-6", 1e6 * max(differences), 1, False),
    ]
    return section
