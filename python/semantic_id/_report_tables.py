"""Values of `evaluate`, `churn` and `compare` as text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

# Key, what it is called, how it is written; {k} stands for the number of neighbors.
_ALL = [
    ("n_samples", "items", "count"),
    ("n_unique_codes", "different ids", "count"),
    ("collision_rate", "collision rate", "share"),
    ("singleton_rate", "items with an id of their own", "share"),
    ("largest_bucket", "most items on one id", "count"),
    ("perplexity", "perplexity of ids", "count"),
    ("gini", "Gini of ids", "number"),
    ("recall_at_{k}", "recall at {k}", "number"),
    ("ndcg_at_{k}", "NDCG at {k}", "number"),
    ("item_recall_at_{k}", "item recall at {k}", "number"),
    ("item_ndcg_at_{k}", "item NDCG at {k}", "number"),
    ("distance_correlation", "distance correlation", "number"),
    ("quantization_mse", "squared error", "number"),
]
_PER_LEVEL = [
    ("code_utilization_per_level", "utilization", "share"),
    ("dead_codes_per_level", "dead", "count"),
    ("code_entropy_per_level", "entropy", "number"),
    ("perplexity_per_level", "perplexity", "number"),
    ("gini_per_level", "Gini", "number"),
    ("prefix_fan_out", "fan-out", "number"),
    ("collision_rate_per_level", "collisions", "share"),
]
_CHURN = [
    ("n_common", "items in both", "count"),
    ("n_added", "only in B", "count"),
    ("n_removed", "only in A", "count"),
    ("change_rate", "of the common, with another id", "share"),
    ("n_reused", "ids of A that B gives to other items", "count"),
]
_CHURN_PER_LEVEL = [
    ("change_rate_per_level", "another prefix", "share"),
    ("prefix_nmi_per_level", "agreement (NMI)", "number"),
]


def evaluation(values: Sequence[dict[str, Any]], titles: Sequence[str], k: int) -> str:
    """Return one table of single values, a column for each of `values`, and one of levels for each."""
    rows = []
    for key, name, kind in _ALL:
        key, name = key.format(k=k), name.format(k=k)
        if any(key in v for v in values):
            rows.append([name, *(_written(v.get(key), kind) for v in values)])
    parts = [_table([""] * bool(rows) + list(titles), rows) if any(titles) else _table(None, rows)]
    for v, title in zip(values, titles, strict=True):
        parts.append(_levels(v, _PER_LEVEL, title))
    return "\n\n".join(parts)


def changes(values: dict[str, Any]) -> str:
    """Return the tables of what `churn` found from A to B."""
    rows = [[name, _written(values[key], kind)] for key, name, kind in _CHURN]
    return "\n\n".join(filter(None, [_table(None, rows), _levels(values, _CHURN_PER_LEVEL, "")]))


def _levels(values: dict[str, Any], columns: Sequence[tuple[str, str, str]], title: str) -> str:
    columns = [c for c in columns if values.get(c[0])]
    if not columns:
        return ""
    count = len(values[columns[0][0]])
    rows = [[str(level), *(_written(values[key][level], kind) for key, _, kind in columns)] for level in range(count)]
    return _table([f"{title} level".strip(), *(name for _, name, _ in columns)], rows)


def _written(value: Any, kind: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, float) and math.isnan(value):
        return "not defined"
    return {"count": f"{value:,.0f}", "share": f"{100 * value:.1f} %"}.get(kind, f"{value:.4g}")


def _table(header: list[str] | None, rows: Sequence[Sequence[str]]) -> str:
    """Return rows with the first column to the left, the others to the right."""
    lines = [*([header] if header else []), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
