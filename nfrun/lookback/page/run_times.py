"""Says what the time of a recorded run went to: the nodes that it waited for, and nfrun itself.

Of a run without an end, which was killed or goes on, it says what was under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

from nfrun.core.text import shortened
from nfrun.core.values import frozen
from nfrun.lookback.page.recorded import NOT_ENDED, Recorded, Span
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.run_record import format_path

_MAX_LISTED = 4  # names of nodes
_SHORT = 0.05  # share of the path below which waits are not told


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

    def text(self, slots: int | None, resources: Iterable[str] = ()) -> str:
        """Return the path in a sentence. Its nodes take `resources` besides slots."""
        if not self.nodes:
            return "No node ran."
        told = [f"{format_seconds(self.work)} of work"]
        if self.queued > _SHORT * self.seconds:
            among = "" if slots is None else f" (the run had {format_count(slots, 'slot')})"
            others = "".join(f" or {name}" for name in resources)
            told.append(f"{format_seconds(self.queued)} of waiting for a free slot{among}{others}")
        if self.retrying > _SHORT * self.seconds:
            told.append(f"{format_seconds(self.retrying)} of waiting for the next attempt")
        rest = self.seconds - self.work - self.queued - self.retrying
        if rest > _SHORT * self.seconds:
            told.append(f"{format_seconds(rest)} of starting them and handing on")
        return f"The run waited for {format_path(self.nodes, ' → ')}: {shortened(told, len(told))}."


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


def seconds_without_work(spans: Sequence[tuple[float, float]], end: float) -> float:
    """Return how many of the seconds from 0 to `end` lie in none of the spans."""
    idle = last = 0.0
    for begin, until in sorted(spans):
        idle += max(0.0, min(begin, end) - last)
        last = max(last, min(until, end))
    return idle + max(0.0, end - last)


_HOW = (
    "This is the time from the start of the command to its end in which no node was at work: nfrun started, read the "
    "pipeline, decided what to reuse, started nodes, and wrote what was left. What it did beside nodes that ran is not "
    "in it."
)


def overhead(found: Recorded) -> dict[str, Any] | None:
    """Return what nfrun itself cost: the time in which no node was at work. None of a run that has not ended.

    `start` are the seconds before the run began, which are not in its duration, and `idle` those of the run itself.
    Retries that were waited for, and waits of nodes for a rate, are no cost of nfrun's.
    """
    run = found.run
    if run.ending is None or run.duration is None:
        return None
    began = found.plan.on.began if found.plan is not None else run.header.at
    start = max(0.0, run.ending.at - run.duration - (began or run.ending.at - run.duration))
    idle = seconds_without_work([*_busy(found)], run.duration)
    seconds, total = start + idle, start + run.duration
    of_run = f"{format_seconds(idle)} of the {format_seconds(run.duration)} of the run"
    text = f"nfrun itself took {of_run}"
    if start:
        before = f"{format_seconds(start)} to start, before the run began"
        text = f"nfrun itself took {format_seconds(seconds)}: {before}, and {of_run}"
    share = seconds / total if total else 0.0
    times = {"seconds": seconds, "start": start, "idle": idle}
    return {name: round(value, 6) for name, value in times.items()} | {
        "share": round(share, 4),
        "text": f"{text}.",
        "how": _HOW,
    }


def _busy(found: Recorded) -> Iterator[tuple[float, float]]:
    """Yield when nodes were at work, from the first attempt of each to the end of its last."""
    for name, span in found.spans.items():
        waits = name in found.planned and found.planned[name].has_rate
        yield (span.ready if waits else span.started), span.ended


def path_of(found: Recorded) -> RecordedPath:
    """Return the critical path, but for nodes that run when all others have ended. A run without an end has none."""
    if found.run.ending is None:
        return recorded_path({}, found.upstream)
    spans = {name: span for name, span in found.spans.items() if not found.runs_last(name)}
    return recorded_path(spans, found.upstream)


def path_data(found: Recorded, path: RecordedPath) -> dict[str, Any]:
    """Return the critical path as JSON values, with the nodes that ran last in its text."""
    times = {"seconds": path.seconds, "work": path.work, "queued": path.queued, "retrying": path.retrying}
    last = {name: span for name, span in found.spans.items() if found.runs_last(name)}
    planned = [found.planned[node] for node in path.nodes if node in found.planned]
    text = path.text(found.slots, dict.fromkeys(name for node in planned for name in node.resources))
    if last:
        seconds = max(span.ended for span in last.values()) - min(span.ready for span in last.values())
        text += f" Then {shortened([*last], _MAX_LISTED)} ran last, in {format_seconds(seconds)}."
    return {
        "nodes": list(path.nodes),
        **{name: round(value, 6) for name, value in times.items()},
        "text": text,
    }


_ENDED_WELL = ("ok", "reused")


def under_way(found: Recorded) -> dict[str, Any]:
    """Return what is known of the time of a run without an end, and in words what was under way; {} if it has ended.

    These are the nodes that have not ended although all that they wait for has. Some of them may not have begun.
    """
    if found.run.ending is not None:
        return {}
    names = [name for name in found.nodes if _has_all(found, name)]
    at_least = max([span.ended for span in found.spans.values()], default=0.0)
    last = at_least if found.run.duration is None else found.run.duration
    text = f"The run {'was killed after at least' if found.run.duration is None else 'has been under way for'}"
    listed = f" Under way or next: {shortened(names, _MAX_LISTED)}." if names else ""
    return {"duration": round(last, 6), "text": f"{text} {format_seconds(last)}.{listed}"}


def _has_all(found: Recorded, name: str) -> bool:
    """Return whether a node has not ended, and all that it waits for has."""
    before = (found.nodes[need].status for need in found.upstream(name))
    return found.nodes[name].status == NOT_ENDED and all(status in _ENDED_WELL for status in before)


def assign_lanes(intervals: Sequence[tuple[float, float]]) -> list[int]:
    """Return a lane for each interval, given as its begin and its end: the lowest that is free when it begins.

    Lanes count from 0. They are assigned in the order of the begins, among equals in the given order, so intervals may
    be given in any order. An interval may begin in a lane at the moment when another ends there. As many lanes are used
    as intervals overlap at once, at most.
    """
    lanes = [0] * len(intervals)
    free: list[int] = []
    taken: list[tuple[float, int]] = []  # ends, with their lanes
    for index in sorted(range(len(intervals)), key=lambda i: intervals[i][0]):
        begin, end = intervals[index]
        while taken and taken[0][0] <= begin:
            heappush(free, heappop(taken)[1])
        lanes[index] = heappop(free) if free else len(taken)
        heappush(taken, (end, lanes[index]))
    return lanes
