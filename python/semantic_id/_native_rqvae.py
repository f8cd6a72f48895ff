"""The calls of core/rqvae, through `_native`. Weights cross as one array, tensor after tensor."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._arrays import CodeMatrix, FloatMatrix
from ._native import _address, _addresses
from .exceptions import DivergenceError

NORMALIZER_MEAN, NORMALIZER_SCALE = "normalizer.mean", "normalizer.scale"
Weights = dict[str, npt.NDArray[np.float32]]


def tensors(settings: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes of the tensors of a model with these settings, in the library's order."""
    widths = [settings["in_dim"], *settings["layers"], settings["e_dim"]]
    modules = 4 if settings["bn"] else 3  # dropout, linear, batch norm, ReLU

    def layers(prefix: str, widths: list[int]) -> list[tuple[str, tuple[int, ...]]]:
        found: list[tuple[str, tuple[int, ...]]] = []
        for i, (rows, cols) in enumerate(zip(widths[1:], widths[:-1], strict=True)):
            linear, norm = (f"{prefix}mlp_layers.{i * modules + n}." for n in (1, 2))
            found += [(f"{linear}weight", (rows, cols)), (f"{linear}bias", (rows,))]
            if settings["bn"] and i < len(widths) - 2:
                found += [(norm + name, (rows,)) for name in ("weight", "bias", "running_mean", "running_var")]
        return found

    sizes = enumerate(settings["num_emb_list"])
    books = [(f"rq.vq_layers.{i}.embedding.weight", (size, settings["e_dim"])) for i, size in sizes]
    encoder = "encoder.mlp." if settings["plus"] else "encoder."
    found = layers(encoder, widths) + books + layers("decoder.", widths[::-1])
    if settings["normalize_input"]:
        found += [(name, (settings["in_dim"],)) for name in (NORMALIZER_MEAN, NORMALIZER_SCALE)]
    return found


def _flat(settings: Mapping[str, Any], weights: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    return np.concatenate([np.ravel(weights[name]) for name, _ in tensors(settings)]).astype(np.float32, copy=False)


def _text(settings: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(settings).encode(), np.uint8)


class Autoencoder:
    """A trained model inside the library, freed when nobody refers to it any more."""

    __slots__ = ("__weakref__", "cost", "dim", "handle", "levels")

    def __init__(self, settings: Mapping[str, Any], weights: Mapping[str, npt.NDArray[Any]]) -> None:
        self.levels, self.dim = len(settings["num_emb_list"]), int(settings["in_dim"])
        flat, text, out = _flat(settings, weights), _text(settings), np.zeros(1, np.int64)
        self.cost = flat.size  # multiplications to encode a row, about
        _native.call(_native._lib.RQVAENew, _address(text), text.size, _address(flat), flat.size, _address(out))
        self.handle = int(out[0])
        weakref.finalize(self, _free, self.handle, os.getpid())

    def encode(self, x: FloatMatrix, batch_size: int | None, verbose: bool, first_row: int = 0) -> CodeMatrix:
        """Return the codes of `x`, float32 and C-ordered."""
        rows, dim = x.shape
        codes = np.empty((rows, self.levels), np.int32)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.RQVAEEncode(
                self.handle, _address(x), rows, dim, batch_size or 0, _address(codes), control, text, size
            )

        if rows * self.cost < _native._LONG:
            text = _native._error_text
            kind = call(0, text.address, _native._TEXT_BYTES)
            if kind:
                _native._raise(kind, text.bytes, first_row)
        else:
            _native._call_long(call, _native._progress("encode", "rows", 1, rows) if verbose else None, first_row)
        return codes

    def latents(self, x: FloatMatrix, e_dim: int) -> FloatMatrix:
        """Return what is quantized of `x`, float32 and C-ordered: (n_samples, e_dim)."""
        rows, dim = x.shape
        out = np.empty((rows, e_dim), np.float32)

        def call(control: int, text: int, size: int) -> int:
            return _native._lib.RQVAELatents(self.handle, _address(x), rows, dim, _address(out), control, text, size)

        _native._call_long(call, None)
        return out

    def decode(self, codes: CodeMatrix) -> FloatMatrix:
        """Return what the decoder makes of `codes`, int32, C-ordered, of `levels` columns."""
        out = np.empty((len(codes), self.dim), np.float32)
        step = max(1, _native._PIECE_BYTES // (16 * self.dim))
        for low in range(0, len(codes), step):
            part = codes[low : low + step]
            text = _native._error_text
            kind = _native._lib.RQVAEDecode(
                self.handle, _address(part), len(part), self.levels, _address(out[low:]),
                text.address, _native._TEXT_BYTES,
            )  # fmt: skip
            if kind:
                _native._raise(kind, text.bytes, low)
        return out


def _free(handle: int, pid: int) -> None:
    if os.getpid() == pid:
        _native._lib.RQVAEFree(handle)


class Epoch(NamedTuple):
    """What an epoch came to; the numbers of core/rqvae."""

    loss: float
    recon_loss: float
    lr: float
    error: float
    collision_rate: float
    utilization: list[float]
    perplexity: list[float]


class Trained(NamedTuple):
    """What `fit` learned: the epochs, which of them was kept, and its weights."""

    epochs: list[Epoch]
    kept: int
    weights: Weights
    diverged: DivergenceError | None


class _Watch:
    """Tells `watch` of each epoch once it is over, from the waiting thread."""

    def __init__(self, epoch: Callable[[int], Epoch], watch: Callable[[int, Epoch], None], bar: Any) -> None:
        self._epoch, self._watch, self._bar, self._done = epoch, watch, bar, 0

    def show(self, level: int, done: int) -> None:
        for i in range(self._done, done):
            self._done = i + 1
            self._watch(i, self._epoch(i))
        if self._bar is not None:
            self._bar.show(level, done)

    def close(self, finished: bool) -> None:
        if self._bar is not None:
            self._bar.close(finished)


def fit(
    x: FloatMatrix,
    settings: Mapping[str, Any],
    seed: int,
    codebooks: Sequence[FloatMatrix] | None,
    watch: Callable[[int, Epoch], None],
    bar: bool,
) -> Trained:
    """Train on `x`, float32 and C-ordered. `watch` gets each epoch soon after its end."""
    rows, dim = x.shape
    levels, epochs = len(settings["num_emb_list"]), settings["epochs"]
    shapes = tensors(settings)
    flat = np.empty(sum(int(np.prod(shape)) for _, shape in shapes), np.float32)
    history, numbers, text = np.zeros((epochs, 5 + 2 * levels)), np.zeros(2, np.int64), _text(settings)
    books = None if codebooks is None else _addresses(codebooks)

    def epoch(i: int) -> Epoch:
        loss, recon, lr, error, collisions, *rest = history[i].tolist()
        return Epoch(loss, recon, lr, error, collisions, rest[:levels], rest[levels:])

    def call(control: int, error: int, size: int) -> int:
        return _native._lib.RQVAEFit(
            _address(x), rows, dim, _address(text), text.size, seed, 0 if books is None else _address(books),
            _address(flat), flat.size, _address(history), _address(numbers), _address(numbers[1:]),
            control, error, size,
        )  # fmt: skip

    watcher = _Watch(epoch, watch, _native._progress("fit", "epochs", 1, epochs) if bar else None)
    diverged = None
    try:
        _native._call_long(call, watcher)
    except DivergenceError as error:
        if not numbers[0]:
            raise
        diverged = error
    ends = np.cumsum([np.prod(shape) for _, shape in shapes])[:-1].astype(int)
    pieces = zip(shapes, np.split(flat, ends), strict=True)
    weights = {name: piece.reshape(shape) for (name, shape), piece in pieces}
    return Trained([epoch(i) for i in range(int(numbers[0]))], int(numbers[1]), weights, diverged)
