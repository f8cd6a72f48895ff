"""The report: one HTML file on what ids are worth, to be read in a browser without a network."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .._given import as_places, read_codes
from .._id_files import check_target, replacing
from .._params import check_int
from ..exceptions import UndefinedMetricWarning
from ..utils._neighbors import _as_both
from ..utils.metrics import _codebook_sizes, evaluate, prefix_nmi
from ._names import as_labels, as_lines

__all__ = ["report"]


def report(
    X: Any,
    codes: Any,
    path: str | os.PathLike[str],
    items: Any = None,
    labels: Any = None,
    *,
    encoder: Any = None,
    coordinates: npt.ArrayLike | None = None,
    title: str = "Semantic ids",
    sep: str = "-",
    k: int = 10,
    sample_size: int | None = 1000,
    seed: int = 42,
    max_items: int = 100_000,
) -> None:
    """Write one HTML file that says what ids are worth: figures, use of codes, a map, the tree of prefixes, collisions.

    The file holds all it needs, so that it opens without a network and can be sent by mail. It takes about 5 MB, and
    below 15 with 100,000 items. Needs the extra ``semantic-id[report]``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Embeddings.
    codes : array-like of shape (n_samples, n_levels), or sequence of ids, or encoder, or engine
        Codes; or an id for each embedding, such as "3-9-1" or "<a_3><b_9>" or a list of codes or tokens, all of one
        length; or a fitted model or an engine, which encodes `X` and is also taken as `encoder`.
    path : path-like
        The file to write, which appears whole or not at all. One that is there is replaced.
    items : sequence of length n_samples, default=None
        What to call each item: a title, a name, a key. Items without one are called by their row.
    labels : array-like of shape (n_samples,), default=None
        A category of each item, of any type; None and NaN are missing.
    encoder : object, default=None
        What made the codes, as in `evaluate`: for unused codes and the squared error.
    coordinates : array-like of shape (n_samples, 2), default=None
        Where each item is on the map, as by UMAP or t-SNE (None: the first two principal components of `X`).
    title : str, default="Semantic ids"
        What the page is called.
    sep : str, default="-"
        What stands between the codes of an id, in `codes` and on the page.
    k : int, default=10
        As in `evaluate`.
    sample_size : int, default=1000
        As in `evaluate`.
    seed : int, default=42
        As in `evaluate`.
    max_items : int, default=100_000
        Items on the map and in the tree. Of more they are some, spread evenly over the ids; the page says so, and its
        figures are still of all.

    Raises
    ------
    ImportError
        If jinja2 or plotly is missing.
    ShapeMismatchError
        If `X`, `codes`, `items`, `labels` and `coordinates` are not of one length, or there are no items.
    ValueError
        If `X` or `coordinates` hold NaN or infinity, an id is none, or the file cannot be written where `path` says.
    TypeError
        If `items` or `labels` are a text or a mapping.
    OSError
        If the file cannot be written; one that was there is still there.

    See Also
    --------
    evaluate : The same figures as numbers.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from semantic_id import RQKMeans, report
    >>> X = np.random.default_rng(0).normal(size=(500, 8))
    >>> model = RQKMeans(n_levels=2, n_clusters=8, random_state=0).fit(X)
    >>> folder = tempfile.mkdtemp()
    >>> report(X, model, os.path.join(folder, "report.html"), items=[f"item {i}" for i in range(500)])
    >>> os.listdir(folder)
    ['report.html']
    """
    try:
        from ._page import Measured, Subject, render
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        raise ImportError(f"report needs {missing}: pip install 'semantic-id[report]'") from error
    target = os.fspath(path)
    check_target(target)
    check_int("max_items", max_items, 1)
    numbers, parts, encoder, items = read_codes(X, codes, items, sep, encoder)
    x, c = _as_both(X, numbers)
    names = None if items is None else as_lines("items", items, len(c))
    tags = None if labels is None else as_labels(labels, len(c))
    places = None if coordinates is None else as_places(coordinates, len(c))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the page says so
        values = evaluate(x, c, encoder, k=k, seed=seed, sample_size=sample_size, full=True, labels=labels)
        shuffled = np.random.RandomState(seed).permutation(c)
        chance = None if labels is None else prefix_nmi(shuffled, labels)
    sizes = _codebook_sizes(encoder, c.shape[1]) or [int(n) + 1 for n in c.max(axis=0)]
    text = render(
        Subject(str(title), x, c, parts, sizes, names, tags, places, sep, max_items), Measured(values, chance, k)
    )
    with replacing(target) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
