"""Keeps when the attempts at nodes started, until the lines of the nodes are written."""

from __future__ import annotations

from typing import Any

from nfrun.core.events import Event, NodeFinished, NodeRetrying, NodeStarted
from nfrun.history.node_times import FailedAttempt, line_of_attempt, line_of_end, line_of_times


class AttemptTimes:
    """The attempts at nodes that have not ended. A node whose fields are taken is forgotten."""

    def __init__(self) -> None:
        # When the first and the last attempt started, the number of the last, and how long that was queued.
        self._starts: dict[str, tuple[float, float, int, float]] = {}
        self._failed: dict[str, list[tuple[int, int, int, int, str]]] = {}

    def note(self, event: Event) -> None:
        """Note that an attempt starts, or that it failed and another one follows."""
        if isinstance(event, NodeStarted):
            known = self._starts.get(event.node)
            self._starts[event.node] = known[0] if known else event.at, event.at, event.attempt, event.queue_wait
        elif isinstance(event, NodeRetrying):
            _, started, _, queued = self._starts[event.node]
            failed = FailedAttempt(started, event.at, event.delay, queued, event.failure.error)
            self._failed.setdefault(event.node, []).append(line_of_attempt(failed))

    def forget(self, node: str) -> None:
        """Forget a node that runs again, since its table is to be made again."""
        del self._starts[node]
        self._failed.pop(node, None)

    def reused(self, node: str) -> float:
        """Return when the attempt at a node started that was a cache hit."""
        return self._starts.pop(node, (0.0,))[0]

    def finished(self, end: NodeFinished) -> dict[str, Any]:
        """Return the fields `started`, `times` and `failed` of the line of a node that has finished."""
        first, last, _, queued = self._starts.pop(end.node, (0.0, 0.0, 0, 0.0))
        failed = tuple(self._failed.pop(end.node)) if end.node in self._failed else ()
        return {"started": first, "times": line_of_times(last, queued, end), "failed": failed}

    def unfinished(self, node: str, at: float) -> tuple[int, float, dict[str, Any]]:
        """Return the attempts at a node that did not finish, the seconds of the last one, and the same fields."""
        if node not in self._starts:
            return 0, 0.0, {}
        first, last, attempts, queued = self._starts.pop(node)
        failed = tuple(self._failed.pop(node, ()))
        return attempts, at - last, {"started": first, "times": line_of_end(last, queued, at), "failed": failed}
