"""Remembers the checksums of large files across runs, in one small file."""

from __future__ import annotations

import threading
from pathlib import Path

from nfrun.system.checked_json import read_checked, write_checked

_WHAT = "checksums"
_MOST = 10_000  # files that are remembered

FileId = tuple[int, int]  # device and inode
FileState = tuple[int, int, int]  # size, mtime and ctime in nanoseconds


class RememberedChecksums:
    """Checksums by device and inode, each valid while size and times of the file are the same. Thread-safe.

    They are read from `path` when one is asked for first, unless they are to be taken again (`verify`). A missing or
    damaged file has none. Several runs may use the file at once.
    """

    def __init__(self, path: Path, *, verify: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] | None = {} if verify else None
        self._learned: dict[str, list[object]] = {}

    def get(self, file: FileId, state: FileState) -> str | None:
        """Return the checksum of a file in this state, None if it is not known."""
        with self._lock:
            if self._known is None:
                self._known = self._read()
            found = self._known.get(_name(file))
            return str(found[3]) if found is not None and tuple(found[:3]) == state else None

    def put(self, file: FileId, state: FileState, checksum: str) -> None:
        """Remember a checksum."""
        with self._lock:
            learned: list[object] = [*state, checksum]
            self._learned.pop(_name(file), None)  # the latest are the last
            self._learned[_name(file)] = learned
            if self._known is not None:
                self._known[_name(file)] = learned

    def save(self) -> None:
        """Add what has been learned to the file. Raises OSError.

        If another run does that at the same moment, the checksums of one of them are lost, and are taken again.
        """
        with self._lock:
            if self._learned and self._path.parent.exists():  # else the work folder was removed while it was used
                others = [(name, known) for name, known in self._read().items() if name not in self._learned]
                write_checked(self._path, _WHAT, dict([*others, *self._learned.items()][-_MOST:]))
                self._learned = {}

    def _read(self) -> dict[str, list[object]]:
        return read_checked(self._path, _WHAT)


def _name(file: FileId) -> str:
    return f"{file[0]}:{file[1]}"
