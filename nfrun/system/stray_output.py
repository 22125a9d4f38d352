"""Relays bytes that children and compiled code write straight to fd 2, with control characters escaped.

They write into a pipe, which the supervisor process reads: the interpreter lock of the run does not block it, and it
survives a crash of the run.
"""

from __future__ import annotations

import _thread
import codecs
import os
import sys
from contextlib import suppress

_CHUNK = 1 << 16  # bytes
_END_SECONDS = 0.2  # for the rest to be written, if the reader of stderr is slow


class StrayOutput:
    """A pipe made before forking: the runner calls `divert`, the supervisor `relay` and `end`, the reaper `close`."""

    def __init__(self) -> None:
        """Create the pipe. Raises OSError."""
        self._reading, self._writing = os.pipe()
        self._done = _thread.allocate_lock()

    def divert(self) -> None:
        """Redirect fd 2 into the pipe. `sys.stderr` keeps writing to where fd 2 went before."""
        stream = sys.stderr
        original = os.dup(2)
        sys.stderr = os.fdopen(original, "w", 1, stream.encoding, stream.errors)
        os.dup2(self._writing, 2)
        self.close()

    def relay(self) -> None:
        """Start writing what comes through the pipe to fd 2, on a thread."""
        os.close(self._writing)
        self._done.acquire()
        _thread.start_new_thread(self._relay, ())

    def end(self) -> None:
        """Wait a moment until everything is written. The writers of the pipe must have ended."""
        if self._done.acquire(timeout=_END_SECONDS):
            self._done.release()

    def close(self) -> None:
        """Close both ends in this process."""
        os.close(self._reading)
        os.close(self._writing)

    def _relay(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        while data := os.read(self._reading, _CHUNK):
            from nfrun.core.text import escape_controls  # only when there is something to escape

            # Each step of a progress bar becomes a line: nothing overwrites text on the terminal.
            text = escape_controls(decode(data).replace("\r\n", "\n").replace("\r", "\n"))
            with suppress(OSError):  # the reader of stderr has gone; the pipe is emptied all the same
                _write(text.encode())
        self._done.release()


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


def open_stray_output() -> StrayOutput | None:
    """Create a `StrayOutput`. Returns None if `sys.stderr` is not fd 2, or no pipe is available."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() == 2:
            return StrayOutput()
    return None
