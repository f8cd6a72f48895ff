"""The command line of `semantic-id`: its commands, their arguments and help."""

from __future__ import annotations

import argparse
from typing import Any

from . import __version__
from . import _cli_commands as commands
from ._cli_commands import default_of

PROG = "semantic-id"
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


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    root = argparse.ArgumentParser(
        prog=PROG, description="Turn embeddings into discrete semantic ids.", epilog=_CODES, formatter_class=raw
    )
    root.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    subparsers = root.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str, epilog: str | None = None) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=summary, description=summary, epilog=epilog, formatter_class=raw)
        added.set_defaults(run=run, usage_error=added.error)
        return added

    fit = command("fit", commands.run_fit, "Fit a model to embeddings and save it.", _FORMATS)
    _add_input(fit)
    fit.add_argument("--model", required=True, metavar="DIR", help="directory to write; a model there is replaced")
    _add_shape(fit)
    fit.add_argument("--metric", choices=("l2", "cosine"), default=default_of("metric"), help="default %(default)s")
    fit.add_argument(
        "--implementation",
        choices=("kmeans", "constrained"),
        default=default_of("implementation"),
        help="constrained: clusters whose sizes differ by at most one (default %(default)s)",
    )
    fit.add_argument(
        "--max-iter", type=_positive, default=default_of("max_iter"), metavar="N", help="default %(default)s"
    )
    fit.add_argument("--tol", type=float, default=default_of("tol"), metavar="T", help="default %(default)s")
    fit.add_argument(
        "--n-init", type=_positive, default=default_of("n_init"), metavar="N", help="restarts of each level"
    )
    fit.add_argument("--seed", type=_seed, default=0, metavar="N", help="same seed, same model (default %(default)s)")

    encode = command("encode", commands.run_encode, "Write the ids of embeddings.", _FORMATS)
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

    judge = command(
        "evaluate", commands.run_evaluate, "Measure what ids are worth.", _FORMATS + "\n" + _IDS.format(names="IDS is")
    )
    _add_input(judge)
    judge.add_argument("ids", metavar="IDS", help="their ids: .csv, .parquet, .jsonl, .json or .npy, see below")
    judge.add_argument(
        "--model", metavar="DIR", help="the model that made them: also measure its error, and dead codes"
    )
    _add_ids(judge)
    _add_figures(judge)

    contrast = command(
        "compare", commands.run_compare,
        "Measure two files of ids side by side, and what changes from one to the other.",
        _IDS.format(names="A and B are each"),
    )  # fmt: skip
    contrast.add_argument("a", metavar="A", help="ids: .csv, .parquet, .jsonl, .json or .npy, see below")
    contrast.add_argument("b", metavar="B", help="other ids of the same items")
    contrast.add_argument("--embeddings", metavar="FILE", help="also measure how near in codes near embeddings are")
    _add_columns(contrast)
    _add_ids(contrast)
    _add_figures(contrast)

    page = command(
        "report", commands.run_report, "Write an HTML page on what ids are worth, to open in a browser.",
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

    info = command("info", commands.run_info, "Say what a model is.")
    info.add_argument("model", metavar="DIR")
    info.add_argument("--json", action="store_true", help="one JSON object")

    told = command("estimate", commands.run_estimate, "Tell what a fit will take, and whether the ids will do.")
    told.add_argument("n", type=_positive, metavar="N", help="embeddings")
    told.add_argument("d", type=_positive, metavar="D", help="columns of an embedding")
    _add_shape(told)
    told.add_argument("--threads", type=_positive, metavar="N", help="default: the cores this process may use")
    told.add_argument("--json", action="store_true", help="one JSON object")

    demo = command("demo", commands.run_demo, "Fit scikit-learn's handwritten digits and draw the tree of their ids.")
    demo.add_argument("--out", default="demo-output", metavar="DIR", help="directory to write to (default %(default)s)")
    demo.add_argument("--seed", type=_seed, default=0, metavar="N", help="default %(default)s")
    return root


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
    levels, clusters = default_of("n_levels"), default_of("n_clusters")
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
