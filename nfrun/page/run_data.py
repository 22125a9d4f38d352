"""Puts together the document that the page of a run shows: plain JSON values, with secrets masked.

Times are seconds since the run began. What is not known is left out. A page has a size, so the more nodes there are,
the less is said of each: the outputs of the pipeline, failed nodes and those that took longest come first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nfrun.core.lanes import assign_lanes
from nfrun.history.work_dir import WorkDir
from nfrun.logs.redaction import Redactor
from nfrun.lookback.recorded_run import RecordedNode
from nfrun.lookback.run_list import ListedRun, count_nodes
from nfrun.page.change_data import change_data
from nfrun.page.critical_path import recorded_path
from nfrun.page.definitions import Definitions
from nfrun.page.log_tails import LogTails
from nfrun.page.node_data import node_data
from nfrun.page.output_data import output_data
from nfrun.page.recorded import NOT_ENDED, Recorded, read_recorded
from nfrun.page.run_times import overhead, path_data
from nfrun.page.what_if_data import what_if_data
from nfrun.system.runtime import gc_paused

VERSION = 1
_MANY = 2_000  # nodes, from which on little is said of each
_ROOM, _ROOM_PER_NODE, _MOST_ROOM = 100_000, 1_200, 1_500_000  # bytes for what is said of outputs and logs
_MOST_TABLES, _MOST_TABLES_OF_MANY = 150, 30
_IDS = frozenset({"id", "of", "name", "group", "output", "home", "status", "kind", "digest", "type"})


def run_data(work: WorkDir, run: ListedRun, redactor: Redactor) -> dict[str, Any]:
    """Return the document of a run in a work folder, also of one that was killed or is under way.

    Raises PermissionError if its journal cannot be read, and OSError if the runs cannot be listed.
    """
    with gc_paused():
        document = _document(work, read_recorded(run))
    return document if not redactor else _masked(document, redactor)


def _document(work: WorkDir, found: Recorded) -> dict[str, Any]:
    is_brief = len(found.nodes) > _MANY
    definitions = None if found.plan is None else Definitions(found.plan)
    path = recorded_path(found.spans, found.graph.upstream)
    nodes = {name: node_data(found, name, definitions, is_brief=is_brief) for name in found.nodes}
    spans = [(span.started, span.ended) for span in found.spans.values()]
    for name, lane in zip(found.spans, assign_lanes(spans), strict=True):
        nodes[name]["lane"] = lane
    for name in path.nodes:
        nodes[name]["critical"] = True
    _add_details(found, nodes)
    document: dict[str, Any] = {
        "version": VERSION,
        "run": {**_run(found), "critical_path": path_data(found, path)},
        "nodes": list(nodes.values()),
        "edges": [list(edge) for edge in found.graph.edges()],
        "what_if": what_if_data(found, path.nodes),
        "change": change_data(work, found.run, found.journal),
    }
    if cost := overhead(found):
        document["run"]["overhead"] = cost
    return document


def _run(found: Recorded) -> dict[str, Any]:
    run, header = found.run, found.run.header
    counts = count_nodes(run)
    if left := sum(node.status == NOT_ENDED for node in found.nodes.values()):
        counts[NOT_ENDED] = left
    shown: dict[str, Any] = {
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
    if found.plan is not None:
        on = found.plan.on
        known |= {"executor": on.executor, "slots": on.slots, "schedule": on.schedule}
        known["machine"] = {"cores": on.cores, "memory": on.memory, "platform": on.platform}
    return shown | {name: value for name, value in known.items() if value not in (None, "", [], {})}


def _add_details(found: Recorded, shown: Mapping[str, dict[str, Any]]) -> None:
    """Add logs and the content of outputs to the nodes, the most important first, as far as there is room."""
    count = len(found.nodes)
    room = min(_MOST_ROOM, _ROOM + _ROOM_PER_NODE * count)
    tables = _MOST_TABLES if count <= _MANY else _MOST_TABLES_OF_MANY
    each = max(4_000, room // max(1, count))
    logs = LogTails(found.run)
    for node in sorted(found.nodes.values(), key=_rank):
        if tables <= 0 or room <= 0:
            return
        if log := logs.of(node):
            shown[node.node]["log"] = log
            room -= len(json.dumps(log))
        for output, of_output in zip(node.outputs, shown[node.node].get("outputs", ()), strict=True):
            of_output.update(output_data(found.run, output, min(room, each)))
            tables -= 1
            room -= len(json.dumps(of_output))


def _rank(node: RecordedNode) -> tuple[bool, bool, float]:
    """Return what sorts the nodes of which most is to be said first."""
    return node.status != "failed", not any(output.shown for output in node.outputs), -node.duration


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
