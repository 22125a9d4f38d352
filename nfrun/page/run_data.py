"""Puts together the document that the page of a run shows: plain JSON values, with secrets masked.

Times are seconds since the run began. What is not known is left out. A page has a size, so the more nodes there are,
the less is said of each: the outputs of the pipeline, failed nodes and those that took longest come first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nfrun.core.errors import NotRecorded
from nfrun.core.lanes import assign_lanes
from nfrun.history.journal import FinishedOutput, read_journal
from nfrun.history.work_dir import WorkDir
from nfrun.logs.redaction import Redactor
from nfrun.lookback.log_files import find_logs, last_lines
from nfrun.lookback.recorded_run import RecordedNode, ends_of, recorded
from nfrun.lookback.run_list import ListedRun, count_nodes
from nfrun.page.change_data import change_data
from nfrun.page.critical_path import RecordedPath, Span, recorded_path, seconds_without_work
from nfrun.page.node_data import node_data, span_of
from nfrun.page.output_data import output_data
from nfrun.page.recorded_graph import graph_of
from nfrun.reports.format_units import format_seconds

VERSION = 1
_MANY = 2_000  # nodes, from which on little is said of each
_ROOM, _ROOM_PER_NODE, _MOST_ROOM = 100_000, 1_200, 1_500_000  # bytes for what is said of outputs and logs
_MOST_TABLES, _MOST_TABLES_OF_MANY = 150, 30
_LOG_LINES = 20
_IDS = frozenset({"id", "of", "name", "group", "output", "home", "status", "kind", "digest", "type"})


def run_data(work: WorkDir, run: ListedRun, redactor: Redactor) -> dict[str, Any]:
    """Return the document of a run in a work folder, also of one that was killed or is under way.

    Raises PermissionError if its journal cannot be read, and OSError if the runs cannot be listed.
    """
    journal = read_journal(run.folder)
    ends = ends_of(journal)
    nodes = {name: recorded(end) for name, end in ends.items()}
    graph = graph_of(ends)
    outputs: dict[str, FinishedOutput] = {output.id: output for node in nodes.values() for output in node.outputs}
    spans = {name: span for name, node in nodes.items() if (span := span_of(node)) is not None}
    lanes = dict(zip(spans, assign_lanes([(s.started, s.ended) for s in spans.values()]), strict=True))
    path = recorded_path(spans, graph.upstream)
    found: dict[str, dict[str, Any]] = {}
    for name, node in nodes.items():
        stage, span = graph.stages[name], spans.get(name)
        found[name] = node_data(node, graph.reads[name], stage, span, outputs, is_brief=len(nodes) > _MANY)
        if name in lanes:
            found[name]["lane"] = lanes[name]
    for name in path.nodes:
        found[name]["critical"] = True
    _add_details(run, nodes, found)
    document: dict[str, Any] = {
        "version": VERSION,
        "run": {**_run(run), **_of_times(run, spans), "critical_path": _path(path)},
        "nodes": list(found.values()),
        "edges": [list(edge) for edge in graph.edges()],
        "change": change_data(work, run, journal),
    }
    return document if not redactor else _masked(document, redactor)


def _run(run: ListedRun) -> dict[str, Any]:
    header, counts = run.header, count_nodes(run)
    found: dict[str, Any] = {
        "id": run.id,
        "number": run.number,
        "pipeline": run.file,
        "status": run.status,
        "counts": {"ran" if status == "ok" else status: count for status, count in counts.items()},
    }
    known = {
        "began": run.at,
        "duration": run.duration,
        "command": list(header.command),
        "params": dict(header.params),
        "inputs": dict(header.inputs),
        "profile": header.profile,
        "versions": dict(header.versions),
        "host": header.host,
        "error": run.ending.error if run.ending else "",
    }
    return found | {name: value for name, value in known.items() if value not in (None, "", [], {})}


def _of_times(run: ListedRun, spans: Mapping[str, Span]) -> dict[str, Any]:
    """Return what nfrun itself cost: the wall time of the run in which no node worked."""
    if run.duration is None or run.ending is None:
        return {}
    seconds = seconds_without_work([(span.started, span.ended) for span in spans.values()], run.duration)
    share = seconds / run.duration if run.duration else 0.0
    text = f"In {format_seconds(seconds)} of {format_seconds(run.duration)} no node worked: nfrun itself took them."
    return {"overhead": {"seconds": round(seconds, 6), "share": round(share, 4), "text": text}}


def _path(path: RecordedPath) -> dict[str, Any]:
    return {"nodes": list(path.nodes), "seconds": round(path.seconds, 6), "text": path.text(None)}


def _add_details(run: ListedRun, nodes: Mapping[str, RecordedNode], found: Mapping[str, dict[str, Any]]) -> None:
    """Add logs and the content of outputs to the nodes, the most important first, as far as there is room."""
    room = min(_MOST_ROOM, _ROOM + _ROOM_PER_NODE * len(nodes))
    tables = _MOST_TABLES if len(nodes) <= _MANY else _MOST_TABLES_OF_MANY
    each = max(4_000, room // max(1, len(nodes)))
    for node in sorted(nodes.values(), key=_rank):
        if tables <= 0 or room <= 0:
            return
        if node.status == "failed" or node.outputs:
            log = _log(run, node.node)
            if log:
                found[node.node]["log"] = log
                room -= len(json.dumps(log))
        for output, shown in zip(node.outputs, found[node.node].get("outputs", ()), strict=True):
            shown.update(output_data(run, output, min(room, each)))
            tables -= 1
            room -= len(json.dumps(shown))


def _rank(node: RecordedNode) -> tuple[bool, bool, float]:
    """Return what sorts the nodes of which most is to be said first."""
    return node.status != "failed", not any(output.shown for output in node.outputs), -node.duration


def _log(run: ListedRun, node: str) -> dict[str, Any]:
    """Return the last lines of what a node printed and logged, empty where it did neither."""
    with suppress(NotRecorded, OSError):
        files = find_logs(run, node).files
        lines = [line for path in files.values() for line in last_lines(path, _LOG_LINES)]
        if lines:
            return {"tail": lines[-_LOG_LINES:], "path": str(next(iter(files.values())))}
    return {}


def _masked(value: Any, redactor: Redactor, known: dict[str, str] | None = None) -> Any:
    """Return JSON values with secrets masked, also numbers that are one. Ids stay as they are."""
    known = {} if known is None else known
    if isinstance(value, dict):
        return {
            redactor(key): item if key in _IDS and isinstance(item, str) else _masked(item, redactor, known)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, redactor, known) for item in value]
    if value is None or isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else str(value)
    if text not in known:
        known[text] = redactor(text)
    return value if known[text] == text else known[text]
