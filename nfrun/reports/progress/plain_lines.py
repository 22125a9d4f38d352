"""Prints one line per event, for pipes, CI logs and dumb terminals, and now and then the progress of nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import IO, TextIO

from nfrun.core.events import (
    AttemptStopped,
    Event,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    RunStarted,
)
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.engine.event_dispatch import Reporter
from nfrun.reports.format_units import format_count, format_finished, format_progress, format_seconds
from nfrun.reports.line_reporter import LineReporter
from nfrun.reports.printing import is_colored
from nfrun.reports.run_record import RunRecord

_SILENT_SECONDS = 60.0  # between two lines that name the nodes that run on without reporting progress
_MAX_PROGRESS, _MAX_SILENT = 20, 6  # nodes


class PlainLines(LineReporter):
    """A reporter that writes ends, retries and log lines of nodes to a stream.

    With `verbose` it also writes starts, and reused nodes, of which there may be thousands beside a few that ran.

    Every ten seconds it writes how far the nodes have come that report progress, and every minute which others have
    been running for a minute.
    """

    interval = 10.0

    def __init__(
        self,
        record: RunRecord,
        stream: IO[str],
        *,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._record = record
        self._verbose = verbose
        self._clock = clock
        self._began = clock()
        self._silent_at = _SILENT_SECONDS

    def event(self, event: Event) -> None:
        """Add the line of the event, if it has one."""
        line = self._line(event)
        if line:
            self._add(event.at, line)

    def tick(self) -> None:
        """Write how far the running nodes are."""
        now = self._clock() - self._began
        running = self._record.running
        reporting = {name: node for name, node in running.items() if node.progress is not None}
        for name, node in list(reporting.items())[:_MAX_PROGRESS]:
            self._add(now, f"{name}: {format_progress(node, now)}")
        if len(reporting) > _MAX_PROGRESS:
            self._add(now, f"… and {len(reporting) - _MAX_PROGRESS:,} more nodes report progress")
        silent = {name: now - node.since for name, node in running.items() if name not in reporting}
        long = [f"{name} {format_seconds(took)}" for name, took in silent.items() if took >= _SILENT_SECONDS]
        if long and now >= self._silent_at:
            self._silent_at = now + _SILENT_SECONDS
            self._add(now, f"still running: {shortened(long, _MAX_SILENT)}")
        self.flush()

    def _add(self, at: float, line: str) -> None:
        self.add(f"{at:9.3f} s  {line}")

    def _line(self, event: Event) -> str:
        if isinstance(event, RunStarted):
            self._began = self._clock() - event.at
            nodes, name = format_count(event.nodes, "node"), escape_controls(self._record.pipeline.name)
            return f"{name}: {nodes}, up to {event.slots} at a time"
        if isinstance(event, NodeStarted) and self._verbose:
            return f"{event.node} started" + (f" (attempt {event.attempt})" if event.attempt > 1 else "")
        if isinstance(event, NodeWaiting) and self._verbose:
            return f"{event.node} waits for {'its resources' if event.for_budget else 'a table that is made again'}"
        if isinstance(event, NodeFinished) and (self._verbose or not event.reused):
            how = "reused" if event.reused else f"finished in {format_seconds(event.duration)}"
            return f"{event.node} {how}{', ' if event.outputs else ''}{format_finished(event)}"
        if isinstance(event, NodeRetrying):
            reason = ellipsize(event.failure.error, 200)
            return f"{event.node} failed, next attempt in {format_seconds(event.delay)}: {reason}"
        if isinstance(event, NodeFailed):
            tolerated = " (tolerated)" if event.tolerated else ""
            rows = f"{event.failure.rows} of " if event.failure.rows else ""
            return f"{rows}{event.node} failed{tolerated}: {ellipsize(event.failure.error, 200)}"
        if isinstance(event, AttemptStopped):
            return f"{event.node} told to stop: {escape_controls(event.why)}"
        if isinstance(event, NodeSkipped):
            why = f"it lacks an input because of {event.because}" if event.tolerated else f"it needs {event.because}"
            return f"{event.node} skipped: {why}"
        if isinstance(event, NodeLogged):
            return f"{event.node} | {ellipsize(event.text, 2_000)}"
        return ""


def progress_on(stream: TextIO, record: RunRecord, *, color: str = "auto", verbose: bool = False) -> Reporter:
    """Return the reporter that shows a run on a stream: a live view on a terminal that can show it, and else lines."""
    is_live = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
    if is_live and stream.encoding.lower().startswith("utf"):
        from nfrun.reports.progress.live_view import LiveView

        return LiveView(record, stream, colored=is_colored(stream, color), verbose=verbose)
    return PlainLines(record, stream, verbose=verbose)
