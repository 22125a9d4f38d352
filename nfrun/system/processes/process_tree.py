"""Finds and kills all descendants of this process, on Linux, waits for process groups, and says how processes ended.

A process that adopts orphans (a "child subreaper") stays an ancestor of all that it has started: also of processes in
a session of their own, forked twice, or ignoring every signal but SIGKILL.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NoReturn

_PATIENCE_SECONDS = 5.0  # for a killed process that does not exit: it waits in the kernel, for instance for a disk
_LOOK_SECONDS = 0.001  # between two rounds of killing
_GROUP_LOOK_SECONDS = 0.01  # between two looks at a process group
_ENDED = (b"Z", b"X")
_HINTS = {
    "SIGKILL": "; the system does that when memory runs out",
    "SIGSEGV": "; compiled code in it crashed",
    "SIGBUS": "; compiled code in it crashed",
    "SIGABRT": "; compiled code in it aborted",
}
PARENT_DEATH_SIGNAL, DUMPABLE, ADOPTS_ORPHANS = 1, 4, 36  # from <linux/prctl.h>

Prctl = Callable[[int, int], int]  # asks Linux for something that concerns this process


def kill_descendants(patience: float = _PATIENCE_SECONDS) -> None:
    """Kill all descendants of this process and wait until they are gone. This process must adopt orphans.

    Gives up after `patience` seconds. Leaves processes that it may not kill, and does nothing without `/proc`.
    """
    deadline = time.monotonic() + patience
    # What a process starts before it is killed is found in the next round: it has become a child of this process.
    while _has_children() and _kill_once() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _has_children() -> bool:
    """Reap children that have ended. Returns whether others are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _kill_once() -> int:
    """Kill all descendants that are found now. Returns how many were killed or had ended."""
    killed = 0
    for process, ended in descendants():
        with suppress(ProcessLookupError, PermissionError):
            if not ended:
                os.kill(process, signal.SIGKILL)
            killed += 1
    return killed


def descendants() -> Iterator[tuple[int, bool]]:
    """Yield the descendants of this process, parents mostly first, and whether each has ended and is not reaped yet.

    Yields each as soon as it is found, so that it is killed soon. May miss some: a child can have a lower process id
    than its parent.
    """
    found = {os.getpid()}
    names: list[str] = []
    with suppress(OSError):  # not mounted, or too many open files
        names = os.listdir("/proc")  # noqa: PTH208  (pathlib takes long to import)
    for process in sorted(int(name) for name in names if name.isdigit()):
        try:
            with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  (likewise)
                state, parent = file.read().rpartition(b")")[2].split(maxsplit=2)[:2]
        except OSError:
            continue  # it has ended
        if int(parent) in found:
            found.add(process)
            yield process, state in _ENDED


def wait_group_exit(group: int, seconds: float) -> bool:
    """Wait until a process group whose leader has ended is empty, at most `seconds`. Returns whether it is empty.

    Don't signal an empty process group: its id may have been reused.
    """
    deadline = time.monotonic() + seconds
    try:
        while True:
            os.killpg(group, 0)
            if time.monotonic() >= deadline:
                return False
            time.sleep(_GROUP_LOOK_SECONDS)
    except (ProcessLookupError, PermissionError):
        return True


def describe_exit(status: int) -> str:
    """Return how a process ended: `exited with status 3`, `was killed by SIGTERM`, or `was killed by signal 40`.

    `status` is the exit status, or the negative number of the signal. Common signals come with their usual cause.
    """
    if status >= 0:
        return f"exited with status {status}"
    name = next((known.name for known in signal.Signals if known == -status), f"signal {-status}")
    return f"was killed by {name}{_HINTS.get(name, '')}"


def reap(process: int) -> int | None:
    """Reap the children that have ended, adopted ones too. Returns the exit code of `process` if it is among them."""
    code, ended = None, 1
    while ended and code is None:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended == process:
            code = os.waitstatus_to_exitcode(status)
    return code


def exit_as(code: int) -> NoReturn:
    """Exit at once with this code, or by signal `-code` if it is negative. Flushes nothing."""
    if code < 0:
        if prctl := find_prctl():
            prctl(DUMPABLE, 0)  # one core dump is enough
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [-code])
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def find_prctl() -> Prctl | None:
    """Return the system call of that name, which gives 0 on success; None if it is not available."""
    try:
        import ctypes

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda what, value: int(call(what, ctypes.c_ulong(value), *[ctypes.c_ulong()] * 3))
