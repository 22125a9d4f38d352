"""Says of a run as a whole what took its time: nodes, waits, and nfrun itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from nfrun.core.text import shortened
from nfrun.lookback.page.critical_path import RecordedPath, holders_of, recorded_path, seconds_without_work
from nfrun.lookback.page.recorded import Recorded
from nfrun.reports.format_units import format_seconds

_MAX_LISTED = 4
_CPU = "cpu"  # the resource that slots are
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
    rates = _rates(found)
    for name, span in found.spans.items():
        takes = found.planned[name].takes if name in found.planned else ()
        waits = any(resource in rates for resource, _ in takes)
        yield (span.ready if waits else span.started), span.ended


def _rates(found: Recorded) -> Collection[str]:
    return {name for name, budget in found.plan.budgets.items() if budget.per} if found.plan is not None else ()


def path_of(found: Recorded) -> RecordedPath:
    """Return the critical path, but for nodes that run when all others have ended. A run without an end has none."""
    if found.run.ending is None:
        return recorded_path({}, found.graph.upstream)
    spans = {name: span for name, span in found.spans.items() if not found.runs_last(name)}
    return recorded_path(spans, found.graph.upstream)


def _takers(found: Recorded, path: Iterable[str]) -> dict[str, list[str]]:
    """Return by name the nodes that take a resource: those but slots that nodes of the path take.

    Nobody holds a rate, whose tokens are used up, so it has no nodes.
    """
    takers: dict[str, list[str]] = {
        name: [] for node in path if node in found.planned for name, _ in found.planned[node].takes if name != _CPU
    }
    rates = _rates(found)
    for node, planned in found.planned.items() if takers else ():
        for name, _ in planned.takes:
            if name in takers and name not in rates:
                takers[name].append(node)
    return takers


def path_data(found: Recorded, path: RecordedPath) -> dict[str, Any]:
    """Return the critical path as JSON values, with the nodes that ran last in its text."""
    times = {"seconds": path.seconds, "work": path.work, "queued": path.queued, "retrying": path.retrying}
    last = {name: span for name, span in found.spans.items() if found.runs_last(name)}
    text = path.text(found.slots, holders_of(_takers(found, path.nodes), path.nodes, found.spans))
    if last:
        seconds = max(span.ended for span in last.values()) - min(span.ready for span in last.values())
        text += f" Then {shortened([*last], _MAX_LISTED)} ran last, in {format_seconds(seconds)}."
    return {
        "nodes": list(path.nodes),
        **{name: round(value, 6) for name, value in times.items()},
        "text": text,
    }
