"""Installs the audit hook of this process, and passes what code opens, writes and connects to on to the runs under way.

Python's audit hooks cannot be removed. This one is installed by the first run. While no run is under way, it makes one
comparison and returns.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Takes the name of an event, its arguments and the frame that raised it.
Listener = Callable[[str, tuple[Any, ...], FrameType], None]

EVENTS = frozenset(
    {
        "open", "os.listdir", "os.scandir", "glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob",
        "sqlite3.connect", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate",
        "socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo",
        "os.fork",
    }
)  # fmt: skip

_LISTENERS: list[Listener] = []
_INSTALLED: list[None] = []
_INSTALLING = threading.Lock()
_BUSY = threading.local()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` for the `EVENTS` of all threads of this process, but not for what it does itself."""
    with _INSTALLING:
        if not _INSTALLED:
            _INSTALLED.append(None)
            sys.addaudithook(_hook)
        _LISTENERS.append(listener)
    try:
        yield
    finally:
        with _INSTALLING:
            if listener in _LISTENERS:
                _LISTENERS.remove(listener)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _LISTENERS or event not in EVENTS or getattr(_BUSY, "is_busy", False):
        return
    _BUSY.is_busy = True
    try:
        for listener in tuple(_LISTENERS):
            listener(event, args, sys._getframe(1))
    finally:
        _BUSY.is_busy = False
