"""Puts together the document that the page of a run shows: plain JSON values, with secrets masked.

Times are seconds since the run began. What is not known is left out. A page has a size, so the more nodes there are,
the less is said of each: the outputs of the pipeline, failed nodes and those that took longest come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nfrun.core.lanes import assign_lanes
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.change_data import change_data
from nfrun.lookback.page.definitions import Definitions
from nfrun.lookback.page.details import MANY, add_details
from nfrun.lookback.page.masking import hidden_text, masked
from nfrun.lookback.page.node_data import node_data
from nfrun.lookback.page.recorded import DISABLED, NOT_ENDED, Recorded, read_recorded
from nfrun.lookback.page.run_times import overhead, path_data, path_of
from nfrun.lookback.page.under_way import add_under_way
from nfrun.lookback.run_list import ListedRun, count_nodes
from nfrun.system.logs.redaction import Redactor
from nfrun.system.runtime import gc_paused

VERSION = 1


def run_data(work: WorkDir, run: ListedRun, redactor: Redactor, unknown: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of a run in a work folder, also of one that was killed or is under way.

    `unknown` are secrets of the run whose values the redactor does not know. They are masked in all that the run has
    recorded, but not in what its outputs hold: if there are any, nothing is shown of that.

    Raises PermissionError if its journal cannot be read, and OSError if the runs cannot be listed.
    """
    with gc_paused():
        document = _document(work, read_recorded(run), has_contents=not unknown)
    if unknown:
        document["run"]["hidden"] = hidden_text(unknown)
    return masked(document, redactor) if redactor else document


def _document(work: WorkDir, found: Recorded, *, has_contents: bool) -> dict[str, Any]:
    is_brief = len(found.nodes) > MANY
    definitions = None if found.plan is None else Definitions(found.plan)
    path = path_of(found)
    nodes = {name: node_data(found, name, definitions, is_brief=is_brief) for name in found.nodes}
    for name, lane in _lanes(found).items():
        nodes[name]["lane"] = lane
    for name in path.nodes:
        nodes[name]["critical"] = True
    add_details(work, found, nodes, has_contents=has_contents)
    unended = add_under_way(found, nodes)
    document: dict[str, Any] = {
        "version": VERSION,
        "run": {**_run(found), "critical_path": path_data(found, path)},
        "nodes": list(nodes.values()),
        "edges": [list(edge) for edge in found.graph.edges()],
        "change": change_data(work, found.run, found.journal),
    }
    if unended:
        document["run"]["critical_path"]["text"] = unended["text"]
        document["run"]["duration"] = unended["duration"]
    if cost := overhead(found):
        document["run"]["overhead"] = cost
    return document


def _lanes(found: Recorded) -> dict[str, int]:
    """Return the lanes of the nodes that worked. Those of one worker of a cluster are side by side."""
    workers: dict[str, list[str]] = {}
    for name in found.spans:
        workers.setdefault(found.nodes[name].worker, []).append(name)
    lanes: dict[str, int] = {}
    for _, names in sorted(workers.items()):
        own = assign_lanes([(found.spans[name].started, found.spans[name].ended) for name in names])
        first = 1 + max(lanes.values(), default=-1)
        lanes.update((name, first + lane) for name, lane in zip(names, own, strict=True))
    return lanes


def _run(found: Recorded) -> dict[str, Any]:
    run, header = found.run, found.run.header
    counts = count_nodes(run)
    for status in (NOT_ENDED, DISABLED):
        if number := sum(node.status == status for node in found.nodes.values()):
            counts[status] = number
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
