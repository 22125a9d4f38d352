"""Writes when what ran as a file of Chrome trace events, which Perfetto opens: `nfrun run --trace FILE`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.events import (
    Event,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeStarted,
    NodeWaiting,
    RunFinished,
    RunStarted,
)
from nfrun.core.lanes import assign_lanes
from nfrun.core.text import escape_controls
from nfrun.core.values import KW_ONLY, field, mutable

TRACE_BEGIN = '{"traceEvents"'  # the first characters of every file
# Perfetto takes numbers of threads for those of the whole machine, so each process has so many. The first has what was
# reused, and those after it are the slots.
_THREADS = 100_000
_PLACES = {"process": "worker processes", "dask": "cluster"}  # where nodes run, by executor; else in nfrun's process
_FIRST = {"pid": 1, "tid": _THREADS}


@mutable
class _Slice:
    """An attempt. Times are microseconds, and `ready` is when it could have started. `inputs` are output ids."""

    node: str
    attempt: int
    ready: int
    start: int
    end: int = 0
    status: str = "running"
    phases: list[tuple[str, int, int]] = field(default_factory=list)
    inputs: tuple[tuple[str, str], ...] = ()  # the nodes that made what it reads, and the ids of these outputs
    facts: dict[str, object] = field(default_factory=dict)


@mutable
class TraceFile:
    """A reporter that writes the file when the run has ended: attempts on the threads of their slots.

    `write(lines)` writes it. `kind_of(node)` returns the kind of a node, `executor_of(node)` its executor, "" for
    threads, and `worker_of((node, attempt))` the worker of a cluster that made an attempt, None if that is unknown.
    Worker processes have slots of their own, and so has each worker of a cluster. Under an attempt are its phases:
    waiting for inputs, work, handing on. Arrows lead from what made an output to what reads it. `memory()` returns the
    bytes that this process uses, None if that is unknown. `facts` are shown with the trace. An attempt has the lowest
    slot that is free: events have none.
    """

    write: Callable[[Iterable[str]], object]
    _: KW_ONLY
    title: str
    facts: Mapping[str, str]
    kind_of: Callable[[str], str]
    executor_of: Callable[[str], str]
    worker_of: Callable[[tuple[str, int]], str | None] = lambda attempt: None
    memory: Callable[[], int | None]
    clock: Callable[[], float] = time.monotonic
    name: str = "of the trace"
    _began: float = 0.0
    _running: dict[str, _Slice] = field(default_factory=dict)
    _slices: list[_Slice] = field(default_factory=list)
    _reused: list[tuple[int, str]] = field(default_factory=list)
    _samples: list[tuple[int, int]] = field(default_factory=list)
    _last: int = 0
    _status: str = "running"

    event_types = (
        RunStarted,
        NodeStarted,
        NodeWaiting,
        NodeFinished,
        NodeRetrying,
        NodeFailed,
        NodeCancelled,
        RunFinished,
    )
    interval = 0.25

    def __post_init__(self) -> None:
        self._began = self.clock()

    def event(self, event: Event) -> None:
        """Keep what the file shows of an event."""
        now = self._at(event.at)
        if isinstance(event, RunStarted):
            self._began = self.clock() - event.at
        elif isinstance(event, NodeStarted):
            inputs = tuple((ref.id.node, str(ref.id)) for ref in event.inputs.values())
            ready = self._at(event.at - event.queue_wait)
            self._running[event.node] = _Slice(event.node, event.attempt, ready, now, inputs=inputs)
        elif isinstance(event, RunFinished):
            self._status = event.status
        elif isinstance(event, NodeWaiting):  # it did nothing, and starts again
            self._running.pop(event.node, None)
        elif isinstance(event, NodeFinished) and event.reused:
            self._running.pop(event.node, None)
            self._reused.append((now, event.node))
        elif (found := self._running.pop(getattr(event, "node", ""), None)) is not None:
            self._end(found, now, event)

    def tick(self) -> None:
        """Sample the memory."""
        if (used := self.memory()) is not None:
            self._samples.append((self._at(self.clock() - self._began), used))

    def close(self) -> None:
        """Write the file. What has not ended ends with the run."""
        for left in self._running.values():
            self._end(left, self._last, None)
        self.write(self.lines())

    def _at(self, seconds: float) -> int:
        at = max(0, round(seconds * 1e6))
        self._last = max(self._last, at)
        return at

    def _end(self, found: _Slice, now: int, event: Event | None) -> None:
        found.end = max(now, found.start + 1)
        if isinstance(event, NodeFinished):
            found.status = "ok"
            rows = sum(ref.rows for ref in event.outputs.values())
            sizes = sum(ref.bytes for ref in event.outputs.values())
            found.facts = {"rows": rows, "bytes": sizes, "cpu_s": event.cpu, "gil_wait_s": event.gil_wait}
            _add_phases(found, (sum(event.input_waits.values()), event.duration, event.publish_wait))
        elif isinstance(event, NodeFailed | NodeRetrying):
            is_last = isinstance(event, NodeFailed)
            found.status = "failed" if is_last else "retried"
            found.facts = {"error": escape_controls(event.failure.error)}
            _add_phases(found, (0.0, event.duration, 0.0))
        elif isinstance(event, NodeCancelled):
            found.status, found.facts = "cancelled", {"why": escape_controls(event.why)}
        else:
            found.status = "cut off"
        self._slices.append(found)

    def _place_of(self, found: _Slice) -> str:
        worker = self.worker_of((found.node, found.attempt))
        return f"worker {worker}" if worker else _PLACES.get(self.executor_of(found.node), "")

    # -- the file --------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Yield the lines of the file."""
        facts = {name: escape_controls(text) for name, text in self.facts.items()} | {"status": self._status}
        yield f"{TRACE_BEGIN}: ["
        before = ""
        for event in self._events():
            yield f"{before}{json.dumps(event)}"
            before = ","
        yield f'], "displayTimeUnit": "ms", "otherData": {json.dumps(facts)}}}'

    def _events(self) -> Iterator[dict[str, Any]]:
        slices = sorted(self._slices, key=lambda found: (found.start, found.end))
        places: dict[str, list[int]] = {"": []}  # the indices of slices
        for i, found in enumerate(slices):
            places.setdefault(self._place_of(found), []).append(i)
        slots: dict[int, tuple[int, int]] = {}  # the process and the thread of each slice
        for pid, (place, here) in enumerate(places.items(), 1):
            lanes = assign_lanes([(slices[i].start, slices[i].end) for i in here])
            slots |= {i: (pid, pid * _THREADS + 1 + lane) for i, lane in zip(here, lanes, strict=True)}
            yield from self._names(pid, place, max(lanes, default=-1) + 1)
        for i, found in enumerate(slices):
            yield from self._slice(found, *slots[i])
        for at, node in self._reused:
            yield {"name": node, "cat": "reused", "ph": "i", "s": "t", "ts": at, **_FIRST}
        yield from _flows(slices, slots)
        yield from self._counters(slices)

    def _names(self, pid: int, place: str, slots: int) -> Iterator[dict[str, Any]]:
        title = escape_controls(f"{self.title}: {place}" if place else self.title)
        first = pid * _THREADS
        threads = {first: "reused"} if pid == 1 and self._reused else {}
        threads |= {first + slot: f"slot {slot}" for slot in range(1, slots + 1)}
        yield _meta("process_name", pid, first, name=title)
        yield _meta("process_sort_index", pid, first, sort_index=pid)
        for tid, name in threads.items():
            yield _meta("thread_name", pid, tid, name=name)
            yield _meta("thread_sort_index", pid, tid, sort_index=tid)

    def _slice(self, found: _Slice, pid: int, tid: int) -> Iterator[dict[str, Any]]:
        on = {"pid": pid, "tid": tid}
        args = {
            "kind": self.kind_of(found.node),
            "status": found.status,
            "attempt": found.attempt,
            "queued_s": (found.start - found.ready) / 1e6,
            **found.facts,
        }
        color = {} if found.status == "ok" else {"cname": "terrible" if found.status == "failed" else "bad"}
        length = found.end - found.start
        whole = {"name": found.node, "cat": f"node,{found.status}", "ph": "X", "ts": found.start, "dur": length}
        yield {**whole, **on, **color, "args": args}
        for phase, start, end in found.phases:
            yield {"name": phase, "cat": "phase", "ph": "X", "ts": start, "dur": end - start, **on}
        if found.status in ("failed", "retried"):
            name = f"{found.node} failed" if found.status == "failed" else f"{found.node} is retried"
            yield {"name": name, "cat": found.status, "ph": "i", "s": "t", "ts": found.end, **on}

    def _counters(self, slices: list[_Slice]) -> Iterator[dict[str, Any]]:
        """Yield how many nodes ran, how many waited for a slot or a resource, and how much memory was used."""
        for name, spans in (
            ("running", [(found.start, found.end) for found in slices]),
            ("waiting", [(found.ready, found.start) for found in slices]),
        ):
            changes: dict[int, int] = {0: 0}
            for start, end in spans:
                if start < end:
                    changes[start] = changes.get(start, 0) + 1
                    changes[end] = changes.get(end, 0) - 1
            number = 0
            for at in sorted(changes):
                number += changes[at]
                yield {"name": name, "ph": "C", "ts": at, **_FIRST, "args": {"nodes": number}}
        for at, used in self._samples:
            yield {"name": "memory", "ph": "C", "ts": at, **_FIRST, "args": {"bytes": used}}


def _add_phases(found: _Slice, seconds: Sequence[float]) -> None:
    """Lay out what an attempt did: its inputs were opened first, and its outputs handed on last, just after its work.

    `seconds` has how long each took. Before its work it may have waited for a worker process to start.
    """
    inputs, work, handoff = (round(length * 1e6) for length in seconds)
    opened = min(found.end, found.start + inputs)
    worked = max(opened, found.end - handoff)
    phases = [
        ("inputs", found.start, opened),
        ("work", max(opened, worked - work), worked),
        ("handoff", worked, found.end),
    ]
    found.phases += [(name, start, end) for name, start, end in phases if end > start]


def _flows(slices: list[_Slice], slots: Mapping[int, tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """Yield an arrow from the attempt that made an output to each attempt that got it."""
    made = {found.node: i for i, found in enumerate(slices) if found.status == "ok"}
    number = 0
    for i, found in enumerate(slices):
        for node, output in found.inputs:
            if node not in made or slices[made[node]].end > found.start + 1:
                continue  # it was reused, or made again afterwards
            number += 1
            maker = slices[made[node]]
            for phase, at, on in (("s", maker.end - 1, slots[made[node]]), ("f", found.start, slots[i])):
                ends = {"bp": "e"} if phase == "f" else {}
                names = {"name": output, "cat": "handoff", "ph": phase, "id": number}
                yield {**names, "ts": at, "pid": on[0], "tid": on[1], **ends}


def _meta(what: str, pid: int, tid: int, **args: object) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": args}
