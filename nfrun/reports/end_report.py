"""Writes the document of a run for the nodes that run when all others have ended: `$NFRUN_REPORT`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nfrun.core.events import AllNodesEnded, Event, RunFinished


class EndReport:
    """A reporter that writes what `document(end)` returns to `path` when all nodes have ended, and sets `written`.

    `write(path, text)` writes the file.
    """

    name = "for the last nodes"
    event_types = (AllNodesEnded,)

    def __init__(
        self, path: Path, document: Callable[[RunFinished], dict[str, Any]], write: Callable[[Path, str], object]
    ) -> None:
        self.path = path
        self.written = threading.Event()
        self._document = document
        self._write = write

    def event(self, event: Event) -> None:
        """Write the document. Raises OSError."""
        if isinstance(event, AllNodesEnded):
            self._write(self.path, json.dumps(self._document(event.end), indent=2) + "\n")
            self.written.set()
