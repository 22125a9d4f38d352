"""Writes every event as a line of JSON: `nfrun run --events FILE`. Its fields are stable: users rely on them."""

from __future__ import annotations

import json
from typing import IO

from nfrun.core.events import Event, to_json
from nfrun.reports.line_reporter import LineReporter


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
