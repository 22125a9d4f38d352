"""Keeps which files the calls of a run have read, beside their results: these count while the files are unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.system.atomic_files import atomic_write, read_regular_file
from nfrun.system.os_errors import reason

ENDING = ".reads"
_UNUSABLE = {"": "damaged"}  # the name of no file


class ReadFiles:
    """The files that the calls of one run have read, by name, with their checksums. Not thread-safe.

    They are in the file `path` as soon as they are known, so that they are there for the results of a killed run too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reads: dict[str, str] = {}

    def add(self, reads: Mapping[str, str], obstacle: str = "") -> None:
        """Add files that a call has read. An `obstacle` says why no result of this run may be used again.

        Raises HandoffError.
        """
        found = {**reads, "": obstacle} if obstacle else reads
        if found.items() <= self._reads.items():
            return
        for name, checksum in found.items():
            known = self._reads.setdefault(name, checksum)
            if known != checksum:  # it was changed while the calls were under way
                self._reads[""] = f"'{name}' was changed"
        try:
            write_reads(self._path, self._reads)
        except OSError as error:
            raise HandoffError(f"cannot write {self._path}: {reason(error)}", error) from error


def write_reads(path: Path, reads: Mapping[str, str]) -> None:
    """Write the file that says which files the calls of a run have read. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic_write(path, private=True) as partial:
        Path(partial).write_text(json.dumps(reads), encoding="utf-8")


def files_read(folder: Path) -> dict[str, dict[str, str]]:
    """Return the checksums of the files that calls have read, by the beginning of the names of their segments.

    The file named "" stands for results that must not be used. Empty if there is no such folder.
    """
    found = {}
    with suppress(OSError):
        for path in sorted(folder.glob(f"*{ENDING}")):
            found[path.stem] = _read(path)
    return found


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(read_regular_file(path))
    except (OSError, ValueError, RecursionError):
        return dict(_UNUSABLE)
    is_right = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if is_right else dict(_UNUSABLE)
