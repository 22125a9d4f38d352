"""Keeps files and folders: reads their content, makes them read-only, moves them into place, and removes them.

The content of a file are its bytes; that of a folder are the paths, sizes, bytes and executable bits of what is in it.
Times and owners do not count.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from nfrun.core.values import frozen
from nfrun.system.atomic_files import PARTIAL, remove, sync
from nfrun.system.checksums import file_checksum, text_checksum

_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


class NotKeepable(ValueError):
    """A file or folder cannot be handed on. The message says what in it is wrong, and what to do."""


@frozen
class Content:
    """The content of a file or a folder: its digest (32 hex digits), its size in bytes, and the number of its files.

    `is_executable` is that of a single file.
    """

    digest: str
    size: int
    files: int = 1
    is_executable: bool = False


def content_of(path: Path, checksum: Callable[[Path], str] = file_checksum) -> Content:
    """Return the content of a file or a folder. `checksum(path)` returns that of a file.

    Raises NotKeepable if there is something else than files, folders and links to what is inside, and OSError.
    """
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        if not stat.S_ISREG(found.st_mode):
            raise NotKeepable(f"'{path.name}' is not an ordinary file")
        return Content(checksum(path), found.st_size, is_executable=bool(found.st_mode & _EXECUTABLE))
    entries: list[list[object]] = []  # the path in it, and `file`, `program`, `folder`, or `link` and its target
    size = 0
    for name, entry in _entries(path):
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            entries.append([name, "link", _target(path, name)])
        elif stat.S_ISDIR(status.st_mode):
            entries.append([name, "folder"])
        elif stat.S_ISREG(status.st_mode):
            kind = "program" if status.st_mode & _EXECUTABLE else "file"
            entries.append([name, kind, status.st_size, checksum(path / name)])
            size += status.st_size
        else:
            raise NotKeepable(f"'{path.name}/{name}' is not an ordinary file")
    files = sum(each[1] in ("file", "program") for each in entries)
    return Content(text_checksum(json.dumps(entries)), size, files)


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is in a folder and below it, with its path in it, in the order of the paths."""
    found: list[tuple[str, os.DirEntry[str]]] = []
    left = [""]
    while left:
        inner = left.pop()
        with os.scandir(folder / inner) as entries:
            for entry in entries:
                name = f"{inner}{entry.name}"
                found.append((name, entry))
                if entry.is_dir(follow_symlinks=False):
                    left.append(f"{name}/")
    yield from sorted(found, key=lambda item: item[0].split("/"))


def _target(folder: Path, name: str) -> str:
    """Return where a link in a folder leads. Raises NotKeepable if that is outside of the folder."""
    target = str((folder / name).readlink())
    real = Path(os.path.realpath(folder / name))
    if os.path.isabs(target) or not real.is_relative_to(os.path.realpath(folder)):  # noqa: PTH117
        what = f"'{folder.name}/{name}' is a link that leads out of the folder, to {target}"
        raise NotKeepable(f"{what} (put a copy of it there: cp -L)")
    return target


def keep(path: Path, final: Path, *, fsync: bool = False) -> None:
    """Make a file or a folder read-only and move it to `final`, or a copy of it where it cannot be moved.

    That is so across file systems, and where a file has another name, by which it could be changed, and which would
    become read-only too. Raises OSError.
    """
    if _has_other_names(path):
        _copy(path, final)
    else:
        try:
            os.rename(path, final)  # noqa: PTH104
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(path, final)
    make_read_only(final, fsync=fsync)


def _has_other_names(path: Path) -> bool:
    """Return whether a file has hard links, or one in a folder has."""
    if not path.is_dir():
        return path.stat().st_nlink > 1
    found = (entry.stat(follow_symlinks=False) for _, entry in _entries(path))
    return any(stat.S_ISREG(each.st_mode) and each.st_nlink > 1 for each in found)


def _copy(path: Path, final: Path) -> None:
    import shutil

    partial = final.with_name(final.name + PARTIAL)
    remove(partial)
    try:
        if path.is_dir():
            shutil.copytree(path, partial, symlinks=True)
        else:
            shutil.copy2(path, partial)
        os.rename(partial, final)  # noqa: PTH104
    except BaseException:  # such as a full disk
        remove(partial, ignore_errors=True)
        raise
    remove(path)


def make_read_only(path: Path, *, fsync: bool = False) -> None:
    """Make a file, or a folder with all that is in it, read-only. Raises OSError."""
    inner = [Path(entry.path) for _, entry in _entries(path)] if path.is_dir() else []
    for each in reversed([path, *inner]):  # a folder after what is in it
        if not each.is_symlink():
            each.chmod(0o555 if each.is_dir() or each.stat().st_mode & _EXECUTABLE else 0o444)
            if fsync:
                sync(each)
    if fsync:
        sync(path.parent)


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        entry.stat(follow_symlinks=False).st_size for _, entry in _entries(path) if entry.is_file(follow_symlinks=False)
    )


def is_inside(path: Path, top: Path) -> bool:
    """Return whether a file or folder is in the folder `top`, wherever links lead that are on the way to it.

    Where `top` is a link, the folder is what it leads to.
    """
    return Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(top))
