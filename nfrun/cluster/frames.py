"""Reads and writes the frames that a host and the process that started it send to each other through pipes.

A frame has a kind, the token of an execution or another name, and a text. So whoever passes texts on need not read
them.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import NamedTuple

VERSION = 1  # of the texts, whose form is in `wire.py`

# The kinds: to a host, with the token of the execution, or the name of the question.
ORDER, STOP, KILL, ASK, END = "order", "stop", "kill", "ask", "end"
# From a host.
MESSAGE, ENDED, ANSWER, CLOSED = "message", "ended", "answer", "closed"


class Frame(NamedTuple):
    """One frame."""

    kind: str
    name: str = ""
    text: str = ""


def write_frame(pipe: Connection, frame: Frame) -> None:
    """Write a frame. Raises OSError if the other end is closed."""
    pipe.send_bytes("\n".join(frame).encode())


def read_frame(pipe: Connection) -> Frame | None:
    """Read a frame. None at the end of the pipe, also in the middle of a frame."""
    with suppress(EOFError, OSError):
        return Frame(*pipe.recv_bytes().decode().split("\n", 2))
    return None


class FrameWriter:
    """Writes frames into a pipe, on a thread of its own: whoever gives it one never waits. Thread-safe.

    It closes the pipe. What nobody reads is dropped.
    """

    def __init__(self, pipe: int) -> None:
        self._frames: SimpleQueue[Frame | None] = SimpleQueue()
        threading.Thread(target=self._write_all, args=(pipe,), name="nfrun-frames", daemon=True).start()

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        self._frames.put(frame)

    def close(self) -> None:
        """Close the pipe behind the frames that were written: whoever reads it is to end."""
        self._frames.put(None)

    def _write_all(self, pipe: int) -> None:
        with suppress(OSError), Connection(pipe, readable=False) as connection:
            while (frame := self._frames.get()) is not None:
                write_frame(connection, frame)
