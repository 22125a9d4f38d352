"""Keeps copies of objects of object storage on this machine, for all processes of its user.

A copy is fetched once, whichever processes ask for it. The folder is bounded: what has not been used for longest goes
first, but nothing that a process uses now. Locks are on open files, so that they end with their process.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PosixPath

from nfrun.system.atomic_files import PARTIAL, is_same_file, make_private, remove, remove_unlocked
from nfrun.system.kept_files import make_read_only, size_of
from nfrun.tables.places.base import NAMED

_MOST_BYTES = 10 * 1000**3
_MOST_LOCKED = 200  # open files in this process: the system may allow no more than 1,024 in all
UNFINISHED = f"{PARTIAL}.d"  # the end of the folder into which a copy is fetched
_FRESH = "fresh"  # has the folders for files that are to be put
_OLD_SECONDS = 86_400.0  # after which a folder in it was left by a process that was killed


def default_folder() -> Path:
    """Return the folder of the user for copies of outputs. It need not be there."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = os.path.expanduser("~/.cache")  # noqa: PTH111  (a Path raises an error without a home)
    return Path(base if os.path.isabs(base) else home, "nfrun", "stores")  # noqa: PTH117


def boot_name() -> str:
    """Return the name of the folder for copies that were made since this machine started.

    Copies are not synced to the disk: after a power loss, those of before may be cut off, and are only removed.
    """
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return "copies"


class UsedCopy(PosixPath):
    """The path of a copy. The copy stays there for as long as this object does; other paths do not count."""


class HostCache:
    """The copies of one place in a folder. Thread-safe. Methods raise OSError.

    The folder is one of several in that of a boot, see `boot_name`, which is in that of all copies. These take at most
    `budget` bytes together; None is 10 GB, or a tenth of the disk space that they could take, if that is less.
    """

    def __init__(self, folder: Path, budget: int | None = None) -> None:
        self.folder = folder
        self._all = folder.parent.parent
        self._budget = budget
        self._locked: set[int] = set()  # open files, one for each `UsedCopy`

    def get(self, name: str, fetch: Callable[[Path], Path], size: int | None = None) -> UsedCopy:
        """Return the path of a copy.

        If there is none, `fetch(folder)` gets an empty folder, and returns the path in it of what it has fetched.
        Whoever asks for the same name waits meanwhile. A copy that does not have `size` bytes is damaged.
        """
        path = self.folder / name
        while True:
            if (used := self._used(path)) is None:
                self._fetch(path, fetch)
            elif size is None or size_of(path) == size:
                return used
            else:
                remove(path)

    def forget(self, name: str) -> None:
        """Remove a copy. Who uses it may have opened it, or does without."""
        remove(self.folder / name)

    def adopt(self, path: Path, name: str) -> None:
        """Keep a file or folder as a copy, or remove it if it cannot be moved.

        It takes the place of another file, whose readers have it open. A folder only if that is damaged and not in use.
        """
        final = self.folder / name
        with suppress(OSError):
            make_private(final.parent)
            if not final.is_dir() or (size_of(final) != size_of(path) and remove_unlocked(final)):
                _place(path, final)
                self._evict(final)
        remove(path, ignore_errors=True)

    def fresh_folder(self) -> Path:
        """Make a folder on the disk of the copies, for files that are to be put."""
        folder = self._all / _FRESH / os.urandom(8).hex()
        make_private(folder)
        return folder

    def _used(self, path: Path) -> UsedCopy | None:
        """Begin a use of a copy. Returns None if there is none."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH)  # waits for who removes it
        if not is_same_file(file, path):
            os.close(file)
            return None
        os.utime(path)
        used = UsedCopy(path)
        self._locked.add(file)
        if len(self._locked) > _MOST_LOCKED:  # then only the order of uses protects it
            self._end(file)
        else:
            weakref.finalize(used, self._end, file).atexit = False
        return used

    def _end(self, file: int) -> None:
        self._locked.discard(file)
        os.close(file)

    def _fetch(self, path: Path, fetch: Callable[[Path], Path]) -> None:
        """Fetch a copy, unless another thread or process does that: then wait for it."""
        lock_file = path.with_name(path.name + PARTIAL)
        folder = path.with_name(path.name + UNFINISHED)
        make_private(path.parent)
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_same_file(lock, lock_file):
                return
            try:
                if not os.path.lexists(path):
                    remove(folder)
                    folder.mkdir(mode=0o700)
                    _place(fetch(folder), path)
                    self._evict(path)
            finally:
                remove(folder, ignore_errors=True)
                remove(lock_file, ignore_errors=True)
        finally:
            os.close(lock)

    def _evict(self, new: Path) -> None:
        """Remove copies until the others fit the budget, but not the new one. What is in use stays."""
        copies: list[tuple[float, int, Path]] = []
        for path in self._copies():
            with suppress(OSError):
                copies.append((path.lstat().st_mtime, size_of(path), path))
        total = sum(size for _, size, _ in copies)
        budget = self._budget
        if budget is None:
            disk = os.statvfs(self.folder)
            budget = min(_MOST_BYTES, (disk.f_bavail * disk.f_frsize + total) // 10)
        for _, size, path in sorted(copies):
            if total <= budget:
                return
            if path != new and remove_unlocked(path):
                total -= size

    def _copies(self) -> Iterator[Path]:
        """Yield the copies of all places. Removes what killed processes have left unfinished."""
        above = _entries(self._all)
        for folder in (each for fresh in above if fresh.name == _FRESH for each in _entries(fresh)):
            with suppress(OSError):
                if time.time() - folder.lstat().st_mtime > _OLD_SECONDS:
                    remove(folder, ignore_errors=True)
        places = [place for boot in above if boot.name != _FRESH for place in _entries(boot)]
        for path in (each for place in places for inner in _entries(place) for each in _entries(inner)):
            if path.name.endswith(UNFINISHED):
                if not path.with_name(path.name.removesuffix(".d")).exists():
                    remove(path, ignore_errors=True)
            elif path.name.endswith(PARTIAL):
                remove_unlocked(path)
            elif path.name.endswith(NAMED):
                yield from (each for each in _entries(path) if PARTIAL not in each.name)
            else:
                yield path


def _place(path: Path, final: Path) -> None:
    """Give a file or folder its final name, and make it read-only."""
    if not path.is_dir():
        make_read_only(path)
    path.rename(final)
    if final.is_dir():
        make_read_only(final)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.is_symlink())  # what links lead to is not ours
    except OSError:
        return []
