"""The assignment kernel beside the peak of the CPU."""

from __future__ import annotations

import re

from bench import CLUSTERS, DIM, Bench, go_bench
from report import Section, Target


def kernel(bench: Bench) -> Section:
    """The assignment kernel beside a loop of nothing but fused multiply-adds, and with a first pass in integers."""
    section = Section(
        "Assignment kernel: share of the FMA peak",
        [
            "instructions",
            "peak, one core",
            "float32 kernel, one core",
            "float32 kernel, two cores",
            "gain of two cores over the loop's",
            "with the first pass in integers, one core",
        ],
    )
    output = go_bench("BenchmarkPeak", "0.3s" if bench.quick else "3s", bench.threads)
    for level in ("avx2", "avx512"):
        line = re.search(rf"^BenchmarkPeak/level={level}/.*$", output, re.MULTILINE)
        figures = {unit: float(value) for value, unit in re.findall(r"([\d.]+) (\S+)", line[0])} if line else {}
        reason = f"no {level} on this CPU"
        share, gain, first = figures.get("%ofpeak1"), figures.get("gain"), figures.get("firstpass")
        section.targets += [
            Target(f"kernel, {level}, one core: share of the FMA peak", share, 70, True, " %", reason),
            Target(f"kernel, {level}: gain of two cores over the loop's", gain, 0.9, True, "", reason),
        ]
        if line:
            section.rows.append([
                level, f"{figures['peakGFLOPS']:.0f} GFLOP/s", f"{share:.0f} %", f"{figures.get('%ofpeak2', 0):.0f} %",
                "" if gain is None else f"{gain:.3f}", "none" if first is None else f"{first:.2f} x as fast",
            ])  # fmt: skip
    section.notes.append(
        f"256 rows of {DIM}, {CLUSTERS} centroids; the best of many turns of half a millisecond, which alternate."
    )
    return section
