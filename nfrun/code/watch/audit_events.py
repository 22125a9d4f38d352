"""Listens to audit events, and reads them: which files code reads and writes, and which hosts it connects to.

Python's audit hooks cannot be removed. This one is installed by the first run. While no run is under way, it makes one
comparison and returns.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import socket

_LOCAL = ("127.", "::1", "0.0.0.0", "::ffff:127.", "localhost")
# Sockets that `multiprocessing` binds to reach its own processes.
_OWN_SOCKETS = ("/pymp-", "\0listener-")


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
    """Call `listener` for the `EVENTS` of all threads of this process, except for its own."""
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


class Use(Enum):
    """An operation on a file: `LIST` is for folders, `MATCH` for patterns, and `REMOVE` for files that go away.

    `UNKNOWN` is for a file whose folder is not known.
    """

    READ = 1
    WRITE = 2
    BOTH = 3
    LIST = 4
    MATCH = 5
    REMOVE = 6
    UNKNOWN = 7

    @property
    def writes(self) -> bool:
        """Whether it may change the file."""
        return self in (Use.WRITE, Use.BOTH, Use.REMOVE)


class Access(NamedTuple):
    """An access to the file at an absolute path. That of a pattern is recorded under its path and `suffix`.

    The `suffix` of a file that goes away is its new path, "" if it is removed. `is_relative`: the code named the file
    relative to the working directory.
    """

    use: Use
    path: str
    suffix: str = ""
    is_relative: bool = False


def accesses(event: str, args: tuple[Any, ...]) -> Iterator[Access]:
    """Yield the accesses that an audit event announces. Raises OSError, TypeError and ValueError for wrong ones."""
    for access in _as_named(event, args):
        path = _absolute(access.path)
        if path is not None:
            is_relative = not isinstance(access.path, int) and not os.path.isabs(access.path)
            yield access._replace(path=path, is_relative=is_relative)


def _as_named(event: str, args: tuple[Any, ...]) -> Iterator[Access]:
    """Yield the accesses, each with what the code gave as the path: it may be relative, or the number of a folder."""
    if event == "open":
        name, mode, flags = args[:3]
        if not isinstance(name, int):
            yield from _opened(name, flags, by_os=mode is None)
    elif event in ("os.listdir", "os.scandir"):
        yield Access(Use.LIST, "." if args[0] is None else args[0], "/")
    elif event == "glob.glob/2":
        pattern, recursive, root = args[:3]
        name = os.path.join(os.fspath(root), pattern) if root else pattern
        yield Access(Use.MATCH, name, "//**" if recursive else "//")
    elif event in ("pathlib.Path.glob", "pathlib.Path.rglob"):
        name = os.path.join(args[0], "**" if event.endswith("rglob") else "", args[1])
        yield Access(Use.MATCH, name, "//**")
    elif event == "sqlite3.connect":
        yield from _database(args[0])
    else:
        yield from _changed(event, args)


def _opened(name: str, flags: int, *, by_os: bool) -> Iterator[Access]:
    mode = flags & os.O_ACCMODE
    if mode == os.O_RDONLY:
        if flags & (os.O_DIRECTORY | getattr(os, "O_PATH", 0)):
            return
        # `os.open` may take the name as relative to an open folder, of which the event says nothing.
        is_unknown = by_os and not os.path.isabs(name) and not os.path.exists(name)
        yield Access(Use.UNKNOWN if is_unknown else Use.READ, name)
    elif mode == os.O_WRONLY and flags & os.O_APPEND and not flags & os.O_TRUNC:
        pass  # a log: neither an input nor an output
    elif mode == os.O_WRONLY or flags & (os.O_TRUNC | os.O_EXCL) or not os.path.exists(name):
        yield Access(Use.WRITE, name)
    else:
        yield Access(Use.BOTH, name)


def _database(name: Any) -> Iterator[Access]:
    """Yield the accesses to a database of SQLite: also to the file in which it may have its last changes."""
    name = os.fsdecode(name)
    if name.startswith("file:"):
        from urllib.parse import unquote

        name = unquote(re.sub(r"^file:(//[^/]*)?|[?#].*$", "", name))
    if name in ("", ":memory:"):
        return
    if os.path.exists(name):
        yield Access(Use.READ, name)
        yield Access(Use.READ, f"{name}-wal")
    else:
        yield Access(Use.WRITE, name)


def _changed(event: str, args: tuple[Any, ...]) -> Iterator[Access]:
    """Yield the accesses of calls that change a file without opening it, unless it is relative to an open folder."""
    if event in ("os.rename", "os.link"):
        if args[3] != -1:
            return
        yield Access(Use.WRITE, args[1])
        if event == "os.rename" and args[2] == -1:
            yield Access(Use.REMOVE, args[0], _absolute(args[1]) or "")
    elif event == "os.symlink" and args[2] == -1:
        yield Access(Use.WRITE, args[1])
    elif event == "os.remove" and args[1] == -1:
        yield Access(Use.REMOVE, args[0])
    elif event == "os.truncate":
        yield Access(Use.BOTH, args[0])


def _absolute(path: Any) -> str | None:
    """Return the absolute path without `..`; that of an open folder if `path` is its number. None if it has none."""
    if isinstance(path, int):
        found = os.readlink(f"/proc/self/fd/{path}")
        return found if found.startswith("/") else None
    found = os.path.join(os.getcwd(), os.fsdecode(path))
    if ".." in found:  # `a/../b` is not `b` if `a` is a link
        folder, name = os.path.split(found)
        found = os.path.join(os.path.realpath(folder), name) if name != ".." else os.path.realpath(found)
    found = os.path.normpath(found)
    return found[1:] if found.startswith("//") else found


class Connections:
    """Remembers which addresses this process has bound, and the names that were looked up."""

    def __init__(self) -> None:
        self._bound: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._names: dict[str, str] = {}  # of hosts, by port

    def host(self, event: str, args: tuple[Any, ...]) -> str:
        """Return the host that an audit event connects to, "" if it connects to none or to this run itself."""
        if event == "socket.bind":
            self._bound.add(args[0])
        elif event == "socket.getaddrinfo":
            if args[0]:
                self._names[str(args[1])] = os.fsdecode(args[0])
        elif args[1] is not None:
            return self._peer(*args[:2])
        return ""

    def _peer(self, connecting: socket.socket, address: Any) -> str:
        import socket  # here: only code that uses it pays for its import

        if connecting.family == socket.AF_UNIX:
            path = os.fsdecode(address)
            return "" if any(own in path for own in _OWN_SOCKETS) or path in self._own() else path
        if connecting.family not in (socket.AF_INET, socket.AF_INET6):
            return ""  # such as netlink, which reaches the kernel
        host, port = str(address[0]), address[1]
        is_local = host in ("", "::") or host.startswith(_LOCAL)
        if is_local and port in self._own():
            return ""
        name = self._names.get(str(port), host)
        return f"{name}:{port}" if is_local or name == host else name

    def _own(self) -> list[Any]:
        """Return the addresses that this process has bound: ports, and paths of UNIX sockets."""
        found: list[Any] = []
        for bound in list(self._bound):
            with suppress(OSError):  # it is closed
                name = bound.getsockname()
                found.append(os.fsdecode(name) if isinstance(name, str | bytes) else name[1])
        return found
