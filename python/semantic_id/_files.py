"""Model directories in Python: what core/persist reads and writes, by NumPy and the standard library alone.

core/persist/format.md gives every byte. Reading trusts nothing: lengths are checked before memory is allocated,
checksums before contents are believed.
"""

import errno
import hashlib
import json
import math
import operator
import os
import stat
import struct
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from . import _replace_dir
from ._npz import read_codebooks, write_codebooks
from .exceptions import ModelFileError

_METADATA = "metadata.json"
_CODEBOOKS = "codebooks.npz"
FORMAT_VERSION = 1  # the newest we write and read; files of semantic-id 0.2.5 have none
_MAX_METADATA = 1 << 20  # bytes
_MAX_COUNT = 2**31 - 1

T = TypeVar("T")
Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def save_rq_kmeans(path: Path, meta: dict[str, Any], codebooks: Sequence[npt.ArrayLike]) -> None:
    """Write a residual k-means model as the directory `path`, or make `path` hold it instead of the model it holds.

    Parameters
    ----------
    path : path-like
        See `_replace_dir.replace_dir` for what happens to a directory that is there.
    meta : dict
        metric, implementation, max_iter, tol, random_state and n_init of the model. The last two become null in the
        file unless they are integers of 64 bits: a Generator is nothing for a file. Also n_samples_fit and
        quantization_mse, if the model knows them; other keys are left out.
    codebooks : sequence of n_levels arrays of shape (n_clusters[l], D), dtype float32

    Raises
    ------
    ValueError
        If the settings or the arrays are none of a model.
    OSError
        If the directory cannot be written; what was there before is still there.
    """
    books = [np.asarray(codebook, dtype=np.float32) for codebook in codebooks]
    for level, book in enumerate(books):
        if book.ndim != 2 or book.shape[1:] != books[0].shape[1:] or not np.isfinite(book).all():
            raise ValueError(f"cannot save codebook {level} of shape {book.shape}: want finite (n_clusters, D)")
    settings = {
        "type": "RQKMeans",
        "n_levels": len(books),
        "n_clusters": [len(book) for book in books],
        "metric": meta["metric"],
        "implementation": meta["implementation"],
        "max_iter": operator.index(meta["max_iter"]),
        "tol": float(meta["tol"]),
        "random_state": _integer_or_none(meta["random_state"]),
        "n_init": _integer_or_none(meta["n_init"]),
        "D": books[0].shape[1] if books else 0,
    }
    fault = _fault(settings)
    if fault:
        raise ValueError(f"cannot save: {fault}")
    known = {name: meta[name] for name, fits in _TRAINING.items() if fits(meta.get(name))}
    keys = {**settings, **known, "format_version": FORMAT_VERSION, "settings_sha256": _settings_sum(settings)}

    save_whole(path, keys, _CODEBOOKS, lambda file: write_codebooks(file, books))


def save_whole(path: Path, meta: dict[str, Any], name: str, write: Callable[[BinaryIO], None]) -> None:
    """Make `path` hold metadata.json, of `meta` and a checksum, and the file `name`, as `write` writes it."""

    def fill(folder: str) -> None:
        where = os.path.join(folder, name)
        with _replace_dir.disk.create(where) as file:
            write(file)
        with open(where, "rb") as file:
            sums = {name: _sha256(file)}
        with _replace_dir.disk.create(os.path.join(folder, _METADATA)) as file:
            file.write(json.dumps({**meta, "sha256": sums}, indent=2, allow_nan=False).encode() + b"\n")

    _replace_dir.replace_dir(os.fsdecode(path), fill)


def load_model(path: Path, expected_type: str = "RQKMeans") -> tuple[dict[str, Any], list[npt.NDArray[np.float32]]]:
    """Read the directory `path`, written by us, by the Go core or by semantic-id 0.2.5.

    While others save there it returns one of the models they saved, never a mix.

    Returns
    -------
    meta : dict
        metadata.json, checked; random_state and n_init are int or None.
    codebooks : list of n_levels arrays of shape (n_clusters[l], D), dtype float32

    Raises
    ------
    FileNotFoundError, NotADirectoryError, OSError
        If there is no such directory, or it cannot be read.
    ModelFileError
        If the files are truncated, altered, foreign, of a newer version, or of another type ("Invalid model type").
    """

    def load(path: str, raw: bytes) -> tuple[dict[str, Any], list[npt.NDArray[np.float32]]]:
        meta = _parse(path, raw, expected_type)
        with open_checked(path, _CODEBOOKS, meta.get("sha256")) as file:
            try:
                return meta, read_codebooks(file, os.fstat(file.fileno()).st_size, meta["n_clusters"], meta["D"])
            except ModelFileError as e:
                where = os.path.join(path, _CODEBOOKS)
                raise ModelFileError(f"{where}: {e}; copy the whole directory again, or save the model again") from e

    return load_whole(path, load)


def load_whole(path: Path, load: Callable[[str, bytes], T]) -> T:
    """Return what `load` makes of a directory and its metadata.json, of one model even while others save there."""
    path = os.fsdecode(path)
    while True:
        before = _look(path)
        try:
            result = load(path, before[1])
        except (OSError, ModelFileError):
            if _changed(path, before):
                continue
            raise
        if not _changed(path, before):
            return result


def _look(path: str) -> tuple[tuple[int, int], bytes]:
    """Return what changes in a model directory whenever it is saved to: its identity and metadata.json."""
    info = os.stat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, f"not a directory; pass the one that holds {_METADATA}", path)
    try:
        file = _open(path, _METADATA)
    except FileNotFoundError as e:
        raise FileNotFoundError(errno.ENOENT, f"no {_METADATA}; not the directory of a saved model", path) from e
    with file:
        return (info.st_dev, info.st_ino), file.read(_MAX_METADATA + 1)


def _changed(path: str, before: tuple[tuple[int, int], bytes]) -> bool:
    try:
        return _look(path) != before
    except (OSError, ModelFileError):
        return False


def _open(path: str, name: str) -> BinaryIO:
    """Open a file of the model: the newer one that a save has committed but not yet moved, if there is one."""
    try:
        return _open_regular(os.path.join(path, _replace_dir.SAVED, name))
    except FileNotFoundError:
        return _open_regular(os.path.join(path, name))


def _open_regular(file: str) -> BinaryIO:
    if not stat.S_ISREG(os.stat(file).st_mode):  # before opening, which waits on a pipe
        raise ModelFileError(f"{file}: not a file")
    return open(file, "rb")


def open_checked(path: str, name: str, sums: dict[str, Any] | None) -> BinaryIO:
    """Open a file of the model that must be there, after comparing its checksum if there is one."""
    where = os.path.join(path, name)
    try:
        file = _open(path, name)
    except FileNotFoundError as e:
        raise FileNotFoundError(
            errno.ENOENT, f"no {name}; the model is incomplete, copy the whole directory again", where
        ) from e
    if sums is not None:
        got, want = _sha256(file), sums[name]
        if got != want:
            file.close()
            raise ModelFileError(
                f"{where}: damaged or of another model (SHA-256 {got[:12]}.., in {_METADATA} {want[:12]}..); "
                "copy the whole directory again"
            )
        file.seek(0)
    return file


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


def _integer_or_none(value: Any) -> int | None:
    """Return an integer of 64 bits as int; anything else (a Generator, "auto") is not for the file."""
    try:
        number = operator.index(value)
    except TypeError:
        return None
    return number if _is_int64(number) else None


def _is_int64(value: Any) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


# What a model may know of the rows it was fitted to.
_TRAINING: dict[str, Callable[[Any], bool]] = {
    "n_samples_fit": lambda v: _is_int64(v) and v > 0,
    "quantization_mse": lambda v: type(v) in (int, float) and 0 <= v < math.inf,
}


def _settings_sum(s: dict[str, Any]) -> str:
    """Return the SHA-256 of the settings in a form that does not depend on how JSON was laid out: see format.md."""

    def or_null(value: int | None) -> str:
        return "null" if value is None else str(value)

    clusters = ",".join(str(k) for k in s["n_clusters"])
    text = (
        f"type={s['type']}\nn_levels={s['n_levels']}\nn_clusters={clusters}\nmetric={s['metric']}\n"
        f"implementation={s['implementation']}\nmax_iter={s['max_iter']}\n"
        f"tol={struct.pack('>d', s['tol']).hex()}\nrandom_state={or_null(s['random_state'])}\n"
        f"n_init={or_null(s['n_init'])}\nD={s['D']}\n"
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _fault(s: dict[str, Any]) -> str:
    """Return what about the settings cannot be, or ""."""
    clusters = s["n_clusters"]
    if s["n_levels"] < 1 or s["n_levels"] != len(clusters):
        return f"n_levels is {s['n_levels']}, n_clusters has {len(clusters)}"
    for level, k in enumerate(clusters):
        if type(k) is not int or not 1 <= k <= _MAX_COUNT:
            return f"n_clusters of level {level} is {k!r}, want 1 to {_MAX_COUNT}"
    if not 1 <= s["D"] <= _MAX_COUNT:
        return f"D is {s['D']}, want 1 to {_MAX_COUNT}"
    if not _is_int64(s["max_iter"]):
        return f"max_iter is {s['max_iter']}"
    if s["metric"] not in ("l2", "cosine"):
        return f"metric is {s['metric']!r}, want 'l2' or 'cosine'"
    if s["implementation"] not in ("kmeans", "constrained"):
        return f"implementation is {s['implementation']!r}, want 'kmeans' or 'constrained'"
    if not math.isfinite(s["tol"]):
        return f"tol is {s['tol']}"
    return ""


def _parse(path: str, raw: bytes, expected_type: str) -> dict[str, Any]:
    """Check metadata.json of an RQKMeans and return it."""
    meta, error = parse_keys(path, raw, expected_type)
    if "D" in meta and meta["D"] is None:
        raise error('"D" is null: the model was saved before it was fitted')
    meta.setdefault("implementation", "kmeans")  # as before 0.2.5 had these keys
    meta.setdefault("n_init", None)
    if meta["n_init"] == "auto":  # which 0.2.5 hands on to scikit-learn
        meta["n_init"] = None
    wanted: dict[str, Any] = {
        "n_levels": _is_int64,
        "n_clusters": lambda v: isinstance(v, list),
        "metric": lambda v: isinstance(v, str),
        "implementation": lambda v: isinstance(v, str),
        "max_iter": _is_int64,
        "tol": lambda v: type(v) is float or type(v) is int,
        "D": _is_int64,
        "random_state": lambda v: v is None or _is_int64(v),
        "n_init": lambda v: v is None or _is_int64(v),
    }
    for key, fits in wanted.items():
        if key not in meta:
            raise error(f'no key "{key}"')
        if not fits(meta[key]):
            raise error(f'"{key}" is {meta[key]!r:.40}')
    for key, fits in _TRAINING.items():
        if key in meta and not fits(meta[key]):
            raise error(f'"{key}" is {meta[key]!r:.40}')
    try:
        meta["tol"] = float(meta["tol"])
    except OverflowError:
        meta["tol"] = math.inf
    fault = _fault(meta)
    if fault:
        raise error(fault)
    check_sums(meta, _CODEBOOKS, _settings_sum(meta), error)
    return meta


def parse_keys(path: str, raw: bytes, expected_type: str) -> tuple[dict[str, Any], Callable[[str], ModelFileError]]:
    """Check metadata.json as far as every type of model has it; return it, and what makes errors of what is wrong."""
    where = os.path.join(path, _METADATA)

    def error(what: str) -> ModelFileError:
        return ModelFileError(f"{where}: not a valid model file: {what}")

    if len(raw) > _MAX_METADATA:
        raise error(f"more than {_MAX_METADATA} bytes")
    try:
        meta = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as e:
        raise error(f"not a JSON object: {e}") from e
    if not isinstance(meta, dict):
        raise error("not a JSON object")
    if meta.get("type") != expected_type:
        found = f"{meta['type']!r:.40}" if "type" in meta else "no type"
        raise ModelFileError(f"{where}: Invalid model type: {found}, want {expected_type!r}")
    if "format_version" in meta:
        version = meta["format_version"]
        if not _is_int64(version) or version < 1:
            raise error(f'"format_version" is {version!r:.40}')
        if version > FORMAT_VERSION:
            raise ModelFileError(
                f"{where}: model written by a newer version: format_version {version}, this release reads up to "
                f"{FORMAT_VERSION}; upgrade semantic-id"
            )
    return meta, error


def check_sums(meta: dict[str, Any], name: str, settings_sum: str, error: Callable[[str], ModelFileError]) -> None:
    """Raise an error unless the checksums are right; files of 0.2.5 have none."""
    if "format_version" not in meta and "sha256" not in meta:
        return
    for key, kind in (("settings_sha256", str), ("sha256", dict)):
        if key not in meta:
            raise error(f'no key "{key}"')
        if not isinstance(meta[key], kind):
            raise error(f'"{key}" is {meta[key]!r:.40}')
    if meta["settings_sha256"] != settings_sum:
        raise error(
            'its settings do not fit its "settings_sha256"; if you edited it on purpose, remove "format_version", '
            '"settings_sha256" and "sha256" from it'
        )
    if not isinstance(meta["sha256"].get(name), str):
        raise error(f'"sha256" does not name {name}')


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
