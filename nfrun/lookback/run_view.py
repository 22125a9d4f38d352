"""Shows a run with its nodes, and all of its failures: `nfrun show`."""

from __future__ import annotations

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.events import Failure
from nfrun.core.text import escape_controls
from nfrun.core.values import asdict
from nfrun.history.journal import RunHeader
from nfrun.lookback.layout import NOT_RECORDED, Look, local_time
from nfrun.lookback.recorded_run import RecordedNode, why
from nfrun.lookback.run_list import KILLED, RUNNING, ListedRun, count_nodes
from nfrun.lookback.runs_view import params_text, run_json
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.last_line import counts_of_nodes
from nfrun.reports.run_record import NodeRecord
from nfrun.reports.summary import failure_text

_MAX_NODES = 50
_OF_CALLS = ("retry_after", "rows", "sample", "is_certain", "is_final")  # what few failures have


def head_lines(run: ListedRun, look: Look) -> Iterator[str]:
    """Yield the lines about a run as a whole: its status, start, duration, command line and parameters."""
    yield look.paint(f"run {run.number} of {escape_controls(run.file)}: ", "bold") + look.paint(_end(run), run.status)
    header = run.header
    versions = ", ".join(f"{package} {version}" for package, version in header.versions.items())
    yield from look.fields(
        [
            ("started", local_time(run.at)),
            ("host", header.host or NOT_RECORDED),
            ("command", _command(header)),
            ("profile", header.profile),
            ("parameters", params_text(header.params)),
            ("inputs", params_text(header.inputs)),
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
    """Yield a line for each node, at most 50 unless `all`: the failed first, then those that ran, the reused last.

    The cells of a matrix that ended alike have one line, unless `all` or they failed.
    """
    groups: dict[tuple[str, str], list[RecordedNode]] = {}
    for node in nodes:
        name = node.of if node.of and node.status != "failed" and not all else node.node
        groups.setdefault((name, node.status), []).append(node)
    shown = list(groups.values()) if all else list(groups.values())[:_MAX_NODES]
    if not shown:
        return
    yield ""
    headings = ["node", "status", "time", "rows", "why it ran"]
    yield from look.columns(headings, map(_row, shown), right={"time", "rows"})
    left = len(nodes) - sum(map(len, shown))
    if left:
        yield look.paint(f"… and {format_count(left, 'more node')}: 'nfrun show --all' lists all", "dim")


def cell_lines(of: str, run: ListedRun, nodes: Sequence[RecordedNode], look: Look, *, all: bool) -> Iterator[str]:
    """Yield the cells of a matrix as a table with their values on the axes, at most 50 unless `all`."""
    counts = ", ".join(counts_of_nodes(Counter(node.status for node in nodes)))
    yield look.paint(f"node '{of}' in run {run.number}: {format_count(len(nodes), 'cell')}, ", "bold") + counts
    yield ""
    shown = nodes if all else nodes[:_MAX_NODES]
    axes = list(nodes[0].cell)
    rows = [[*(_value(node.cell.get(axis)) for axis in axes), *_row([node])[1:]] for node in shown]
    yield from look.columns([*axes, "status", "time", "rows", "why it ran"], rows, right={"time", "rows"})
    if len(nodes) > len(shown):
        left = format_count(len(nodes) - len(shown), "more cell")
        yield look.paint(f"… and {left}: 'nfrun show {of} --all' lists all", "dim")
    yield look.paint(f"'nfrun show {nodes[0].node}' shows one", "dim")


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _row(nodes: Sequence[RecordedNode]) -> list[str]:
    """Return the texts in the line of a node, or of cells with one status: sums, and the reason if all share it."""
    first, rows = nodes[0], [node.rows for node in nodes if node.rows is not None]
    name = first.node if len(nodes) == 1 else f"{first.of} ({len(nodes):,})"
    took = sum(node.duration for node in nodes)
    attempts = f" ({first.attempts} attempts)" if first.attempts > 1 and len(nodes) == 1 else ""
    reasons = dict.fromkeys(why(node) for node in nodes)
    return [
        name,
        first.status,
        format_seconds(took) if first.status in ("ok", "failed") else NOT_RECORDED,
        f"{sum(rows):,}" if rows else NOT_RECORDED,
        f"{next(iter(reasons))}{attempts}" if len(reasons) == 1 else f"{len(reasons):,} reasons",
    ]


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
        "profile": header.profile or None,
        "host": header.host or None,
        "versions": dict(header.versions),
        "folder": str(run.folder),
        "nodes": {node.node: node_json(node) for node in nodes},
    }


def cells_document(run: ListedRun, of: str, nodes: Sequence[RecordedNode]) -> dict[str, Any]:
    """Return the cells of a matrix as a JSON document."""
    return {"run": run_json(run), "node": of, "cells": {node.node: node_json(node) for node in nodes}}


def node_json(node: RecordedNode) -> dict[str, Any]:
    """Return a node as JSON values."""
    return {
        **({"of": node.of, "matrix": dict(node.cell)} if node.of else {}),
        "status": node.status,
        "attempts": node.attempts or None,
        "started_s": None if node.started is None else round(node.started, 6),
        "took_s": round(node.work, 6),
        "rows": node.rows,
        "why": node.reason or None,
        "because": node.because or None,
        **({"tolerated": True} if node.tolerated else {}),
        **({"checks": [check.as_json() for check in node.checks]} if node.checks else {}),
        **({"map": node.map.as_json()} if node.map is not None else {}),
        "error": node.failure.error if node.failure else None,
        "failure": None if node.failure is None else _failure_json(node.failure),
    }


def _failure_json(failure: Failure) -> Mapping[str, Any]:
    found = {name: value for name, value in asdict(failure).items() if value or name not in _OF_CALLS}
    return {**found, "cause": str(failure.cause)}
