"""Starts threads and timers, and says so if the system allows no more."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from nfrun.core.errors import HandoffError

ABANDONED = "nfrun-abandoned"  # the name of a thread that asks a service which may never answer
_LOOK_SECONDS = 0.05


def start_thread(target: Callable[..., object], name: str, *arguments: object) -> threading.Thread:
    """Start a daemon thread that calls `target`. Raises HandoffError if the system allows no more threads."""
    thread = threading.Thread(target=target, name=name, args=arguments, daemon=True)
    try:
        begin_thread(thread)
    except RuntimeError as error:
        raise HandoffError(f"no thread could be started: {error}", OSError(errno.EAGAIN, "")) from error
    return thread


def start_timer(timer: threading.Timer) -> None:
    """Start a timer. If the system allows no more threads, call its function at once."""
    try:
        begin_thread(timer)
    except RuntimeError:
        timer.function(*timer.args, **timer.kwargs)


def begin_thread(thread: threading.Thread) -> None:
    """Start a thread. Raises RuntimeError if the system allows no more, or has no memory for it.

    `Thread.start` waits until the new thread has told that it runs: for ever, if it has no memory to do that.
    """
    bootstrap = partial(vars(threading.Thread)["_bootstrap"], thread)
    started = _Started(bootstrap)
    vars(thread).update(_bootstrap=bootstrap, _started=started)
    started.references = sys.getrefcount(started.bootstrap)  # the thread has one more until it ends
    try:
        thread.start()
    except MemoryError:
        raise RuntimeError("out of memory") from None
    finally:
        with suppress(KeyError):
            del vars(thread)["_bootstrap"], started.bootstrap  # otherwise they would refer to each other


class _Started(threading.Event):
    """Tells that a thread has started, and raises RuntimeError in `wait` if it has ended before it could do so."""

    references = 0

    def __init__(self, bootstrap: object) -> None:
        super().__init__()
        self.bootstrap = bootstrap

    def wait(self, timeout: float | None = None) -> bool:
        """Wait without limit."""
        while not super().wait(_LOOK_SECONDS):
            if sys.getrefcount(self.bootstrap) <= self.references and not self.is_set():
                raise RuntimeError("can't start new thread")
        return True
