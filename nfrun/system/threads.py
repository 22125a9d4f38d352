"""Starts threads and timers, and says so if the system allows no more."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

from nfrun.core.errors import HandoffError

ABANDONED = "nfrun-abandoned"  # the name of a thread that asks a service which may never answer


def start_thread(target: Callable[..., object], name: str, *arguments: object) -> threading.Thread:
    """Start a daemon thread that calls `target`. Raises HandoffError if the system allows no more threads."""
    thread = threading.Thread(target=target, name=name, args=arguments, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as error:
        raise HandoffError(f"no thread could be started: {error}", OSError(errno.EAGAIN, "")) from error
    return thread


def start_timer(timer: threading.Timer) -> None:
    """Start a timer. If the system allows no more threads, call its function at once."""
    try:
        timer.start()
    except (RuntimeError, MemoryError):
        timer.function(*timer.args, **timer.kwargs)
