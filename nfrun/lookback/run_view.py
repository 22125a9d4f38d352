"""Shows a run with its nodes, and all of its failures: `nfrun show`."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from nfrun.core.events import Failure
from nfrun.core.text import escape_controls
from nfrun.history.journal import RunHeader
from nfrun.lookback.layout import NOT_RECORDED, Look, local_time
from nfrun.lookback.recorded_run import RecordedNode
from nfrun.lookback.run_list import KILLED, RUNNING, ListedRun, count_nodes
from nfrun.lookback.runs_view import params_text, run_json
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.last_line import counts_of_nodes
from nfrun.reports.run_record import NodeRecord
from nfrun.reports.summary import failure_text

_MAX_NODES = 50


def head_lines(run: ListedRun, look: Look) -> Iterator[str]:
    """Yield what is known of a run without its nodes: its end, when and how it was started, and with what."""
    yield look.paint(f"run {run.number} of {escape_controls(run.file)}: ", "bold") + look.paint(_end(run), run.status)
    header = run.header
    versions = ", ".join(f"{package} {version}" for package, version in header.versions.items())
    yield from look.fields(
        [
            ("started", local_time(run.at)),
            ("host", header.host or NOT_RECORDED),
            ("command", _command(header)),
            ("parameters", params_text(header.params)),
            ("versions", versions or NOT_RECORDED),
            ("folder", str(run.folder)),
            ("error", run.ending.error if run.ending else ""),
        ]
    )


def _command(header: RunHeader) -> str:
    if header.command:
        return shlex.join(header.command)
    return "a Python program" if header.at else NOT_RECORDED


def _end(run: ListedRun) -> str:
    counts = counts_of_nodes(count_nodes(run))
    took = "" if run.duration is None else format_seconds(run.duration)
    status = {RUNNING: "is under way", KILLED: "was killed, or its folder was copied while it ran"}.get(run.status)
    return ", ".join(filter(None, (status or run.status, *counts, took)))


def node_lines(nodes: Sequence[RecordedNode], look: Look, *, all: bool) -> Iterator[str]:
    """Yield a line for each node, at most 50 unless `all`: the failed first, then those that ran, the reused last."""
    shown = nodes if all else nodes[:_MAX_NODES]
    if not shown:
        return
    yield ""
    headings = ["node", "status", "time", "rows", "why it ran"]
    yield from look.columns(headings, map(_cells, shown), right={"time", "rows"})
    if len(nodes) > len(shown):
        left = format_count(len(nodes) - len(shown), "more node")
        yield look.paint(f"… and {left}: 'nfrun show --all' lists all", "dim")


def _cells(node: RecordedNode) -> list[str]:
    rows = NOT_RECORDED if node.rows is None else f"{node.rows:,}"
    took = format_seconds(node.duration) if node.status in ("ok", "failed") else NOT_RECORDED
    attempts = f" ({node.attempts} attempts)" if node.attempts > 1 else ""
    return [node.node, node.status, took, rows, why(node) + attempts]


def why(node: RecordedNode) -> str:
    """Return why a node ran, or why it did not."""
    if node.status == "skipped":
        return f"an input is absent because of '{node.because}'" if node.tolerated else f"'{node.because}' failed"
    return node.because or node.reason


def failure_lines(run: ListedRun, nodes: Sequence[RecordedNode]) -> Iterator[str]:
    """Yield all failures of a run, each as at the end of a run."""
    skipped: dict[str, list[str]] = defaultdict(list)
    for node in nodes:
        skipped[node.because].append(node.node)
    for node in nodes:
        if node.status == "failed":
            yield failure_of(run, node, skipped[node.node])


def failure_of(run: ListedRun, node: RecordedNode, skipped: list[str]) -> str:
    """Return the failure of a node as at the end of a run; the place in the pipeline file is only its name."""
    record = NodeRecord(0, attempts=node.attempts, failure=node.failure, tolerated=node.tolerated)
    return failure_text(node.node, record, run.file, skipped)


def run_document(run: ListedRun, nodes: Sequence[RecordedNode]) -> dict[str, Any]:
    """Return a run with its nodes as a JSON document."""
    header = run.header
    return {
        **run_json(run),
        "command": list(header.command) or None,
        "host": header.host or None,
        "versions": dict(header.versions),
        "folder": str(run.folder),
        "nodes": {node.node: node_json(node) for node in nodes},
    }


def node_json(node: RecordedNode) -> dict[str, Any]:
    """Return a node as JSON values."""
    return {
        "status": node.status,
        "attempts": node.attempts or None,
        "started_s": None if node.started is None else round(node.started, 6),
        "took_s": round(node.duration, 6),
        "rows": node.rows,
        "why": node.reason or None,
        "because": node.because or None,
        **({"tolerated": True} if node.tolerated else {}),
        "error": node.failure.error if node.failure else None,
        "failure": None if node.failure is None else _failure_json(node.failure),
    }


def _failure_json(failure: Failure) -> Mapping[str, Any]:
    return {**asdict(failure), "cause": str(failure.cause)}
