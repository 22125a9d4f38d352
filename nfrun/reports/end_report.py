"""Writes the document of a run for the nodes that run when all others have ended: `$NFRUN_REPORT`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nfrun.core.events import AllNodesEnded, Event, RunFinished
from nfrun.core.values import field, mutable


@mutable
class EndReport:
    """A reporter that writes what `document(end)` returns to `path` when all nodes have ended, and sets `written`.

    `write(path, text)` writes the file.
    """

    path: Path
    document: Callable[[RunFinished], dict[str, Any]]
    write: Callable[[Path, str], object]
    written: threading.Event = field(default_factory=threading.Event)

    name = "for the last nodes"
    event_types = (AllNodesEnded,)

    def event(self, event: Event) -> None:
        """Write the document. Raises OSError."""
        if isinstance(event, AllNodesEnded):
            self.write(self.path, json.dumps(self.document(event.end), indent=2) + "\n")
            self.written.set()
