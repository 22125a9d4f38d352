"""What is written to a run's descriptors and not to its streams reaches stderr with control bytes escaped.

That is what programs write that a node has started in the run's own process, and compiled code in it. They write into
a pipe, which another process reads: one that the run's interpreter lock does not hold up, and that outlives a crash.
"""

from __future__ import annotations

import _thread
import codecs
import os
import sys
from contextlib import suppress

_CHUNK = 1 << 16  # bytes
_END_SECONDS = 0.2  # for the rest to be written, where whoever reads stderr is slow


class StrayOutput:
    """A pipe, made before the processes part: one calls `divert`, one `pass_on` and `end`, the others `close`."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._reading, self._writing = os.pipe()
        self._done = _thread.allocate_lock()

    def divert(self) -> None:
        """From now on what is written to the descriptor 2 goes into the pipe, and to `sys.stderr` where it went."""
        stream = sys.stderr
        kept = os.dup(2)
        sys.stderr = os.fdopen(kept, "w", 1, stream.encoding, stream.errors)
        os.dup2(self._writing, 2)
        self.close()

    def relay(self) -> None:
        """Begin to write to the descriptor 2 what comes."""
        os.close(self._writing)
        self._done.acquire()
        _thread.start_new_thread(self._relay, ())

    def end(self) -> None:
        """Wait until all has been written, if that is soon. Whoever wrote into the pipe has to be gone."""
        if self._done.acquire(timeout=_END_SECONDS):
            self._done.release()

    def close(self) -> None:
        """Have nothing to do with it."""
        os.close(self._reading)
        os.close(self._writing)

    def _relay(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        while data := os.read(self._reading, _CHUNK):
            from nfrun.core.text import escape_controls  # not before there is something to escape

            # Of a progress bar each step is a line: nothing is to go back over what is there.
            text = escape_controls(decode(data).replace("\r\n", "\n").replace("\r", "\n"))
            with suppress(OSError):  # whoever read it has gone; the pipe is emptied all the same
                _write(text.encode())
        self._done.release()


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]


def open_stray_output() -> StrayOutput | None:
    """One for this process; None where its stderr is not what it was started with, or there can be no pipe."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() == 2:
            return StrayOutput()
    return None
