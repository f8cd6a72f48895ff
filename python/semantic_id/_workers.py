"""Threads that wait for work: to start one takes longer than a short call."""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable

_MOST = 4  # that wait

_idle: list[_Worker] = []


class _Worker:
    def __init__(self) -> None:
        self._given = _thread.allocate_lock()
        self._given.acquire()
        _thread.start_new_thread(self._loop, ())

    def give(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._given.release()

    def _loop(self) -> None:
        while True:
            self._given.acquire()
            assert self._work is not None
            self._work()
            self._work = None  # what it refers to may go
            if len(_idle) >= _MOST:
                return
            _idle.append(self)


def run(work: Callable[[], None]) -> None:
    """Start `work`, which raises nothing, in another thread."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.give(work)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)  # threads do not survive a fork
