"""What people and programs see of a run: one subscriber to its events per file. None of them can influence the run."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Protocol

from nfrun.core.events import Event, NodeLogged

# Lines on their way. To tell so many takes a fraction of a second, for which the end of a run may have to wait.
MAX_PENDING_LINES = 10_000

_PAUSE_SECONDS = 0.02  # between two looks at what happened: waking up for each event would cost more than telling it


class Reporter(Protocol):
    """A fold over events: keeps what it needs and writes when it can.

    It may have an attribute `hears`, a tuple of the types of events that it is told; otherwise it is told all. It may
    have a method `wake()`, which is called before it is told of things that have all happened by then, a method
    `pause()`, which is called when it has been told all that has happened so far, and a `name` for when it cannot go
    on.
    """

    def event(self, event: Event) -> None:
        """Take note of an event. Events come one at a time, in order."""
        ...

    def close(self) -> None:
        """The last event has come: write what is left to write."""
        ...


def _print_error(message: str) -> None:
    with suppress(OSError, ValueError):  # it may be stderr that nothing can be written to
        print(message, file=sys.stderr, flush=True)


class EventDispatcher:
    """Gives every event to every report, on a thread of its own: a slow report delays no node.

    A report that raises is left out from then on, which `complain` is told once; the run goes on. `stopped` has the
    names of those reports. Between two looks at what has happened pass `pause` seconds.
    """

    def __init__(
        self,
        reporters: Sequence[Reporter],
        on_error: Callable[[str], object] | None = None,
        pause: float = _PAUSE_SECONDS,
    ) -> None:
        self._reporters = list(reporters)
        self._seconds = pause
        self._on_error = on_error or _print_error
        self.stopped: list[str] = []
        self._subscribers: dict[type, list[Reporter]] = {}
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self.emit: Callable[[Event], None] = self._queue.put  # passes an event on; never blocks
        self._closing = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._deliver, name="nfrun-reports", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait until all events are delivered and all reports are closed."""
        self._queue.put(None)
        self._closing.set()
        self._thread.join()

    def _deliver(self) -> None:
        while not self._ended and (events := self._happened()):
            self._call("wake")
            for event in events:
                hearers = self._subscribers.get(type(event))
                for report in self._subscribers_of(type(event)) if hearers is None else hearers:
                    try:
                        report.event(event)
                    except Exception as error:
                        self._drop(report, error)
            if self._queue.empty() and not self._ended:
                self._call("pause")
            self._closing.wait(self._seconds)
        for report in self._reporters:
            try:
                report.close()
            except Exception as error:
                self._drop(report, error)

    def _happened(self) -> list[Event]:
        """What has happened since, once there is anything; nothing at the end, whatever is told after it."""
        events: list[Event] = []
        for _ in range(max(1, self._queue.qsize())):  # not until it is empty: somebody may be as quick to fill it
            event = self._queue.get()
            if event is None:
                self._ended = True
                break
            events.append(event)
        return events

    def _call(self, method: str) -> None:
        for report in self._reporters:
            if (call := getattr(report, method, None)) is not None:
                try:
                    call()
                except Exception as error:
                    self._drop(report, error)

    def _subscribers_of(self, kind: type) -> list[Reporter]:
        found = [report for report in self._reporters if kind in getattr(report, "event_types", (kind,))]
        self._subscribers[kind] = found
        return found

    def _drop(self, report: Reporter, error: Exception) -> None:
        self._reporters = [other for other in self._reporters if other is not report]
        self._subscribers.clear()
        if not isinstance(error, BrokenPipeError):  # whoever read it has gone, as with `| head`
            name = getattr(report, "name", type(report).__name__)
            self.stopped.append(name)
            why = isinstance(error, OSError) and error.strerror
            self._on_error(f"nfrun: the report {name} stopped: {why or f'{type(error).__name__}: {error}'}")


class BackPressure:
    """Counts the lines that were told of and that all reports have heard of. `said` is to be called for each."""

    event_types = (NodeLogged,)

    def __init__(self) -> None:
        self._count = itertools.count(1)  # one step for the threads, as += is not
        self._sent = 0
        self._delivered = 0

    def sent(self) -> None:
        """One more line was told of. From any thread."""
        self._sent = next(self._count)

    def has_room(self) -> bool:
        """Whether one more line may be told of."""
        return self._sent - self._delivered < MAX_PENDING_LINES

    def event(self, event: Event) -> None:
        self._delivered += 1

    def close(self) -> None:
        """Nothing to write."""
