"""Turns what nodes print into transcripts of their attempts. Knows no reports."""

from __future__ import annotations

import io
import os
import threading
from contextvars import ContextVar
from typing import Any, TextIO

from nfrun.core.text import escape_controls
from nfrun.logs.node_logs import Logs

# The node and the number of the attempt that is made here; None outside of any.
current_attempt: ContextVar[tuple[str, int] | None] = ContextVar("current_attempt", default=None)

_PIECE = 1 << 16  # characters that are turned into bytes at once


class PrintRouter(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr` while nodes run.

    What a node writes goes into the transcript of that `stream`; what anyone else writes goes `beside`. Results on
    stdout stay clean that way, and no control byte of a node reaches the terminal.
    """

    def __init__(self, stream: str, logs: Logs, fallback: TextIO) -> None:
        self._stream = stream
        self._logs = logs
        self.fallback = fallback
        self._over = False
        self._process = os.getpid()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    @property
    def buffer(self) -> io.RawIOBase:
        """For those who print bytes."""
        return _Bytes(self)

    def reconfigure(self, **options: object) -> None:
        """There is nothing to set; it would be an error to have no such method."""

    def fileno(self) -> int:
        """For child processes: what they print cannot be told apart, and goes where nobody's prints go."""
        return self.fallback.fileno()

    def writable(self) -> bool:
        return True

    def end(self, fallback: TextIO) -> None:
        """The run is over: what the main thread prints goes `beside`, and what others do nowhere.

        It may be what is secret, and nobody is there any more to take that out.
        """
        self.fallback, self._over = fallback, True

    def write(self, text: str) -> int:
        for start in range(0, len(text), _PIECE):
            # Half a character, as in the name of a file that is not UTF-8, has no bytes.
            self.write_bytes(text[start : start + _PIECE].encode(errors="backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        attempt = self._attempt()
        if attempt is None and self._over and threading.current_thread() is not threading.main_thread():
            return
        if attempt is None:
            self.fallback.write(escape_controls(data.decode(errors="replace")))
        else:
            self._logs.of(*attempt, self._stream).feed(data, at_once=False)

    def flush(self) -> None:
        if self._attempt() is None:
            self.fallback.flush()

    def _attempt(self) -> tuple[str, int] | None:
        """Whose transcript it goes into; None for nobody's.

        That is the case in a thread that a node has started, and in a child that it has forked: nobody would ever hear
        what that tells its copy of a transcript.
        """
        return current_attempt.get() if os.getpid() == self._process else None

    def close(self) -> None:
        """Does nothing: one node that closes it must not take it from the others."""


class _Bytes(io.RawIOBase):
    def __init__(self, prints: PrintRouter) -> None:
        self._prints = prints

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data).cast("B") as view:
            for start in range(0, len(view), _PIECE):
                self._prints.write_bytes(bytes(view[start : start + _PIECE]))
            return len(view)
