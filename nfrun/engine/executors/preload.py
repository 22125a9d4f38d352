"""Imports installed packages in the fork server. That process imports this module, which imports them at once.

A package that starts threads, fails, or takes too long is left out: forked workers may hang if the fork server has
threads. So is one that reads a file of the user, such as a configuration: only in a worker it is seen which. A thread
cannot be ended and half an import cannot be undone, so the fork server then starts again without that package.
`environ` are the variables that the packages have changed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from nfrun.code.watch.audit_hook import listening
from nfrun.code.watch.counted_files import CountedFiles
from nfrun.code.watch.file_access import Access, Use, accesses

_VARIABLE = "NFRUN_PRELOAD"  # the seconds that imports may take in all, and the names of the packages
_STARTS_THREADS = frozenset({"polars"})  # known to do so: finding it out would take another start
_CODE = (".py", ".pyc", ".so")
_END_SECONDS = 1.0  # for an import to end after its time is over
_THREADS = Path("/proc/self/task")  # elsewhere threads are not seen, and no packages are imported


class _TooLong(BaseException):
    pass


def preload(until: float, packages: list[str]) -> dict[str, str]:
    """Import the packages, and return the variables that they have changed.

    Starts the process again without the first one that must be left out.
    """
    before = dict(os.environ)
    tops = {package: package.partition(".")[0] for package in packages}
    installed = [package for package, top in tops.items() if top not in _STARTS_THREADS and find_spec(top) is not None]
    with Path(os.devnull).open("w") as nowhere:
        # Compiled code may hang so that no signal reaches it. Then the run starts a fork server without packages.
        faulthandler.dump_traceback_later(max(until - time.monotonic(), 0.0) + _END_SECONDS, exit=True, file=nowhere)
        threads = _thread_count()
        counted = CountedFiles(Path.cwd())
        opened: list[str] = []

        def see(event: str, args: tuple[Any, ...], frame: FrameType) -> None:
            with suppress(OSError, TypeError, ValueError):  # the call raises it, too
                opened.extend(access.path for access in accesses(event, args) if _is_users(access, counted))

        for package in installed:
            with listening(see):
                is_imported = _imports(package, until)
            if not is_imported or opened or _thread_count() != threads:
                _restart(before, until, [other for other in installed if other != package])
        faulthandler.cancel_dump_traceback_later()
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


def _is_users(access: Access, counted: CountedFiles) -> bool:
    """Return whether a file of the user is read, other than code."""
    path = access.path
    return access.use is Use.READ and not path.endswith(_CODE) and counted.counts(path) and Path(path).is_file()


def _imports(package: str, until: float) -> bool:
    """Import a package. Returns whether that succeeded in time."""
    previous = signal.signal(signal.SIGALRM, _on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), 1e-6))
        try:
            __import__(package)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException:  # a package may raise anything; the worker that imports it reports the error
        return False
    finally:
        signal.signal(signal.SIGALRM, previous)
    return True


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise _TooLong


def _thread_count() -> int:
    return len(list(_THREADS.iterdir()))


def _restart(environ: dict[str, str], until: float, packages: list[str]) -> None:
    """Start this process again with other packages, or with none if the time is over."""
    if packages and time.monotonic() < until:
        environ[_VARIABLE] = " ".join([str(until - time.monotonic()), *packages])
    os.execve(sys.executable, sys.orig_argv, environ)


_seconds, *_packages = os.environ.pop(_VARIABLE, "0").split()
environ = preload(time.monotonic() + float(_seconds), _packages) if _THREADS.exists() else {}
