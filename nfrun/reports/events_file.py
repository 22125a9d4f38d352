"""Every event as a line of JSON, as soon as it comes: `nfrun run --events FILE`. Its fields are a promise to users."""

from __future__ import annotations

import json
from typing import IO

from nfrun.core.events import Event, to_json
from nfrun.core.text import escape_controls
from nfrun.reports.line_buffer import LineBuffer


class EventsFile:
    """Writes events to a stream, which it closes after the last one."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines = LineBuffer(stream)
        self.name = f"of events ({escape_controls(str(getattr(stream, 'name', '')))})"

    def event(self, event: Event) -> None:
        self._lines.add(json.dumps(to_json(event)))

    def pause(self) -> None:
        self._lines.write()

    def close(self) -> None:
        self._lines.write()
        self._stream.close()
