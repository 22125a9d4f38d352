"""Carries events out: orders to executors, releases to the store, all of them to the reports. Decides nothing.

The thread that ends an attempt applies its outcome itself, under one lock, and keeps the next node for itself: no
thread in between has to wake up first. Nor does it wait for that lock: whoever holds it applies this outcome too. The
main thread only waits for timers, for signals and for the end.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from nfrun.core.events import (
    AttemptStopped,
    Event,
    NodeFinished,
    NodeStarted,
    Outcome,
    OutputPublished,
    OutputRef,
    OutputReleased,
    RunFinished,
)
from nfrun.core.plan import Plan
from nfrun.core.scheduler import Scheduler
from nfrun.engine.executors.base import Executor, OnOutcome
from nfrun.nodes.base import GRACE_SECONDS
from nfrun.tables.store import TableStore

_GONE_SECONDS = 0.2  # for what was killed when the grace was over to be gone
# A signal that comes between Python's last look for one and the wait is only seen after it: no wait may be long.
_LONGEST_WAIT = 0.1


class Run:
    """One run of a plan. Times are seconds since it began.

    `tell(event)` must not block. After `cancel` what still runs has `grace` seconds to end. `woke(late)` is called
    several times a second with the seconds that the main thread woke up too late.
    """

    def __init__(
        self,
        plan: Plan,
        emit: Callable[[Event], None],
        *,
        keep_going: bool = False,
        seed: int = 0,
        grace: float = GRACE_SECONDS,
        on_wake: Callable[[float], None] = lambda late: None,
    ) -> None:
        self._scheduler = Scheduler(plan, keep_going=keep_going, seed=seed)
        self._emit = emit
        self._grace = grace
        self._on_wake = on_wake
        self._lock = threading.Lock()
        self._ended: deque[Outcome] = deque()  # outcomes to be applied by whoever holds the lock
        self._began = time.monotonic()
        # Only a SimpleQueue may be put into from a signal handler, which may interrupt its own `get`.
        self._mail: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake_at: float | None = None
        self._detach_at: float | None = None
        self._error = ""
        # By output and attempt: whether that attempt gave it and it is not released, and what was settled before that.
        self._given: set[tuple[str, int]] = set()
        self._early: dict[tuple[str, int], OutputRef] = {}
        self.detached = 0  # attempts that were left to themselves

    def now(self) -> float:
        """Seconds since the run began, or, before that, since it was made."""
        return time.monotonic() - self._began

    def output_published(self, ref: OutputRef) -> None:
        """For the store, from any thread: an output is settled.

        Told once its node has finished, and never if that attempt failed or was given up.
        """
        key = (ref.id, ref.attempt)
        with self._held():
            if key in self._given:
                self._given.discard(key)
                self._emit(OutputPublished(self.now(), ref.id, ref))
            else:
                self._early[key] = ref

    def abort(self, message: str) -> None:
        """For the store, from any thread: something outside of any node broke, and the run cannot be completed."""

        def stop() -> None:
            self._error = self._error or message
            self._cancel(message, at_once=False)

        self._mail.put(stop)

    def cancel(self, why: str) -> None:
        """Stop the run; a second call leaves at once. From any thread, and from signal handlers."""
        self._mail.put(lambda: self._cancel(why, at_once=True))

    def go(self, make_executor: Callable[[OnOutcome], Executor], store: TableStore) -> RunFinished:
        """Run to the end and return the last event. `make_executor` is given what to call with each outcome.

        Raises whatever shows a bug of nfrun's own.
        """
        self._store = store
        self._executor = make_executor(self._on_outcome)
        self._began = time.monotonic()
        try:
            with self._held():
                self._carry_out(self._scheduler.begin(self.now()))
            while not self._over():
                self._wait()
            # The outputs that the run keeps are a part of it: it ends when they are in place.
            while not store.flushed(0.05) and not self._is_detaching():
                self._read_mail(0)
            self._read_mail(0)
        finally:
            self._executor.close(0.0 if self._is_detaching() else self._grace)
        if self._is_detaching():
            with self._held():
                self.detached += not store.flushed(0)  # the disk may hang as a node does
            store.close(wait=False)
        (end,) = self._scheduler.finish(self.now(), self._error)
        self._emit(end)
        assert isinstance(end, RunFinished)
        return end

    # -- on the main thread ----------------------------------------------------------------------------------------

    def _wait(self) -> None:
        with self._held():
            times = [at for at in (self._scheduler.wake_at, self._detach_at) if at is not None]
            self._wake_at = min(times, default=None)
        wait = _LONGEST_WAIT if self._wake_at is None else min(_LONGEST_WAIT, self._wake_at - self.now())
        due = self.now() + wait
        if not self._read_mail(max(0.0, wait)):
            self._on_wake(self.now() - due)
        with self._held():
            if self._is_detaching():
                self.detached += self._scheduler.running
                self._carry_out(self._scheduler.detach(self.now()))
            else:
                self._carry_out(self._scheduler.tick(self.now()))

    def _read_mail(self, seconds: float) -> bool:
        """Do what was asked for, waiting up to these seconds for the first letter; whether there was one."""
        letter = None
        try:
            letter = self._mail.get(timeout=seconds) if seconds != 0 else self._mail.get_nowait()
            while True:
                letter()
                letter = self._mail.get_nowait()
        except Empty:
            return letter is not None

    def _cancel(self, why: str, *, at_once: bool) -> None:
        with self._held():
            if self._detach_at is None:
                self._detach_at = self.now() + self._grace + _GONE_SECONDS
            elif at_once:
                self._detach_at = self.now()
            self._carry_out(self._scheduler.cancel(self.now(), why))

    def _over(self) -> bool:
        with self._held():  # the thread that ended the last node may still be telling of it
            return self._scheduler.done

    def _is_detaching(self) -> bool:
        return self._detach_at is not None and self.now() >= self._detach_at

    # -- on the thread that ended an attempt -----------------------------------------------------------------------

    def _on_outcome(self, outcome: Outcome) -> NodeStarted | None:
        self._ended.append(outcome)
        return self._apply()

    def _apply(self) -> NodeStarted | None:
        """Apply the outcomes that have come, unless someone is at it, who then applies these too.

        Threads that waited here would from then on take turns: each would find the lock taken by one that waits for the
        interpreter.
        """
        mine: NodeStarted | None = None
        try:
            # Looked at again after the lock was let go of: what came in between was left to us.
            while self._ended and self._lock.acquire(blocking=False):
                try:
                    while self._ended:
                        mine = self._outcome(self._ended.popleft(), mine)
                finally:
                    self._lock.release()
        except BaseException as error:
            # A bug of ours. On this thread nobody would ever see it, and the run would wait for ever.
            self._mail.put(lambda error=error: _raise(error))  # type: ignore[misc]
        return mine

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Inside, the lock is held; behind it, what came meanwhile is applied."""
        with self._lock:
            yield
        if self._ended and (mine := self._apply()):
            self._executor.start(mine)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _outcome(self, outcome: Outcome, mine: NodeStarted | None) -> NodeStarted | None:
        """Apply it; the first node to start is returned instead of started, unless there is one in `mine` already."""
        scheduler = self._scheduler
        events = scheduler.outcome(self.now(), outcome)
        if not events:  # it was given up before: nobody will read what it made
            self.detached -= 1
            for ref in outcome.outputs.values():
                self._early.pop((ref.id, ref.attempt), None)
                self._store.discard(ref)
        mine = self._carry_out(events, mine, keep_one=True)
        wake_at = scheduler.wake_at
        if scheduler.done or (wake_at is not None and (self._wake_at is None or wake_at < self._wake_at)):
            self._mail.put(lambda: None)
        return mine

    def _carry_out(
        self, events: Iterable[Event], kept: NodeStarted | None = None, *, keep_one: bool = False
    ) -> NodeStarted | None:
        """Do what the events order. With `keep_one`, the first node to start is returned instead of started."""
        for event in events:
            self._emit(event)
            if isinstance(event, NodeFinished):
                if event.outputs:
                    self._outputs_of(event)
            elif isinstance(event, NodeStarted):
                if keep_one and kept is None:
                    kept = event
                else:
                    self._executor.start(event)
            elif isinstance(event, OutputReleased):
                if not self._store.persistent:  # else it is told of when it has its file, whoever has read it
                    self._given.discard((event.ref.id, event.ref.attempt))
                self._store.release(event.ref)
            elif isinstance(event, AttemptStopped):
                if event.why == "timeout":
                    self.detached += 1
                self._executor.stop(event.node, event.attempt)
        return kept

    def _outputs_of(self, finished: NodeFinished) -> None:
        for ref in finished.outputs.values():
            key = (ref.id, ref.attempt)
            self._given.add(key)
            if key in self._early:
                self._emit(OutputPublished(finished.at, ref.id, self._early.pop(key)))


def _raise(error: BaseException) -> None:
    raise error
