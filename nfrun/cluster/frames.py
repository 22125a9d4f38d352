"""Reads and writes the frames that a host and the process that started it send to each other through pipes.

A frame has a kind, the token of an execution or another name, and a text. So whoever passes texts on need not read
them.
"""

from __future__ import annotations

import os
import struct
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import BinaryIO, NamedTuple

_HEAD = struct.Struct(">2sBHI")  # a mark, and the lengths of the kind, of the name and of the text in bytes
_MARK = b"nf"

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
        with suppress(OSError), os.fdopen(pipe, "wb") as stream:
            while (frame := self._frames.get()) is not None:
                stream.write(to_bytes(frame))
                stream.flush()
