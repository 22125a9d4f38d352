"""What attempts print and log: lines for the reports, a file of bounded size, and the end of it for errors.

Knows no processes and no pipes: bytes come in, in pieces of any size.
"""

from __future__ import annotations

import codecs
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

STREAMS = ("stdout", "stderr")
LOG = "log"  # what an attempt logs has a file as its streams have
KEEP_BYTES = 1 << 20  # bytes of a stream that are kept, at its beginning and again at its end
_MOST_LINES = 10_000  # of those at the beginning that are told; each takes more memory than its bytes
_LONGEST = 16_384  # characters of a line; a longer one is cut into several
_CHUNK = 1 << 16  # bytes that are looked at at once
_PAUSE_SECONDS = 0.1  # between two writes, where writing can wait
_HURRY_SECONDS = 0.05  # for who is at it, where nobody wants to wait
_GIVE_WAY_SECONDS = 0.01

OnLine = Callable[[str, str, str], object]  # of a node, its stream or level, and a line


class ByteFilter(Protocol):
    """Takes something out of a stream of bytes. It may hold back what it cannot tell yet."""

    def feed(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


def log_path(folder: Path, node: str, attempt: int, stream: str) -> Path:
    """The file of one stream of an attempt in the folder of all."""
    return folder / f"{node}.{attempt}.{stream}"


class Logs:
    """What all attempts of a run print and log: `say` is told of lines, and files go into `folder`, None for nowhere.

    All bytes of a stream pass through a sieve of its own, which `sieve()` makes, before anything else sees them. Where
    there is no `room()` for one more line, no more of that stream is told.
    """

    def __init__(
        self,
        on_line: OnLine = lambda node, level, line: None,
        folder: Path | None = None,
        make_filter: Callable[[], ByteFilter | None] = lambda: None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_line = on_line
        self._folder = folder
        self._make_filter = make_filter
        self._has_room = has_room
        self._open: dict[tuple[str, int, str], StreamLog] = {}
        self._detached: set[tuple[str, int]] = set()
        self._closed = False

    def of(self, node: str, attempt: int, stream: str) -> StreamLog:
        """The transcript of one stream of an attempt, begun where there is none. From any thread."""
        key = (node, attempt, stream)
        found = self._open.get(key)
        if found is None:
            path = None if self._folder is None else log_path(self._folder, *key)
            made = StreamLog(node, stream, self._on_line, path, self._make_filter(), self._has_room)
            found = self._open.setdefault(key, made)
            if self._closed:
                found.end()
        return found

    def log(self, node: str, attempt: int, level: str, line: str) -> None:
        """Take note of a line that an attempt logs, unless it was given up. From any thread."""
        if not self.is_detached(node, attempt):
            self.of(node, attempt, LOG).log(level, line)

    def detach(self, node: str, attempt: int) -> None:
        """The attempt does not count any more, although it may go on: what it logs is of no use."""
        self._detached.add((node, attempt))

    def is_detached(self, node: str, attempt: int) -> bool:
        """Whether nothing more is wanted of it."""
        return self._closed or (node, attempt) in self._detached

    def end(self, node: str, attempt: int) -> None:
        """The attempt has ended: nothing more is waited for."""
        for stream in (*STREAMS, LOG):
            if transcript := self._open.pop((node, attempt, stream), None):
                transcript.end()

    def close(self) -> None:
        """The run has ended, whatever attempts may still go on; one that hangs while it writes is left to itself."""
        self._closed = True
        for transcript in list(self._open.values()):
            transcript.end(_HURRY_SECONDS)


def throttle_detached() -> None:
    """For who goes on although nobody wants it any more, perhaps in an endless loop: others need the interpreter."""
    time.sleep(_GIVE_WAY_SECONDS)


class StreamLog:
    """One stream of one attempt, or what it logs. Safe to use from several threads; nothing raises, nothing grows.

    The file has the first and the last MiB, and between the two a line that counts what is left out. Lines are told as
    they come, as long as they are of the first MiB and there is `room()`; then one line says where the rest is.
    """

    def __init__(
        self,
        node: str,
        stream: str,
        on_line: OnLine,
        path: Path | None = None,
        filter: ByteFilter | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._node = node
        self._stream = stream
        self._on_line = on_line
        self._path = path  # None: not kept, or not any more
        self._filter = filter
        self._has_room = has_room
        # Re-entrant: inside of it the garbage collector may run a `__del__` of the node's that prints.
        self._lock = threading.RLock()
        self._size = 0
        self._last = bytearray()  # the end, of KEPT bytes at least
        self._file: int | None = None
        self._written = 0  # bytes of the beginning that are in the file
        self._wrote_at = time.monotonic()
        self._begun = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._told = 0  # lines
        self._cut = False  # whether there was more than is told
        self._process = os.getpid()
        self._ended = False

    def feed(self, data: bytes, *, at_once: bool = True) -> None:
        """Take note of what was printed. Unless `at_once`, the file may lag behind by some lines and a tenth second.

        To write lets go of the interpreter's lock: who prints beside nodes that compute would wait for it each time.
        """
        with self._lock:
            if not self._ended:
                self._feed(self._filter.feed(data) if self._filter else data, at_once)
                return
        throttle_detached()

    def log(self, level: str, line: str) -> None:
        """Take note of a line that was logged. In the file its level is before it."""
        with self._lock:
            if self._ended:
                return
            if self._filter:  # before it is cut; no line waits for the next one
                data = line.encode(errors="backslashreplace")
                line = (self._filter.feed(data) + self._filter.end()).decode(errors="replace")
            for start in range(0, len(line) or 1, _LONGEST):
                part = line[start : start + _LONGEST]
                self._cut |= self._size >= KEEP_BYTES
                if not self._cut:
                    self._tell(part, level)
                self._keep(f"{level}: {part}\n".encode(errors="backslashreplace"), at_once=False)

    def end(self, patience: float = -1) -> None:
        """Nothing more will come: tell of the line that was begun, and write what is left to be written.

        Unless `patience` is negative, whoever is at work on it is waited for so many seconds, and else left to it.
        """
        if self._lock.acquire(timeout=patience):
            try:
                if not self._ended:
                    self._end()
            finally:
                self._lock.release()

    def tail(self, most: int) -> str:
        """The last bytes as text, so many at most, and whole lines where something is cut off."""
        with self._lock:
            text = self._last[-most:].decode(errors="replace")
            if self._size <= most:
                return text
            whole = text.partition("\n")[2]
            return "…" + (whole or text)

    @property
    def file_name(self) -> str:
        """The path of the file; "" where there is none."""
        return "" if self._path is None else str(self._path)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _feed(self, data: bytes, at_once: bool) -> None:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            if not self._cut:
                self._lines(chunk)
            self._keep(chunk, at_once)

    def _keep(self, chunk: bytes, at_once: bool) -> None:
        self._last += chunk
        self._size += len(chunk)
        waits = min(self._size, KEEP_BYTES) - self._written
        if waits and (at_once or waits >= _CHUNK or self._size >= KEEP_BYTES or self._is_due()):
            self._write_beginning()
        if len(self._last) > 2 * KEEP_BYTES:
            del self._last[:-KEEP_BYTES]

    def _end(self) -> None:
        if self._filter:
            self._feed(self._filter.end(), at_once=False)
        self._ended = True
        if not self._cut and (begun := self._begun + self._decode(b"", final=True)):
            self._tell(_left_on_terminal(begun), self._stream)
        self._write_end()
        if self._cut:
            self._on_line(self._node, "warning" if self._stream == LOG else self._stream, self._rest())

    def _lines(self, chunk: bytes) -> None:
        begun, self._begun = self._begun, ""
        if self._size >= KEEP_BYTES:
            self._cut = True
            return
        *lines, rest = (begun + self._decode(chunk)).split("\n")
        last = max(0, len(rest) - 1) // _LONGEST * _LONGEST
        lines += (rest[start : start + _LONGEST] for start in range(0, last, _LONGEST))
        self._begun = rest[last:]
        for line in lines:
            self._tell(_left_on_terminal(line), self._stream)

    def _tell(self, line: str, level: str) -> None:
        for start in range(0, len(line) or 1, _LONGEST):
            if self._cut or self._told == _MOST_LINES or not self._has_room():
                self._cut = True
                return
            self._told += 1
            self._on_line(self._node, level, line[start : start + _LONGEST])

    def _rest(self) -> str:
        if self._path is None:
            return f"… the rest of {self._size:,} bytes is not kept"
        out = self._size - 2 * KEEP_BYTES
        without = f", without {out:,} bytes in the middle" if out > 0 else ""
        return f"… the rest of {self._size:,} bytes is in {self._path}{without}"

    def _is_due(self) -> bool:
        return time.monotonic() - self._wrote_at >= _PAUSE_SECONDS

    def _write_beginning(self) -> None:
        start = len(self._last) - (self._size - self._written)
        self._write(self._last[start : start + min(self._size, KEEP_BYTES) - self._written])
        self._written = min(self._size, KEEP_BYTES)
        self._wrote_at = time.monotonic()

    def _write_end(self) -> None:
        if self._written < min(self._size, KEEP_BYTES):
            self._write_beginning()
        if self._size > KEEP_BYTES:
            out = self._size - 2 * KEEP_BYTES
            if out > 0:
                self._write(f"\n… {out:,} bytes left out …\n".encode())
            self._write(self._last[-min(self._size - KEEP_BYTES, KEEP_BYTES) :])
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _write(self, data: bytes | bytearray) -> None:
        if self._path is None or os.getpid() != self._process:  # a child that the node forked has what we have
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(exist_ok=True, mode=0o700)
                # To append: a thread that outlives its attempt may print behind its end.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._file = os.open(self._path, flags, 0o600)
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:  # not worth failing for: results do not depend on it
            lost = f"its {self._stream} is not kept any more ({len(data):,} bytes for {self._path}): {error.strerror}"
            self._path = None
            self._on_line(self._node, "warning", lost)


def _left_on_terminal(line: str) -> str:
    """Progress bars draw over themselves."""
    return line.rstrip("\r").rpartition("\r")[2]
