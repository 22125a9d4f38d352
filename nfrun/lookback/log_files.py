"""Reads the files of what nodes printed and logged, and follows them while a run writes them: `nfrun logs`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nfrun.core.errors import NotRecorded
from nfrun.core.text import escape_controls, file_stem
from nfrun.core.values import field, frozen
from nfrun.history.work_dir import JOURNAL, LOGS, is_run_id, run_number
from nfrun.lookback.recorded_run import read_node
from nfrun.lookback.run_reference import REUSED, ListedRun
from nfrun.reports.format_units import format_count
from nfrun.system.logs.node_logs import logs_in

_BLOCK = 1 << 16


@frozen
class FoundLogs:
    """The log files of one attempt by stream, and a `note` about where they are from, "" if there is none."""

    files: Mapping[str, Path] = field(default_factory=dict)
    note: str = ""


def find_logs(run: ListedRun, node: str, attempt: int | None = None) -> FoundLogs:
    """Return the log files of an attempt at a node, or of the last one that printed or logged anything.

    Of a node that was reused, they are in the run in which it ran. Raises NotRecorded if there is no such node or
    attempt.
    """
    found = _log_files(run.folder, node)
    if attempt in found or (found and attempt is None):
        return FoundLogs(found[attempt or max(found)])
    recorded = read_node(run, node)
    home = recorded.finished.home if recorded.finished else ""
    if is_run_id(home):
        found = _log_files(run.folder.with_name(home), node)
        if attempt in found or (found and attempt is None):
            note = f"'{node}' was reused in run {run.number}: it ran in run {run_number(home) or home}"
            return FoundLogs(found[attempt or max(found)], note)
    if attempt is not None and attempt > recorded.attempts:
        raise NotRecorded(f"the node '{node}' made {format_count(recorded.attempts, 'attempt')} in run {run.number}")
    where = run_number(home) or home or run.number
    return FoundLogs(note=f"'{node}' printed nothing in run {where}, or its logs were removed")


def _log_files(run_folder: Path, node: str) -> Mapping[int, Mapping[str, Path]]:
    return logs_in(run_folder / LOGS).get(file_stem(node), {})


def log_lines(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the lines of the streams of an attempt, each line behind the name of its stream."""
    for stream, path in files.items():
        reader = LogReader(stream, path)
        yield from reader.new_lines()
        yield from reader.rest()


def last_lines(path: Path, most: int) -> list[str]:
    """Return the last lines of a log file, escaped. Reads only its end."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _BLOCK))
        return [_shown(line) for line in file.read().removesuffix(b"\n").split(b"\n")[-most:]]


def log_line(source: str, line: str) -> str:
    """Return a line behind the name of its source."""
    return f"{source:<6} | {line}"


class LogReader:
    """Reads one log file, which may still grow, line by line."""

    def __init__(self, stream: str, path: Path) -> None:
        self._stream = stream
        self._path = path
        self._position = 0
        self._begun = b""

    def new_lines(self) -> Iterator[str]:
        """Yield the complete lines that were added since the last call. Raises OSError."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            while data := file.read(_BLOCK):
                self._position += len(data)
                *lines, self._begun = (self._begun + data).split(b"\n")
                for line in lines:
                    yield self._line(line)

    def rest(self) -> Iterator[str]:
        """Yield the last line if no newline ends it."""
        begun, self._begun = self._begun, b""
        if begun:
            yield self._line(begun)

    def _line(self, line: bytes) -> str:
        return log_line(self._stream, _shown(line))


def _shown(line: bytes) -> str:
    """Return what a terminal would show of the line, escaped: progress bars overwrite themselves after each `\\r`."""
    return escape_controls(line.decode(errors="replace").rstrip("\r").rpartition("\r")[2])


_POLL_SECONDS = 0.2


def _pause() -> None:
    time.sleep(_POLL_SECONDS)


def follow(
    folder: Path, node: str, is_under_way: Callable[[], bool], pause: Callable[[], object] = _pause
) -> Iterator[str]:
    """Yield the lines of all attempts of a node, in the run with this folder, until the node or the run has ended.

    A reused node that has logs in this run makes its table again: it ends a second time. Looks for new lines after each
    `pause()`, which by default takes 0.2 s. `is_under_way()` tells whether the run still holds its lock: a run that was
    killed writes no end.
    """
    journal = _JournalEnd(folder / JOURNAL, node)
    readers: dict[int, dict[str, LogReader]] = {}
    while True:
        ended = not is_under_way() or journal.has_ended()  # asked first, so that the last lines are read afterwards
        found = _log_files(folder, node)
        ended = ended or (journal.reused and not found)
        for attempt, files in found.items():
            if attempt not in readers:
                for reader in (reader for earlier in readers.values() for reader in earlier.values()):
                    yield from reader.rest()
                if attempt > 1:
                    yield log_line("nfrun", f"attempt {attempt}")
            known = readers.setdefault(attempt, {})
            for stream, path in files.items():
                yield from known.setdefault(stream, LogReader(stream, path)).new_lines()
        if ended:
            for reader in (reader for attempt in readers.values() for reader in attempt.values()):
                yield from reader.rest()
            return
        pause()


class _JournalEnd:
    """Reads new lines of a journal to find out whether the node or the run has ended. `reused`: the node was reused."""

    def __init__(self, path: Path, node: str) -> None:
        self._path = path
        self._sign = f'"node": {json.dumps(node)}'.encode()
        self.reused = False
        self._position = 0
        self._begun = b""

    def has_ended(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        self._position += len(new)
        *lines, self._begun = (self._begun + new).split(b"\n")
        for line in lines:
            if line.startswith(b'{"event": "ended"') or (self._sign in line and REUSED not in line):
                return True
            self.reused = self.reused or self._sign in line
        return False
