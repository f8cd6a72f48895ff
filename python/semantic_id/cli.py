"""The `semantic-id` command: fit, encode, evaluate, compare, report, info, estimate and demo.

Results go to stdout, everything else to stderr; an error is one line. Files and model directories appear
whole or not at all. Exit codes: 0 done, 1 a file or model is at fault, 2 the command line is, 130 Ctrl-C,
128 + n another signal n, 141 the reader of stdout went away.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from . import SemanticIdError
from ._cli_parser import PROG, parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

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
                arguments = parser().parse_args(argv)
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
        print(f"{PROG}: warning: {' '.join(str(message).split())}", file=sys.stderr)

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
        print(f"{PROG}: {message}", file=sys.stderr, flush=True)
    return code


def _discard_stdout() -> None:
    """Keep the interpreter from flushing, at its end, into a pipe or disk that takes nothing."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
