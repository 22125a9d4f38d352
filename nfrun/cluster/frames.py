"""Reads and writes the frames that a host and the process that started it send to each other through pipes.

A frame has a kind, the token of an execution or another name, and a text. So whoever passes texts on need not read
them.
"""

from __future__ import annotations

import os
import select
import struct
import threading
from typing import BinaryIO, NamedTuple

_HEAD = struct.Struct(">2sBHI")  # a mark, and the lengths of the kind, of the name and of the text in bytes
_MARK = b"nf"

_POLL_MS = 100  # the pipe may be closed meanwhile
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


def to_bytes(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    parts = [part.encode() for part in frame]
    return b"".join([_HEAD.pack(_MARK, *map(len, parts)), *parts])


def read_frame(stream: BinaryIO) -> Frame | None:
    """Read a frame. None at the end of the stream, also in the middle of a frame. Raises ValueError if it is none."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    mark, *lengths = _HEAD.unpack(head)
    if mark != _MARK:
        raise ValueError(f"{head!r} begins no frame")
    parts = [stream.read(length) for length in lengths]
    if [len(part) for part in parts] != lengths:
        return None
    return Frame(*(part.decode() for part in parts))


class FrameWriter:
    """Writes frames into a pipe. Thread-safe, and never waits: what the pipe does not take, a thread writes later.

    It closes the pipe. Once nobody reads it, frames are dropped.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._left = bytearray()  # what a thread writes
        self._lock = threading.Lock()
        self._is_closed = False
        os.set_blocking(pipe, False)

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        data = to_bytes(frame)
        with self._lock:
            if self._is_closed:
                return
            is_writing = bool(self._left)
            self._left += data if is_writing else data[self._write(data) :]
            if self._left and not is_writing:
                threading.Thread(target=self._write_left, name="nfrun-frames", daemon=True).start()

    def close(self) -> None:
        """Close the pipe: whoever reads it is to end."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._pipe)

    def _write(self, data: bytes | bytearray) -> int:
        """Write what the pipe takes, and return its size. What nobody reads counts as written."""
        try:
            return os.write(self._pipe, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _write_left(self) -> None:
        ready = select.poll()
        ready.register(self._pipe, select.POLLOUT)
        while True:
            ready.poll(_POLL_MS)
            with self._lock:
                if self._is_closed:
                    return
                del self._left[: self._write(self._left)]
                if not self._left:
                    return
