"""Shows how a run differs from the one before it, of the same pipeline."""

from __future__ import annotations

from typing import Any

from nfrun.core.events import NOT_SELECTED
from nfrun.history.journal import JournalContents, read_journal
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.run_diff import NodeDiff, OutputDiff, Timing, diff_runs
from nfrun.lookback.run_list import ListedRun, run_before
from nfrun.reports.format_units import format_count

_MOST_NODES = 200
_ONLY_ONE = "this run does not have it", "the run before did not have it"
_SLOWER, _LEAST = 0.2, 0.05  # share and seconds from which on another time is told


def change_data(work: WorkDir, run: ListedRun, journal: JournalContents) -> dict[str, Any] | None:
    """Return what differs from the run before, of the same profile if there is one; None if none has ended."""
    before = run_before(work, run)
    if before is None:
        return None
    found = diff_runs(read_journal(before.folder), journal)
    nodes = [_node(diff) for diff in found.nodes if NOT_SELECTED not in diff.status]
    told = {node["id"] for node in nodes}
    nodes += [_timing(timing) for timing in found.timings if timing.node not in told and _is_told(timing)]
    change: dict[str, Any] = {
        "against": {"id": before.id, "number": before.number, "status": before.status, "began": before.at},
        "same": found.same,
        "nodes": nodes[:_MOST_NODES],
    }
    if len(nodes) > _MOST_NODES:
        change["more_nodes"] = len(nodes) - _MOST_NODES
    if run.duration is not None and before.duration is not None:
        change |= {"seconds": round(run.duration - before.duration, 6), "before_seconds": round(before.duration, 6)}
    for what in ("params", "versions"):
        if pairs := getattr(found, what):
            change[what] = {name: list(pair) for name, pair in pairs.items()}
    return change


def _node(diff: NodeDiff) -> dict[str, Any]:
    """Return how a node differs: why, its status, its outputs and its error."""
    what = diff.changes
    if diff.before is None or diff.after is None:
        what = _ONLY_ONE[diff.before is None]
    elif not what and diff.status[0] != diff.status[1]:
        what = "it ended in another way"
    outputs = [_output(output) for output in diff.outputs]
    found: dict[str, Any] = {"id": diff.node, "what": what or "its outputs differ"}
    found |= {"before": diff.status[0], "after": diff.status[1]}
    if outputs or diff.files:
        found["outputs"] = [*outputs, *(f"{file}: another content" for file in diff.files)]
    if any(diff.error):
        found["errors"] = list(diff.error)
    return found


def _output(diff: OutputDiff) -> str:
    if diff.before is None or diff.after is None:
        return f"{diff.id}: {'new' if diff.before is None else 'gone'}"
    rows = diff.before.rows, diff.after.rows
    told = list(diff.columns)
    if rows[0] != rows[1]:
        told.insert(0, f"{rows[0]:,} -> {format_count(rows[1], 'row')}")
    return f"{diff.id}: {', '.join(told) or 'other values'}"


def _is_told(timing: Timing) -> bool:
    difference = abs(timing.after - timing.before)
    return difference > max(_LEAST, _SLOWER * timing.before)


def _timing(timing: Timing) -> dict[str, Any]:
    what = "slower" if timing.after > timing.before else "faster"
    return {"id": timing.node, "what": what, "seconds": [round(timing.before, 6), round(timing.after, 6)]}
