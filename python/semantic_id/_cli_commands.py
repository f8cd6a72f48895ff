"""What each command of `semantic-id` does with its arguments, which _cli_parser reads."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import json
import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from . import (
    RQVAE,
    RQKMeans,
    SQLiteCollisionStore,
    UniqueIdResolver,
    compare,
    estimate,
    evaluate,
    report,
    set_num_threads,
)
from ._id_files import check_target, id_writer
from ._id_maps import Column, read_column, read_id_map
from ._id_parts import as_codes
from ._tables import DataError, _load_npy, naming, open_embeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._tables import Block, Embeddings


def run_fit(arguments: argparse.Namespace) -> None:
    levels, clusters = _shape(arguments)
    _check_model_target(arguments.model)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    embeddings = _open(arguments)
    with _progress(embeddings, "read") as progress:
        x = embeddings.matrix(progress.update)
    model = RQKMeans(
        n_levels=levels,
        n_clusters=clusters,
        metric=arguments.metric,
        implementation=arguments.implementation,
        max_iter=arguments.max_iter,
        tol=arguments.tol,
        n_init=arguments.n_init,
        random_state=arguments.seed,
        verbose=sys.stderr.isatty(),
    )
    start = time.monotonic()
    with naming(embeddings.path):
        model.fit(x)
    seconds = time.monotonic() - start
    model.save(arguments.model)

    print(f"fitted on {len(x):,} rows of {x.shape[1]:,} numbers in {seconds:.1f} s; model in {arguments.model}")
    print("level  clusters  iterations  squared error a row")
    for level, (clusters, iterations, inertia) in enumerate(
        zip(model.n_clusters, model.n_iter_, model.inertia_, strict=True)
    ):
        print(f"{level:5}  {clusters:8}  {iterations:10}  {inertia / len(x):19.6g}")


def run_encode(arguments: argparse.Namespace) -> None:
    model = _load(arguments.model)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    embeddings = _open(arguments)
    if arguments.out == "-" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # as the files we write, whatever the locale
    if os.path.exists(arguments.out) and os.path.samefile(arguments.out, embeddings.path):
        raise DataError(f"{arguments.out}: is the file of embeddings itself; choose another name by --out")
    search = {} if arguments.beam_size == 1 else {"beam_size": arguments.beam_size}  # an RQVAE has no beam
    rows = 0
    distinct: list[Any] = []
    balanced = _encode_balanced(model, embeddings, search) if arguments.balanced else None
    resolver = None if arguments.store is None else UniqueIdResolver(SQLiteCollisionStore(arguments.store))
    with (
        id_writer(arguments.out, model.n_levels) as writer,
        _progress(embeddings, "encode") as progress,
    ):
        for block in embeddings.blocks():
            if balanced is None:
                with naming(embeddings.path):
                    codes = model.encode(block.vectors, **search)
            else:
                codes = balanced[block.start : block.start + len(block.vectors)]
            ids = model.semantic_id(codes, sep=arguments.sep, fmt=arguments.format)
            if resolver is not None:
                ids = _unique(resolver, ids, block, codes, model, arguments)
            writer.write(block.ids, ids, codes)
            distinct.append(_distinct(codes))
            rows += len(ids)
            progress.update(len(ids))
    if arguments.out != "-":
        n = len(np.unique(np.concatenate(distinct)))
        which = f"{n:,} of them distinct" if resolver is None else f"no two alike, for {n:,} distinct codes"
        print(f"wrote {rows:,} ids, {which}, to {arguments.out}")


def _unique(
    resolver: UniqueIdResolver, ids: list[str], block: Block, codes: Any, model: Any, arguments: argparse.Namespace
) -> list[str]:
    """Return the ids that the store has or makes for the items of a block."""
    path = arguments.embeddings
    if isinstance(block.ids, range):
        raise DataError(f"{path}: has no ids to know items by; choose the column by --id-column, or leave out --store")
    with naming(path):
        return resolver.assign(ids, sep=arguments.sep, item_keys=block.ids, codes=codes, model=model)


def _encode_balanced(model: Any, embeddings: Embeddings, search: dict[str, int]) -> Any:
    """Return balanced codes of all rows, each of which depends on all others."""
    with _progress(embeddings, "read") as progress:
        x = embeddings.matrix(progress.update)
    with naming(embeddings.path):
        return model.encode(x, balanced=True, **search)


def run_evaluate(arguments: argparse.Namespace) -> None:
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    model = None if arguments.model is None else _load(arguments.model)
    x, items = _rows(arguments)
    ids = _ids_of(items, arguments)
    with naming(arguments.ids):
        codes = as_codes([ids[item] for item in items], "the file")
    unused = len(ids.keys() - set(items))
    with naming(arguments.embeddings):
        values = evaluate(
            x,
            codes,
            model,
            k=arguments.k,
            n_pairs=arguments.n_pairs,
            seed=arguments.seed,
            sample_size=arguments.sample_size,
            full=True,
        )
    if arguments.json:
        print(_json({**values, "n_unused_ids": unused}))
        return
    from ._report_tables import evaluation

    print(evaluation([values], [""], arguments.k))
    if unused:
        print(f"\n{unused:,} ids are of other items")


def _ids_of(items: list[str], arguments: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Return the ids in a file, which must have those of the items."""
    ids = _read_ids(arguments.ids, arguments)
    missing = [item for item in items if item not in ids]
    if missing:
        raise DataError(
            f"{arguments.ids}: has no id for {len(missing):,} of the {len(items):,} items of {arguments.embeddings}, "
            f"the first of them {missing[0]!r}"
        )
    return ids


def run_report(arguments: argparse.Namespace) -> None:
    if arguments.ids is None and arguments.model is None:
        arguments.usage_error("want IDS, or --model to make them")
    for option in ("name_column", "label_column"):
        if getattr(arguments, option) is not None and arguments.items is None:
            arguments.usage_error(f"--{option.replace('_', '-')} is of the file --items, which is not given")
    if arguments.out == "-":
        arguments.usage_error("--out - is for tables: want the name of an .html file")
    check_target(arguments.out)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    model = None if arguments.model is None else _load(arguments.model)
    x, items = _rows(arguments)
    codes = model
    if arguments.ids is not None:
        ids = _ids_of(items, arguments)
        codes = [ids[item] for item in items]
        with naming(arguments.ids):
            as_codes(codes, "the file")  # say here which file is at fault
    names, labels = items, None
    if arguments.items is not None:
        name = Column(arguments.name_column, ("name", "title", "text"), "the column of names by --name-column")
        found = read_column(arguments.items, name, arguments.item_column)
        names = [found[item][1] if item in found else item for item in items]
    if arguments.label_column is not None:
        found = read_column(arguments.items, Column(arguments.label_column, (), ""), arguments.item_column)
        labels = [found[item][1] if item in found else None for item in items]
        labels = [None if label == "" else label for label in labels]
    places = None if arguments.coordinates is None else _load_npy(arguments.coordinates)
    with naming(arguments.embeddings):
        try:
            report(
                x,
                codes,
                arguments.out,
                names,
                labels,
                encoder=model,
                coordinates=places,
                title=os.path.basename(arguments.embeddings) if arguments.title is None else arguments.title,
                sep=arguments.sep,
                k=arguments.k,
                sample_size=arguments.sample_size,
                seed=arguments.seed,
                max_items=arguments.max_items,
            )
        except ImportError as error:
            raise DataError(str(error)) from error
    print(f"wrote a report on {len(items):,} items to {arguments.out}: open it in a browser")


def run_compare(arguments: argparse.Namespace) -> None:
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    maps = [_read_ids(path, arguments) for path in (arguments.a, arguments.b)]
    common = [item for item in maps[0] if item in maps[1]]
    if not common:
        raise DataError(f"{arguments.a} and {arguments.b} have no item in common")
    for path, ids in zip((arguments.a, arguments.b), maps, strict=True):
        with naming(path):
            as_codes([ids[item] for item in common], "the file")  # say here which file is at fault
    x = None
    if arguments.embeddings is not None:
        vectors, items = _rows(arguments)
        row_of = {item: row for row, item in enumerate(items)}
        missing = [item for item in common if item not in row_of]
        if missing:
            raise DataError(
                f"{arguments.embeddings}: has no row for {len(missing):,} of the {len(common):,} common items, "
                f"the first of them {missing[0]!r}"
            )
        x = vectors[[row_of[item] for item in common]]
    values = compare(
        maps[0], maps[1], x, k=arguments.k, n_pairs=arguments.n_pairs, seed=arguments.seed,
        sample_size=arguments.sample_size,
    )  # fmt: skip
    if arguments.json:
        print(_json(values))
        return
    from ._report_tables import changes, evaluation

    print(evaluation([values["a"], values["b"]], ["A", "B"], arguments.k))
    print(f"\nFrom A to B\n\n{changes(values['churn'])}")


def _json(values: dict[str, Any]) -> str:
    """Return values as JSON, which has no NaN: null stands for it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(v) for key, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(values), allow_nan=False)


def run_info(arguments: argparse.Namespace) -> None:
    model = _load(arguments.model)
    facts = {
        "type": type(model).__name__,
        "levels": model.n_levels,
        "clusters": list(model.n_clusters),
        "dimension": model.D_,
        **{name: getattr(model, name) for name in _facts_of(model)},
        "possible_ids": int(np.prod([int(k) for k in model.n_clusters], dtype=object)),
        "bytes": sum(entry.stat().st_size for entry in os.scandir(arguments.model) if entry.is_file()),
    }
    if arguments.json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, list):
            shown = ", ".join(map(str, value))
        elif name in ("possible_ids", "bytes"):
            shown = f"{value:,}"
        else:
            shown = str(value)
        print(f"{name.replace('_', ' '):15} {shown}")


def _facts_of(model: Any) -> Sequence[str]:
    if isinstance(model, RQVAE):
        return "e_dim", "layers", "bn", "loss_type"
    return "metric", "implementation", "max_iter", "tol", "n_init", "random_state"


def run_estimate(arguments: argparse.Namespace) -> None:
    levels, clusters = _shape(arguments)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    told = estimate(arguments.n, arguments.d, levels, clusters)
    print(json.dumps(dataclasses.asdict(told)) if arguments.json else told)


def run_demo(arguments: argparse.Namespace) -> None:
    from .demo import run

    run(arguments.out, seed=arguments.seed)


def _shape(arguments: argparse.Namespace) -> tuple[int, int | list[int]]:
    """Return n_levels and n_clusters; a list of clusters says how many levels there are."""
    levels, clusters = arguments.levels, arguments.clusters
    if len(clusters) == 1:
        return levels or default_of("n_levels"), clusters[0]
    if levels not in (None, len(clusters)):
        arguments.usage_error(f"--clusters names {len(clusters)} levels, --levels says {levels}")
    return len(clusters), clusters


def default_of(name: str) -> Any:
    """Return the default of a parameter of RQKMeans."""
    return inspect.signature(RQKMeans).parameters[name].default


def _read_ids(path: str, arguments: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    return read_id_map(
        path, sep=arguments.sep, id_column=arguments.semantic_id_column, item_column=arguments.item_column
    )


def _rows(arguments: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return the embeddings, and the item of each row as text."""
    embeddings = _open(arguments)
    with _progress(embeddings, "read") as progress:
        x = embeddings.matrix(progress.update)
    blocks = embeddings.blocks()
    first = next(blocks)
    if isinstance(first.ids, range):  # rows are numbered
        return x, [str(row) for row in range(len(x))]
    return x, [str(item) for block in itertools.chain([first], blocks) for item in block.ids]


def _open(arguments: argparse.Namespace) -> Embeddings:
    return open_embeddings(
        arguments.embeddings, column=arguments.column, id_column=arguments.id_column, key=arguments.key
    )


def _progress(embeddings: Embeddings, title: str) -> Any:
    """Return a bar over the rows of a file, which shows on terminals only."""
    from tqdm import tqdm

    return tqdm(desc=title, total=embeddings.rows, unit=" rows", unit_scale=True, disable=None, leave=False)


def _load(path: str) -> Any:
    """Load the model in directory `path`, of whichever class its metadata names."""
    try:
        with open(os.path.join(path, "metadata.json"), encoding="utf-8") as file:
            kind = json.load(file).get("type")
    except (OSError, ValueError, AttributeError):
        kind = None  # let load say what is wrong
    return (RQVAE if kind == "RQVAE" else RQKMeans).load(path)


def _check_model_target(path: str) -> None:
    """Fail before a long fit, not after it, if a model could not be saved as `path`."""
    if not path:
        raise DataError("the name of the model is empty; choose one by --model")
    if os.path.exists(path) and not os.path.isdir(path):
        raise DataError(f"{path}: is a file, and a model is a directory; choose another name")
    place = os.path.abspath(path)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise DataError(f"{path}: {place} is not a directory; choose another name")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{path}: no permission to write in {place}; choose another name")


def _distinct(codes: np.ndarray[Any, np.dtype[np.int32]]) -> Any:
    rows = np.ascontiguousarray(codes)
    return np.unique(rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel())
