"""Decides whether a failed attempt is retried, and after which delay."""

from __future__ import annotations

from collections.abc import Sequence

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node

# A lost worker is not a failure of the node. But a node that kills its worker in every attempt must fail in the end.
LOST_BUDGET = 2

_NEVER = 1 << 32  # failures: more than any number of retries

# Another attempt would fail in the same way: the machine or nfrun failed, not the node.
FINAL = (Cause.IO, Cause.PERMISSION, Cause.CLUSTER, Cause.INTERNAL, Cause.CANCELLED)


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
        seed = f"{self._seed}:{self._nodes[i].name}:{attempt}"
        return delay_after(self._failures[i], failure, self._nodes[i].retry, seed)

    def stop(self, i: int) -> None:
        """Let no further attempt at a node follow, however this one ends."""
        self._failures[i], self._losses[i] = _NEVER, _NEVER


def delay_after(failures: int, failure: Failure, retry: Retry, seed: str) -> float | None:
    """Return the seconds until the next attempt after this many failures, None if there is none.

    The last `failure` may say how long to wait; if that is longer than `max_delay`, there is no other attempt. `seed`
    makes the jitter repeatable.
    """
    if failures > retry.max or failure.is_final:
        return None
    if failure.retry_after is not None:
        return failure.retry_after if failure.retry_after <= retry.max_delay else None
    try:
        longest = min(retry.max_delay, retry.delay * retry.backoff ** (failures - 1))
    except OverflowError:
        longest = retry.max_delay if retry.delay else 0.0
    import random  # few runs retry a node

    return longest * (1 - retry.jitter * random.Random(seed).random())
