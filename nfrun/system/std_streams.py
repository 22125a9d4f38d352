"""Prepares stdin, stdout and stderr, and wraps stderr so that a failed write to it raises nothing."""

from __future__ import annotations

import io
import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO


def best_effort_stream(stream: TextIO) -> TextIO:
    """Return a stream to the same descriptor that drops what cannot be written, as on a full disk or a closed pipe.

    The given stream stays open; write only to the new one.
    """
    raw = io.BufferedWriter(_BestEffortStream(stream))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=True)


class _BestEffortStream(io.RawIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream  # kept: collecting it would close the descriptor
        self._fd = stream.fileno()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Any) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # another process that shares it made it non-blocking
                select.select([], [self._fd], [])
            except OSError:
                return len(data)


def prepare_std_streams() -> None:
    """Open closed standard streams on /dev/null, let stdout and stderr take any text, and make stderr best-effort."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed when this process started
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # names may have characters that the terminal's encoding lacks
    if type(sys.stderr) is io.TextIOWrapper:  # not a replacement, such as that of a test
        sys.stderr = best_effort_stream(sys.stderr)
