"""Decides whether a failed attempt is retried, and after which delay."""

from __future__ import annotations

from collections.abc import Sequence

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.plan import Node

# A lost worker is not a failure of the node. But a node that kills its worker in every attempt must fail in the end.
LOST_BUDGET = 2

# Another attempt would fail in the same way: the machine or nfrun failed, not the node.
FINAL = (Cause.IO, Cause.PERMISSION, Cause.INTERNAL, Cause.CANCELLED)


class Retries:
    """Counts the failures of the nodes of a run. Nodes are numbers in the plan's order.

    `seed` makes the jitter of the delays repeatable.
    """

    def __init__(self, nodes: Sequence[Node], seed: int) -> None:
        self._nodes = nodes
        self._seed = seed
        self._failures = [0] * len(nodes)
        self._losses = [0] * len(nodes)

    def delay(self, i: int, attempt: int, failure: Failure) -> float | None:
        """Count a failed attempt. Returns the seconds until the next one, None if there is none."""
        if failure.cause in FINAL or failure.cause is Cause.CHECK:
            return None
        if failure.cause is Cause.LOST:
            self._losses[i] += 1
            return 0.0 if self._losses[i] <= LOST_BUDGET else None
        self._failures[i] += 1
        retry = self._nodes[i].retry
        if self._failures[i] > retry.max:
            return None
        try:
            longest = min(retry.max_delay, retry.delay * retry.backoff ** (self._failures[i] - 1))
        except OverflowError:
            longest = retry.max_delay if retry.delay else 0.0
        import random  # few runs retry a node

        share = random.Random(f"{self._seed}:{self._nodes[i].name}:{attempt}").random()
        return longest * (1 - retry.jitter * share)
