"""Passes what forked child processes open on to the process that forked them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import IO

from nfrun.code.watch.file_access import Access, Use


class ForkedChildren:
    """Collects what the children of this process open, in a temporary file that they inherit.

    Nothing here takes a lock: in a child, a lock that another thread held would stay locked for ever.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._file: IO[bytes] | None = None
        self._end = 0  # of what was read from the file

    @property
    def in_child(self) -> bool:
        """Whether this process is a forked child."""
        return os.getpid() != self._process

    def expect(self) -> None:
        """Open the file, before a child is forked."""
        if self._file is None:
            import tempfile

            self._file = tempfile.TemporaryFile("ab+", buffering=0)  # noqa: SIM115  (kept open)

    def tell(self, attempts: Iterable[tuple[str, int]], what: Access | str, checksum: str | None) -> None:
        """In a child: record what it opened for these attempts."""
        access = what if isinstance(what, str) else [what.use.value, *what[1:]]
        if self._file is not None:
            for attempt in attempts:
                self._file.write(f"{json.dumps([attempt, access, checksum])}\n".encode())

    def told(self) -> Iterator[tuple[tuple[str, int], Access | str, str | None]]:
        """Yield what children have recorded since the last call."""
        if self._file is None:
            return
        number = self._file.fileno()
        text = os.pread(number, os.fstat(number).st_size - self._end, self._end)
        self._end += len(text)
        for attempt, access, checksum in map(json.loads, text.splitlines()):
            what = access if isinstance(access, str) else Access(Use(access[0]), *access[1:])
            yield tuple(attempt), what, checksum
