"""The figures at the head of a report: what each says, and what a good value looks like (see docs/metrics.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._report_tables import _ALL, _PER_LEVEL, _written

_IN_USE = 0.9  # of a codebook; below it a level is collapsed
_EVEN = 0.5  # perplexity over the size of the codebook; below it a level is collapsed
_FOUND = 0.15  # of the neighbors; 0.15 to 0.4 is usual for three levels of 256
_CROWD = 0.01  # of all items, on one id


class Figure(NamedTuple):
    """A value and how to read it. `verdict` is "good", "look" or "" where it depends on what the ids are for."""

    name: str
    value: str
    verdict: str
    meaning: str
    good: str


def figures(
    values: dict[str, Any], sizes: Sequence[int], k: int, variance: float, chance_nmi: Sequence[float] | None
) -> list[Figure]:
    """Return the figures at the head.

    Parameters
    ----------
    values : dict
        Of ``evaluate(full=True)``.
    sizes : sequence of int
        Of the codebooks.
    k : int
        The neighbors of `values`.
    variance : float
        The mean variance of the columns of the embeddings.
    chance_nmi : sequence of float, optional
        ``prefix_nmi`` of codes in random order, where there are labels.
    """
    made = [_use(values), _evenness(values, sizes), _neighbors(values, k), _largest(values), _own(values)]
    if "quantization_mse" in values and variance > 0:
        made.append(_error(values["quantization_mse"] / variance))
    if chance_nmi is not None:
        made.append(_labels(values, chance_nmi))
    return [figure for figure in made if figure is not None]


def summary(made: Sequence[Figure]) -> str:
    """Return one sentence on all figures that have a verdict."""
    judged = [figure for figure in made if figure.verdict]
    look = [figure.name for figure in judged if figure.verdict == "look"]
    if not look:
        return f"All {len(judged)} figures that can be judged by themselves are good."
    names = look[0] if len(look) == 1 else f"{', '.join(look[:-1])} and {look[-1]}"
    return f"Worth a look: {names.lower()}. Of the {len(judged)} figures that can be judged, the others are good."


def _lowest(shares: Sequence[float]) -> tuple[float, str]:
    """Return the lowest share of a level, and where that is, unless all are the same."""
    lowest = min(shares)
    return lowest, f", lowest at the {ordinal(shares.index(lowest))} level" if lowest < max(shares) else ""


def _use(values: dict[str, Any]) -> Figure:
    share, where = _lowest(values["code_utilization_per_level"])
    return Figure(
        "Codes in use",
        _percent(share),
        "good" if share >= _IN_USE else "look",
        f"The share of a codebook that some item has{where}.",
        "90 % or more at each level. Less is a collapsed level: fewer codes would do as well.",
    )


def _evenness(values: dict[str, Any], sizes: Sequence[int]) -> Figure:
    share, where = _lowest([p / size for p, size in zip(values["perplexity_per_level"], sizes, strict=True)])
    return Figure(
        "Evenness of use",
        _percent(share),
        "good" if share >= _EVEN else "look",
        f"Perplexity over the size of the codebook{where}. 100 %: all codes have equally many items.",
        "50 % or more at each level.",
    )


def _neighbors(values: dict[str, Any], k: int) -> Figure | None:
    recall = values.get(f"item_recall_at_{k}")
    if recall is None:
        return None
    chance = k / (values["n_samples"] - 1)
    verdict = "" if chance > _FOUND else "good" if recall >= _FOUND else "look"
    few = values["collision_rate"] < 0.1
    advice = "the first levels do not follow the embeddings" if few else "more levels or clusters help"
    return Figure(
        "Near items, near ids",
        _percent(recall),
        verdict,
        f"Of the {k} nearest items by embedding, how many are among the {k} nearest by id: item recall at {k}.",
        f"15 to 40 % is usual for three levels of 256; chance is {_percent(chance)}."
        + (f" As it is low here: {advice}." if verdict == "look" else ""),
    )


def _own(values: dict[str, Any]) -> Figure:
    return Figure(
        "Items with an id of their own",
        _percent(values["singleton_rate"]),
        "",
        f"{values['n_unique_codes']:,} different ids for {values['n_samples']:,} items: a collision rate of "
        f"{_percent(values['collision_rate'])}.",
        "70 % is usual for three levels of 256. Few collisions are no aim by themselves: random ids have few too.",
    )


def _largest(values: dict[str, Any]) -> Figure:
    count = values["largest_bucket"]
    crowded = count > 10 and count > _CROWD * values["n_samples"]
    return Figure(
        "Most items on one id",
        f"{count:,}",
        "look" if crowded else "good",
        f"{_percent(count / values['n_samples'])} of all items.",
        "Below 1 % of the items, and items that are alike: see the shared ids below.",
    )


def _error(share: float) -> Figure:
    return Figure(
        "Lost in the codes",
        _percent(share),
        "" if share < 1 else "look",
        "The squared error of what the codes decode to, over the variance of the embeddings.",
        "30 to 50 % is usual for sentence embeddings and three levels of 256. The lower the better.",
    )


def _labels(values: dict[str, Any], chance: Sequence[float]) -> Figure:
    labeled, rows = values["n_labeled"], values["n_samples"]
    of = "all" if labeled == rows else f"the {labeled:,} of"
    nmi, by_chance = values["prefix_nmi"][1], chance[1]
    verdict = "" if math.isnan(nmi) else "good" if nmi >= 2 * by_chance and nmi > 0 else "look"
    return Figure(
        "Labels that first codes tell",
        _number(nmi),
        verdict,
        f"Normalised mutual information of first code and label, from 0 to 1, over "
        f"{of} {rows:,} items that have a label.",
        f"Well above the {_number(by_chance)} of ids in random order.",
    )


# --- tables ---


class Column(NamedTuple):
    """A column of the table of levels: a cell for each level, and which of them are worth a look."""

    name: str
    cells: list[str]
    look: list[bool]


def level_table(values: dict[str, Any], sizes: Sequence[int], chance_nmi: Sequence[float] | None) -> list[Column]:
    """Return the columns of the table of levels."""
    levels = range(len(sizes))
    columns = [Column("codebook", [f"{size:,}" for size in sizes], [False] * len(sizes))]
    for key, name, kind in _PER_LEVEL:
        look = [False] * len(sizes)
        if key == "code_entropy_per_level":  # perplexity says the same
            continue
        if key == "code_utilization_per_level":
            look = [share < _IN_USE for share in values[key]]
        elif key == "perplexity_per_level":
            look = [values[key][level] < _EVEN * sizes[level] for level in levels]
        columns.append(Column(name, [_written(value, kind) for value in values[key]], look))
    if chance_nmi is not None:
        for name, cells in (
            ("purity", values["prefix_purity"]),
            ("NMI", values["prefix_nmi"]),
            ("NMI by chance", chance_nmi),
        ):
            columns.append(Column(name, [_number(v) for v in cells[1:]], [False] * len(sizes)))
    return columns


def all_values(values: dict[str, Any], k: int) -> list[tuple[str, str]]:
    """Return the name and the value of every single figure."""
    named = [(key.format(k=k), name.format(k=k), kind) for key, name, kind in _ALL]
    return [(name, _written(values[key], kind)) for key, name, kind in named if key in values]


def ordinal(level: int) -> str:
    """Return "first" for level 0, as people count."""
    words = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
    return words[level] if level < len(words) else f"{level + 1}th"


def _percent(share: float) -> str:
    if 0.9995 <= share < 1:
        return "99.9 %"
    return f"{100 * share:.{3 if share >= 0.01 else 2}g} %"


def _number(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.2f}"
