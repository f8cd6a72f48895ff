"""RQ-VAE: training steps beside PyTorch's, whole fits and encoding beside semantic-id 0.2.5."""

from __future__ import annotations

import re
from contextlib import ExitStack
from statistics import median

import numpy as np
from bench import NAMES, PACKAGES, RESULTS, Bench, alternate, go_bench, ratio, spread, versions
from peers import MissingError, Worker
from report import Section, Target, not_measured

COLUMNS, BATCH = 768, 2048
SHAPE = {"levels": 4, "clusters": 256}
NETWORK = {"layers": [512, 256, 128], "e_dim": 64, "lr": 1e-4, "batch_size": BATCH}


def rqvae(bench: Bench) -> list[Section]:
    """The measurements of RQ-VAE."""
    sections = [_steps(bench)]
    try:
        sections += [_fit(bench), _encode(bench)]
    except MissingError as error:
        sections.append(not_measured("RQ-VAE beside semantic-id 0.2.5", error))
    return sections


def _steps(bench: Bench) -> Section:
    """Steps per second: alone, in Go, and in fits of three epochs less fits of one."""
    batches, epochs = (2, 3) if bench.quick else (32, 3)
    programs = ["ours-rqvae", "0.2.5-torch"]
    alone = []
    seconds: dict[str, list[float]] = {p: [] for p in programs}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, COLUMNS, batches * BATCH, bench.threads)) for p in programs]

        def fit(worker: Worker, seed: int, epochs: int) -> float:
            return worker.ask("fit", seed=seed, epochs=epochs, **SHAPE, **NETWORK)

        def step(worker: Worker, seed: int) -> float:
            return (fit(worker, seed, epochs) - fit(worker, seed, 1)) / (batches * (epochs - 1))

        alternate(workers, 1, lambda w, i: fit(w, i, 1))  # warm up
        for seed in range(bench.rounds(5)):
            output = go_bench("BenchmarkStep$", "2s", bench.threads, "./core/rqvae")
            alone.append(1 / max(float(rate) for rate in re.findall(r"([\d.]+) steps/s", output)))
            for p, values in alternate(workers, 1, lambda w, _, seed=seed: step(w, seed)).items():  # type: ignore[misc]
                seconds[p] += values
        used = versions(workers)
    section = Section(
        f"RQ-VAE: training steps, {COLUMNS}-512-256-128-64 and back, 4 x 256, batches of {BATCH:,}, AdamW",
        ["program", "steps per second, median", "range", "times our step"],
    )
    timed = {"**semantic-id, this one**, a step in Go": alone}
    timed |= {
        f"{NAMES['ours-rqvae']}, a step of a fit": seconds["ours-rqvae"],
        NAMES["0.2.5-torch"]: seconds["0.2.5-torch"],
    }
    for name, values in timed.items():
        rates = f"{1 / max(values):.2f} - {1 / min(values):.2f}"
        section.rows.append([name, f"{1 / median(values):.2f}", rates, f"{ratio(values, alone):.2f}"])
    section.notes.append(
        f"{used} Steps of fits are of fits of {epochs} epochs less fits of one, {batches} steps an epoch. Our fits "
        "also judge each epoch: the error and the collisions of up to 16,384 rows, which the loop of PyTorch, with the "
        "same network, losses, optimiser and batches (programs_rqvae.py), does not."
    )
    times = ratio(seconds["0.2.5-torch"], alone)
    section.targets = [Target("RQ-VAE: time of a step of PyTorch, times ours", times, 1, True)]
    if times < 1:
        section.losses.append(f"RQ-VAE: a training step of PyTorch takes {times:.2f} of our time.")
    return section


def _fit(bench: Bench) -> Section:
    """Whole fits with the defaults but the number of epochs."""
    data, rows = bench.data(PACKAGES)
    programs, epochs = ["ours-rqvae", "0.2.5-rqvae"], 2 if bench.quick else 10
    section = Section(
        f"RQ-VAE: fit of {rows:,} x 384, 4 x 256, {epochs} epochs",
        ["program", "median", "range", "times ours", "mean error"],
    )
    errors: dict[str, list[float]] = {p: [] for p in programs}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]

        def fit(worker: Worker, seed: int) -> float:
            seconds = worker.ask("fit", seed=seed, epochs=epochs, **SHAPE, **NETWORK)
            errors[worker.program].append(worker.ask("error"))
            return seconds

        seconds = alternate(workers, bench.rounds(3), fit)
        section.notes.append(versions(workers))
    for p in programs:
        section.rows.append([
            NAMES[p], *spread(seconds[p]), f"{ratio(seconds[p], seconds['ours-rqvae']):.2f}",
            f"{sum(errors[p]) / len(errors[p]):.4e}",
        ])  # fmt: skip
    section.notes.append("Errors are of decoded codes. 0.2.5 keeps the first epoch by default; ours keeps the best.")
    times = ratio(seconds["0.2.5-rqvae"], seconds["ours-rqvae"])
    section.targets = [Target("RQ-VAE: whole fit of semantic-id 0.2.5, times ours", times, 1.5, True)]
    return section


def _encode(bench: Bench) -> Section:
    """Encode with the weights of one model, which 0.2.5 has saved."""
    data, rows = bench.data(PACKAGES)
    programs = ["ours-rqvae", "0.2.5-rqvae"]
    section = Section(
        f"RQ-VAE: encode {rows:,} x 384, 4 x 256, the same model",
        ["program", "median", "range", "times ours", "equal codes"],
    )
    codes = {}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(p, data, rows, bench.threads)) for p in programs]
        model = str(RESULTS / "rqvae")
        workers[1].ask("fit", seed=0, epochs=1, **SHAPE, **NETWORK)
        for worker in workers[::-1]:
            if worker.program == "0.2.5-rqvae":
                worker.ask("save", path=model)
            else:
                worker.ask("load", path=model)
        seconds = alternate(workers, bench.rounds(9) + 1, lambda w, _: w.ask("encode"), drop=1)
        for worker in workers:
            file = RESULTS / f"codes-{worker.program}.npy"
            worker.ask("save_codes", path=str(file))
            codes[worker.program] = np.load(file)
        section.notes.append(versions(workers))
    for p in programs:
        equal = np.mean((codes[p] == codes["ours-rqvae"]).all(axis=1))
        section.rows.append([
            NAMES[p], *spread(seconds[p], 3), f"{ratio(seconds[p], seconds['ours-rqvae']):.2f}",
            f"{100 * equal:.3f} % of rows",
        ])  # fmt: skip
    times = ratio(seconds["0.2.5-rqvae"], seconds["ours-rqvae"])
    section.targets = [Target("RQ-VAE: encode of semantic-id 0.2.5, times ours", times, 2, True)]
    return section
