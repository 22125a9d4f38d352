"""The stream on which people are told things: what cannot be written there is lost, and nothing else fails of it.

Knows nothing of what is told.
"""

from __future__ import annotations

import io
import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO


def best_effort_stream(stream: TextIO) -> TextIO:
    """A stream to where that one goes, which stays open and is not to be written to.

    On a full disk, or with nobody to read it, nothing happens.
    """
    raw = io.BufferedWriter(_BestEffortStream(stream))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True)


class _BestEffortStream(io.RawIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # if it went it would close its descriptor
        self._number = stream.fileno()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def fileno(self) -> int:
        return self._number

    def write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:  # whoever shares it has made it so
                select.select([], [self._number], [])
            except OSError:
                return len(data)


def prepare_std_streams() -> None:
    """Have three streams, of which the two for writing take any text; where stderr fails nothing else does."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed before we were started
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have what the terminal's encoding has not
    if type(sys.stderr) is io.TextIOWrapper:  # and nothing that somebody has put there
        sys.stderr = best_effort_stream(sys.stderr)
