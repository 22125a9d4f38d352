"""Ends a process in which user code has run, within seconds and with the right exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

_LEFT_SECONDS = 0.5  # for threads and processes left by nodes to end, as idle pools do at exit
_HOOKS_SECONDS = 5.0  # for exit hooks of libraries
_SHORT = "/tmp"
LONGEST = 70  # bytes of the path of a folder, in which sockets are two levels below: they have at most 107

_RESERVED: list[str] = []  # the folder of this process; empty if nobody removes it after a kill


class ImmediateExit(SystemExit):
    """Asks `main` to leave without waiting for anything, not even for exit hooks: a detached node may hang for ever."""

    at_once = True


def leave_process(code: int, *, at_once: bool = False) -> NoReturn:
    """Exit with this code soon, although nodes may have left threads or processes that Python waits for at exit.

    Exit hooks run, for 5 seconds at most (0.5 if something was left running), or until a signal comes; with `at_once`
    not at all, nor if a thread is left in a library whose hook would wait for it (`ABANDONED`).
    """
    import signal
    import threading

    from nfrun.core.errors import HandoffError
    from nfrun.system.threads import ABANDONED, start_thread

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # A hook may hold the lock of the interpreter for as long as it waits: then nothing here could end it.
    if at_once or any(thread.name == ABANDONED for thread in threading.enumerate()):
        remove_temp_folder()
        os._exit(code)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    try:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Not by handlers: the main thread may be in C code that calls none.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        seconds = _LEFT_SECONDS if _has_background_work() else _HOOKS_SECONDS
        start_thread(_leave_later, "nfrun-leave", code, seconds, reading)
    except (OSError, HandoffError):  # too many open files or threads
        _leave_now(code)
    sys.exit(code)


def leave_untouched(code: int) -> None:
    """Exit at once after the exit hooks, if no code of the user has run: so nothing needs to be taken down.

    Taking down all modules takes 10 ms. Returns if another thread is there, or a stream cannot be flushed: then Python
    is to exit in its own way.
    """
    import atexit
    import threading

    if threading.active_count() > 1:
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError):
        return
    atexit._run_exitfuncs()
    os._exit(code)


def _has_background_work() -> bool:
    """Return whether there are threads or processes that Python waits for at exit."""
    import threading

    pools = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())  # daemon threads too
    return bool(pools or _children()) or sum(not thread.daemon for thread in threading.enumerate()) > 1


def _children() -> Sequence[Any]:
    module = sys.modules.get("multiprocessing.process")
    return module.active_children() if module else ()


def _leave_later(code: int, seconds: float, signals: int) -> None:
    import select

    poll = select.poll()
    poll.register(signals, select.POLLIN)
    poll.poll(seconds * 1e3)
    _leave_now(code)


def _leave_now(code: int) -> NoReturn:
    for child in _children():
        with suppress(Exception):  # the main thread may wait for the same child
            child.kill()
    remove_temp_folder()
    os._exit(code)


# ------------------------------------------------------------------ the folder of sockets

# `multiprocessing` keeps its sockets in a folder, and removes it only in a process that comes to its end by itself. So
# the supervisor knows its name, and removes it after a kill.


def reserve_temp_folder() -> None:
    """Choose the path of the folder that `use_temp_folder` makes, here or in a child. Makes nothing yet."""
    # Named as Python names it, since `nfrun.code.watch` knows it by that. Without `tempfile`, which imports much.
    parent = os.environ.get("TMPDIR") or _SHORT
    _RESERVED[:] = [f"{_SHORT if is_too_long(parent) else parent}/pymp-{os.urandom(4).hex()}"]


def use_temp_folder() -> None:
    """Make the reserved folder that of `multiprocessing`. Does nothing if none is reserved, or it has one.

    Without a reserved one, it has one of its own where that of temporary files has a path too long for sockets.
    """
    from multiprocessing import process, util
    from shutil import rmtree

    config: dict[str, Any] = process.current_process()._config  # type: ignore[attr-defined]
    if "tempdir" in config:
        return
    if not _RESERVED and not is_too_long(os.environ.get("TMPDIR", "")):
        return
    folder = _RESERVED[0] if _RESERVED else f"{_SHORT}/pymp-{os.urandom(4).hex()}"
    with suppress(OSError):  # then it makes its own
        os.mkdir(folder, 0o700)  # noqa: PTH102
        config["tempdir"] = folder
        util.Finalize(None, rmtree, (folder, True), exitpriority=-100)  # after all that uses it


def remove_reserved_folder() -> None:
    """Remove the reserved folder, after the processes that use it have ended."""
    for path in _RESERVED:
        _remove(path)


def remove_temp_folder() -> None:
    """Remove the folder that `multiprocessing` has in this process. Call it where exit hooks do not run."""
    if module := sys.modules.get("multiprocessing.process"):
        _remove(module.current_process()._config.get("tempdir") or "")


def is_too_long(folder: str) -> bool:
    return len(os.fsencode(folder)) > LONGEST


def _remove(path: str) -> None:
    if path and os.path.lexists(path):
        from shutil import rmtree

        rmtree(path, ignore_errors=True)
