"""Finds the chain of nodes that a recorded run waited for, and what of its time no node accounts for."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from nfrun.core.pipeline import NOTHING
from nfrun.core.text import shortened
from nfrun.core.values import frozen
from nfrun.reports.format_units import format_count, format_seconds

_MAX_LISTED = 6
_MAX_HOLDERS = 3
_MAX_WAITS = 20  # of one path, the longest, for which it is looked up who held what they waited for
_SHORT = 0.05  # share of the path below which waits are not told, and share of a wait below which holders are not


@frozen
class Span:
    """When a node was ready, started and ended, in seconds since the run began, and how long it worked.

    `retrying` are the seconds in which it waited for its next attempts.
    """

    ready: float
    started: float
    ended: float
    work: float
    retrying: float = 0.0


@frozen
class RecordedPath:
    """The chain of nodes that a run waited for, from the first to the last, and the seconds from its start to its end.

    `work` is the part in which its nodes worked, `queued` the part in which they waited for slots or budgets, and
    `retrying` that in which they waited for their next attempts.
    """

    nodes: tuple[str, ...]
    seconds: float
    work: float
    queued: float
    retrying: float = 0.0

    def text(self, slots: int | None, holders: Mapping[str, Sequence[str]] = NOTHING) -> str:
        """Return the path in a sentence. `holders` has the resources but slots that its nodes take, as `holders_of`."""
        if not self.nodes:
            return "No node ran."
        names = " → ".join(self.nodes) if len(self.nodes) <= _MAX_LISTED else _shortened(self.nodes)
        told = [f"{format_seconds(self.work)} of work"]
        if self.queued > _SHORT * self.seconds:
            among = "" if slots is None else f" (the run had {format_count(slots, 'slot')})"
            others = "".join(f" or {name}{_held_by(nodes)}" for name, nodes in holders.items())
            told.append(f"{format_seconds(self.queued)} of waiting for a free slot{among}{others}")
        if self.retrying > _SHORT * self.seconds:
            told.append(f"{format_seconds(self.retrying)} of waiting for the next attempt")
        rest = self.seconds - self.work - self.queued - self.retrying
        if rest > _SHORT * self.seconds:
            told.append(f"{format_seconds(rest)} of starting them and handing on")
        return f"The run waited for {names}: {shortened(told, len(told))}."


def _held_by(nodes: Sequence[str]) -> str:
    return f" (held by {shortened(nodes, _MAX_HOLDERS)})" if nodes else ""


def _shortened(nodes: Sequence[str]) -> str:
    half = _MAX_LISTED // 2
    left = format_count(len(nodes) - 2 * half, "more node")
    return " → ".join([*nodes[:half], f"… {left} …", *nodes[-half:]])


def recorded_path(spans: Mapping[str, Span], upstream: Callable[[str], Iterable[str]]) -> RecordedPath:
    """Return the chain that ends with the node that ended last: before each node, the one that it waited for last."""
    if not spans:
        return RecordedPath((), 0.0, 0.0, 0.0)
    node: str | None = max(spans, key=lambda name: spans[name].ended)
    path: dict[str, None] = {}
    while node is not None:
        path[node] = None
        before = [name for name in upstream(node) if name in spans and name not in path]
        node = max(before, key=lambda name: spans[name].ended, default=None)
    found = [spans[name] for name in reversed(path)]
    work = sum(span.work for span in found)
    queued = sum(max(0.0, span.started - span.ready) for span in found)
    retrying = sum(span.retrying for span in found)
    return RecordedPath(tuple(reversed(path)), found[-1].ended - found[0].ready, work, queued, retrying)


def holders_of(
    resource_takers: Mapping[str, Collection[str]], path: Sequence[str], spans: Mapping[str, Span]
) -> dict[str, list[str]]:
    """Return by resource which nodes held it while nodes of the path waited, the one that held it longest first.

    `resource_takers` has the nodes that take a resource, by its name.
    """
    found: dict[str, list[str]] = {}
    for resource, takers in resource_takers.items():
        waiting = {name: spans[name].started - spans[name].ready for name in path if name in takers}
        held: dict[str, float] = {}
        for name in heapq.nlargest(_MAX_WAITS, waiting, key=waiting.__getitem__):
            wait = spans[name]
            for other in takers:
                if other != name and (span := spans.get(other)) is not None:
                    seconds = min(wait.started, span.ended) - max(wait.ready, span.started)
                    if seconds > _SHORT * waiting[name]:
                        held[other] = held.get(other, 0.0) + seconds
        found[resource] = sorted(held, key=held.__getitem__, reverse=True)
    return found


def seconds_without_work(spans: Sequence[tuple[float, float]], end: float) -> float:
    """Return how many of the seconds from 0 to `end` lie in none of the spans."""
    idle = last = 0.0
    for begin, until in sorted(spans):
        idle += max(0.0, min(begin, end) - last)
        last = max(last, min(until, end))
    return idle + max(0.0, end - last)
