"""Simulates runs of a plan in virtual time with the real scheduler."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from nfrun.core.events import Event, NodeStarted, Outcome, OutputRef
from nfrun.core.map_scheduler import scheduler_of
from nfrun.core.pipeline import OutputId
from nfrun.core.plan import Plan

Pretend = Callable[[NodeStarted], Outcome]


def simulate(plan: Plan, pretend: Pretend, *, keep_going: bool = False, seed: int = 0) -> list[Event]:
    """Simulate a run and return all its events.

    `pretend` returns the outcome of each attempt, which arrives after the outcome's `duration` in seconds. An attempt
    that timed out still reports its outcome then, as a thread would.
    """
    scheduler = scheduler_of(plan, keep_going=keep_going, seed=seed)
    pending: list[tuple[float, int, Outcome]] = []
    log: list[Event] = []
    order = itertools.count()

    def handle(now: float, events: list[Event]) -> None:
        log.extend(events)
        for event in events:
            if isinstance(event, NodeStarted):
                outcome = pretend(event)
                heapq.heappush(pending, (now + outcome.duration, next(order), outcome))

    now = 0.0
    handle(now, scheduler.begin(now))
    while not scheduler.done:
        wake_at = scheduler.wake_at
        if pending and (wake_at is None or pending[0][0] <= wake_at):
            now, _, outcome = heapq.heappop(pending)
            handle(now, scheduler.outcome(now, outcome))
        elif wake_at is not None:
            now = wake_at
            handle(now, scheduler.tick(now))
        else:
            raise RuntimeError("the scheduler waits for nothing, and is not done")
    handle(now, scheduler.finish(now))
    return log


def by_estimate(plan: Plan) -> Pretend:
    """Return a `pretend` in which every attempt takes the node's estimated duration and publishes one empty output."""
    return lambda start: Outcome(
        start.node,
        start.attempt,
        outputs={(id := OutputId(start.node)): OutputRef(id, 0, 0, "")},
        duration=plan.nodes[start.node].estimated_duration,
    )


def makespan(plan: Plan) -> float:
    """Return the simulated duration of the run in seconds, if every node takes its estimated duration."""
    return simulate(plan, by_estimate(plan))[-1].at
