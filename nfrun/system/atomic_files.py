"""Writes files atomically: a file appears under its name complete, or not at all.

Outside of the work folder, a writer locks its temporary file (`flock`). An unlocked one was left by a writer that was
killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, takewhile
from pathlib import Path

PARTIAL = ".partial"  # the end of the names of temporary files in the work folder


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


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone. Raises OSError."""
    missing = [*takewhile(lambda above: not above.exists(), folder.parents)]
    for each in (*reversed(missing), folder):
        each.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def atomic_write(path: Path | str, *, private: bool = False, fsync: bool = False, mode: int = 0o666) -> Iterator[str]:
    """Yield the path of a temporary file beside `path`, and rename it to `path` unless an exception is raised.

    Removes the temporary file after an exception. With `fsync` the file and its name survive a power loss. Raises
    OSError.

    A `private` file is in the work folder, and one thread of one process writes it. It becomes read-only, because
    readers may map it. The caller makes its folder. A killed process leaves a temporary file: see `remove_partials`.

    Several processes may write any other file, and the last one wins. It has the permissions `mode`, less the umask.
    Makes missing folders. Removes temporary files of killed writers and leaves those of running ones.
    """
    final, lock = os.fspath(path), -1  # str: for a small table, pathlib takes as long as writing the file
    if private:
        partial = f"{final}.{threading.get_ident():x}{PARTIAL}"
    else:
        made = make_folders(Path(final).parent)
        for folder in made if fsync else ():  # now: a later attempt finds the folders, and would not sync them
            sync(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        partial, lock = make_temporary(final, lambda name: os.open(name, flags, mode), os.O_RDWR | os.O_NONBLOCK)
    try:
        yield partial
        if private:
            os.chmod(partial, 0o444)  # noqa: PTH101
        if fsync:
            sync(partial)
        os.replace(partial, final)  # noqa: PTH105
        if fsync:
            sync(os.path.dirname(final) or ".")  # noqa: PTH120
    except BaseException:
        with suppress(OSError):
            # Else it was renamed already, and this name may be another writer's.
            if private or is_same_file(lock, partial):
                os.unlink(partial)  # noqa: PTH108
        raise
    finally:
        if not private:
            os.close(lock)


def remove_partials(folder: Path) -> None:
    """Remove the temporary files of `private` files in a folder. Ignores errors. No thread may be writing there."""
    for partial in folder.glob(f"*{PARTIAL}"):
        with suppress(OSError):
            partial.unlink()


def is_same_file(file: int, path: Path | str) -> bool:
    """Return whether the open file `file` is the one at `path` now: the name may have been removed and made again."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    opened = os.fstat(file)
    return (opened.st_ino, opened.st_dev) == (found.st_ino, found.st_dev)


def _temporary_names(path: str) -> Iterator[str]:
    """Yield the paths for temporary files and folders that are to take the place of `path`."""
    # Not made from the file's name: that could get too long, or match a glob for such files. Two targets may share a
    # name without harm.
    folder, name = os.path.split(path)
    prefix = os.path.join(folder, f".nfrun-{zlib.crc32(os.fsencode(name)):08x}")  # noqa: PTH118
    return (f"{prefix}-{number}.tmp" for number in count())


def make_temporary(path: str, make: Callable[[str], int], flags: int) -> tuple[str, int]:
    """Make and lock a temporary file or folder for `path`, under the first free name. `make(name)` makes and opens it.

    Returns its path and its descriptor. Removes those that killed writers have left, which `flags` open.
    """
    names = _temporary_names(path)
    for partial in names:
        remove_unlocked(partial, flags)
        try:
            file = make(partial)
        except FileExistsError:
            continue
        if _lock_new(file, partial):
            break
        os.close(file)
    for other in names:  # several writers may have been killed
        if not remove_unlocked(other, flags):
            break
    return partial, file


def _lock_new(file: int, path: str) -> bool:
    """Lock a new file. Returns False if another writer took it for a left one first, and removed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: no other writer can lock it either
        return True
    return is_same_file(file, path)


def remove_unlocked(path: Path | str, flags: int = 0) -> bool:
    """Remove a file or folder that no process has locked. Returns whether it was removed. `flags` open it."""
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | flags)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_same_file(file, path):
                remove(Path(path))
                return True
        finally:
            os.close(file)
    return False


def remove(path: Path, *, ignore_errors: bool = False) -> None:
    """Remove a file or a folder, also a read-only one; do nothing if it is not there.

    Raises OSError unless errors are ignored: then what can be removed is.
    """
    with suppress(*([OSError] if ignore_errors else [])):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        with suppress(OSError):  # most folders of attempts are empty, and this takes a tenth of what follows
            path.rmdir()
            return
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, 0o755)  # noqa: PTH101
        import shutil  # it imports modules for archives

        shutil.rmtree(path, ignore_errors=ignore_errors)


@contextmanager
def name_errors(path: Path) -> Iterator[Path]:
    """Add the file name to an OSError that is raised inside: the system gives it only when a file is opened."""
    try:
        yield path
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_regular_file(path: Path) -> bytes:
    """Return the content of a file. Raises OSError, also if it is no regular file. Does not block on a named pipe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not an ordinary file", str(path))
        return file.read()
