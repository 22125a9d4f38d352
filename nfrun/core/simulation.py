"""Pretends to run a plan in virtual time, and makes random plans: the same scheduler, no waiting."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable

from nfrun.core.events import Event, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.scheduler import Scheduler

Pretend = Callable[[NodeStarted], Outcome]


def simulate(plan: Plan, pretend: Pretend, *, keep_going: bool = False, seed: int = 0) -> list[Event]:
    """All events of a run in which every attempt comes out as `pretend` says, after the seconds it says it took.

    An attempt that is stopped at its timeout still reports when its time comes, as a thread would.
    """
    scheduler = Scheduler(plan, keep_going=keep_going, seed=seed)
    coming: list[tuple[float, int, Outcome]] = []
    log: list[Event] = []
    order = itertools.count()

    def carry_out(now: float, events: list[Event]) -> None:
        log.extend(events)
        for event in events:
            if isinstance(event, NodeStarted):
                outcome = pretend(event)
                heapq.heappush(coming, (now + outcome.duration, next(order), outcome))

    now = 0.0
    carry_out(now, scheduler.begin(now))
    while not scheduler.done:
        wake_at = scheduler.wake_at
        if coming and (wake_at is None or coming[0][0] <= wake_at):
            now, _, outcome = heapq.heappop(coming)
            carry_out(now, scheduler.outcome(now, outcome))
        elif wake_at is not None:
            now = wake_at
            carry_out(now, scheduler.tick(now))
        else:
            raise RuntimeError("the scheduler waits for nothing, and is not done")
    carry_out(now, scheduler.finish(now))
    return log


def by_estimate(plan: Plan) -> Pretend:
    """Every attempt finishes after the node's own cost and hands on one empty output."""
    return lambda start: Outcome(
        start.node,
        start.attempt,
        outputs={start.node: OutputRef(start.node, 0, 0, "")},
        duration=plan.nodes[start.node].estimated_duration,
    )


def makespan(plan: Plan) -> float:
    """Seconds from start to end if every node takes just its cost."""
    return simulate(plan, by_estimate(plan))[-1].at


def random_plan(seed: int, count: int, *, slots: int = 4, most_needs: int = 3, reach: int = 50) -> Plan:
    """A plan of `count` nodes, each needing up to `most_needs` of the `reach` nodes before it; costs 0.1 to 10 s."""
    draw = random.Random(seed)
    nodes = []
    for i in range(count):
        lowest = max(0, i - reach)
        picks = draw.sample(range(lowest, i), min(draw.randint(0, most_needs), i - lowest))
        needs = tuple(f"n{j}" for j in sorted(picks))
        retry = Retry(max=draw.choice((0, 0, 1, 3)), delay=0.5)
        cost = draw.choice((0.1, 1.0, 10.0)) * draw.uniform(0.5, 1.0)
        cpus = draw.choice((1.0, 1.0, 1.0, 2.0))
        reads = tuple(need for need in needs if draw.random() < 0.8)
        nodes.append(
            Node(f"n{i}", needs, reads=reads, estimated_duration=cost, retry=retry, resources=(("cpu", cpus),))
        )
    keep = [f"n{i}" for i in range(count) if draw.random() < 0.1]
    return make_plan(nodes, keep, slots)
