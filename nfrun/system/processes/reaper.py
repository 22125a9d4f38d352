"""Splits a process in two, so that nothing which it starts outlives it. Linux only; elsewhere it stays one.

The first adopts orphans and waits. It kills all its descendants when the second has ended, which does the work, or when
nobody holds the other end of a pipe any more. The second does the same when the first has been killed.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from shutil import rmtree
from typing import NoReturn

from nfrun.system.processes.process_exit import remove_reserved_folder, reserve_temp_folder
from nfrun.system.processes.process_tree import (
    ADOPTS_ORPHANS,
    PARENT_DEATH_SIGNAL,
    exit_as,
    find_prctl,
    kill_descendants,
    reap,
)

_END_SECONDS = 5.0  # for the second process to end by itself at the end of the pipe


def split(lifeline: int, of_second: Iterable[int], folder: Path) -> Callable[[int], NoReturn]:
    """Split this process, which has no threads, and return in the second.

    `lifeline` is the reading end of a pipe, whose end is the end of both. The first closes the files `of_second`. The
    second calls what this returns, with its exit code, in place of `exit`. `folder` is removed at the end.
    """

    def leave(code: int) -> NoReturn:
        kill_descendants()
        rmtree(folder, ignore_errors=True)
        remove_reserved_folder()
        exit_as(code)

    reserve_temp_folder()
    prctl = find_prctl()
    if prctl is None or prctl(ADOPTS_ORPHANS, 1):
        return leave
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    first = os.getpid()
    second = os.fork()
    if second:
        for file in of_second:
            os.close(file)
        leave(_wait(second, lifeline, woken, wake))
    os.close(woken)
    os.close(wake)
    signal.signal(signal.SIGTERM, lambda number, frame: leave(1))
    prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != first:
        leave(1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)  # not SIG_IGN: what is started would inherit that
    return leave


def _wait(second: int, lifeline: int, woken: int, wake: int) -> int:
    """Wait for the end of the second process, or of the pipe. Reaps adopted orphans. Returns the exit code."""
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: None)
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(lifeline, 0)  # its end is always told
    until: float | None = None
    code = reap(second)
    while code is None:
        ready = poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1e3)
        if not ready:
            break
        if any(file == lifeline for file, _ in ready):
            poll.unregister(lifeline)
            until = time.monotonic() + _END_SECONDS
        elif set(os.read(woken, 1024)) - {signal.SIGCHLD}:
            break
        code = reap(second)
    if code is None:
        os.kill(second, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
    return code
