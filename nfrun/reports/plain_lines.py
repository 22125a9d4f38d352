"""Prints one line per event, for pipes, CI logs and dumb terminals."""

from __future__ import annotations

from typing import IO

from nfrun.core.events import (
    AttemptStopped,
    Event,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    RunStarted,
)
from nfrun.core.text import ellipsize, escape_controls
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.line_reporter import LineReporter


class PlainLines(LineReporter):
    """A reporter that writes ends, retries and log lines of nodes to a stream; with `verbose` also every start."""

    def __init__(self, stream: IO[str], name: str, *, verbose: bool = False) -> None:
        super().__init__(stream)
        self._name = name
        self._verbose = verbose

    def event(self, event: Event) -> None:
        """Add the line of the event, if it has one."""
        line = self._line(event)
        if line:
            self.add(f"{event.at:9.3f} s  {line}")

    def _line(self, event: Event) -> str:
        if isinstance(event, RunStarted):
            return f"{escape_controls(self._name)}: {format_count(event.nodes, 'node')}, up to {event.slots} at a time"
        if isinstance(event, NodeStarted) and self._verbose:
            return f"{event.node} started" + (f" (attempt {event.attempt})" if event.attempt > 1 else "")
        if isinstance(event, NodeFinished):
            rows = sum(ref.rows for ref in event.outputs.values())
            how = "reused" if event.reused else f"finished in {format_seconds(event.duration)}"
            return f"{event.node} {how}" + (f", {format_count(rows, 'row')}" if event.outputs else "")
        if isinstance(event, NodeRetrying):
            reason = ellipsize(event.failure.message, 200)
            return f"{event.node} failed, next attempt in {format_seconds(event.delay)}: {reason}"
        if isinstance(event, NodeFailed):
            return f"{event.node} failed: {ellipsize(event.failure.message, 200)}"
        if isinstance(event, AttemptStopped):
            return f"{event.node} told to stop: {escape_controls(event.why)}"
        if isinstance(event, NodeSkipped):
            return f"{event.node} skipped: it needs {event.because}"
        if isinstance(event, NodeLogged):
            return f"{event.node} | {ellipsize(event.text, 2_000)}"
        return ""
