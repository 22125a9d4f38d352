"""Reads the files of what nodes printed and logged, and follows them while a run writes them: `nfrun logs`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path

from nfrun.core.errors import NotRecorded
from nfrun.core.text import escape_controls, file_stem
from nfrun.history.database import Database
from nfrun.history.journal import RecordedNode
from nfrun.history.work_dir import LOGS, WorkDir, is_run_id, run_number
from nfrun.lookback.recorded_run import node_of, read_nodes
from nfrun.lookback.run_reference import ListedRun
from nfrun.reports.format_units import format_count
from nfrun.system.logs.node_logs import logs_in

_BLOCK = 1 << 16


LogFiles = Mapping[str, Mapping[int, Mapping[str, Path]]]  # by node, attempt and stream, as `logs_in` returns them


def find_logs(run: ListedRun, node: str, attempt: int | None = None) -> tuple[Mapping[str, Path], str]:
    """Return the log files of an attempt by stream, and a note about where they are from, "" if there is none.

    Without a number it is the last attempt that printed or logged anything. Of a node that was reused, the files are in
    the run in which it ran. Raises NotRecorded if there is no such node or attempt.
    """
    if files := _files_of(run.folder, node, attempt):
        return files, ""
    recorded = node_of(run, read_nodes(run), node)
    where = run_number(recorded.home) or recorded.home or run.number
    if is_run_id(recorded.home) and (files := _files_of(run.folder.with_name(recorded.home), node, attempt)):
        return files, f"'{node}' was reused in run {run.number}: it ran in run {where}"
    if attempt is not None and attempt > recorded.attempts:
        raise NotRecorded(f"the node '{node}' made {format_count(recorded.attempts, 'attempt')} in run {run.number}")
    return {}, f"'{node}' printed nothing in run {where}, or its logs were removed"


def last_logs(run: ListedRun, node: RecordedNode, listed: Callable[[Path], LogFiles]) -> Mapping[str, Path]:
    """Return the log files of the last attempt at a node that printed anything. `listed(folder)` lists those of a run.

    Those of a node that was reused are in the run in which it ran.
    """
    return _files_of(run.folder.with_name(node.home) if is_run_id(node.home) else run.folder, node.node, None, listed)


def _files_of(
    folder: Path, node: str, attempt: int | None, listed: Callable[[Path], LogFiles] = logs_in
) -> Mapping[str, Path]:
    attempts = listed(folder / LOGS).get(file_stem(node), {})
    return attempts.get(attempt or max(attempts, default=0), {})


def log_lines(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the lines of the streams of an attempt, each line behind the name of its stream."""
    for stream, path in files.items():
        file = _GrowingFile(path)
        yield from (log_line(stream, _shown(line)) for line in chain(file.new_lines(), file.rest()))


def last_lines(path: Path, most: int) -> list[str]:
    """Return the last lines of a log file, escaped. Reads only its end."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _BLOCK))
        return [_shown(line) for line in file.read().removesuffix(b"\n").split(b"\n")[-most:]]


def log_line(source: str, line: str) -> str:
    """Return a line behind the name of its source."""
    return f"{source:<6} | {line}"


class _GrowingFile:
    """Reads the lines of a file that may still grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._begun = b""

    def new_lines(self) -> Iterator[bytes]:
        """Yield the complete lines that were added since the last call. Raises OSError."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            while data := file.read(_BLOCK):
                self._position += len(data)
                *lines, self._begun = (self._begun + data).split(b"\n")
                yield from lines

    def rest(self) -> Iterator[bytes]:
        """Yield the last line if no newline ends it."""
        begun, self._begun = self._begun, b""
        if begun:
            yield begun


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

    Looks for new lines after each `pause()`, which by default takes 0.2 s. `is_under_way()` tells whether the run still
    holds its lock: a run that was killed writes no end.
    """
    last = 0
    readers: dict[int, dict[str, _GrowingFile]] = {}

    def rest(attempts: Iterable[Mapping[str, _GrowingFile]]) -> Iterator[str]:
        for stream, reader in (pair for streams in attempts for pair in streams.items()):
            yield from (log_line(stream, _shown(line)) for line in reader.rest())

    while True:
        ended = not is_under_way()  # asked first, so that the last lines are read afterwards
        with closing(Database(WorkDir(folder.parent.parent))) as database:  # one that stays open is in the run's way
            for number, line in () if ended else database.lines(folder.name, after=last):
                last = number
                ended |= line.get("event") == "ended" or line.get("node") == node
        for attempt, files in logs_in(folder / LOGS).get(file_stem(node), {}).items():
            if attempt not in readers:
                yield from rest(readers.values())
                if attempt > 1:
                    yield log_line("nfrun", f"attempt {attempt}")
            known = readers.setdefault(attempt, {})
            for stream, path in files.items():
                lines = known.setdefault(stream, _GrowingFile(path)).new_lines()
                yield from (log_line(stream, _shown(line)) for line in lines)
        if ended:
            yield from rest(readers.values())
            return
        pause()
