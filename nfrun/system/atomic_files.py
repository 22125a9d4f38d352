"""Decides how a file comes under its name: whole or not at all, and lasting where that is asked. Knows no formats.

A file on its way is locked (`flock`) by its writer: what nobody holds was left by one that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path


def sync(path: Path | str) -> None:
    """Have what was written to a file, or the names in a folder, survive a power loss. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def make_folders(path: Path, mode: int = 0o777) -> list[Path]:
    """Make a folder, and those above it; returns the folders that have got a new name in them. Raises OSError."""
    missing = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    return [folder.parent for folder in missing]


@contextmanager
def atomic_write(path: Path, *, fsync: bool = False) -> Iterator[Path]:
    """Yields the name of a new file beside `path`, which takes that name's place when all has gone well inside.

    What a writer of `path` that was killed has left there is removed; who is at it meanwhile is left alone, and of
    several the last one wins. Folders are made. With `durable` it all survives a power loss. Raises OSError.
    """
    made = make_folders(path.parent)
    if fsync:  # now, since the next attempt would find them there
        for folder in made:
            sync(folder)
    partial, file = _created(path)
    try:
        yield partial
        if fsync:
            os.fsync(file)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            if is_same_file(file, partial):  # else it has its name, and this one may be another writer's by now
                partial.unlink()
        raise
    finally:
        os.close(file)
    if fsync:
        sync(path.parent)


def is_same_file(file: int, path: Path) -> bool:
    """Whether this open file is still that of this name: somebody may have removed it and made another."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(file)
    return (mine.st_ino, mine.st_dev) == (found.st_ino, found.st_dev)


def _created(path: Path) -> tuple[Path, int]:
    """A new file for one writer of `path`: the first of its names that nobody is at, and the file, locked."""
    # Short names of their own: one made from the file's could be too long, or match a glob for such files. That two
    # targets may share one does no harm.
    own = f".nfrun-{zlib.crc32(os.fsencode(path.name)):08x}"
    names = (path.parent / f"{own}-{number}.tmp" for number in count())
    for partial in names:
        _remove_left(partial)
        try:
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        if _claimed(file, partial):
            break
        os.close(file)
    for other in names:  # of several writers at once that were killed
        if not _remove_left(other):
            break
    return partial, file


def _claimed(file: int, path: Path) -> bool:
    """Whether the new file is its maker's: for a moment anybody may take it for one that was left, and remove it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody else can find it unlocked either
        return True
    return is_same_file(file, path)


def _remove_left(path: Path) -> bool:
    """Remove a file that nobody holds. Whether there was one, and it could be removed."""
    with suppress(OSError):
        file = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(file, path):
                path.unlink()
                return True
        finally:
            os.close(file)
    return False


@contextmanager
def name_errors(path: Path) -> Iterator[Path]:
    """Whatever the system says of writing inside tells of which file it does: it knows only when opening."""
    try:
        yield path
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_regular_file(path: Path) -> bytes:
    """All of a file in a work folder. Raises OSError also if somebody put something else there.

    To open a named pipe would be to wait for ever.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file", str(path))
        return opened.read()
