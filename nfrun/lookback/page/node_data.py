"""Shows what a page has of a node of a recorded run, without the content of its outputs."""

from __future__ import annotations

from typing import Any

from nfrun.core.contracts import CheckResult
from nfrun.core.events import Failure
from nfrun.core.values import asdict
from nfrun.history.journal import FailedAttempt, FinishedOutput
from nfrun.history.work_dir import run_number
from nfrun.lookback.page.definitions import Definitions, place_of
from nfrun.lookback.page.recorded import Recorded
from nfrun.lookback.page.recorded_graph import ReadOutput
from nfrun.lookback.run_diff import schema_columns

_MOST_COLUMNS = 60
_MOST_SHOWN = 10  # failing rows of a check
_KIND = "kind"  # the key input


def node_data(found: Recorded, name: str, definitions: Definitions | None, *, is_brief: bool) -> dict[str, Any]:
    """Return a node as JSON values. A brief one has no schemas, no digests, and no text of its definition."""
    node, planned, finished = found.nodes[name], found.planned.get(name), found.nodes[name].finished
    shown: dict[str, Any] = {"id": name, "status": node.status, "stage": found.graph.stages[name]}
    if kind := planned.kind if planned is not None else finished.key_inputs.get(_KIND) if finished else "":
        shown["kind"] = kind
    if node.of:
        shown |= {"of": node.of, "cell": dict(node.cell)}
    if group := group_of(name):
        shown["group"] = group
    if planned is not None and planned.runs_last:
        shown["section"] = planned.section
    if node.tolerated:
        shown["tolerated"] = True
    if node.because:
        shown["because"] = node.because
    if node.reason:
        shown["reason"] = node.reason
    if node.status == "reused" and finished is not None:
        shown["home"] = home = run_number(finished.home) or finished.home
        shown["reason"] = f"nothing that it depends on has changed since run {home}"
        shown["took_then"] = round(node.duration, 6)
    if name in found.spans:
        shown |= _times(found, name)
    if reads := found.graph.reads[name]:
        shown["inputs"] = [_input(read, found) for read in reads]
    if node.outputs:
        shown["outputs"] = [_output(output, is_brief=is_brief) for output in node.outputs]
    if node.checks:
        shown["checks"] = [_check(check) for check in node.checks]
    if node.map is not None:
        shown["map"] = {**node.map.as_json(), "busy": round(node.map.busy, 6)}
    if definitions is not None and planned is not None:
        shown["definition"] = definitions.of(planned, is_brief=is_brief)
    if node.failure is not None:
        shown["error"] = _error(node.failure)
        if definitions is not None and planned is not None:
            shown["error"] |= {"place": place_of(planned), "line_in_file": definitions.around(planned)}
    return shown


def group_of(node: str) -> str:
    """Return the sub-pipeline that a node is in, "" if it is in none."""
    return node.rpartition("/")[0]


def _times(found: Recorded, name: str) -> dict[str, Any]:
    """Return when a node worked, its attempts, and what it did in the last one. Times are rounded to microseconds."""
    node, span, times = found.nodes[name], found.spans[name], found.times.get(name)
    seconds = {"queued": span.ready, "started": span.started, "ended": span.ended}
    seconds["duration"] = node.duration + sum(attempt.ended - attempt.started for attempt in node.failed)
    started = span.started
    if times is None:
        phases = [("work", span.started, span.ended)]
    else:
        started, handoff = times.started, min(times.handoff, times.ended - times.started)
        worked = times.ended - handoff
        phases = [
            ("queued", started - times.queued, started),
            ("inputs", started, started + times.inputs),
            ("work", max(started, worked - node.duration), worked),
            ("handoff", worked, times.ended),
        ]
        seconds |= {key: value for key in ("cpu", "gil_wait") if (value := getattr(times, key))}
    shown: dict[str, Any] = {key: round(value, 6) for key, value in seconds.items()}
    if node.memory:
        shown["memory"] = node.memory
    if node.worker:
        shown["worker"] = node.worker
    shown["phases"] = [[phase, round(a, 6), round(b, 6)] for phase, a, b in phases if b > a]
    last: dict[str, Any] = {"started": round(started, 6), "duration": round(span.ended - started, 6)}
    if node.failure is not None:
        last["failure"] = node.failure.error
    if node.failed or node.attempts > 1:
        attempts = [_attempt(attempt) for attempt in node.failed] or [{}] * (node.attempts - 1)
        shown["attempts"] = [*attempts, last]
    return shown


def _attempt(attempt: FailedAttempt) -> dict[str, Any]:
    times = {"started": attempt.started, "duration": attempt.ended - attempt.started}
    return {**{key: round(value, 6) for key, value in times.items()}, "failure": attempt.error}


def _input(read: ReadOutput, found: Recorded) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": read.name or read.output, "output": read.output}
    output = found.outputs.get(read.output)
    return shown if output is None else {**shown, "rows": output.rows, "bytes": output.bytes}


def _output(output: FinishedOutput, *, is_brief: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"id": output.id, "rows": output.rows, "bytes": output.bytes}
    if output.id.name:
        found["name"] = output.id.name
    found["type"] = output.type
    if output.shown:
        found["shown"] = True
    if not is_brief:
        columns = [list(column.partition(": ")[::2]) for column in schema_columns(output.schema)]
        found |= {"schema": columns[:_MOST_COLUMNS], "digest": output.digest}
        if len(columns) > _MOST_COLUMNS:
            found["more_columns"] = len(columns) - _MOST_COLUMNS
    return found


def _check(check: CheckResult) -> dict[str, Any]:
    found: dict[str, Any] = {"name": check.name, "output": check.output, "ok": check.ok, "severity": check.severity}
    if check.failing is not None:
        found["failing"] = check.failing
    if check.shown:
        found["rows"] = [dict(row) for row in check.shown[:_MOST_SHOWN]]
    if not check.ok or check.failing:
        found["text"] = check.text
    return found


def _error(failure: Failure) -> dict[str, Any]:
    found: dict[str, Any] = {"cause": str(failure.cause), "type": failure.type, "message": failure.message}
    found["frames"] = [asdict(frame) for frame in failure.frames]
    for name in ("details", "rows", "sample"):
        if value := getattr(failure, name):
            found[name] = value
    if failure.inputs:
        found["inputs"] = list(failure.inputs)
    return found
