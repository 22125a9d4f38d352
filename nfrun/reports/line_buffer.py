"""Lines on their way to a stream, written many at once: after each write Python's lock has to be waited for."""

from __future__ import annotations

from typing import IO

_MOST = 500  # that are not written yet; more are written although others follow at once


class LineBuffer:
    """Writes to `stream` what `add` was given, at the next `write` or once there is much of it. Raises OSError."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        self._lines.append(f"{line}\n")
        if len(self._lines) >= _MOST:
            self.write()

    def write(self) -> None:
        """Write what was added since the last time."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("".join(lines))
            self._stream.flush()
