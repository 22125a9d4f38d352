"""Every event as a line of JSON, as soon as it comes: `nfrun run --events FILE`. Its fields are a promise to users."""

from __future__ import annotations

import json
from typing import IO

from nfrun.errors import escape
from nfrun.events import Event, to_json

_LINES = 500  # that are not written yet; more are written although others follow at once


class EventsFile:
    """Writes events to a stream, which it closes after the last one."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self.name = f"of events ({escape(str(getattr(stream, 'name', '')))})"

    def event(self, event: Event) -> None:
        self._lines.append(json.dumps(to_json(event)) + "\n")
        if len(self._lines) >= _LINES:
            self.pause()

    def pause(self) -> None:
        """Write the lines since the last time, all at once: after each write Python's lock has to be waited for."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("".join(lines))
            self._stream.flush()

    def close(self) -> None:
        self.pause()
        self._stream.close()
