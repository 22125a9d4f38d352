"""Stores what attempts print and log: emits lines, writes files of bounded size, and keeps the end for errors.

Bytes arrive in pieces of any size. `print_capture.py` and the executors feed them.
"""

from __future__ import annotations

import codecs
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.text import file_stem
from nfrun.system.threads import start_thread

if TYPE_CHECKING:
    from nfrun.system.logs.redaction import RedactingFilter

STREAMS = ("stdout", "stderr")
LOG = "log"  # the log lines of an attempt have a file like its streams
_NAME = re.compile(rf"(.+)\.([1-9][0-9]{{0,9}})\.({'|'.join((*STREAMS, LOG))})")  # of a file
KEEP_BYTES = 1 << 20  # bytes kept of a stream at its beginning, and again at its end
_MOST_LINES = 10_000  # emitted per stream; a line takes more memory than its bytes
_LONGEST = 16_384  # characters of a line; a longer one is split
_CHUNK = 1 << 16  # bytes processed at a time
_PAUSE_SECONDS = 0.1  # between two writes that may be delayed
_CLOSE_SECONDS = 0.05  # wait for a stream's lock when the run has ended
_GIVE_WAY_SECONDS = 0.01

OnLine = Callable[[str, str, str], object]  # node, stream or level, line


def log_path(folder: Path, node: str, attempt: int, stream: str) -> Path:
    """Return the path of the file for one stream of an attempt."""
    return folder / f"{file_stem(node)}.{attempt}.{stream}"


def logs_in(folder: Path) -> dict[str, dict[int, dict[str, Path]]]:
    """Return the log files in a folder by the `file_stem` of the node, by attempt and by stream, in this order."""
    found: dict[str, dict[int, dict[str, Path]]] = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir(), reverse=True):
            if name := _NAME.fullmatch(path.name):
                found.setdefault(name[1], {}).setdefault(int(name[2]), {})[name[3]] = path
    return {stem: dict(sorted(attempts.items())) for stem, attempts in found.items()}


class Logs:
    """The logs of all attempts of a run. Calls `on_line` with each line; writes files into `folder` unless it is None.

    Each stream has its own filter from `make_filter()`, which all its bytes pass first. If a stream has
    a line to emit and `has_room()` is false, the stream emits no more lines.
    """

    def __init__(
        self,
        on_line: OnLine = lambda node, level, line: None,
        folder: Path | None = None,
        make_filter: Callable[[], RedactingFilter | None] = lambda: None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_line = on_line
        self._folder = folder
        self._make_filter = make_filter
        self._has_room = has_room
        self._open: dict[tuple[str, int, str], StreamLog] = {}
        self._writer: threading.Thread | None = None
        self._closing = threading.Event()
        self._detached: set[tuple[str, int]] = set()

    def of(self, node: str, attempt: int, stream: str) -> StreamLog:
        """Return the log of one stream of an attempt; creates it if there is none. Thread-safe."""
        key = (node, attempt, stream)
        found = self._open.get(key)
        if found is None:
            found = self._open.setdefault(key, self._make(*key))
            if self._closing.is_set():
                found.end()
            elif self._writer is None:
                with suppress(HandoffError):  # no more threads: the next print, or the end, writes it
                    self._writer = start_thread(self._write_delayed, "nfrun-logs")
        return found

    def _make(self, node: str, attempt: int, stream: str) -> StreamLog:
        path = None if self._folder is None else log_path(self._folder, node, attempt, stream)
        return StreamLog(node, stream, self._on_line, path, self._make_filter(), self._has_room)

    def _write_delayed(self) -> None:
        """Write what `feed` has not written yet, every 0.1 s: who follows a file need not wait for the next print."""
        while not self._closing.wait(_PAUSE_SECONDS):
            for log in list(self._open.values()):
                log.write_delayed()

    def log(self, node: str, attempt: int, level: str, line: str) -> None:
        """Add a line that an attempt logs, unless the attempt is detached. Thread-safe."""
        if not self.is_detached(node, attempt):
            self.of(node, attempt, LOG).log(level, line)

    def detach(self, node: str, attempt: int) -> None:
        """Ignore what the attempt logs from now on: its result no longer counts, but its code may go on."""
        self._detached.add((node, attempt))

    def is_detached(self, node: str, attempt: int) -> bool:
        """Return whether the attempt is detached, or the logs are closed."""
        return self._closing.is_set() or (node, attempt) in self._detached

    def end(self, node: str, attempt: int) -> None:
        """End all streams of an attempt that has ended."""
        if not self._open:  # most attempts print nothing
            return
        for stream in (*STREAMS, LOG):
            if log := self._open.pop((node, attempt, stream), None):
                log.end()

    def close(self) -> None:
        """End all open streams at the end of the run. A stream whose write hangs is skipped after 0.05 s."""
        self._closing.set()
        if self._writer is not None:
            self._writer.join(_CLOSE_SECONDS)  # not for ever: its write may hang
        for log in list(self._open.values()):
            log.end(_CLOSE_SECONDS)


def throttle_detached() -> None:
    """Sleep 10 ms, so that detached code, which may loop forever, leaves the GIL to others."""
    time.sleep(_GIVE_WAY_SECONDS)


class StreamLog:
    """The log of one stream of one attempt. Thread-safe; file errors do not raise; memory and file size are bounded.

    The file has the first and the last MiB, with a line between them that counts the bytes left out. Lines are emitted
    as they come: at most 10,000, from the first MiB, while `has_room()`. At the end, one more line says where the rest
    is. An OSError while writing emits a warning, and the file is not continued. `path` is the file, None if there is
    none, or if writing it has failed.
    """

    def __init__(
        self,
        node: str,
        stream: str,
        on_line: OnLine,
        path: Path | None = None,
        filter: RedactingFilter | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._node = node
        self._stream = stream
        self._on_line = on_line
        self.path = path
        self._filter = filter
        self._has_room = has_room
        # Re-entrant: while it is held, the garbage collector may run a node's `__del__` that prints.
        self._lock = threading.RLock()
        self._size = 0
        self._last = bytearray()  # the end of the stream, at least KEEP_BYTES
        self._file: int | None = None
        self._written = 0  # bytes of the beginning that are in the file
        self._due_at = time.monotonic() + _PAUSE_SECONDS
        self._begun = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._emitted = 0  # lines
        self._truncated = False  # whether some lines are not emitted
        self._process = os.getpid()
        self._ended = False

    def feed(self, data: bytes, *, at_once: bool = True) -> None:
        """Add printed bytes. Unless `at_once`, they may be written 0.1 s later, if they are fewer than 64 KiB.

        A write releases the GIL: beside nodes that compute, each print would have to wait for it again. After `end`,
        the bytes are dropped, and the call sleeps 10 ms.
        """
        with self._lock:
            if not self._ended:
                self._feed(self._filter.feed(data) if self._filter else data, at_once)
                return
        throttle_detached()

    def log(self, level: str, line: str) -> None:
        """Add a line that was logged. The file has its level in front of it. Ignored after `end`."""
        with self._lock:
            if self._ended:
                return
            if self._filter:  # before the line is split; nothing is held back for the next line
                data = line.encode(errors="backslashreplace")
                line = (self._filter.feed(data) + self._filter.end()).decode(errors="replace")
            for start in range(0, len(line) or 1, _LONGEST):
                part = line[start : start + _LONGEST]
                self._truncated |= self._size >= KEEP_BYTES
                if not self._truncated:
                    self._emit_line(part, level)
                self._keep(f"{level}: {part}\n".encode(errors="backslashreplace"), at_once=False)

    def skip(self, count: int) -> None:
        """Count bytes that another machine has left out. What follows is the end of the stream, as far as it is kept.

        Ignored after `end`.
        """
        with self._lock:
            if self._ended:
                return
            if self._filter:
                self._feed(self._filter.end(), at_once=True)
            if self._written < min(self._size, KEEP_BYTES):
                self._write_beginning()
            self._truncated = True
            self._size, self._written = max(self._size, KEEP_BYTES) + count, KEEP_BYTES
            self._last.clear()

    def end(self, patience: float = -1) -> None:
        """Emit the unfinished last line, write the remaining bytes and close the file.

        Waits at most `patience` seconds for another thread that uses the log, and then does nothing; waits without
        limit if `patience` is negative.
        """
        if self._lock.acquire(timeout=patience):
            try:
                if not self._ended:
                    self._end()
            finally:
                self._lock.release()

    def write_delayed(self) -> None:
        """Write what `feed` has not written yet."""
        with self._lock:
            if not self._ended and self._written < min(self._size, KEEP_BYTES):
                self._write_beginning()

    def tail(self, most: int) -> str:
        """Return at most the last `most` bytes as text. If that omits anything: "…" and, if possible, whole lines."""
        with self._lock:
            text = self._last[-most:].decode(errors="replace")
            if self._size <= most:
                return text
            whole = text.partition("\n")[2]
            return "…" + (whole or text)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _feed(self, data: bytes, at_once: bool) -> None:
        for start in range(0, len(data), _CHUNK):
            chunk = data[start : start + _CHUNK]
            if not self._truncated:
                self._lines(chunk)
            self._keep(chunk, at_once)

    def _keep(self, chunk: bytes, at_once: bool) -> None:
        self._last += chunk
        self._size += len(chunk)
        waits = min(self._size, KEEP_BYTES) - self._written
        if waits and (at_once or waits >= _CHUNK or self._size >= KEEP_BYTES or time.monotonic() >= self._due_at):
            self._write_beginning()
        if len(self._last) > 2 * KEEP_BYTES:
            del self._last[:-KEEP_BYTES]

    def _end(self) -> None:
        if self._filter:
            self._feed(self._filter.end(), at_once=False)
        self._ended = True
        if not self._truncated and (begun := self._begun + self._decode(b"", final=True)):
            self._emit_line(_left_on_terminal(begun), self._stream)
        self._write_end()
        if self._truncated:
            self._on_line(self._node, "warning" if self._stream == LOG else self._stream, self._rest())

    def _lines(self, chunk: bytes) -> None:
        begun, self._begun = self._begun, ""
        if self._size >= KEEP_BYTES:
            self._truncated = True
            return
        *lines, rest = (begun + self._decode(chunk)).split("\n")
        last = max(0, len(rest) - 1) // _LONGEST * _LONGEST
        lines += (rest[start : start + _LONGEST] for start in range(0, last, _LONGEST))
        self._begun = rest[last:]
        for line in lines:
            self._emit_line(_left_on_terminal(line), self._stream)

    def _emit_line(self, line: str, level: str) -> None:
        for start in range(0, len(line) or 1, _LONGEST):
            if self._truncated or self._emitted == _MOST_LINES or not self._has_room():
                self._truncated = True
                return
            self._emitted += 1
            self._on_line(self._node, level, line[start : start + _LONGEST])

    def _rest(self) -> str:
        if self.path is None:
            return f"… the rest of {self._size:,} bytes is not kept"
        out = self._size - 2 * KEEP_BYTES
        without = f", without {out:,} bytes in the middle" if out > 0 else ""
        return f"… the rest of {self._size:,} bytes is in {self.path}{without}"

    def _write_beginning(self) -> None:
        start = len(self._last) - (self._size - self._written)
        self._write(self._last[start : start + min(self._size, KEEP_BYTES) - self._written])
        self._written = min(self._size, KEEP_BYTES)
        self._due_at = time.monotonic() + _PAUSE_SECONDS

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
        if self.path is None or os.getpid() != self._process:  # in a forked child: the parent writes the same data
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(exist_ok=True, mode=0o700)
                # Append: a thread that outlives its attempt may print after the file was closed.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._file = os.open(self.path, flags, 0o600)
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:  # not worth failing for: results do not depend on it
            lost = f"its {self._stream} is no longer saved ({len(data):,} bytes for {self.path}): {error.strerror}"
            self.path = None
            self._on_line(self._node, "warning", lost)


def _left_on_terminal(line: str) -> str:
    """Return what a terminal would show of the line: progress bars overwrite themselves after each `\\r`."""
    return line.rstrip("\r").rpartition("\r")[2]
