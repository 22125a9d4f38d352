"""Runs a plan: starts and stops attempts, releases outputs and emits events, as the scheduler decides.

The thread that ends an attempt applies the outcome itself, under one lock, and runs the next node itself: no other
thread has to wake up first. It does not wait for the lock: the thread that holds it applies this outcome too. The main
thread only waits for timers, for requests to cancel or abort, and for the end of the run.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from nfrun.core.events import (
    FOR_ENGINE,
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
from nfrun.core.map_scheduler import scheduler_of
from nfrun.core.pipeline import NOTHING
from nfrun.core.plan import Plan, slots_of, with_executor_slots
from nfrun.core.scheduler import Scheduler
from nfrun.engine.executors.base import Executor, OnOutcome
from nfrun.engine.executors.registry import DEFAULT_EXECUTOR
from nfrun.nodes.base import GRACE_SECONDS

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

_EXIT_SECONDS = 0.2  # for killed processes to exit, after the grace period
# At most. A signal that comes between Python's last check for signals and the wait is only handled after the wait.
_LONGEST_WAIT = 0.1


# Gets the end of the run so far, the nodes that failed, and what returns the seconds that a node may take now, or None.
LastPlans = Callable[[RunFinished, Collection[str], Callable[[], float | None]], Iterable[Plan]]


# Returns the outcome of an attempt that needs no work, such as the outputs of an earlier run; None for all others.
KnownOutcome = Callable[[NodeStarted], Outcome | None]


class Runner:
    """One run of a plan. Times are seconds since it began.

    `emit(event)` must not block; it is called in the order of the events, on any thread. `placement` has the executors
    by node, without those on threads. After `cancel`, running attempts have `grace` seconds to end.
    `on_timeout(node, attempt)` is called when an attempt is detached because it timed out. `on_wake(late)` is called on
    the main thread several times a second, with the seconds by which it woke up too late. `keep_going`, `seed` and
    the outputs that are `given` go to the `Scheduler`. When all nodes have ended, `last_plans(end, failed, longest)`
    yields plans that run one after the other. It gets the end of the run so far, the nodes that failed, and what
    returns the seconds that a node may take.
    """

    def __init__(
        self,
        plan: Plan,
        emit: Callable[[Event], None],
        *,
        placement: Mapping[str, str] = NOTHING,
        keep_going: bool = False,
        seed: int = 0,
        grace: float = GRACE_SECONDS,
        on_timeout: Callable[[str, int], None] = lambda node, attempt: None,
        on_wake: Callable[[float], None] = lambda late: None,
        last_plans: LastPlans = lambda end, failed, longest: (),
        given: Mapping[str, OutputRef] = NOTHING,
    ) -> None:
        self._plan = plan
        self._placement = placement
        self._keep_going, self._seed = keep_going, seed
        self._executors: dict[str, Executor] = {}
        self._budget: Mapping[str, float] = NOTHING  # of the plan, if executors have slots
        self._emit = emit
        self._grace = grace
        self._on_timeout, self._on_wake = on_timeout, on_wake
        self._last_plans, self._given = last_plans, given
        self._signals = 0  # how often `cancel` was called
        self._ended: list[Scheduler] = []  # of the plans before the one that runs
        self._is_last = False  # whether the plans of `last_plans` run
        self._lock = threading.Lock()
        self._outcomes: deque[Outcome] = deque()  # for the thread that holds the lock to apply
        self._began = time.monotonic()
        # Signal handlers put into it and may interrupt its own `get`: only a SimpleQueue allows that.
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake_at: float | None = None
        self._detach_at: float | None = None
        self._error: Exception | None = None
        self.detached = 0  # attempts that go on, but that the run no longer waits for

    def now(self) -> float:
        """Return the seconds since `go` was called or, before that, since this object was created."""
        return time.monotonic() - self._began

    def output_published(self, ref: OutputRef) -> None:
        """Emit `OutputPublished`. The store calls this, from any thread, for outputs of nodes that have finished."""
        self._emit(OutputPublished(self.now(), ref.id, ref))

    def abort(self, error: Exception) -> None:
        """Cancel the run and let it fail with `error`, an error outside of any node.

        The store and the cache call this. Safe to call from any thread.
        """

        def stop() -> None:
            self._error = self._error or error
            self._cancel(str(error), at_once=False)

        self._requests.put(stop)

    def cancel(self, why: str) -> None:
        """Cancel the run. A second call ends it at once, without the grace period and without the last nodes.

        Safe to call from any thread and from signal handlers.
        """
        self._signals += 1
        self._requests.put(lambda: self._cancel(why, at_once=True))

    def begun(self, node: str, attempt: int, call: int = 0) -> None:
        """Count the timeout of an attempt, or of one of its calls, from now.

        Executors call this, unless they begin attempts at once.

        Safe to call from any thread.
        """
        if node in self._plan.nodes and (call or self._plan.nodes[node].timeout is not None):
            with self._locked():
                if node in self._scheduler.plan.nodes:  # not an attempt that was detached before the last nodes run
                    self._scheduler.begun(self.now(), node, attempt, call)
            self._requests.put(lambda: None)  # the main thread waits for an earlier timer now

    def go(
        self,
        make_executors: Mapping[str, Callable[[OnOutcome], Executor]],
        store: TableStore,
        known: KnownOutcome = lambda start: None,
        on_end: Callable[[Callable[[], bool]], object] = lambda is_over: None,
    ) -> RunFinished:
        """Run to the end and return the last event. Call it once.

        `make_executors` makes the executors by name. Each gets the function that it calls with each outcome. An attempt
        whose outcome is `known(start)` goes to none. `on_end(is_over)` is called before executors close, in the
        grace period. It must return once `is_over()`.
        Any exception is a bug in nfrun.
        """
        self._store, self._known = store, known
        try:
            for name, make_executor in make_executors.items():
                # A partial function costs more than a method, several times a node.
                on_outcome = self._on_outcome if name == DEFAULT_EXECUTOR else partial(self._on_outcome, caller=name)
                self._executors[name] = make_executor(on_outcome)
            self._scheduler = self._make_scheduler()
            self._run_to_end()
            is_detached = self._is_detaching()  # the last nodes may still run
            end = self._run_last()
        finally:
            if self._signals < 2 and not self._is_detaching():
                signals = self._signals
                on_end(lambda: self._signals > signals or self._is_detaching())
            for executor in self._executors.values():
                executor.close(0.0 if self._has_no_grace() else self._grace)
        if is_detached or self._is_detaching():
            with self._locked():
                self.detached += not store.flushed(0)  # the disk may hang, like a node
            store.close(wait=False)
        self._emit(end)
        return end

    def _run_to_end(self) -> None:
        try:
            self._began = time.monotonic()
            with self._locked():
                self._update_capacities()
                self._execute(self._scheduler.begin(self.now()))
            while not self._is_done():
                self._wait()
            # The run includes its retained outputs: it ends when the store has flushed them.
            while not self._store.flushed(0.05) and not self._is_detaching():
                self._handle_requests(0)
            self._handle_requests(0)
        except BaseException:
            self._detach()  # otherwise a thread that ends its attempt would start the next one
            raise

    def _run_last(self) -> RunFinished:
        """Run the last plans, unless a second signal has ended the run. Returns the last event."""
        main = self._scheduler
        end = self._end_of(main)
        if self._signals > 1:
            return end
        self._is_last = True
        for plan in self._last_plans(end, main.failed, lambda: self._grace if self._signals else None):
            with self._locked():
                self._detach_at = None
                self._limited.clear()
                self._ended.append(self._scheduler)
                self._scheduler = scheduler_of(plan, keep_going=True, seed=self._seed, given=main.outputs.held())
                self._execute(self._scheduler.begin(self.now())[1:])  # without a second start of the run
            while not self._is_done():
                self._wait()
            end = end.with_last(self._end_of(self._scheduler))
            if self._signals > 1:
                break
        return end

    def _end_of(self, scheduler: Scheduler) -> RunFinished:
        (end,) = scheduler.finish(self.now(), self._error)
        assert isinstance(end, RunFinished)
        return end

    def _make_scheduler(self) -> Scheduler:
        executors, plan = self._executors.items(), self._plan
        self._limited = [name for name, executor in executors if executor.capacity(0.0) is not None]
        later = [name for name, executor in executors if not executor.begins_at_once]
        begins_later = [node.name for node in plan.nodes.values() if node.takes_later]
        if self._limited or later:
            placement = {node: self._placement.get(node, DEFAULT_EXECUTOR) for node in plan.nodes}
            limited = {node: name for node, name in placement.items() if name in self._limited}
            plan = with_executor_slots(plan, limited, {name: executor.own for name, executor in executors})
            self._budget = plan.budget
            begins_later += [node for node, name in placement.items() if name in later]
        return scheduler_of(
            plan, keep_going=self._keep_going, seed=self._seed, begins_later=begins_later, given=self._given
        )

    # -- on the main thread ----------------------------------------------------------------------------------------

    def _wait(self) -> None:
        with self._locked():
            times = [at for at in (self._scheduler.wake_at, self._detach_at) if at is not None]
            self._wake_at = min(times, default=None)
        wait = _LONGEST_WAIT if self._wake_at is None else min(_LONGEST_WAIT, self._wake_at - self.now())
        due = self.now() + wait
        if not self._handle_requests(max(0.0, wait)):
            self._on_wake(self.now() - due)
        with self._locked():
            self._update_capacities()
            if not self._is_detaching():
                self._execute(self._scheduler.tick(self.now()))
                return
        self._detach()

    def _detach(self) -> None:
        """Start nothing more, and stop the running attempts without waiting for their outcomes."""
        with self._locked():
            self.detached += self._scheduler.running
            self._execute(self._scheduler.detach(self.now()))

    def _handle_requests(self, seconds: float) -> bool:
        """Handle all pending requests, waiting up to `seconds` for the first. Returns whether there was one."""
        request = None
        try:
            request = self._requests.get(timeout=seconds) if seconds != 0 else self._requests.get_nowait()
            while True:
                request()
                request = self._requests.get_nowait()
        except Empty:
            return request is not None

    def _cancel(self, why: str, *, at_once: bool) -> None:
        with self._locked():
            if self._is_last:  # the first signal leaves them the grace period, and errors leave them alone
                if at_once:
                    self._detach_at = self.now() + (self._grace if self._signals == 1 else 0.0)
                return
            if self._detach_at is None:
                self._detach_at = self.now() + self._grace + _EXIT_SECONDS
            elif at_once:
                self._detach_at = self.now()
            self._execute(self._scheduler.cancel(self.now(), why))

    def _is_done(self) -> bool:
        with self._locked():  # the thread that ended the last node may still be emitting events
            return self._scheduler.done

    def _is_detaching(self) -> bool:
        return self._detach_at is not None and self.now() >= self._detach_at

    def _has_no_grace(self) -> bool:
        return self._is_detaching() or (self._is_last and self._signals > 0)

    # -- on the thread that ended an attempt -----------------------------------------------------------------------

    def _on_outcome(self, outcome: Outcome, caller: str = DEFAULT_EXECUTOR) -> NodeStarted | None:
        self._outcomes.append(outcome)
        return self._apply_outcomes(caller)

    def _apply_outcomes(self, caller: str = "") -> NodeStarted | None:
        """Apply all pending outcomes. If another thread holds the lock, leave them to it.

        Returns the attempt that this thread, one of the executor `caller`, runs next. Waiting for the lock would make
        the threads take turns from then on: each would find it held by a thread that waits for the GIL.
        """
        next_start: NodeStarted | None = None
        try:
            # Checked again after each release: other threads leave outcomes to the holder of the lock.
            while self._outcomes and self._lock.acquire(blocking=False):
                try:
                    while self._outcomes:
                        next_start = self._apply_outcome(self._outcomes.popleft(), next_start, caller)
                finally:
                    self._lock.release()
        except BaseException as error:
            # A bug in nfrun. Raise it on the main thread: here it would be lost, and the run would wait for ever.
            self._requests.put(lambda error=error: _raise(error))  # type: ignore[misc]
        return next_start

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, and apply the outcomes that came meanwhile after releasing it."""
        with self._lock:
            yield
        if self._outcomes:
            self._apply_outcomes()

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _update_capacities(self) -> None:
        for name in self._limited:
            now, slots = self.now(), slots_of(name)
            amount = self._executors[name].capacity(now) or 0.0
            if slots in self._budget:
                self._execute(self._scheduler.set_capacity(now, slots, amount))

    def _apply_outcome(self, outcome: Outcome, next_start: NodeStarted | None, caller: str) -> NodeStarted | None:
        """Apply one outcome. Returns the attempt that this thread, one of the executor `caller`, runs next.

        That is `next_start` if given, or else the first attempt on that executor; all others are started here.
        """
        scheduler = self._scheduler
        if self._ended:  # an attempt that was detached may end while the last nodes run
            scheduler = next(s for s in (scheduler, *self._ended) if outcome.node in s.plan.nodes)
        events = scheduler.outcome(time.monotonic() - self._began, outcome)
        self.detached -= not events
        if not events or outcome.failure is not None:  # it was detached before, or its checks failed
            for ref in outcome.outputs.values():
                self._store.discard(ref)
        next_start = self._execute(events, next_start, caller)
        wake_at = scheduler.wake_at
        if scheduler.done or (wake_at is not None and (self._wake_at is None or wake_at < self._wake_at)):
            self._requests.put(lambda: None)
        return next_start

    def _execute(
        self, events: Iterable[Event], next_start: NodeStarted | None = None, caller: str = ""
    ) -> NodeStarted | None:
        """Emit the events and execute them: start and stop attempts, commit and release outputs.

        The first attempt on the executor `caller` is returned instead of started, unless one is given in `next_start`.
        """
        placement = self._placement
        for event in events:
            if type(event) not in FOR_ENGINE and not (isinstance(event, AttemptStopped) and event.call):
                self._emit(event)
            if isinstance(event, NodeFinished):
                if event.outputs:
                    for ref in event.outputs.values():
                        self._store.commit(ref)
            elif isinstance(event, NodeStarted):
                if (outcome := self._known(event)) is not None:
                    self._outcomes.append(outcome)  # for this thread, before it returns
                    continue
                name = placement.get(event.node, DEFAULT_EXECUTOR) if placement else DEFAULT_EXECUTOR
                if next_start is None and name == caller:
                    next_start = event
                else:
                    self._executors[name].start(event)
            elif isinstance(event, OutputReleased):
                self._store.release(event.ref)
            elif isinstance(event, AttemptStopped):
                if event.why == "timeout":
                    self.detached += 1
                    if not event.call:
                        self._on_timeout(event.node, event.attempt)
                name = placement.get(event.node, DEFAULT_EXECUTOR)
                grace = 0.0 if event.why == "timeout" else self._grace
                self._executors[name].stop(event.node, event.attempt, event.call, grace)
        return next_start


def _raise(error: BaseException) -> None:
    raise error
