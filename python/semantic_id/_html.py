"""What notebooks show of models and engines: HTML without scripts and pictures, for pages in light or dark colours.

Tables with headers and figures come first, so that it reads as well where styles are stripped or by a screen reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from inspect import Parameter
from typing import Any, NamedTuple

_LONGEST = 200  # characters of a value
_LEVELS = 12  # shown; a model may have thousands
_BLUE, _PALE = "#4c8dd6", "#4c8dd666"  # seen on white and on black
_CELL = "padding:1px 14px 1px 0;text-align:left;vertical-align:middle;background:none"


class Level(NamedTuple):
    """A codebook, and how the rows of the fit use it; None where that is not known."""

    clusters: int
    used: float | None = None  # codes
    perplexity: float | None = None


def model_html(name: str, settings: Sequence[tuple[Parameter, Any]], state: str, levels: Sequence[Level]) -> str:
    """Return the HTML of a model.

    Parameters
    ----------
    name : str
        Of the class.
    settings : sequence of pairs
        The parameters of its constructor and their values.
    state : str
        Whether it is fitted, to what, and how well.
    levels : sequence of Level
        The codebooks of a fitted model.
    """
    return _box(name, state, _levels(levels) + _settings(settings))


def engine_html(name: str, state: str, encoder: Any, parts: Sequence[tuple[str, Any]]) -> str:
    """Return the HTML of an engine: its encoder's and, in a table, what else it is made of."""
    rows = "".join(_row(key, _short(value)) for key, value in parts)
    return _box(name, state, f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>' + _inner(encoder))


_TABLE = "border-collapse:collapse;font-size:0.9em;margin:4px 0"


def _box(name: str, state: str, body: str) -> str:
    style = "border:1px solid #8886;border-radius:4px;padding:6px 10px;margin:2px 0;max-width:46em"
    return f'<div style="{style}"><div><b>{escape(name)}</b> {escape(state)}</div>{body}</div>'


def _inner(encoder: Any) -> str:
    shown = getattr(encoder, "_repr_html_", None)
    text = shown() if callable(shown) else None
    return text if isinstance(text, str) else f"<div>{_short(encoder)}</div>"


def _levels(levels: Sequence[Level]) -> str:
    if not levels:
        return ""
    known = [level for level in levels if level.used is not None]
    heads = ["level", "codes"] + ["in use", "perplexity", "share"] * bool(known)
    head = "".join(f'<th scope="col" style="{_CELL}">{text}</th>' for text in heads)
    rows = "".join(_level(n, level) for n, level in enumerate(levels[:_LEVELS]))
    more = f"<div>and {len(levels) - _LEVELS} more levels</div>" if len(levels) > _LEVELS else ""
    return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'


def _level(n: int, level: Level) -> str:
    cells = [f"{level.clusters:,}"]
    if level.used is not None and level.perplexity is not None:
        used, equal = (100 * value / level.clusters for value in (level.used, level.perplexity))
        stops = f"{_BLUE} {equal:.1f}%,{_PALE} {equal:.1f}%,{_PALE} {used:.1f}%,transparent {used:.1f}%"
        says = f"level {n}: {used:.0f} % of the codes in use, as varied as {equal:.0f} % of them used equally often"
        style = f"width:120px;height:9px;border:1px solid #8889;background:linear-gradient(to right,{stops})"
        bar = f'<div role="img" aria-label="{says}" title="{says}" style="{style}"></div>'
        cells += [f"{level.used:,.0f}", f"{level.perplexity:,.0f}", bar]
    return f'<tr style="background:none"><th scope="row" style="{_CELL}">{n}</th>{_cells(cells)}</tr>'


def _settings(settings: Sequence[tuple[Parameter, Any]]) -> str:
    rows = "".join(_row(p.name, _short(value), faint=repr(value) == repr(p.default)) for p, value in settings)
    table = f'<table style="{_TABLE}"><tbody>{rows}</tbody></table>'
    changed = ", ".join(f"{p.name}={_short(value)}" for p, value in settings if repr(value) != repr(p.default))
    return f"<details><summary>Settings: {changed or 'the defaults'}</summary>{table}</details>"


def _row(name: str, value: str, faint: bool = False) -> str:
    style = _CELL + ";opacity:0.6;font-weight:normal" * faint
    cells = f'<th scope="row" style="{style}">{escape(name)}</th><td style="{style}"><code>{value}</code></td>'
    return f'<tr style="background:none">{cells}</tr>'


def _cells(texts: Sequence[str]) -> str:
    return "".join(f'<td style="{_CELL}">{text}</td>' for text in texts)


def _short(value: Any) -> str:
    """Return what `repr` says, escaped and not too long."""
    text = repr(value)
    return escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
