"""Follows the log files of a node while a run writes them: `nfrun logs -f`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from nfrun.history.work_dir import JOURNAL
from nfrun.lookback.log_files import LogReader, log_files, log_line
from nfrun.lookback.run_list import REUSED

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
        found = log_files(folder, node)
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
