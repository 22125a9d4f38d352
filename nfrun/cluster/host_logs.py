"""Sends what an attempt prints and logs to the run, as much of it as the run keeps: the beginning, and the end.

The beginning is sent while the attempt runs, and the end when it has ended. So three nodes that print 100 MB send a few
MB through the cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from nfrun.cluster.wire import Logged, Message, Printed, Skipped
from nfrun.core.values import mutable
from nfrun.system.logs.node_logs import KEEP_BYTES, LOG, Logs, StreamLog, log_path

_CHUNK = 1 << 14  # bytes of a message: a scheduler keeps the last thousand
_LINE_BYTES = 64  # what a logged line takes beside its text

Send = Callable[[Message], None]


@mutable
class Room:
    """How many bytes of the beginning of a stream may still be sent. The calls of a mapped node share it."""

    left: int = KEEP_BYTES


class SentLogs(Logs):
    """The logs of one execution of an attempt.

    `send` takes its messages, which have its `token`. `folder` is that of the log files of the run, as messages show
    it, None if it has none. `rooms` has those of the streams, by name. At the end, up to `most_end` bytes of a stream
    are sent that had no room.
    """

    def __init__(
        self, send: Send, token: str, folder: Path | None, rooms: dict[str, Room], most_end: int = KEEP_BYTES
    ) -> None:
        super().__init__()
        self._send, self._token, self._shown = send, token, folder
        self._rooms, self._most_end = rooms, most_end

    def of(self, node: str, attempt: int, stream: str) -> StreamLog:
        """Return the log of one stream; creates it if there is none."""
        key = (node, attempt, stream)
        found = self._open.get(key)
        if found is None:
            path = None if self._shown is None else log_path(self._shown, *key)
            room = self._rooms.setdefault(stream, Room())
            made = _SentStream(self._send, self._token, node, stream, path, room, self._most_end, self._late.add)
            found = self._open.setdefault(key, made)
        return found


class _SentStream(StreamLog):
    """One stream of an execution. Thread-safe."""

    def __init__(
        self,
        send: Send,
        token: str,
        node: str,
        stream: str,
        path: Path | None,
        room: Room,
        most_end: int,
        on_delay: Callable[[StreamLog], object],
    ) -> None:
        super().__init__(node, stream, lambda node, level, line: None, path, on_delay=on_delay)
        self._send, self._token, self._room, self._most_end = send, token, room, most_end
        self._waiting = bytearray()  # what is to be sent
        self._late = 0  # bytes that had no room
        self._logged: list[tuple[str, str]] = []
        self._late_logged_bytes = 0
        self._late_logged: deque[tuple[str, str]] = deque()

    def feed(self, data: bytes, *, at_once: bool = True) -> None:
        """Add printed bytes. Ignored after `end`."""
        with self._lock:
            if self._ended:
                return
            self._size += len(data)
            self._last += data
            if len(self._last) > 2 * KEEP_BYTES:
                del self._last[:-KEEP_BYTES]
            fitting = data[: self._taken(len(data))]
            self._late += len(data) - len(fitting)
            self._waiting += fitting
            if len(self._waiting) >= _CHUNK:
                self._send_waiting()
            elif self._waiting:
                self._delay()

    def log(self, level: str, line: str) -> None:
        """Add a line that was logged. Ignored after `end`."""
        with self._lock:
            if self._ended:
                return
            size = _logged_bytes(level, line)
            if self._late or not self._taken(size):
                self._late += size
                self._late_logged.append((level, line))
                self._late_logged_bytes += size
                while self._late_logged_bytes - _logged_bytes(*self._late_logged[0]) >= self._most_end:
                    self._late_logged_bytes -= _logged_bytes(*self._late_logged.popleft())
                return
            self._logged.append((level, line))
            self._size += size
            if self._size >= _CHUNK:
                self._send_lines()
            else:
                self._delay()

    def write_delayed(self) -> None:
        """Send what waits."""
        with self._lock:
            self._is_delayed = False
            if not self._ended:
                self._send_waiting()
                self._send_lines()

    def _end(self) -> None:
        self._ended = True
        self._send_waiting()
        self._send_lines()
        if self._stream == LOG:
            self._skip(self._late - self._late_logged_bytes)
            self._logged = list(self._late_logged)
            self._send_lines()
        elif self._late:
            kept = min(self._late, self._most_end, len(self._last))
            self._skip(self._late - kept)
            self._waiting = self._last[-kept:]
            self._send_waiting()

    def _taken(self, size: int) -> int:
        """Take room for so many bytes. Returns how many have room."""
        fitting = min(size, self._room.left)
        self._room.left -= fitting
        return fitting

    def _delay(self) -> None:
        if not self._is_delayed:
            self._is_delayed = True
            self._on_delay(self)

    def _skip(self, size: int) -> None:
        if size > 0:
            self._send(Skipped(self._token, self._stream, size))

    def _send_waiting(self) -> None:
        while self._waiting:
            self._send(Printed(self._token, self._stream, bytes(self._waiting[:_CHUNK])))
            del self._waiting[:_CHUNK]

    def _send_lines(self) -> None:
        group: list[tuple[str, str]] = []
        size = 0
        for line in self._logged:
            size += _logged_bytes(*line) + _LINE_BYTES
            if group and size > _CHUNK:
                self._send(Logged(self._token, tuple(group)))
                group, size = [], _logged_bytes(*line) + _LINE_BYTES
            group.append(line)
        if group:
            self._send(Logged(self._token, tuple(group)))
        self._logged, self._size = [], 0


def _logged_bytes(level: str, line: str) -> int:
    """Return the bytes that a logged line has in its file."""
    return len(level) + len(line.encode(errors="backslashreplace")) + 3
