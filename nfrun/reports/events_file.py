"""Writes every event as a line of JSON: `nfrun run --events FILE`. Its fields are stable: users rely on them."""

from __future__ import annotations

import json
from typing import IO

from nfrun.core.events import Event, to_json
from nfrun.reports.line_buffer import LineBuffer


class EventsFile:
    """A reporter that writes events to a stream, and closes the stream after the last one."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines = LineBuffer(stream)
        self.name = f"of events ({getattr(stream, 'name', '')})"

    def event(self, event: Event) -> None:
        """Add the event as a line of JSON. Lines are written in batches."""
        self._lines.add(json.dumps(to_json(event)))

    def pause(self) -> None:
        """Write the lines that have been added."""
        self._lines.write()

    def close(self) -> None:
        """Write the last lines and close the stream."""
        self._lines.write()
        self._stream.close()
