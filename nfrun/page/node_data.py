"""Shows what a page has of a node of a recorded run, without the content of its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.contracts import CheckResult
from nfrun.core.events import Failure
from nfrun.core.values import asdict
from nfrun.history.journal import FinishedOutput
from nfrun.history.work_dir import run_number
from nfrun.lookback.recorded_run import RecordedNode, why
from nfrun.lookback.run_diff import schema_columns
from nfrun.page.critical_path import Span
from nfrun.page.recorded_graph import ReadOutput

_MOST_COLUMNS = 60
_MOST_SHOWN = 10  # failing rows of a check
_KIND = "kind"  # the key input


def node_data(
    node: RecordedNode,
    reads: tuple[ReadOutput, ...],
    stage: int,
    span: Span | None,
    outputs: Mapping[str, FinishedOutput],
    *,
    is_brief: bool,
) -> dict[str, Any]:
    """Return a node as JSON values; `outputs` are those of all nodes by id. A brief one has no schemas and digests."""
    finished = node.finished
    found: dict[str, Any] = {"id": node.node, "status": node.status, "stage": stage}
    if finished is not None and (kind := finished.key_inputs.get(_KIND)):
        found["kind"] = kind
    if node.of:
        found |= {"of": node.of, "cell": dict(node.cell)}
    if group := group_of(node.node):
        found["group"] = group
    if node.tolerated:
        found["tolerated"] = True
    if reason := why(node):
        found["because" if node.status in ("skipped", "cancelled") else "reason"] = reason
    if node.status == "reused" and finished is not None:
        found["home"] = run_number(finished.home) or finished.home
        found["took_then"] = round(node.duration, 6)
    if span is not None:
        found |= _times(node, span)
    if reads:
        found["inputs"] = [_input(read, outputs.get(read.output)) for read in reads]
    if node.outputs:
        found["outputs"] = [_output(output, is_brief=is_brief) for output in node.outputs]
    if node.checks:
        found["checks"] = [_check(check) for check in node.checks]
    if node.map is not None:
        found["map"] = asdict(node.map)
    if node.failure is not None:
        found["error"] = _error(node.failure)
    return found


def group_of(node: str) -> str:
    """Return the sub-pipeline that a node is in, "" if it is in none."""
    return node.rpartition("/")[0]


def span_of(node: RecordedNode) -> Span | None:
    """Return when a node worked, None if it did not, or if that is not recorded."""
    if node.status in ("reused", "skipped") or node.started is None or (node.finished and not node.attempts):
        return None
    started, ended = node.started, node.started + node.duration
    return Span(started, started, ended, node.duration)


def _times(node: RecordedNode, span: Span) -> dict[str, Any]:
    return {
        "started": round(span.started, 6),
        "ended": round(span.ended, 6),
        "duration": round(node.duration, 6),
        "phases": [["work", round(span.ended - node.duration, 6), round(span.ended, 6)]],
        "attempts": [{}] * (node.attempts - 1) + [{"started": span.started, "duration": node.duration}],
    }


def _input(read: ReadOutput, output: FinishedOutput | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": read.name or read.output, "output": read.output}
    return found if output is None else {**found, "rows": output.rows, "bytes": output.bytes}


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
