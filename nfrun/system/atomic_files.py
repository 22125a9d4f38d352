"""Writes files atomically: a file appears under its name complete, or not at all.

A writer locks its temporary file (`flock`). An unlocked one was left by a writer that was killed.
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
    """Sync a file, or the names in a folder, to the disk, so that it survives a power loss. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def make_folders(path: Path, mode: int = 0o777) -> list[Path]:
    """Make a folder and its parents. Returns the folders that got a new entry. Raises OSError."""
    missing = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    return [folder.parent for folder in missing]


@contextmanager
def atomic_write(path: Path, *, fsync: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file beside `path`, and rename it to `path` unless an exception is raised.

    Makes missing folders. Removes temporary files of killed writers and leaves those of running ones; of several
    writers the last one wins. With `fsync` the file and its name survive a power loss. Raises OSError.
    """
    made = make_folders(path.parent)
    if fsync:  # now: a later attempt finds the folders, and would not sync them
        for folder in made:
            sync(folder)
    partial, file = _create_temporary(path)
    try:
        yield partial
        if fsync:
            os.fsync(file)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            if is_same_file(file, partial):  # else it was renamed already, and this name may be another writer's
                partial.unlink()
        raise
    finally:
        os.close(file)
    if fsync:
        sync(path.parent)


def is_same_file(file: int, path: Path) -> bool:
    """Return whether the open file `file` is the one at `path` now: the name may have been removed and made again."""
    try:
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(file)
    return (opened.st_ino, opened.st_dev) == (found.st_ino, found.st_dev)


def _create_temporary(path: Path) -> tuple[Path, int]:
    """Make and lock a temporary file for `path`, under the first free name. Returns its path and its descriptor."""
    # Not made from the file's name: that could get too long, or match a glob for such files. Two targets may share a
    # name without harm.
    prefix = f".nfrun-{zlib.crc32(os.fsencode(path.name)):08x}"
    names = (path.parent / f"{prefix}-{number}.tmp" for number in count())
    for partial in names:
        _remove_abandoned(partial)
        try:
            file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            continue
        if _lock_new(file, partial):
            break
        os.close(file)
    for other in names:  # several writers may have been killed
        if not _remove_abandoned(other):
            break
    return partial, file


def _lock_new(file: int, path: Path) -> bool:
    """Lock a new file. Returns False if another writer took it for a left one first, and removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: no other writer can lock it either
        return True
    return is_same_file(file, path)


def _remove_abandoned(path: Path) -> bool:
    """Remove a temporary file that no writer has locked. Returns whether it was removed."""
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
    """Add the file name to an OSError that is raised inside: the system gives it only when a file is opened."""
    try:
        yield path
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_regular_file(path: Path) -> bytes:
    """Return the content of a file. Raises OSError, also if it is not a regular file.

    Does not block on a named pipe.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file", str(path))
        return opened.read()
