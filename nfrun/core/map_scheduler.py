"""Schedules the calls of mapped nodes beside the attempts at all others.

A mapped node goes through three phases. Its attempt opens the input, and says how many pieces there are to compute.
Then each piece is a call, which takes the resources of the node and has its timeout and its retries. When no call is
left, the results are put together. Opening and putting together take nothing of the budgets of the file. If an output
that calls read is gone, no other call starts, and the node begins again when that was made again.
"""

from __future__ import annotations

import heapq
from typing import Any

from nfrun.core.calls import Calls
from nfrun.core.errors import Cause
from nfrun.core.events import (
    AttemptStopped,
    CallEnded,
    CallOutcome,
    CallsEnded,
    CallStarted,
    Event,
    Failure,
    MapOpened,
    NodeProgressed,
    Outcome,
)
from nfrun.core.map_spec import PiecePath
from nfrun.core.plan import Plan
from nfrun.core.retries import FINAL
from nfrun.core.scheduler import Scheduler, State, Timer
from nfrun.core.values import replace

_MOST_STALE = 64  # timers that are no longer needed, beside as many as are


class MapScheduler(Scheduler):
    """The scheduler of a plan with mapped nodes. Each `CallStarted` and `CallsEnded` must be carried out, too.

    The outcome of a call has its number. Each outcome that counts gives at least one event. A call in back-off holds
    nothing.
    """

    def __init__(self, plan: Plan, *, seed: int = 0, **more: Any) -> None:
        super().__init__(plan, seed=seed, **more)
        self._seed = seed
        self._timeouts = {i: node.timeout for i, node in enumerate(self._nodes) if node.map is not None}
        self._nodes = [replace(node, timeout=None) if node.map is not None else node for node in self._nodes]
        self._calls: dict[int, Calls] = {}  # by node
        self._timed = 0  # how many timers are needed
        self._detached_calls: set[tuple[int, int, int]] = set()
        self._cold: dict[int, float] = {}  # nodes whose first call has started and not begun, with the time of that

    def outcome(self, now: float, outcome: Outcome) -> list[Event]:
        """Record the outcome of an attempt or a call, as in the base class."""
        if isinstance(outcome, CallOutcome):
            return self._call_outcome(now, outcome)
        i = self._index.get(outcome.node, -1)
        if not isinstance(outcome, MapOpened) or (i, outcome.attempt) in self._detached:
            return super().outcome(now, outcome)
        if i < 0 or self._state[i] is not State.RUNNING or self._attempt[i] != outcome.attempt:
            raise ValueError(f"attempt {outcome.attempt} of node {outcome.node!r} is not under way")
        spec, events = self._nodes[i].map, list[Event]()
        assert spec is not None
        self._free_resources(i)
        self._ready.use_budgets(i, use=True)
        self._state[i] = State.CALLING
        seed = f"{self._seed}:{outcome.node}:{outcome.attempt}"
        inputs = self.outputs.inputs_of(self._nodes[i])
        # The timeout and the tokens of a rate are those of one call.
        alone = outcome.opened.on_loop or self._timeouts[i] is not None or self._takes_rate(i)
        # Calls that wait for an import or an instance would have their tokens already, and be made all at once.
        is_cold = outcome.opened.on_loop and outcome.node in self._begins_later and self._takes_rate(i)
        calls = Calls(outcome.opened, spec, self._nodes[i].retry, seed, inputs, alone=alone, is_cold=is_cold)
        self._calls[i] = calls
        if self._stop_reason is not None:
            calls.stop()
        self._report(now, i, calls, events)
        self._go_on(now, i, calls, events)
        self._dispatch(now, events)
        return events

    def begun(self, now: float, node: str, attempt: int, call: int = 0) -> None:
        i = self._index[node]
        calls = self._calls.get(i)
        if not call:
            super().begun(now, node, attempt)
        elif calls is not None and self._attempt[i] == attempt and call in calls.running:
            if i in self._cold:
                self._ready.has_waited(i, self._cold.pop(i), now)
            calls.begun()
            self._go_on(now, i, calls, [])  # the next tick starts others
            self._set_timeout(now, i, call)

    def cancel(self, now: float, why: str) -> list[Event]:
        was_cancelled = self._cancelled
        events = super().cancel(now, why)
        for i, calls in self._calls.items() if not was_cancelled else ():
            events += [AttemptStopped(now, self._names[i], self._attempt[i], why, call) for call in calls.running]
        return events

    def detach(self, now: float) -> list[Event]:
        events = super().detach(now)
        self._ready.clear()
        for i, calls in list(self._calls.items()):
            for call in list(calls.running):
                self._detach_call(i, call)
            self._end_calls(i)
            self._cancel_node(now, i, events)
        return events

    # -- calls -----------------------------------------------------------------------------------------------------

    def _call_outcome(self, now: float, outcome: CallOutcome) -> list[Event]:
        i = self._index.get(outcome.node, -1)
        key = (i, outcome.attempt, outcome.call)
        if key in self._detached_calls:
            self._detached_calls.remove(key)
            return []
        calls = self._calls.get(i)
        if calls is None or self._attempt[i] != outcome.attempt or outcome.call not in calls.running:
            raise ValueError(f"call {outcome.call} of node {outcome.node!r} is not under way")
        self.running -= 1
        self._ready.give_back(i, outcome.call)
        events: list[Event] = [CallEnded(now, outcome.node, outcome.attempt, outcome.call)]
        self._end_call(now, i, outcome, events)
        self._dispatch(now, events)
        return events

    def _end_call(self, now: float, i: int, outcome: CallOutcome, events: list[Event]) -> None:
        calls = self._calls[i]
        self._cold.pop(i, None)
        if outcome.lacking:
            calls.lack(outcome.call, outcome.lacking)
        elif (in_backoff := calls.end(now, outcome, is_stopped=self._stop_reason is not None)) is not None:
            self._add_timer(calls.waiting[in_backoff], i, 0, in_backoff)
        self._report(now, i, calls, events)
        self._go_on(now, i, calls, events)

    def _report(self, now: float, i: int, calls: Calls, events: list[Event]) -> None:
        if (progress := calls.progress(now)) is not None:
            done, counts = progress
            events.append(NodeProgressed(now, self._names[i], done, counts.rows, counts))

    def _go_on(self, now: float, i: int, calls: Calls, events: list[Event]) -> None:
        """Queue the next call of a node, or end its calls when none is left."""
        if calls.can_start:
            if not calls.is_queued:
                calls.is_queued = True
                self._ready.add(i)
        elif calls.is_queued:
            calls.is_queued = False
            self._ready.discard(i)
        if not calls.has_ended or calls.is_queued:
            return
        is_final = calls.failure is not None and calls.failure.cause in FINAL
        if calls.lacking and not is_final and self._stop_reason is None:  # a bad row may not be the first
            self._forget_calls(i)
            self._make_again(now, i, calls.lacking.values(), events)
            self._attempt[i] += 1  # this one has made calls, and the next one goes on from their results
            return
        if self._stop_reason is None or (calls.failure is not None and not self._cancelled):  # to say which rows failed
            calls.is_queued = True
            self._ready.use_budgets(i, use=False)
            self._ready_at[i] = now
            self._ready.add(i)
            return
        self._end_calls(i)
        if calls.failure is None:
            self._cancel_node(now, i, events)
        else:
            outcome = Outcome(self._names[i], self._attempt[i], calls.failure, map=calls.counts)
            self._fail(now, i, outcome, calls.failure, events)

    def _dispatch(self, now: float, events: list[Event]) -> None:
        """Start what fits, as in the base class. If no more nodes start, those whose calls have failed still end."""
        if self._stop_reason is None:
            super()._dispatch(now, events)
            return
        while (i := self._ready.take(now)) is not None:
            self._start(now, i, events)

    def _start(self, now: float, i: int, events: list[Event]) -> None:
        calls = self._calls.get(i)
        if calls is None:
            super()._start(now, i, events)
            return
        calls.is_queued = False
        name, attempt, granted = self._names[i], self._attempt[i], self._ready.granted(i)
        self.running += 1
        if calls.has_ended:
            self._end_calls(i)
            self._state[i] = State.RUNNING
            inputs, wait = calls.inputs, now - self._ready_at[i]
            failed, failure, piece = tuple(calls.failed), calls.failure, calls.bad_piece
            events.append(CallsEnded(now, name, attempt, inputs, wait, granted, calls.counts, failed, failure, piece))
            return
        if calls.is_cold:
            self._cold[i] = now
        call, pieces, tries = calls.start()
        self._ready.hand_to(i, call)
        events.append(
            CallStarted(now, name, attempt, calls.inputs, 0.0, granted, call, pieces, tries, calls.opened.on_loop)
        )
        if self._timeouts[i] is not None and name not in self._begins_later:
            self._set_timeout(now, i, call)
        self._go_on(now, i, calls, events)

    def _takes_rate(self, i: int) -> bool:
        budgets = self.plan.budgets
        return any(amount and name in budgets and budgets[name].per for name, amount in self._nodes[i].resources)

    def _end_calls(self, i: int) -> None:
        """Forget the calls of a node, which have ended. Its attempt is not made again, however it ends."""
        self._forget_calls(i)
        self._retries.stop(i)

    def _forget_calls(self, i: int) -> None:
        self._cold.pop(i, None)
        del self._calls[i]
        self._ready.use_budgets(i, use=False)

    def _detach_call(self, i: int, call: int) -> None:
        self._detached_calls.add((i, self._attempt[i], call))
        self.running -= 1
        self._ready.give_back(i, call)

    def _stop_starting(self, now: float, why: str, events: list[Event]) -> None:
        super()._stop_starting(now, why, events)
        for i in list(self._calls):
            if (calls := self._calls.get(i)) is not None:  # one that fails may have ended those behind it
                calls.stop()
                self._go_on(now, i, calls, events)

    # -- timers of calls: with the number of the call, negative, or 0 and the piece that is in back-off --------------

    def _end_timer(self, now: float, timer: Timer, events: list[Event]) -> None:
        _, i, number, _, piece = timer
        if number > 0:
            super()._end_timer(now, timer, events)
        elif number < 0:
            self._time_out(now, i, -number, events)
        else:
            self._calls[i].resume(piece)
            self._go_on(now, i, self._calls[i], events)

    def _time_out(self, now: float, i: int, call: int, events: list[Event]) -> None:
        name, attempt, timeout = self._names[i], self._attempt[i], self._timeouts[i]
        self._detach_call(i, call)
        events.append(AttemptStopped(now, name, attempt, "timeout", call))
        failure = Failure(Cause.TIMEOUT, "Timeout", f"took longer than its timeout of {timeout:g} s")
        self._end_call(now, i, CallOutcome(name, attempt, failure, duration=timeout or 0.0, call=call), events)

    def _set_timeout(self, now: float, i: int, call: int) -> None:
        timeout = self._timeouts[i]
        if timeout is not None:
            self._add_timer(now + timeout, i, -call, ())

    def _add_timer(self, when: float, i: int, number: int, piece: PiecePath) -> None:
        timers = self._timers
        if len(timers) > 2 * self._timed + _MOST_STALE:  # most calls end long before their timeout
            timers[:] = [timer for timer in timers if self._is_needed(timer)]
            heapq.heapify(timers)
            self._timed = len(timers)
        heapq.heappush(timers, (when, i, number, not number, piece))

    def _is_needed(self, timer: Timer) -> bool:
        when, i, number, _, piece = timer
        if number > 0:
            return super()._is_needed(timer)
        calls = self._calls.get(i)
        return calls is not None and (-number in calls.running if number else calls.waiting.get(piece) == when)


def scheduler_of(plan: Plan, **more: Any) -> Scheduler:
    """Return the scheduler of a plan, with the arguments of `Scheduler`."""
    is_mapped = any(node.map is not None for node in plan.nodes.values())
    return (MapScheduler if is_mapped else Scheduler)(plan, **more)
