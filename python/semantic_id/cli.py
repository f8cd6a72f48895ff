"""The `semantic-id` command: fit, encode, evaluate, compare, report, info, estimate and demo.

Results go to stdout, everything else to stderr; an error is one line. Files and model directories appear
whole or not at all. Exit codes: 0 done, 1 a file or model is at fault, 2 the command line is, 130 Ctrl-C,
128 + n another signal n, 141 the reader of stdout went away.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import inspect
import itertools
import json
import math
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import (
    RQVAE,
    RQKMeans,
    SemanticIdError,
    SQLiteCollisionStore,
    UniqueIdResolver,
    __version__,
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
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from ._tables import Block, Embeddings

_PROG = "semantic-id"
_FORMATS = """\
EMBEDDINGS is a file, its format told by its name:
  .npy      a 2-D array, read through a memory map
  .npz      the only array in it, or the one named by --key
  .parquet  a column of lists (--column), or a column a number
  .csv      a column of vectors (--column) written as [0.1, 0.2] or 0.1 0.2, or a
            column a number; line 1 names the columns, unless all of it is numbers
  .jsonl    an object a line, with a list under one key (--column)
or a directory of .parquet files, taken in the order of their names.
The column is by default the one named embedding, embeddings or vector. A row's id
is in the column "id" (--id-column); without one it is the row's number, from 0.
"""
_IDS = """\
{names} a file of semantic ids, its format told by its name:
  .csv, .parquet, .jsonl  as encode writes them, or with other columns: ids are in the
            one named semantic_id, semantic_ids, sid or codes (--semantic-id-column),
            items in id, item_id or item (--item-column); else rows are numbered
  .json     an object of item to id
  .npy      codes, an item a row
An id is text, 3-9-1 (--sep) or <a_3><b_9><c_1>, or a list of codes or tokens.
"""
_CODES = """\
Exit codes: 0 done; 1 a file or model is at fault, as one line on stderr says; 2 the
command line is; 130 Ctrl-C. SEMANTIC_ID_DEBUG=1 shows the traceback of an error.
"""
_ADVICE = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "change the permissions or choose another path",
    errno.EPERM: "change the permissions or choose another path",
    errno.ENOENT: "check the path",
}


class _Terminated(BaseException):
    """SIGTERM or SIGHUP: like KeyboardInterrupt, so that half-written files are removed on the way out."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (None: sys.argv) and return its exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    try:
        with _signals(), _one_line_warnings():
            try:
                arguments = _parser().parse_args(argv)
                arguments.run(arguments)
            finally:
                sys.stdout.flush()  # here, where a full disk or a closed pipe is still ours to report
        return 0
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except _Terminated as error:
        return _fail("terminated", 128 + int(error.args[0]))
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except (SemanticIdError, ValueError, OSError, NotImplementedError, MemoryError) as error:
        if os.environ.get("SEMANTIC_ID_DEBUG", "0") not in ("", "0"):
            raise
        _discard_stdout()
        return _fail(_sentence(error), 1)


def _fit(arguments: argparse.Namespace) -> None:
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


def _encode(arguments: argparse.Namespace) -> None:
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


def _evaluate(arguments: argparse.Namespace) -> None:
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


def _report(arguments: argparse.Namespace) -> None:
    if arguments.ids is None and arguments.model is None:
        arguments.usage_error("want IDS, or --model to make them")
    for option in ("name_column", "label_column"):
        if getattr(arguments, option) is not None and arguments.items is None:
            arguments.usage_error(f"--{option.replace('_', '-')} is of the file --items, which is not given")
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


def _compare(arguments: argparse.Namespace) -> None:
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


def _info(arguments: argparse.Namespace) -> None:
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


def _estimate(arguments: argparse.Namespace) -> None:
    levels, clusters = _shape(arguments)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    told = estimate(arguments.n, arguments.d, levels, clusters)
    print(json.dumps(dataclasses.asdict(told)) if arguments.json else told)


def _demo(arguments: argparse.Namespace) -> None:
    from .demo import run

    run(arguments.out, seed=arguments.seed)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog=_PROG, description="Turn embeddings into discrete semantic ids.", epilog=_CODES, formatter_class=raw
    )
    parser.add_argument("--version", action="version", version=f"{_PROG} {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str, epilog: str | None = None) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=raw)
        added.set_defaults(run=run, usage_error=added.error)
        return added

    fit = command("fit", _fit, "Fit a model to embeddings and save it.", _FORMATS)
    _add_input(fit)
    fit.add_argument("--model", required=True, metavar="DIR", help="directory to write; a model there is replaced")
    _add_shape(fit)
    fit.add_argument("--metric", choices=("l2", "cosine"), default=_default("metric"), help="default %(default)s")
    fit.add_argument(
        "--implementation",
        choices=("kmeans", "constrained"),
        default=_default("implementation"),
        help="constrained: clusters whose sizes differ by at most one (default %(default)s)",
    )
    fit.add_argument(
        "--max-iter", type=_positive, default=_default("max_iter"), metavar="N", help="default %(default)s"
    )
    fit.add_argument("--tol", type=float, default=_default("tol"), metavar="T", help="default %(default)s")
    fit.add_argument("--n-init", type=_positive, default=_default("n_init"), metavar="N", help="restarts of each level")
    fit.add_argument("--seed", type=_seed, default=0, metavar="N", help="same seed, same model (default %(default)s)")

    encode = command("encode", _encode, "Write the ids of embeddings.", _FORMATS)
    _add_input(encode)
    encode.add_argument("--model", required=True, metavar="DIR", help="a model that fit wrote")
    encode.add_argument(
        "--out", required=True, metavar="FILE", help="ids.csv, ids.parquet or ids.jsonl; - is CSV on stdout"
    )
    encode.add_argument(
        "--format", choices=("plain", "token"), default="plain", help="3-9-1 or <a_3><b_9><c_1> (default %(default)s)"
    )
    encode.add_argument(
        "--beam-size", type=_positive, default=1, metavar="B", help="candidates kept per level (default %(default)s)"
    )
    encode.add_argument(
        "--balanced", action="store_true", help="use the codes of each level equally often, at the least error"
    )
    encode.add_argument("--sep", default="-", help="between the codes of a plain id (default %(default)s)")
    encode.add_argument(
        "--store", metavar="DB", help="a SQLite database that makes ids unique; items that it knows keep theirs"
    )

    judge = command("evaluate", _evaluate, "Measure what ids are worth.", _FORMATS + "\n" + _IDS.format(names="IDS is"))
    _add_input(judge)
    judge.add_argument("ids", metavar="IDS", help="their ids: .csv, .parquet, .jsonl, .json or .npy, see below")
    judge.add_argument(
        "--model", metavar="DIR", help="the model that made them: also measure its error, and dead codes"
    )
    _add_ids(judge)
    _add_figures(judge)

    contrast = command(
        "compare", _compare, "Measure two files of ids side by side, and what changes from one to the other.",
        _IDS.format(names="A and B are each"),
    )  # fmt: skip
    contrast.add_argument("a", metavar="A", help="ids: .csv, .parquet, .jsonl, .json or .npy, see below")
    contrast.add_argument("b", metavar="B", help="other ids of the same items")
    contrast.add_argument("--embeddings", metavar="FILE", help="also measure how near in codes near embeddings are")
    _add_columns(contrast)
    _add_ids(contrast)
    _add_figures(contrast)

    page = command(
        "report", _report, "Write an HTML page on what ids are worth, to open in a browser.",
        _FORMATS + "\n" + _IDS.format(names="IDS is"),
    )  # fmt: skip
    _add_input(page)
    page.add_argument("ids", metavar="IDS", nargs="?", help="their ids, see below (default: what --model gives them)")
    page.add_argument("--out", required=True, metavar="FILE", help="the .html file to write")
    page.add_argument("--model", metavar="DIR", help="the model that made them: also measure its error, and dead codes")
    page.add_argument("--items", metavar="FILE", help="what items are called: .csv, .parquet, .jsonl or .json, by item")
    page.add_argument("--name-column", metavar="NAME", help="its column of names (default: name, title or text)")
    page.add_argument("--label-column", metavar="NAME", help="its column of categories (default: none)")
    page.add_argument("--coordinates", metavar="FILE", help="a .npy of two numbers a row: where items are on the map")
    page.add_argument("--title", help="what the page is called (default: the name of EMBEDDINGS)")
    page.add_argument(
        "--max-items", type=_positive, default=100_000, metavar="N", help="on map and tree (default %(default)s)"
    )
    _add_ids(page)

    info = command("info", _info, "Say what a model is.")
    info.add_argument("model", metavar="DIR")
    info.add_argument("--json", action="store_true", help="one JSON object")

    told = command("estimate", _estimate, "Tell what a fit will take, and whether the ids will do.")
    told.add_argument("n", type=_positive, metavar="N", help="embeddings")
    told.add_argument("d", type=_positive, metavar="D", help="columns of an embedding")
    _add_shape(told)
    told.add_argument("--threads", type=_positive, metavar="N", help="default: the cores this process may use")
    told.add_argument("--json", action="store_true", help="one JSON object")

    demo = command("demo", _demo, "Fit scikit-learn's handwritten digits and draw the tree of their ids.")
    demo.add_argument("--out", default="demo-output", metavar="DIR", help="directory to write to (default %(default)s)")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="default %(default)s")
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "embeddings", metavar="EMBEDDINGS", help=".npy, .npz, .parquet, .csv, .jsonl or a directory, see below"
    )
    _add_columns(parser)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--column", metavar="NAME", help="the column of vectors (.parquet, .csv, .jsonl)")
    parser.add_argument("--id-column", metavar="NAME", help="the column of ids (in .npz: the array)")
    parser.add_argument("--key", metavar="NAME", help="the array of a .npz")
    parser.add_argument("--threads", type=_positive, metavar="N", help="default: the cores this process may use")


def _add_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--semantic-id-column", metavar="NAME", help="the column of semantic ids, where there are columns"
    )
    parser.add_argument("--item-column", metavar="NAME", help="the column of the items they are of")
    parser.add_argument("--sep", default="-", help="between the codes of a plain id (default %(default)s)")
    parser.add_argument("--k", type=_positive, default=10, metavar="K", help="neighbors (default %(default)s)")
    parser.add_argument(
        "--sample-size",
        type=_positive_or_all,
        default=1000,
        metavar="N",
        help="items whose neighbors are looked for, or all (default %(default)s)",
    )
    parser.add_argument("--seed", type=_seed, default=42, metavar="N", help="of what is drawn (default %(default)s)")


def _add_figures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n-pairs", type=_positive, default=2000, metavar="N", help="pairs for the correlation (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object; null where a value is not defined")


def _add_shape(parser: argparse.ArgumentParser) -> None:
    levels, clusters = _default("n_levels"), _default("n_clusters")
    parser.add_argument("--levels", type=_positive, metavar="N", help=f"codes in an id (default {levels})")
    parser.add_argument(
        "--clusters",
        type=_positive_list,
        default=[clusters],
        metavar="K[,K...]",
        help=f"codes to choose from, at every level or level by level (default {clusters})",
    )


def _positive(text: str) -> int:
    return _whole(text, 1)


def _positive_or_all(text: str) -> int | None:
    return None if text == "all" else _whole(text, 1)


def _positive_list(text: str) -> list[int]:
    return [_whole(part, 1) for part in text.split(",")]


def _seed(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is less than {least}")
    return number


def _shape(arguments: argparse.Namespace) -> tuple[int, int | list[int]]:
    """Return n_levels and n_clusters; a list of clusters says how many levels there are."""
    levels, clusters = arguments.levels, arguments.clusters
    if len(clusters) == 1:
        return levels or _default("n_levels"), clusters[0]
    if levels not in (None, len(clusters)):
        arguments.usage_error(f"--clusters names {len(clusters)} levels, --levels says {levels}")
    return len(clusters), clusters


def _default(name: str) -> Any:
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


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that would end the process on the spot into an exception."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise _Terminated(number)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has SIGHUP ignored, and means it
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"{_PROG}: warning: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        return f"{what}; {_ADVICE[error.errno]}" if error.errno in _ADVICE and ";" not in what else what
    if isinstance(error, MemoryError):
        return f"out of memory {error}".strip()
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str, code: int) -> int:
    with suppress(OSError):  # stderr may be closed; the exit code still tells
        print(f"{_PROG}: {message}", file=sys.stderr, flush=True)
    return code


def _discard_stdout() -> None:
    """Keep the interpreter from flushing, at its end, into a pipe or disk that takes nothing."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
