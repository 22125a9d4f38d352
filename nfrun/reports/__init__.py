"""What people and programs see of a run: one subscriber to its events per file. None of them can influence the run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Protocol

from nfrun.events import Event


class Report(Protocol):
    """A fold over events: keeps what it needs and writes when it can."""

    def event(self, event: Event) -> None:
        """Take note of an event. Events come one at a time, in order."""
        ...

    def close(self) -> None:
        """The last event has come: write what is left to write."""
        ...


class Telling:
    """Gives every event to every report, on a thread of its own: a slow report delays no node.

    A report that raises is left out from then on, which `complain` is told once; the run goes on. `stopped` has the
    names of those reports.
    """

    def __init__(self, reports: Sequence[Report], complain: Callable[[str], object] | None = None) -> None:
        self._reports = list(reports)
        self._complain = complain or (lambda message: print(message, file=sys.stderr))
        self.stopped: list[str] = []
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._deliver, name="nfrun-reports", daemon=True)
        self._thread.start()

    def tell(self, event: Event) -> None:
        """Pass an event on. Never blocks."""
        self._queue.put(event)

    def close(self) -> None:
        """Wait until all events are delivered and all reports are closed."""
        self._queue.put(None)
        self._thread.join()

    def _deliver(self) -> None:
        while (event := self._queue.get()) is not None:
            self._each(lambda report, event=event: report.event(event))  # type: ignore[misc]
        self._each(lambda report: report.close())

    def _each(self, call: Callable[[Report], None]) -> None:
        for report in list(self._reports):
            try:
                call(report)
            except BrokenPipeError:  # whoever read it has gone, as with `| head`
                self._reports.remove(report)
            except Exception as error:
                self._reports.remove(report)
                self.stopped.append(type(report).__name__)
                self._complain(f"nfrun: the report {type(report).__name__} stopped: {type(error).__name__}: {error}")
