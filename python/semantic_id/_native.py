"""The one door to the native library: loads it at the first call, passes addresses, turns error kinds into exceptions.

The library is Go, which brings its own threads: they do not survive a fork, so a child of a process that has used it
gets a ForkError instead. Short calls run in the calling thread; a long one made in the main thread, or with progress to
show, runs in a thread of its own while the caller waits, so that Ctrl-C ends it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, cast

import numpy as np
import numpy.typing as npt

from . import _workers
from ._arrays import CodeMatrix, FloatMatrix
from ._facade import Facade
from ._threads import default_threads
from ._version import __version__
from .exceptions import (
    CodeError,
    DeviceError,
    DivergenceError,
    ForkError,
    ModelFileError,
    NativeLibraryError,
    SemanticIdError,
    ShapeMismatchError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreReadOnlyError,
)

if TYPE_CHECKING:
    from ._progress import Progress

METRICS = ("l2", "cosine")  # their numbers in the facade
STYLES = ("plain", "token")
DISTANCES = ("hierarchical", "hamming")
WAYS = ("by row", "by bounds", "plainly")  # that a fit of a level goes, by their numbers in core/kmeans
NOT_CONVERGED, NOT_DISTINCT = 1, 2  # flags of a fitted level

_CANCEL, _LEVEL, _DONE, _CONTROL_WORDS = 0, 1, 3, 8
_CANCELED = 11
_LONG = 1e8  # multiplications in a call that is worth a thread: some 10 ms
_TEXT_BYTES = 8192
_PIECE_BYTES = 1 << 26  # what a call that cannot be canceled writes at once: some 10 ms


_EXCEPTIONS: dict[int, type[Exception]] = {
    1: ValueError,
    2: ShapeMismatchError,
    3: ValueError,
    4: ValueError,
    5: CodeError,
    6: ModelFileError,
    7: ValueError,
    8: ModelFileError,
    9: SemanticIdError,
    10: DeviceError,
    12: OSError,
    13: SemanticIdError,
    14: StoreError,
    15: StoreLockedError,
    16: StoreReadOnlyError,
    17: StoreCorruptError,
    18: DivergenceError,
}


# --- loading ---


class _Unloaded:
    """Stands for the library until something is asked of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_load(), name)


class _Forked:
    """Stands for the library in a child of a process that has loaded it."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ForkError(
            "semantic-id was used before this process was forked, and its native library does not survive a fork: "
            "start workers by 'spawn' or 'forkserver' (multiprocessing.set_start_method), "
            "or fork before the first fit, encode or decode"
        )


_lib = cast(Facade, _Unloaded())
_lock = threading.Lock()
_started = False  # whether this process, or one it was forked from, has begun to load the library
_threads: int | None = None  # what set_num_threads said


def _load() -> Facade:
    global _lib, _started
    with _lock:
        if isinstance(_lib, _Unloaded):
            _started = True
            lib = _import_extension()
            threads = default_threads() if _threads is None else _threads
            version = _version_of(lib)
            if version != __version__:
                raise NativeLibraryError(
                    f"the native library is of version {version}, semantic_id of {__version__}: install it anew"
                )
            lib.SetNumThreads(threads)
            _lib = lib
        return _lib


def _import_extension() -> Facade:
    import platform

    problem = unsupported(sys.platform, platform.libc_ver()[0], "t" in getattr(sys, "abiflags", ""))
    if problem:
        raise NativeLibraryError(problem)
    try:
        return cast(Facade, importlib.import_module("semantic_id._gopy.facade"))
    except ImportError as error:
        raise NativeLibraryError(
            f"the native library of semantic-id does not load ({error}): build it with 'pip install .' in a checkout, "
            f"or install a wheel for Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        ) from error


def unsupported(system: str, libc: str, free_threaded: bool) -> str:
    """Return why there can be no native library on such a platform, or an empty string."""
    if system not in ("linux", "darwin"):
        return f"semantic-id runs on Linux and macOS, not on {system}; on Windows use WSL"
    if system == "linux" and libc != "glibc":
        return "semantic-id needs glibc, and this Python has another C library: instead of Alpine use a Debian image"
    if free_threaded:
        return "semantic-id needs a Python with the GIL: this is a free-threaded build"
    return ""


def _version_of(lib: Facade) -> str:
    text = np.zeros(64, np.uint8)
    length = lib.Version(_address(text), text.size)
    return text[:length].tobytes().decode()


def _after_fork_in_child() -> None:
    global _lib, _lock
    _lock = threading.Lock()
    _running.clear()
    if _started:
        _lib = cast(Facade, _Forked())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def set_num_threads(n: int) -> None:
    """Set how many threads fit, encode and decode use from now on.

    Without it they use SEMANTIC_ID_NUM_THREADS, else OMP_NUM_THREADS, else the cores this process may use. The number
    changes no result.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    ValueError
        If `n` is not an integer of at least 1.

    Examples
    --------
    >>> import semantic_id
    >>> semantic_id.set_num_threads(2)
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n={n!r}: want an integer >= 1")
    with _lock:
        _threads = int(n)
        if not isinstance(_lib, (_Unloaded, _Forked)):
            _lib.SetNumThreads(_threads)


def num_threads() -> int:
    """Return how many threads the library uses."""
    return int(_lib.NumThreads())


# --- calling ---


class _ErrorText(threading.local):
    """A buffer for the text of an error, one per thread."""

    def __init__(self) -> None:
        self.bytes = np.zeros(_TEXT_BYTES, np.uint8)
        self.address = _address(self.bytes)


def _address(array: npt.NDArray[Any]) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _addresses(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    return np.array([_address(a) for a in arrays], np.uint64)


_error_text = _ErrorText()
_running: dict[int, npt.NDArray[np.int64]] = {}  # the control blocks of long calls, by address


def _raise(kind: int, text: npt.NDArray[np.uint8], first_row: int = 0) -> NoReturn:
    """Raise what an error kind stands for. `first_row` is the number of the row that the call knew as row 0."""
    message = text.tobytes().partition(b"\0")[0].decode("utf-8", "replace")
    if first_row:
        message = re.sub(r"\brow (\d+)", lambda row: f"row {int(row[1]) + first_row}", message)
    if kind == _CANCELED:
        raise SystemExit("semantic-id: a call was ended because Python is shutting down")
    raise _EXCEPTIONS.get(kind, SemanticIdError)(re.sub("^(rqkmeans|rqvae|metrics|resolve): ", "", message))


def call(function: Callable[..., int], *arguments: int | float) -> None:
    """Make a call that does not take long."""
    kind = function(*arguments, _error_text.address, _TEXT_BYTES)
    if kind:
        _raise(kind, _error_text.bytes)


class Watcher(Protocol):
    """What a long call tells how far it is; see `Progress`."""

    def show(self, level: int, done: int) -> None: ...

    def close(self, finished: bool) -> None: ...


def _call_long(call: Callable[[int, int, int], int], progress: Watcher | None, first_row: int = 0) -> None:
    """Make a call that may take long.

    Parameters
    ----------
    call : callable
        Gets the address of a control block and the address and length of an error text, and returns a kind.
    progress : Watcher or None
        Told, a few times a second, how far the call is.
    first_row : int
        As in `_raise`.
    """
    control = np.zeros(_CONTROL_WORDS, np.int64)
    text = np.zeros(_TEXT_BYTES, np.uint8)
    address = _address(control)
    _running[address] = control
    outcome: list[int | BaseException] = []
    finished = threading.Event()

    def work() -> None:
        try:
            outcome.append(call(address, _address(text), text.size))
        except BaseException as error:
            outcome.append(error)
        finally:
            _running.pop(address, None)
            finished.set()

    if progress is None and threading.current_thread() is not threading.main_thread():
        work()  # signals go to the main thread, so nothing would interrupt the wait
    else:
        started = ended = False
        try:
            _workers.run(work)
            started = True
            while not ended:
                ended = finished.wait(0.1)
                if progress is not None:
                    progress.show(int(control[_LEVEL]), int(control[_DONE]))
        except BaseException:
            control[_CANCEL] = 1
            if started:
                finished.wait()  # a second Ctrl-C ends the wait; the thread keeps its arrays alive
            else:
                _running.pop(address, None)
            raise
        finally:
            if progress is not None:
                progress.close(ended and outcome[0] == 0)
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    if result:
        _raise(result, text, first_row)


def _progress(title: str, unit: str, levels: int, steps: int) -> Progress:
    from ._progress import Progress  # tqdm takes its time to import

    return Progress(title, unit, levels, steps)


@atexit.register
def _end_calls() -> None:
    """Ask calls that daemon threads have left running to end, and give them a moment."""
    for control in list(_running.values()):
        control[_CANCEL] = 1
    deadline = time.monotonic() + 2
    while _running and time.monotonic() < deadline:
        time.sleep(0.01)


# --- models ---


class Quantizer:
    """A fitted model inside the library, freed when nobody refers to it any more."""

    __slots__ = ("__weakref__", "cost", "dim", "handle", "levels")

    def __init__(self, codebooks: Sequence[FloatMatrix], metric: str) -> None:
        books = [np.ascontiguousarray(b, np.float32) for b in codebooks]
        sizes = np.array([len(b) for b in books], np.int64)
        self.levels, self.dim = len(books), int(books[0].shape[1])
        self.cost = int(sizes.sum()) * self.dim  # multiplications to encode a row
        out = np.zeros(1, np.int64)
        pointers = _addresses(books)
        text = _error_text
        kind = _lib.QuantizerNew(
            self.levels,
            self.dim,
            _address(sizes),
            _address(pointers),
            METRICS.index(metric),
            _address(out),
            text.address,
            _TEXT_BYTES,
        )
        if kind:
            _raise(kind, text.bytes)
        self.handle = int(out[0])
        weakref.finalize(self, _free, self.handle, os.getpid()).atexit = False

    def encode(
        self, x: FloatMatrix, batch_size: int | None, verbose: bool, first_row: int = 0, beam_size: int = 1
    ) -> CodeMatrix:
        """Return the codes of `x`, float32, C-ordered, of `dim` columns. Errors count rows from `first_row`."""
        rows, dim = x.shape
        codes = np.empty((rows, self.levels), np.int32)
        if rows * self.cost * beam_size < _LONG:
            text = _error_text
            kind = _lib.QuantizerEncode(
                self.handle, _address(x), rows, dim, beam_size, batch_size or 0, _address(codes), 0,
                text.address, _TEXT_BYTES,
            )  # fmt: skip
            if kind:
                _raise(kind, text.bytes, first_row)
            return codes

        def call(control: int, text: int, size: int) -> int:
            return _lib.QuantizerEncode(
                self.handle, _address(x), rows, dim, beam_size, batch_size or 0, _address(codes), control, text, size
            )

        _call_long(call, _progress("encode", "rows", 1, rows) if verbose else None, first_row)
        return codes

    def latents(self, x: FloatMatrix) -> FloatMatrix:
        """Return what is quantized of `x`, float32 and C-ordered: under cosine its rows divided by their norms."""
        out = np.empty_like(x)
        call(_lib.QuantizerLatents, self.handle, _address(x), *x.shape, _address(out))
        return out

    def encode_balanced(
        self, x: FloatMatrix, recompute: bool, verbose: bool
    ) -> tuple[CodeMatrix, npt.NDArray[np.float64]]:
        """Return balanced codes of `x`, float32 and C-ordered, and a certificate for each level, (levels, 3)."""
        rows, dim = x.shape
        codes, proofs = np.empty((rows, self.levels), np.int32), np.zeros((self.levels, 3))

        def call(control: int, text: int, size: int) -> int:
            return _lib.QuantizerEncodeBalanced(
                self.handle, _address(x), rows, dim, recompute, _address(codes), _address(proofs), control, text, size
            )

        _call_long(call, _progress("encode", "levels", 1, self.levels) if verbose else None)
        return codes, proofs

    def decode(self, codes: CodeMatrix) -> FloatMatrix:
        """Return the rows that `codes`, int32, C-ordered, of `levels` columns, stand for."""
        rows = len(codes)
        out = np.empty((rows, self.dim), np.float32)
        text = _error_text
        step = max(1, _PIECE_BYTES // (4 * self.dim))
        for low in range(0, rows, step):
            part = codes[low : low + step]
            kind = _lib.QuantizerDecode(
                self.handle, _address(part), len(part), self.levels, _address(out[low:]), text.address, _TEXT_BYTES
            )
            if kind:
                _raise(kind, text.bytes, low)
        return out

    def refine(
        self,
        x: FloatMatrix,
        weights: npt.NDArray[np.float64] | None,
        *,
        sizes: Sequence[int],
        beam_size: int,
        max_iter: int,
        tol: float,
        seed: int,
        verbose: bool,
    ) -> Refined:
        """Return codebooks, of these sizes, refined on `x`, float32 and C-ordered."""
        rows, dim = x.shape
        books = [np.empty((k, dim), np.float32) for k in sizes]
        pointers = _addresses(books)
        inertia, errors, numbers = np.zeros(self.levels), np.zeros(max_iter + 2), np.zeros(2, np.int64)

        def call(control: int, text: int, size: int) -> int:
            return _lib.RQKMeansRefine(
                self.handle, _address(x), rows, dim, 0 if weights is None else _address(weights),
                beam_size, max_iter, tol, seed, _address(pointers), _address(inertia), _address(errors),
                _address(numbers), _address(numbers[1:]), control, text, size,
            )  # fmt: skip

        _call_long(call, _progress("refine", "iterations", 1, max_iter) if verbose else None)
        return Refined(books, inertia, errors[: int(numbers[0])].copy(), int(numbers[1]))


class Refined(NamedTuple):
    """What `Quantizer.refine` learned."""

    codebooks: list[FloatMatrix]
    inertia: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    flags: int


def _free(handle: int, pid: int) -> None:
    if os.getpid() == pid:
        _lib.QuantizerFree(handle)


class Fitted(NamedTuple):
    """What `fit_rqkmeans` learned, level by level."""

    codebooks: list[FloatMatrix]
    codes: CodeMatrix
    inertia: npt.NDArray[np.float64]
    n_iter: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    certificates: npt.NDArray[np.float64]


def fit_rqkmeans(
    x: FloatMatrix,
    weights: npt.NDArray[np.float64] | None,
    *,
    clusters: Sequence[int],
    metric: str,
    max_iter: int,
    tol: float,
    restarts: int,
    seed: int,
    balanced: bool,
    recompute: bool,
    verbose: bool,
) -> Fitted:
    """Fit residual k-means to `x`, float32 and C-ordered; with `recompute` without a copy of it.

    The three numbers of a certificate are those of core/facade; without `balanced` they are 0.
    """
    rows, dim = x.shape
    levels = len(clusters)
    sizes = np.array(clusters, np.int64)
    books = [np.empty((k, dim), np.float32) for k in clusters]
    pointers = _addresses(books)
    codes = np.empty((rows, levels), np.int32)
    fitted = Fitted(
        books, codes, np.zeros(levels), np.zeros(levels, np.int64), np.zeros(levels, np.int64), np.zeros((levels, 3))
    )

    def call(control: int, text: int, size: int) -> int:
        return _lib.RQKMeansFit(
            _address(x), rows, dim, 0 if weights is None else _address(weights),
            levels, _address(sizes), METRICS.index(metric), max_iter, tol, restarts, seed, recompute, balanced,
            _address(pointers), _address(codes), _address(fitted.inertia),
            _address(fitted.n_iter), _address(fitted.flags), _address(fitted.certificates), control, text, size,
        )  # fmt: skip

    if not (verbose or balanced) and rows * sum(clusters) * dim * max_iter * restarts < _LONG:
        kind = call(0, _error_text.address, _TEXT_BYTES)
        if kind:
            _raise(kind, _error_text.bytes)
    else:
        _call_long(call, _progress("fit", "iterations", levels, max_iter * restarts) if verbose else None)
    return fitted


class Foreseen(NamedTuple):
    """What `foresee_rqkmeans` expects of a fit."""

    bytes: float  # beside the rows
    ways: list[str]  # of each level: one of WAYS
    start_work: list[float]  # of each level, in multiplications


def foresee_rqkmeans(rows: int, dim: int, clusters: Sequence[int], recompute: bool) -> Foreseen:
    """Ask the library what a fit would take; all numbers below 2**53."""
    levels = len(clusters)
    sizes = np.array(clusters, np.int64)
    needed, ways, work = np.zeros(1), np.zeros(levels, np.int64), np.zeros(levels)
    text = _error_text
    kind = _lib.RQKMeansForesee(
        rows, dim, levels, _address(sizes), recompute, _address(needed), _address(ways), _address(work),
        text.address, _TEXT_BYTES,
    )  # fmt: skip
    if kind:
        _raise(kind, text.bytes)
    return Foreseen(float(needed[0]), [WAYS[way] for way in ways], work.tolist())


def format_codes(codes: CodeMatrix, style: str, sep: str) -> list[str]:
    """Return each row of `codes`, int32 and C-ordered, as an id."""
    between = np.frombuffer(sep.encode() or b"\0", np.uint8)
    between_length = len(sep.encode())
    end = next(b for b in range(256) if b not in b"-0123456789<>_abcdefghijklmnopqrstuvwxyz" and b not in sep.encode())
    levels = codes.shape[1]
    row_bytes = levels * (16 + between_length) + 1
    text = _error_text
    needed = np.zeros(1, np.int64)
    step = max(1, _PIECE_BYTES // row_bytes)
    ids: list[str] = []
    for low in range(0, len(codes), step):
        part = codes[low : low + step]
        out = np.empty(len(part) * row_bytes, np.uint8)
        kind = _lib.FormatCodes(
            _address(part), len(part), levels, STYLES.index(style), _address(between), between_length, end,
            _address(out), out.size, _address(needed), text.address, _TEXT_BYTES,
        )  # fmt: skip
        if kind:
            _raise(kind, text.bytes)
        ids += out[: int(needed[0]) - 1].tobytes().decode().split(chr(end))
    return ids
