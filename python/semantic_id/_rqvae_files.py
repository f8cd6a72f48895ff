"""Directories of RQVAE models: metadata.json, and model.safetensors or the model.pt of semantic-id 0.2.5.

core/persist has the same in Go, and its format.md every byte.
"""

import hashlib
import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _files, _safetensors, _torch_files
from ._files import Path
from .exceptions import ModelFileError

_WEIGHTS = "model.safetensors"
_OLD_WEIGHTS = "model.pt"


def save(path: Path, settings: Mapping[str, Any], weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a model as the directory `path`, or make `path` hold it instead of the model it holds.

    Parameters
    ----------
    path : path-like
        See `_replace_dir.replace_dir` for what happens to a directory that is there.
    settings : mapping
        The arguments of RQVAE to keep, in_dim to sk_iters at least.
    weights : mapping of str to ndarray of float32 or int64
        The tensors, by PyTorch's names.
    """
    keys = {"type": "RQVAE", **settings, "format_version": _files.FORMAT_VERSION}
    keys["settings_sha256"] = _settings_sum(keys)
    _files.save_whole(path, keys, _WEIGHTS, lambda file: _safetensors.write(file, weights))


def load(path: Path, wanted: Mapping[str, Callable[[Any], bool]]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read the directory `path`: metadata.json, whose values must be as `wanted` says of each, and the arrays.

    While others save there it returns one of the models they saved, never a mix. Whether the arrays are those of the
    settings is for the caller to see.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, OSError
        If there is no such directory, or it cannot be read.
    ModelFileError
        If the files are truncated, altered, foreign, of a newer version, or of another type ("Invalid model type").
    """

    def load(path: str, raw: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        meta, error = _files.parse_keys(path, raw, "RQVAE")
        for key, fits in wanted.items():
            if key not in meta:
                raise error(f'no key "{key}"')
            if not fits(meta[key]):
                raise error(f'"{key}" is {meta[key]!r:.40}')
        _files.check_sums(meta, _WEIGHTS, _settings_sum(meta), error)
        return meta, _load_weights(path, meta.get("sha256"))

    return _files.load_whole(path, load)


def _load_weights(path: str, sums: dict[str, Any] | None) -> dict[str, npt.NDArray[Any]]:
    name = _WEIGHTS
    if sums is None:  # then what 0.2.5 wrote counts, though an older model of ours may still be beside it
        try:
            _files.open_checked(path, _OLD_WEIGHTS, None).close()
            name = _OLD_WEIGHTS
        except FileNotFoundError:
            pass
    with _files.open_checked(path, name, sums) as file:
        try:
            if name == _OLD_WEIGHTS:
                weights = _torch_files.read(file)
            else:
                weights = _safetensors.read(file, os.fstat(file.fileno()).st_size)
            for key, array in weights.items():
                if not np.isfinite(array).all():
                    raise ModelFileError(f"tensor {key!r:.80} holds NaN or infinity")
            return weights
        except ModelFileError as e:
            where = os.path.join(path, name)
            raise ModelFileError(f"{where}: {e}; copy the whole directory again, or save the model again") from e


def _settings_sum(s: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the settings in a form that does not depend on how JSON was laid out: see format.md."""

    def bits(value: float) -> str:
        return struct.pack(">d", value).hex()

    def joined(values: list[Any], text: Callable[[Any], str] = str) -> str:
        return ",".join(text(v) for v in values)

    def flag(value: bool) -> str:
        return "true" if value else "false"

    epsilons, seed = s["sk_epsilons"], s.get("random_state")
    text = (
        f"type={s['type']}\nin_dim={s['in_dim']}\nnum_emb_list={joined(s['num_emb_list'])}\ne_dim={s['e_dim']}\n"
        f"layers={joined(s['layers'])}\ndropout_prob={bits(s['dropout_prob'])}\nbn={flag(s['bn'])}\n"
        f"loss_type={s['loss_type']}\nquant_loss_weight={bits(s['quant_loss_weight'])}\nbeta={bits(s['beta'])}\n"
        f"kmeans_init={flag(s['kmeans_init'])}\nkmeans_iters={s['kmeans_iters']}\n"
        f"sk_epsilons={'null' if epsilons is None else joined(epsilons, bits)}\nsk_iters={s['sk_iters']}\n"
        f"loss_reduction={s.get('loss_reduction', 'mean')}\nrandom_state={'null' if seed is None else seed}\n"
    )
    return hashlib.sha256(text.encode()).hexdigest()


def is_sizes(value: Any) -> bool:
    """Tell whether a value of JSON is a list of sizes."""
    return isinstance(value, list) and len(value) <= 4096 and all(is_size(v) for v in value)


def is_size(value: Any) -> bool:
    """Tell whether a value of JSON is a size."""
    return type(value) is int and 1 <= value <= 1 << 24


def is_number(value: Any) -> bool:
    """Tell whether a value of JSON is a finite number."""
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)
