"""Writes the times of a recorded run as a file of Chrome trace events, which Perfetto opens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from shlex import join
from typing import Any

from nfrun.core.text import escape_controls
from nfrun.core.values import field, frozen
from nfrun.lookback.page.recorded import Attempt, Recorded, read_recorded
from nfrun.lookback.page.run_times import assign_lanes
from nfrun.lookback.run_reference import ListedRun

# Perfetto takes numbers of threads for those of the whole machine, so each process has so many. The first has what was
# reused, and those after it are the slots.
_THREADS = 100_000
_PLACES = {"process": "worker processes", "dask": "cluster"}  # where nodes run, by executor; else in nfrun's process
_FIRST = {"pid": 1, "tid": _THREADS}
_CANCELLED = "the run was cancelled, or another node failed"


@frozen
class _Slice:
    """An attempt. Times are microseconds, and `ready` is when it could have started. `phases` lie within it."""

    node: str
    attempt: int
    place: str
    ready: int
    start: int
    end: int
    status: str
    phases: tuple[tuple[str, int, int], ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


def recorded_trace(run: ListedRun, redact: Callable[[str], str]) -> str:
    """Return the trace of a run, also of one that was killed or is under way.

    An attempt has the lowest slot that is free: none is recorded. Worker processes have slots of their own, and so has
    each worker of a cluster. Under an attempt are its phases: waiting for inputs, work, handing on. Arrows lead from
    what made an output to what reads it. Raises PermissionError if the journal cannot be read.
    """
    found, header = read_recorded(run), run.header
    facts = {"run": run.id, "command": join(header.command), "profile": header.profile, **header.versions}
    facts = {name: escape_controls(redact(text)) for name, text in facts.items() if text} | {"status": run.status}
    events = "\n,".join([json.dumps(event) for event in _events(found, redact)])
    return f'{{"traceEvents": [\n{events}\n], "displayTimeUnit": "ms", "otherData": {json.dumps(facts)}}}\n'


# -- attempts ----------------------------------------------------------------------------------------------------------


def _slices(found: Recorded, redact: Callable[[str], str]) -> Iterator[_Slice]:
    for name, (*earlier, last) in found.attempts.items():
        node = found.nodes[name]
        for number, tried in enumerate(earlier, 1):
            facts: dict[str, object] = {"error": escape_controls(redact(tried.error))}
            yield _slice(name, number, _place_of(found, name, ""), tried, "retried", facts)
        status, facts = "cancelled", {"why": _CANCELLED}
        if node.failure is not None:
            status, facts = "failed", {"error": escape_controls(redact(node.failure.error))}
        elif node.is_finished:
            sizes = {"rows": sum(o.rows for o in node.outputs), "bytes": sum(o.bytes for o in node.outputs)}
            status, facts = "ok", {**sizes, "cpu_s": last.times.cpu, "gil_wait_s": last.times.gil_wait}
        yield _slice(name, len(earlier) + 1, _place_of(found, name), last, status, facts)


def _slice(node: str, number: int, place: str, tried: Attempt, status: str, facts: Mapping[str, object]) -> _Slice:
    times = tried.times
    start = _at(times.started)
    end = max(_at(times.ended), start + 1)
    phases = () if status == "cancelled" else [(name, _at(a), _at(b)) for name, a, b in tried.phases]
    return _Slice(node, number, place, _at(times.started - times.queued), start, end, status, tuple(phases), facts)


def _place_of(found: Recorded, node: str, worker: str | None = None) -> str:
    """Return where an attempt was made, by default the last one, whose worker is recorded; "" for nfrun's process."""
    worker = found.nodes[node].worker if worker is None else worker
    planned = found.planned.get(node)
    return f"worker {worker}" if worker else _PLACES.get(planned.executor, "") if planned else ""


def _at(seconds: float) -> int:
    return max(0, round(seconds * 1e6))


# -- events ------------------------------------------------------------------------------------------------------------


def _events(found: Recorded, redact: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    slices = sorted(_slices(found, redact), key=lambda each: (each.start, each.end))
    reused = [(_at(node.started or 0.0), name) for name, node in found.nodes.items() if node.status == "reused"]
    places: dict[str, list[int]] = {"": []}  # the indices of slices
    for i, each in enumerate(slices):
        places.setdefault(each.place, []).append(i)
    slots: dict[int, tuple[int, int]] = {}  # the process and the thread of each slice
    title = escape_controls(redact(found.run.file))
    for pid, (place, here) in enumerate(places.items(), 1):
        lanes = assign_lanes([(slices[i].start, slices[i].end) for i in here])
        slots |= {i: (pid, pid * _THREADS + 1 + lane) for i, lane in zip(here, lanes, strict=True)}
        name = f"{title}: {escape_controls(place)}" if place else title
        yield from _names(pid, name, max(lanes, default=-1) + 1, with_reused=pid == 1 and bool(reused))
    for i, each in enumerate(slices):
        planned = found.planned.get(each.node)
        yield from _of_slice(each, planned.kind if planned else "", *slots[i])
    for at, node in reused:
        yield {"name": node, "cat": "reused", "ph": "i", "s": "t", "ts": at, **_FIRST}
    yield from _flows(found, slices, slots)


def _names(pid: int, title: str, slots: int, *, with_reused: bool) -> Iterator[dict[str, Any]]:
    first = pid * _THREADS
    threads = {first: "reused"} if with_reused else {}
    threads |= {first + slot: f"slot {slot}" for slot in range(1, slots + 1)}
    yield _meta("process_name", pid, first, name=title)
    yield _meta("process_sort_index", pid, first, sort_index=pid)
    for tid, name in threads.items():
        yield _meta("thread_name", pid, tid, name=name)
        yield _meta("thread_sort_index", pid, tid, sort_index=tid)


def _of_slice(found: _Slice, kind: str, pid: int, tid: int) -> Iterator[dict[str, Any]]:
    on = {"pid": pid, "tid": tid}
    queued = (found.start - found.ready) / 1e6
    args = {"kind": kind, "status": found.status, "attempt": found.attempt, "queued_s": queued, **found.facts}
    color = {} if found.status == "ok" else {"cname": "terrible" if found.status == "failed" else "bad"}
    length = found.end - found.start
    whole = {"name": found.node, "cat": f"node,{found.status}", "ph": "X", "ts": found.start, "dur": length}
    yield {**whole, **on, **color, "args": args}
    for phase, start, end in found.phases:
        yield {"name": phase, "cat": "phase", "ph": "X", "ts": start, "dur": end - start, **on}
    if found.status in ("failed", "retried"):
        name = f"{found.node} failed" if found.status == "failed" else f"{found.node} is retried"
        yield {"name": name, "cat": found.status, "ph": "i", "s": "t", "ts": found.end, **on}


def _flows(found: Recorded, slices: Sequence[_Slice], slots: Mapping[int, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield an arrow from the attempt that made an output to each attempt that got it."""
    made = {each.node: i for i, each in enumerate(slices) if each.status == "ok"}
    number = 0
    for i, reader in enumerate(slices):
        for output in dict.fromkeys(output for _, output in found.reads[reader.node]):
            maker = made.get(output.node)
            if maker is None or slices[maker].end > reader.start + 1:
                continue  # it was reused, or made again afterwards
            number += 1
            for phase, at, on in (("s", slices[maker].end - 1, slots[maker]), ("f", reader.start, slots[i])):
                ends = {"bp": "e"} if phase == "f" else {}
                names = {"name": output, "cat": "handoff", "ph": phase, "id": number}
                yield {**names, "ts": at, "pid": on[0], "tid": on[1], **ends}


def _meta(what: str, pid: int, tid: int, **args: object) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": args}
