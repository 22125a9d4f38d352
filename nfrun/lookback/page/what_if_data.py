"""Says how long a run would have taken with other slots, at best, and with faster nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nfrun.core.what_if import PastAttempt, PastNode, PastRun
from nfrun.lookback.page.recorded import Recorded
from nfrun.reports.format_units import format_count, format_seconds

_MOST_SLOTS = 1_024
_EQUAL = 0.005  # a share of the run: such a difference is none
_MOST_FASTER = 8  # nodes, or matrices, of which it is tried
_WORK = 60_000  # nodes that are simulated altogether: 10 us each
_LEAST_RUNS, _MOST_RUNS = 5, 60  # simulations
_MOST_CALLS = 2_000  # of a mapped node
_BUSY = 0.5  # share of the time of all cores from which on they bound the run
_METHOD = (
    "Predicted by running this plan again in virtual time, with the times that its nodes took in this run, and "
    "with its order, priorities, resources and retries."
)


def what_if_data(found: Recorded, path: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the predictions for a run that ended well, None for others and where its plan is not recorded.

    `path` is its critical path.
    """
    run, plan = found.run, found.plan
    if plan is None or run.status != "ok" or run.duration is None or not found.spans:
        return None
    nodes = dict(_past_nodes(found))
    if not any(name in nodes for name in found.spans):
        return None
    try:
        past = PastRun(nodes, plan.budgets)
    except ValueError:  # the budgets are not those that the nodes had
        return None
    predicted = past.seconds(plan.on.slots)
    # What no node accounts for, such as writing what is left, and nodes that run when all others have ended.
    rest = max(0.0, run.duration - predicted)
    last = run.duration - max(found.spans[name].ended for name in found.spans if name in nodes)
    has_last = any(found.runs_last(name) for name in found.spans)
    left = max(_LEAST_RUNS, min(_MOST_RUNS, _WORK // sum(1 + node.calls for node in nodes.values())))
    best = past.seconds(max(_MOST_SLOTS, len(nodes))) + rest
    seconds = {plan.on.slots: predicted + rest}
    for slots in _slots(plan.on.slots):
        if left <= 3 or (slots > plan.on.slots and min(seconds.values()) <= best * (1 + _EQUAL)):
            break
        if slots not in seconds:
            seconds[slots] = past.seconds(slots) + rest
            left -= 1
    shown: dict[str, Any] = {
        "slots": [{"slots": slots, "seconds": round(seconds[slots], 6)} for slots in sorted(seconds)],
        "best": round(best, 6),
        "recorded": {
            "slots": plan.on.slots,
            "seconds": round(run.duration, 6),
            "predicted": round(predicted + has_last * last, 6),
        },
        "faster": [*_faster(found, past, path, predicted, left - 2)],
        "text": _text(plan.on.slots, seconds, best),
        "how": _METHOD,
    }
    if limit := _limit(found, max(seconds)):
        shown["limit"] = limit
    return shown


def _slots(recorded: int) -> Iterator[int]:
    """Yield the numbers of slots that are tried: 1, 2, 4, 8, … on both sides of the recorded one."""
    slots = 1
    while slots <= max(_MOST_SLOTS, recorded):
        yield slots
        slots *= 2


def _past_nodes(found: Recorded) -> Iterator[tuple[str, PastNode]]:
    """Yield the nodes of the run, but for those that ran when all others had ended."""
    for name, node in found.nodes.items():
        planned = found.planned.get(name)
        if found.runs_last(name):
            continue
        needs = found.graph.upstream(name)
        times = found.times.get(name)
        if times is None or planned is None or name not in found.spans:
            yield name, PastNode(needs)
            continue
        failed = [PastAttempt(a.ended - a.started, a.delay) for a in node.failed]
        taken, calls = times.ended - times.started, 0
        if planned.is_mapped and node.map is not None and node.map.calls:
            taken, calls = node.map.busy or taken, min(_MOST_CALLS, node.map.calls)
        on_loop = planned.is_async
        yield name, PastNode(needs, taken, planned.takes, planned.estimated, tuple(failed), calls, on_loop)


def _faster(found: Recorded, past: PastRun, path: tuple[str, ...], now: float, left: int) -> Iterator[dict[str, Any]]:
    """Yield by how much the run gets shorter with the same slots if a node took half the time or none.

    The cells of a matrix count as one node. These are the nodes of the critical path that took longest.
    """
    on_path, groups = frozenset(path), dict[str, list[str]]()
    for name in path:
        groups.setdefault(found.nodes[name].of or name, [])
    for name, node in found.nodes.items():
        if (of := node.of or name) in groups and name in found.spans:
            groups[of].append(name)
    slots = found.slots or 1
    longest = sorted(groups, key=lambda of: -sum(found.spans[name].work for name in groups[of] if name in on_path))
    tried = []
    for of in longest[: min(_MOST_FASTER, max(1, left // 2))]:
        none = now - past.seconds(slots, dict.fromkeys(groups[of], 0.0))
        half = now - past.seconds(slots, dict.fromkeys(groups[of], 0.5))
        if none > _EQUAL * now:
            tried.append((of, groups[of], max(0.0, half), none))
    for of, names, half, none in sorted(tried, key=lambda each: -each[3]):
        which = f"'{of}'" if len(names) == 1 else f"the {format_count(len(names), 'cell')} of '{of}'"
        text = f"If {which} took half the time, the run would take {format_seconds(half)} less"
        text += f"; if it took none, {format_seconds(none)} less."
        yield {"node": of, "cells": len(names), "saves": round(half, 6), "saves_all": round(none, 6), "text": text}


def _text(slots: int, seconds: Mapping[int, float], best: float) -> str:
    """Return the predictions in a sentence or two."""
    now = seconds[slots]
    had = f"With {format_count(slots, 'slot')} the run took {format_seconds(now)}"
    if now <= best * (1 + _EQUAL):
        return f"{had}, and more slots would not make it shorter: it is as long as its longest chain of nodes."
    enough = min((s for s, value in seconds.items() if value <= best * (1 + _EQUAL)), default=None)
    at_best = f"the best possible is {format_seconds(best)}, its longest chain of nodes"
    return f"{had}; {at_best}." if enough is None else f"{had}; {at_best}, with {format_count(enough, 'slot')}."


def _limit(found: Recorded, most: int) -> str:
    """Return why more slots gain less than is predicted, "" if nothing speaks for that."""
    plan, duration = found.plan, found.run.duration or 0.0
    assert plan is not None
    cores = plan.on.cores
    cpu = sum(times.cpu for name in found.spans if (times := found.times.get(name)) is not None)
    if not cores or most <= cores or cpu < _BUSY * duration * min(cores, plan.on.slots):
        return ""
    least = cpu / cores
    return (
        f"Nodes used {format_seconds(cpu)} of CPU time, so on {format_count(cores, 'core')} the run cannot take less "
        f"than {format_seconds(least)}, and with more slots than cores its nodes would take longer than they did: the "
        "predictions are right for nodes that wait, and too short for those that compute. CPU time of scripts and of "
        "threads that libraries start is not in this."
    )
