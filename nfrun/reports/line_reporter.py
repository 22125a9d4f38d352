"""The bases of reporters, and the file of events: `nfrun run --events FILE`.

Many lines are written at once: a thread waits for the GIL after each write.
"""

from __future__ import annotations

import json
from typing import IO

from nfrun.core.events import Event, to_json

_MAX_LINES = 500  # buffered lines: at this number they are written at once


class NoEvents:
    """The base of reporters that need no events: the record of the run, which they read, has its state."""

    event_types = ()

    def event(self, event: Event) -> None:
        """Do nothing."""


class LineReporter:
    """Buffers lines for `stream` until `pause` is called or 500 have been added. All methods raise OSError."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Add a line, given without its newline."""
        self._lines.append(f"{line}\n")
        if len(self._lines) >= _MAX_LINES:
            self.flush()

    def pause(self) -> None:
        """Write the buffered lines."""
        self.flush()

    def flush(self) -> None:
        """Write the buffered lines and flush the stream."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write("".join(lines))

    def close(self) -> None:
        """Write the last lines."""
        self.flush()

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class EventsFile(LineReporter):
    """A reporter that writes events to a stream, and closes the stream after the last one."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self.name = f"of events ({getattr(stream, 'name', '')})"

    def event(self, event: Event) -> None:
        """Add the event as a line of JSON. Lines are written in batches."""
        self.add(json.dumps(to_json(event)))

    def close(self) -> None:
        """Write the last lines and close the stream."""
        super().close()
        self._stream.close()
