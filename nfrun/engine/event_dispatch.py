"""Dispatches the events of a run to its reporters, on a thread of its own. Reporters cannot influence the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TypeGuard

from nfrun.core.errors import Cause, cause_of
from nfrun.core.events import Event, RunFinished
from nfrun.system.threads import start_thread

# Events that wait while log lines are still emitted. Delivering so many takes a fraction of a second, by which the end
# of a run may be delayed.
MAX_PENDING = 10_000

_PAUSE_SECONDS = 0.02  # between two deliveries: waking up for each event costs more than delivering it
_GATE_PAUSE_SECONDS = 0.005  # the same with a gate: a kill loses at most the journal lines of this time

# Gets each batch of events before the reporters, and returns what the reporters get now: it may hold events back and
# return them with a later batch. Must not raise.
EventGate = Callable[[list[Event]], list[Event]]


class Reporter(Protocol):
    """Receives the events of a run, one at a time: keeps what it needs and writes when it can.

    Optional attributes: `event_types`, a tuple of the event types that it receives (default: all); `pause()`, called
    when no event is pending; `close()`, called once, after the last event, to write what is left; `name`, shown if it
    fails. See also `Ticking`.
    """

    def event(self, event: Event) -> None:
        """Process an event. Events are delivered one at a time."""


class Ticking(Reporter, Protocol):
    """A reporter with something to show while no events come. `tick` is called every `interval` seconds."""

    interval: float

    def tick(self) -> None:
        """Show the changes since the last call."""


def _is_ticking(reporter: Reporter) -> TypeGuard[Ticking]:
    return hasattr(reporter, "tick")  # `isinstance` of a protocol imports `inspect`, from Python 3.12 on


class EventDispatcher:
    """Delivers every event to every reporter, on a thread of its own: a slow reporter delays no node.

    A reporter that raises receives nothing more, and the run goes on. Its name and the cause are added to `stopped` and
    `on_error(message)` is called once, unless the error is a BrokenPipeError. Events are delivered in batches; with a
    `gate`, each batch goes through the gate first. If the gate raises, `gate_error` is the error, later events pass it
    by, and the run is reported as failed.
    """

    def __init__(
        self,
        reporters: Sequence[Reporter],
        on_error: Callable[[str], object],
        gate: EventGate | None = None,
    ) -> None:
        self._reporters = list(reporters)
        self._gate = gate
        self._on_error = on_error
        self.stopped: dict[str, Cause] = {}
        self.gate_error: Exception | None = None
        self._subscribers: dict[type, list[Reporter]] = {}
        now = time.monotonic()
        self._due = [(reporter, now + reporter.interval) for reporter in reporters if _is_ticking(reporter)]
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self.emit: Callable[[Event], None] = self._queue.put  # queues an event; never blocks, any thread
        self._closing = threading.Event()
        self._ended = False
        self._thread = start_thread(self._deliver, "nfrun-reports")

    def has_room(self) -> bool:
        """Return whether another log line may be emitted. Safe to call from any thread."""
        return self._queue.qsize() < MAX_PENDING

    def close(self) -> None:
        """Wait until all events are delivered and all reporters are closed. Later events are ignored."""
        self._queue.put(None)
        self._closing.set()
        self._thread.join()

    def _deliver(self) -> None:
        gate, pause = self._gate, _PAUSE_SECONDS if self._gate is None else _GATE_PAUSE_SECONDS
        while not self._ended:
            events = self._next_events(self._tick())
            for event in events if gate is None or not events else self._gated(events, gate):
                subscribers = self._subscribers.get(type(event))
                for reporter in self._subscribers_of(type(event)) if subscribers is None else subscribers:
                    try:
                        reporter.event(event)
                    except Exception as error:
                        self._drop(reporter, error)
            if events and self._queue.empty() and not self._ended:
                self._call("pause", self._reporters)
            self._closing.wait(pause)
        self._call("close", self._reporters)

    def _tick(self) -> float | None:
        """Call `tick` of the reporters for which it is due. Returns the seconds until the next one is, None without."""
        if not self._due:
            return None
        now = time.monotonic()
        ticking = [reporter for reporter, due in self._due if due <= now]
        if ticking:
            self._due = [(r, now + r.interval if due <= now else due) for r, due in self._due]
            self._call("tick", ticking)
        return min([due for _, due in self._due], default=now) - now

    def _gated(self, events: list[Event], gate: EventGate) -> list[Event]:
        if self.gate_error is None:
            try:
                return gate(events)
            except Exception as error:
                self.gate_error = RuntimeError(f"the gate of the events failed: {type(error).__name__}: {error}")
        failed = self.gate_error
        return [event.with_error(failed) if isinstance(event, RunFinished) else event for event in events]

    def _next_events(self, timeout: float | None) -> list[Event]:
        """Wait for an event and return all queued events. Ignores events that are emitted after `close`."""
        events: list[Event] = []
        for _ in range(max(1, self._queue.qsize())):  # not until it is empty: others may fill it as fast
            try:
                event = self._queue.get(timeout=timeout)
            except Empty:
                break
            if event is None:
                self._ended = True
                break
            events.append(event)
        return events

    def _call(self, method: str, reporters: Sequence[Reporter]) -> None:
        for reporter in reporters:
            try:
                getattr(reporter, method, lambda: None)()
            except Exception as error:
                self._drop(reporter, error)

    def _subscribers_of(self, kind: type) -> list[Reporter]:
        found = [reporter for reporter in self._reporters if kind in getattr(reporter, "event_types", (kind,))]
        self._subscribers[kind] = found
        return found

    def _drop(self, reporter: Reporter, error: Exception) -> None:
        self._reporters = [other for other in self._reporters if other is not reporter]
        self._due = [(other, due) for other, due in self._due if other is not reporter]
        self._subscribers.clear()
        if not isinstance(error, BrokenPipeError):  # its reader has exited, as with `| head`
            name = getattr(reporter, "name", type(reporter).__name__)
            self.stopped[name] = tell_stopped(name, error, self._on_error)


def tell_stopped(name: str, error: Exception, tell: Callable[[str], object]) -> Cause:
    """Tell that a report has stopped by an error, and return the cause."""
    why = isinstance(error, OSError) and error.strerror
    tell(f"nfrun: the report {name} stopped: {why or f'{type(error).__name__}: {error}'}")
    return cause_of(error)
