"""Finds files by path, folder or pattern. Reads no file, and follows no loop of symbolic links."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path

PYTHON_FOLDERS = frozenset({"__pycache__", "site-packages", "dist-packages"})


def find_files(name: str, base: Path, skipped: Collection[str] = ()) -> dict[str, Path]:
    """Return the regular files that `name` stands for, sorted by the names to show.

    `name` is a path relative to `base`, a folder, which stands for all files below it, or a pattern, in which `**`
    stands for any folders. Folders and `**` leave out what `is_foreign` says, and the folders `skipped`. A `~` at the
    start is the home folder. Raises OSError and ValueError where the system does not accept the name.
    """
    name = os.path.expanduser(name)
    path = os.path.join(base, name)  # a Path drops a leading `./`, which the names then lack
    if os.path.isfile(path):
        return {name: Path(path)}
    if os.path.isdir(path):
        found: Iterator[str] = (os.path.join(name, inner) for inner in files_below(path, skipped))
    elif not has_magic(name):
        return {}
    elif "**" in Path(name).parts:
        found = _matches_at_any_depth(name, base, skipped)
    else:  # root_dir: brackets in the name of the base folder are no pattern
        found = (inner for inner in glob(name, root_dir=base) if os.path.isfile(base / inner))
    return {inner: base / inner for inner in sorted(found)}


def inner_folder(base: Path, folder: str) -> Path:
    """Return the folder that lies at the relative path `folder` from `base`, without `..` in it; `base` for ""."""
    return Path(os.path.normpath(base / folder)) if folder else base


def is_foreign(folder: str) -> bool:
    """Return whether the folder is hidden, generated, of installed packages, or a virtual environment."""
    name = os.path.basename(folder)
    if name.startswith(".") or name == "node_modules" or name in PYTHON_FOLDERS:
        return True
    return os.access(f"{folder}{os.sep}pyvenv.cfg", os.F_OK)


def name_below(folder: str, path: str) -> str:
    """Return the path of a file relative to a folder; an absolute one as it is if it is not below that folder."""
    return path.removeprefix(f"{folder}/")


def _matches_at_any_depth(pattern: str, base: Path, skipped: Collection[str]) -> Iterator[str]:
    # Not with `glob`: of a few links that lead in circles it makes millions of paths.
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if has_magic(part))
    start = "".join(f"{part}/" for part in parts[:fixed])
    for inner in files_below(str(base / start), skipped):
        if is_match(parts[fixed:], inner.split("/")):
            yield start + inner


def is_match(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the parts of a path match those of a pattern, in which `**` stands for any folders."""
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        return not rest or any(is_match(rest, parts[i:]) for i in range(len(parts)))
    is_hidden = parts[0].startswith(".") and not first.startswith(".")
    if is_hidden or not fnmatchcase(parts[0], first):
        return False
    return is_match(rest, parts[1:]) if rest and len(parts) > 1 else not rest and len(parts) == 1


def files_below(folder: str, skipped: Collection[str]) -> Iterator[str]:
    """Yield the files below a folder, relative to it. Each folder is visited once, whatever links lead to it."""
    seen = set[tuple[int, int]]()
    for parent, inner, files in os.walk(folder, followlinks=True):
        entry = os.stat(parent)
        if (entry.st_dev, entry.st_ino) in seen:
            inner.clear()
            continue
        seen.add((entry.st_dev, entry.st_ino))
        inner[:] = sorted(name for name in inner if not _is_left_out(os.path.join(parent, name), skipped))
        for name in files:
            path = os.path.join(parent, name)
            if os.path.isfile(path):
                yield os.path.relpath(path, folder)


def _is_left_out(folder: str, skipped: Collection[str]) -> bool:
    return is_foreign(folder) or os.path.realpath(folder) in skipped
