"""Remembers the checksums of large files across runs, in one small file."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from nfrun.system.atomic_files import atomic_write, read_regular_file

_MOST = 10_000  # files that are remembered

FileId = tuple[int, int]  # device and inode
FileState = tuple[int, int, int]  # size, mtime and ctime in nanoseconds


class RememberedChecksums:
    """Checksums by device and inode, each valid while size and times of the file are the same. Thread-safe.

    They are read from `path` when one is asked for first, unless they are to be taken again (`verify`). A missing or
    damaged file has none.
    """

    def __init__(self, path: Path, *, verify: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, list[object]] | None = {} if verify else None
        self._is_changed = False

    def get(self, file: FileId, state: FileState) -> str | None:
        """Return the checksum of a file in this state, None if it is not known."""
        with self._lock:
            found = self._read().get(_name(file))
            return str(found[3]) if found is not None and tuple(found[:3]) == state else None

    def put(self, file: FileId, state: FileState, checksum: str) -> None:
        """Remember a checksum."""
        with self._lock:
            known = self._read()
            known.pop(_name(file), None)
            known[_name(file)] = [*state, checksum]
            self._is_changed = True

    def save(self) -> None:
        """Write what has been learned since it was read. Raises OSError."""
        with self._lock:
            if self._is_changed and self._known is not None:
                text = json.dumps(dict(list(self._known.items())[-_MOST:]))
                with atomic_write(self._path, private=True) as partial:
                    Path(partial).write_text(f"{xxh3_64_hexdigest(text.encode())}\n{text}\n", encoding="utf-8")
                self._is_changed = False

    def _read(self) -> dict[str, list[object]]:
        if self._known is None:
            self._known = {}
            with suppress(OSError, ValueError, RecursionError):
                check, _, text = read_regular_file(self._path).decode().rstrip("\n").partition("\n")
                if check == xxh3_64_hexdigest(text.encode()):
                    self._known = json.loads(text)
        return self._known


def _name(file: FileId) -> str:
    return f"{file[0]}:{file[1]}"
