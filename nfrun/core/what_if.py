"""Predicts how long a run would have taken with other slots or faster nodes, from the times that its nodes took.

It simulates the run with the real scheduler: the same plan, priorities, budgets and retries, and the recorded times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nfrun.core.budgets import Budget
from nfrun.core.call_events import CallsEnded, CallStarted
from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.core.map_counts import OpenedMap, PiecePath
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NOTHING, Retry
from nfrun.core.plan import Node, Plan, make_plan
from nfrun.core.simulation import simulate
from nfrun.core.values import frozen, replace

_MAP = MapSpec("")


@frozen
class PastAttempt:
    """An attempt that failed: the seconds that it took, and those until the next one could start."""

    seconds: float
    delay: float


@frozen
class PastNode:
    """What a node did in a run. One that did not run took no `seconds` and `takes` nothing.

    `seconds` are those of its last attempt, from its start to its end, `failed` are the attempts before that, and
    `takes` is what each took of the resources. Of a mapped node, `seconds` are those of its `calls` together, and
    `takes` is what a call took; with `on_loop`, these were made on the event loop. `estimated` are the seconds that
    were known before the run, for the order in which nodes start.
    """

    needs: tuple[str, ...] = ()
    seconds: float = 0.0
    takes: tuple[tuple[str, float], ...] = ()
    estimated: float = 1.0
    failed: tuple[PastAttempt, ...] = ()
    calls: int = 0
    on_loop: bool = False


class PastRun:
    """A run as it was, to be run again in virtual time."""

    def __init__(self, nodes: Mapping[str, PastNode], budgets: Mapping[str, Budget] = NOTHING) -> None:
        """Take the nodes in the order of the file, and the budgets of the file."""
        self._nodes = nodes
        planned = [
            Node(
                name,
                needs=node.needs,
                estimated_duration=node.estimated,
                resources=node.takes,
                retry=Retry(len(node.failed), max_delay=math.inf),
                map=_MAP if node.calls else None,
            )
            for name, node in nodes.items()
        ]
        self._plan = make_plan(planned, slots=max(1, len(nodes)), budgets=budgets)

    def seconds(self, slots: int, factors: Mapping[str, float] = NOTHING) -> float:
        """Return the seconds from the start of the first node to the end of the last one with so many slots.

        `factors` has by what the times of some nodes are multiplied.
        """
        plan: Plan = replace(self._plan, budget={**self._plan.budget, "cpu": slots})
        return simulate(plan, lambda start: self._outcome(start, factors.get(start.node, 1.0)))[-1].at

    def _outcome(self, start: NodeStarted, factor: float) -> Outcome:
        past = self._nodes[start.node]
        if isinstance(start, CallStarted):
            seconds = factor * past.seconds * len(start.pieces) / past.calls
            return Outcome(start.node, start.attempt, duration=seconds, call=start.call)
        if past.calls:
            opened = OpenedMap(_Calls(past.calls), past.calls, on_loop=past.on_loop)
            return Outcome(start.node, start.attempt, opened=None if isinstance(start, CallsEnded) else opened)
        if start.attempt <= len(past.failed):
            attempt = past.failed[start.attempt - 1]
            failure = Failure(Cause.NODE, "", "", retry_after=attempt.delay)
            return Outcome(start.node, start.attempt, failure, duration=factor * attempt.seconds)
        return Outcome(start.node, start.attempt, duration=factor * past.seconds)


class _Calls:
    """The calls of a mapped node as the pieces of its input, each of one row."""

    def __init__(self, count: int) -> None:
        self.count = count

    def rows_of(self, piece: PiecePath) -> int:
        return 1

    def can_halve(self, piece: PiecePath) -> bool:
        return False
