"""Names the files in a folder of results, and keeps which files the calls of a run have read, and what else they used.

Results count while the files that their calls have read are unchanged. Needs no Arrow, for commands that only list and
remove.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.observation import Observation, merged
from nfrun.system.atomic_files import make_private, read_regular_file
from nfrun.system.os_errors import reason

if TYPE_CHECKING:
    from nfrun.code.watch.run_watch import RunWatch

NOTHING: Mapping[str, str] = {}

STREAM = ".arrows"  # the ending of Arrow IPC streams
READS = ".reads"
_UNUSABLE = {"": "damaged"}  # the name of no file


def streams_in(folder: Path, prefix: str = "") -> list[Path]:
    """Return the streams in a folder whose names begin with `prefix`, by name. Raises HandoffError."""
    return [folder / name for name in _names(folder) if name.startswith(prefix) and name.endswith(STREAM)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  (quick, however many there are)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HandoffError(f"cannot read {folder}: {reason(error)}", error) from error


class ReadFiles:
    """The files that the calls of one run have read, by name, with their checksums. Not thread-safe.

    They are in the file `path` as soon as they are known, so that they are there for the results of a killed run too.
    Each line of it has some of them, in JSON.
    """

    def __init__(self, path: Path, reads: Mapping[str, str] = NOTHING) -> None:
        self._path = path
        self.reads = dict(reads)  # those of `reads` are in another file

    def add(self, reads: Mapping[str, str], obstacle: str = "") -> None:
        """Add files that a call has read. An `obstacle` says why no result of this run may be used again.

        Raises HandoffError.
        """
        new = {name: checksum for name, checksum in reads.items() if self.reads.get(name) != checksum}
        for name in new:
            if name in self.reads:  # it was changed while the calls were under way
                obstacle = obstacle or f"'{name}' was changed"
        if obstacle and not self.reads.get(""):
            new[""] = obstacle
        if new:
            self.reads = {**new, **self.reads}
            try:
                write_reads(self._path, new)
            except OSError as error:
                raise HandoffError(f"cannot write {self._path}: {reason(error)}", error) from error


class CallNotes:
    """Adds up what the calls of a mapped node have used. Thread-safe.

    `add_reads(reads, obstacle)` keeps the files that calls have read. `node` has used the code that it shares with
    others, "" in a worker process, where that is the only one.
    """

    def __init__(
        self, add_reads: Callable[[Mapping[str, str], str], object], watch: RunWatch | None, node: str = ""
    ) -> None:
        self._add_reads, self._watch, self._of_node = add_reads, watch, node
        self._known = 0  # how much of what shared code has used is noted
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget what calls have used, but for the files that they have read."""
        self.cpu = self.gil_wait = 0.0
        self._observed: list[Observation] = []

    @property
    def seen(self) -> Observation | None:
        """The files, hosts and state that calls have used."""
        return merged(self._observed)

    def used(self, cpu: float, gil_wait: float) -> None:
        """Add the CPU and GIL wait seconds of an order of calls."""
        with self._lock:
            self.cpu += cpu
            self.gil_wait += gil_wait

    def note(self, seen: Observation) -> None:
        """Add what calls have used. Raises HandoffError."""
        with self._lock:
            self._observed.append(seen)
            self._add_reads(seen.reads, seen.obstacle)

    def note_shared(self) -> None:
        """Add what code that the node shares with others has used until now. Raises HandoffError."""
        with self._lock:
            found = self._watch.shared_with(self._of_node, self._known) if self._watch is not None else ()
            self._known += len(found)
            for shared in found:
                self._add_reads(shared.seen.reads, shared.seen.obstacle)


def write_reads(path: Path, reads: Mapping[str, str]) -> None:
    """Add a line to the file that says which files the calls of a run have read. Raises OSError."""
    make_private(path.parent)
    with path.open("ab", buffering=0) as file:
        file.write(json.dumps(reads).encode() + b"\n")


def files_read(folder: Path) -> dict[str, dict[str, str]]:
    """Return the checksums of the files that calls have read, by the beginning of the names of their streams.

    A stream may have several: one of the process of the run, and one of the worker process that has written it. The
    file named "" stands for results that must not be used. Empty if there is no such folder. Raises HandoffError.
    """
    return {name.removesuffix(READS): _read(folder / name) for name in _names(folder) if name.endswith(READS)}


def _read(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        *lines, rest = read_regular_file(path).split(b"\n")
        for line in lines:
            for name, checksum in json.loads(line).items():
                found.setdefault(name, str(checksum))
    except (OSError, ValueError, RecursionError, AttributeError):
        return dict(_UNUSABLE)
    return dict(_UNUSABLE) if rest or not lines else found
