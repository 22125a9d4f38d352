"""Writes copies of files and folders: a copy appears under its name complete, or not at all.

A new folder is made beside the one that it replaces and takes its place in one step, where the system can do that. If a
link has the name, the link is replaced, and what it leads to stays. Links above it are followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nfrun.system.atomic_files import atomic_write, make_folders, make_temporary, remove, sync

_AT_FDCWD, _EXCHANGE = -100, 2


def copy_file(source: Path, target: Path, *, fsync: bool = False) -> None:
    """Copy a file, all of it or nothing. Its owner can write to the copy, and execute it if the file can be executed.

    Raises OSError.
    """
    if target.exists() and not (target.is_file() or target.is_dir()):  # such as /dev/null, or a link to it
        raise OSError(errno.EINVAL, "not an ordinary file", str(target))
    with atomic_write(target, fsync=fsync) as partial:
        _copy(str(source), partial)


def copy_folder(source: Path, target: Path, *, fsync: bool = False) -> None:
    """Copy a folder, all of it or nothing, in the place of the one that is there. Raises OSError."""
    with staged_folder(target) as partial:
        mode = partial.stat().st_mode
        shutil.copytree(source, partial, symlinks=True, copy_function=_copy, dirs_exist_ok=True)
        for folder, inner, _ in os.walk(partial):
            os.chmod(folder, mode)  # noqa: PTH101
            inner[:] = [name for name in inner if not (Path(folder) / name).is_symlink()]
        if fsync:
            sync_folder(partial)
        put_in_place(partial, target, fsync=fsync)


def sync_folder(folder: Path) -> None:
    """Sync a folder with all that is in it, but not what links lead to, to the disk. Raises OSError."""
    for above, _, files in os.walk(folder):
        for name in files:
            if not (Path(above) / name).is_symlink():
                sync(Path(above) / name)
        sync(above)


def _copy(source: str, target: str) -> str:
    shutil.copyfile(source, target)
    mode = os.stat(target).st_mode  # noqa: PTH116
    executes = os.stat(source).st_mode & (mode >> 2) & 0o111  # noqa: PTH116  (who may read it)
    os.chmod(target, mode | executes)  # noqa: PTH101
    return target


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`, for what `put_in_place` puts there. It is removed afterwards. Raises OSError.

    A folder that a killed writer left is removed by the next one.
    """
    target = _place_of(target)
    if target.exists() and not target.is_symlink() and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    make_folders(target.parent)
    partial, lock = _make_locked(target)
    try:
        yield partial
    finally:
        with suppress(OSError):
            remove(partial)
        os.close(lock)


def put_in_place(new: Path, target: Path, *, fsync: bool = False) -> None:
    """Put a folder in the place of another, in one step where the system can do that. Raises OSError.

    What was there is at `new` afterwards, or was removed. Makes missing folders above `target`.
    """
    target = _place_of(target)
    made = make_folders(target.parent)
    if not target.is_symlink() and not target.is_dir():
        os.rename(new, target)  # noqa: PTH104
    elif not _exchanged(new, target):
        before, lock = _make_locked(target)
        try:
            os.rename(target, before / "before")  # noqa: PTH104
            os.rename(new, target)  # noqa: PTH104
            remove(before)
        finally:
            os.close(lock)
    for folder in (*made, target.parent) if fsync else ():
        sync(folder)


def _place_of(target: Path) -> Path:
    """Return the path to a name, of which links above the name are followed, and one with the name is not."""
    if target.name in ("", ".."):
        return Path(os.path.realpath(target))
    return Path(os.path.realpath(target.parent), target.name)


def _make_locked(target: Path) -> tuple[Path, int]:
    """Make and lock a folder beside `target`, under the first free name. Removes those that killed writers left."""

    def make(name: str) -> int:
        os.mkdir(name)  # noqa: PTH102
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    partial, lock = make_temporary(str(target), make, os.O_DIRECTORY)
    return Path(partial), lock


def _exchanged(new: Path, old: Path) -> bool:
    """Let two folders change places in one step. Returns False where the system cannot do that."""
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange is None:
        return False
    return not exchange(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _EXCHANGE)
