"""Which processes are below this one, and how they are ended, all of them. Linux alone. Knows nothing of runs.

A process that adopts orphans (a "child subreaper") stays above whatever it has started, be it in a session of its own,
forked twice, or deaf to every signal but one.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

_LOOK_SECONDS = 0.01

_PATIENCE_SECONDS = 5.0  # for what does not end although it was killed: it waits in the kernel, for a disk that hangs
_LOOK_SECONDS = 0.001
_ENDED = (b"Z", b"X")


def kill_descendants(patience: float = _PATIENCE_SECONDS) -> None:
    """Kill whatever is below this process and wait until it is gone. This process has to adopt orphans.

    Leaves alone what it may not kill, and what is still there after `patience` seconds; all where there is no `/proc`.
    """
    until = time.monotonic() + patience
    # What a process starts between a look and its end is found at the next one: it has become a child of ours.
    while _has_children() and _kill_once() and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)


def _has_children() -> bool:
    """Whether there are any that have not ended. Of those that have, the system is told that nobody will ask."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_once() -> int:
    """Kill all that can be found now; how many were there to be killed, or are about to be gone."""
    killed = 0
    for process, ended in descendants():
        if ended:
            killed += 1
            continue
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def descendants() -> Iterator[tuple[int, bool]]:
    """The processes below this one, parents mostly first, and whether each has ended and only waits to be asked for.

    One at a time and each as soon as it is seen, so that little time passes until it is killed. Not all of them may be
    found: children can have lower numbers than their parents.
    """
    found = {os.getpid()}
    names: list[str] = []
    with suppress(OSError):  # it is not mounted, or there are too many open files
        names = os.listdir("/proc")  # noqa: PTH208  (pathlib takes long to import)
    for process in sorted(int(name) for name in names if name.isdigit()):
        try:
            with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  (likewise)
                state, parent = file.read().rpartition(b")")[2].split(maxsplit=2)[:2]
        except OSError:
            continue  # it has gone
        if int(parent) in found:
            found.add(process)
            yield process, state in _ENDED


def wait_group_exit(group: int, seconds: float) -> bool:
    """Wait until nobody is left in a group of processes whose leader is gone, at most these seconds.

    Returns whether that is so: then the number is free, and may be that of others when it is used next.
    """
    until = time.monotonic() + seconds
    try:
        while True:
            os.killpg(group, 0)
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_SECONDS)
    except (ProcessLookupError, PermissionError):
        return True
