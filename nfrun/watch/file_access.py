"""Turns audit events into accesses to files: which files are read, written, or both."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple


class Use(Enum):
    """What is done with a file: `LIST` is for folders, `MATCH` for patterns, and `REMOVE` for files that go away."""

    READ = 1
    WRITE = 2
    BOTH = 3
    LIST = 4
    MATCH = 5
    REMOVE = 6

    @property
    def writes(self) -> bool:
        """Whether it may change the file."""
        return self in (Use.WRITE, Use.BOTH, Use.REMOVE)


class Access(NamedTuple):
    """An access to the file at an absolute path. That of a pattern is recorded under its path and `suffix`.

    The `suffix` of a file that goes away is its new path, "" if it is removed.
    """

    use: Use
    path: str
    suffix: str = ""


def accesses(event: str, args: tuple[Any, ...]) -> Iterator[Access]:
    """Yield the accesses that an audit event announces. Raises OSError, TypeError and ValueError for wrong ones."""
    if event == "open":
        path = None if isinstance(args[0], int) else _absolute(args[0])
        if path is not None:
            yield from _opened(path, args[2])
    elif event in ("os.listdir", "os.scandir"):
        path = _absolute("." if args[0] is None else args[0])
        if path is not None:
            yield Access(Use.LIST, path, "/")
    elif event == "glob.glob/2":
        pattern, recursive, root = args[:3]
        path = _absolute(os.path.join(os.fspath(root), pattern) if root else pattern)
        if path is not None:
            yield Access(Use.MATCH, path, "//**" if recursive else "//")
    elif event in ("pathlib.Path.glob", "pathlib.Path.rglob"):
        path = _absolute(os.path.join(args[0], "**" if event.endswith("rglob") else "", args[1]))
        if path is not None:
            yield Access(Use.MATCH, path, "//**")
    elif event == "sqlite3.connect":
        yield from _database(args[0])
    else:
        yield from _changed(event, args)


def _opened(path: str, flags: int) -> Iterator[Access]:
    mode = flags & os.O_ACCMODE
    if mode == os.O_RDONLY:
        if not flags & (os.O_DIRECTORY | getattr(os, "O_PATH", 0)):
            yield Access(Use.READ, path)
    elif mode == os.O_WRONLY and flags & os.O_APPEND and not flags & os.O_TRUNC:
        pass  # a log: neither an input nor an output
    elif mode == os.O_WRONLY or flags & (os.O_TRUNC | os.O_EXCL) or not os.path.exists(path):
        yield Access(Use.WRITE, path)
    else:
        yield Access(Use.BOTH, path)


def _database(name: Any) -> Iterator[Access]:
    """Yield the accesses to a database of SQLite: also to the file in which it may have its last changes."""
    name = os.fsdecode(name)
    if name.startswith("file:"):
        from urllib.parse import unquote

        name = unquote(re.sub(r"^file:(//[^/]*)?|[?#].*$", "", name))
    path = None if name in ("", ":memory:") else _absolute(name)
    if path is None:
        return
    if os.path.exists(path):
        yield Access(Use.READ, path)
        yield Access(Use.READ, f"{path}-wal")
    else:
        yield Access(Use.WRITE, path)


def _changed(event: str, args: tuple[Any, ...]) -> Iterator[Access]:
    """Yield the accesses of calls that change a file without opening it."""
    if event in ("os.rename", "os.link"):
        for access in _named(Use.WRITE, args[1], args[3]):
            yield access
            if event == "os.rename":
                for before in _named(Use.REMOVE, args[0], args[2]):
                    yield before._replace(suffix=access.path)
    elif event == "os.symlink":
        yield from _named(Use.WRITE, args[1], args[2])
    elif event == "os.remove":
        yield from _named(Use.REMOVE, args[0], args[1])
    elif event == "os.truncate":
        yield from _named(Use.BOTH, args[0])


def _named(use: Use, name: Any, folder: int = -1) -> Iterator[Access]:
    """Yield the access to a file, unless its path is relative to an open folder."""
    path = _absolute(name) if folder == -1 else None
    if path is not None:
        yield Access(use, path)


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
