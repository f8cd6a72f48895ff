"""From what was measured to the page: data for its scripts, texts for its template, all of it in one file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import numpy as np
import numpy.typing as npt
import plotly.offline
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from .._arrays import CodeMatrix, FloatMatrix
from .._given import Parts
from .._pca import principal_map
from .._version import __version__
from . import _figures, _table
from ._map import colours, name_places
from ._names import Labels

_TEXT_BYTES = 5_000_000  # for names of items; with plotly.js of 5 MB and numbers of 2 MB the file is below 15 MB
_LABEL_BYTES = 500_000
_BARS = 512  # of codes of a level: more nobody sees
_BUCKETS = 200  # listed; all can be found in the tree
_IN_BUCKET = 50
_AT_ONCE = 6  # items of a bucket that need no opening
_SCRIPTS = ("data.js", "charts.js", "map.js", "pan.js", "tree.js", "find.js")


@dataclass
class Subject:
    """What a report is of."""

    title: str
    x: FloatMatrix
    codes: CodeMatrix
    parts: Parts
    sizes: Sequence[int]
    items: Sequence[str] | None
    labels: Labels | None
    places: npt.NDArray[np.float64] | None
    sep: str
    max_items: int

    def id_of(self, row: int) -> str:
        codes = self.codes[row].tolist()
        return self.sep.join(
            str(code) if part is None else part[code] for code, part in zip(codes, self.parts, strict=True)
        )

    def name_of(self, row: int) -> str:
        return (self.items[row] if self.items is not None else "") or f"row {row}"


class Measured(NamedTuple):
    """The values of `evaluate`, the NMI of labels and shuffled codes, and the neighbors these are of."""

    values: dict[str, Any]
    chance: list[float] | None
    k: int


class _Shared(NamedTuple):
    """An id that several items have."""

    id: str
    size: int
    items: list[str]


def render(subject: Subject, measured: Measured) -> str:
    """Return the page."""
    prefixes = _table.Prefixes.of(subject.codes)
    rows, counts = prefixes.shown(subject.max_items)
    places, shares, variance = _places(subject, rows)
    bars = prefixes.sizes()
    data, is_cut = _data(subject, rows, counts, places, bars)
    buckets, n_shared = prefixes.largest_buckets(_BUCKETS, _IN_BUCKET)
    figures = _figures.figures(measured.values, subject.sizes, measured.k, variance, measured.chance)
    script = Markup("(() => {\n%s})();\n" % "".join(_read(name) for name in _SCRIPTS))  # noqa: UP031
    plotly_js = Markup(plotly.offline.get_plotlyjs())
    return _template().render(
        title=subject.title,
        version=__version__,
        n=len(subject.codes),
        shown=len(rows),
        sizes=subject.sizes,
        summary=_figures.summary(figures),
        figures=figures,
        levels=_figures.level_table(measured.values, subject.sizes, measured.chance),
        values=_figures.all_values(measured.values, measured.k),
        bars=bars,
        shares=shares,
        shared=[_shared(subject, bucket) for bucket in buckets],
        n_shared=n_shared,
        at_once=_AT_ONCE,
        is_cut=is_cut,
        has_labels=subject.labels is not None,
        ordinal=_figures.ordinal,
        css=Markup(_read("page.css")),
        plotly_js=plotly_js,
        script=script,
        data=data,
        policy=_policy(plotly_js, script),
    )


def _places(subject: Subject, rows: _table.Rows) -> tuple[npt.NDArray[np.float32], tuple[float, float] | None, float]:
    """Return where the rows are on the map, what share of the variance its axes hold, and the variance."""
    x = subject.x if len(rows) == len(subject.x) else subject.x[np.sort(rows)]
    at = rows if len(rows) == len(subject.x) else np.argsort(np.argsort(rows))
    principal, shares, variance = principal_map(x)
    if subject.places is None:
        return principal[at], shares, variance
    given = subject.places[rows] - subject.places.mean(axis=0)
    return (given / (np.abs(given).max() or 1.0)).astype(np.float32), None, variance


def _data(
    subject: Subject, rows: _table.Rows, counts: list[_table.Rows], places: npt.NDArray[np.float32],
    bars: list[_table.Bar],
) -> tuple[Markup, bool]:  # fmt: skip
    """Return what the scripts read, as JSON, and whether names were cut."""
    first = subject.codes[rows, 0]
    items, labels = None, None
    is_cut = False
    if subject.items is not None:
        items, is_cut = _table.cut([subject.items[row] for row in rows], _TEXT_BYTES, _json_size)
    if subject.labels is not None:
        used, numbers = np.unique(subject.labels.numbers[rows], return_inverse=True)
        names, labels_cut = _table.cut(
            ["" if i < 0 else subject.labels.names[i] for i in used.tolist()], _LABEL_BYTES, _json_size
        )
        missing = bool(used[0] < 0)
        labels = {"names": names, "of": _packed(numbers), "missing": missing}
        is_cut = is_cut or labels_cut
    data = {
        "n": len(subject.codes),
        "sep": subject.sep,
        "parts": [None if part is None else list(map(list, part.items())) for part in subject.parts],
        "codes": [_packed(column) for column in subject.codes[rows].T],
        "counts": [_packed(count) for count in counts],
        "use": [_use(column, size) for column, size in zip(subject.codes.T, subject.sizes, strict=True)],
        "sizes": list(subject.sizes),
        "bars": bars,
        "x": _packed(places[:, 0]),
        "y": _packed(places[:, 1]),
        "rows": _packed(rows),
        "items": items,
        "labels": labels,
        "colours": colours(first, places),
        "names": name_places(first, places),
    }
    return _json(data), is_cut


def _use(codes: npt.NDArray[np.int32], size: int) -> dict[str, Any]:
    """Return codes of a level and their counts, the most used first: of many only some, at equal steps."""
    counts = np.bincount(codes, minlength=size)
    step = max(1, size // _BARS)
    shown = np.argsort(-counts, kind="stable")[::step]
    return {"step": step, "codes": _packed(shown), "counts": _packed(counts[shown])}


def _packed(values: npt.NDArray[Any]) -> list[str]:
    """Return numbers as the name of a JavaScript array of them, and its bytes in base64."""
    if values.dtype.kind == "f":
        kind, dtype = "Float32Array", "<f4"
    elif values.max(initial=0) < 1 << 16:
        kind, dtype = "Uint16Array", "<u2"
    else:
        kind, dtype = "Uint32Array", "<u4"
    return [kind, base64.b64encode(np.ascontiguousarray(values).astype(dtype).tobytes()).decode()]


def _shared(subject: Subject, bucket: _table.Bucket) -> _Shared:
    rows = bucket.rows.tolist()
    names, _ = _table.cut([subject.name_of(row) for row in rows], 8000, _json_size)
    return _Shared(subject.id_of(rows[0]), bucket.size, names)


def _json(value: Any) -> Markup:
    """Return JSON that holds nothing that HTML could take for its own."""
    return htmlsafe_json_dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json_size(value: Any) -> int:
    return len(_json(value).encode())


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    return environment.get_template("page.html")


def _policy(*scripts: str) -> str:
    """Return a Content-Security-Policy: no connection, and no script but these, which make functions for WebGL."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
