"""Makes events of what is recorded of a run, for the file of its trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from shlex import join
from typing import Any

from nfrun.core.errors import Cause
from nfrun.core.events import (
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeStarted,
    OutputRef,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import OutputId
from nfrun.core.values import replace
from nfrun.history.journal import NodeTimes, attempts_of_line
from nfrun.history.run_plan import PlannedNode
from nfrun.lookback.page.recorded import Recorded, read_recorded
from nfrun.lookback.page.run_times import add_under_way
from nfrun.lookback.run_reference import ListedRun
from nfrun.reports.ci.trace import TraceFile

_INPUTS = OutputId("")  # in place of all inputs, of whose waits the sum is recorded


def recorded_trace(run: ListedRun, redact: Callable[[str], str]) -> list[str]:
    """Return the lines of the trace of a run, also of one that was killed or is under way.

    It has no memory: that is not recorded. Raises PermissionError if the journal cannot be read.
    """
    found, lines = read_recorded(run), list[str]()
    header, none = run.header, PlannedNode("", "")
    facts = {"run": run.id, "command": join(header.command), "profile": header.profile, **header.versions}
    trace = TraceFile(
        lines.extend,
        title=redact(run.file),
        facts={name: redact(text) for name, text in facts.items() if text},
        kind_of=lambda node: found.planned.get(node, none).kind,
        executor_of=lambda node: found.planned.get(node, none).executor,
        worker_of=partial(_worker_of, found),
        memory=lambda: None,
    )
    for event in sorted(_events(found, redact), key=lambda event: event.at):
        trace.event(event)
    trace.close()
    return lines


def _worker_of(found: Recorded, attempt: tuple[str, int]) -> str | None:
    """Return the worker of a cluster that made an attempt. It is recorded of the last attempt at a node."""
    node, number = attempt
    recorded = found.nodes[node]
    return recorded.worker if number == len(recorded.failed) + 1 else None


def _events(found: Recorded, redact: Callable[[str], str]) -> Iterator[Event]:
    yield RunStarted(0.0, len(found.nodes), found.slots or 0)
    for name in found.nodes:
        for event in _of_node(found, name):
            failure = getattr(event, "failure", None)
            yield replace(event, failure=replace(failure, message=redact(failure.message))) if failure else event
    if (ending := found.run.ending) is None:
        yield from _under_way(found)
    elif ending.at:
        yield RunFinished(ending.duration, ending.status)


def _under_way(found: Recorded) -> Iterator[Event]:
    """Yield the starts of what was under way in a run without an end, and as its end the last moment that is known."""
    started: dict[str, dict[str, Any]] = {name: {} for name in found.nodes}
    last = add_under_way(found, started)
    for name, known in started.items():
        if "started" in known:
            yield NodeStarted(known["started"], name, 1, _inputs(found, name))
    yield RunFinished(last["duration"], found.run.status)


def _inputs(found: Recorded, name: str) -> dict[str, OutputRef]:
    return {output: OutputRef(output, 0, 0, "") for _, output in found.reads[name]}


def _of_node(found: Recorded, name: str) -> Iterator[Event]:
    node, span = found.nodes[name], found.spans.get(name)
    if node.status == "reused":
        yield NodeFinished(node.started or 0.0, name, node.attempts or 1, reused=True)
    if span is None:
        return
    inputs = _inputs(found, name)
    failed = attempts_of_line(found.ends[name].failed) if found.ends[name].failed else ()
    for number, attempt in enumerate(failed, 1):
        failure = Failure(Cause.NODE, "", attempt.error)
        yield NodeStarted(attempt.started, name, number, inputs)
        yield NodeRetrying(attempt.ended, name, number, attempt.delay, failure, attempt.ended - attempt.started)
    times = found.times.get(name) or NodeTimes(span.started, span.ended, span.started - span.ready)
    number = len(failed) + 1
    yield NodeStarted(times.started, name, number, inputs, times.queued)
    if node.failure is not None:
        yield NodeFailed(times.ended, name, number, node.failure, node.duration, node.tolerated)
    elif node.finished is None:
        yield NodeCancelled(times.ended, name, "the run was cancelled, or another node failed")
    else:
        outputs = {str(output.id): OutputRef(output.id, output.rows, output.bytes, "") for output in node.outputs}
        waits = {_INPUTS: times.inputs} if times.inputs else {}
        spent = times.handoff, waits, times.cpu, times.gil_wait
        yield NodeFinished(times.ended, name, number, outputs, node.duration, *spent)
