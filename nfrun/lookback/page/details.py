"""Adds to the nodes of a page what they printed, what their outputs hold, and the rows that failed checks.

A page has a size, so this goes as far as there is room, beginning with what matters most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.page.log_tails import LogTails
from nfrun.lookback.page.output_data import OutputContents
from nfrun.lookback.page.recorded import NOT_ENDED, Recorded
from nfrun.lookback.recorded_run import RecordedNode

MANY = 2_000  # nodes, from which on little is said of each
_ROOM, _ROOM_PER_NODE, _MOST_ROOM = 100_000, 1_200, 1_500_000  # bytes of JSON
_LEAST_EACH = 4_000  # of one output
_MOST_TABLES, _MOST_TABLES_OF_MANY = 150, 30
_FAILING_ROWS = 10


def add_details(
    work: WorkDir, found: Recorded, shown: Mapping[str, dict[str, Any]], *, has_contents: bool = True
) -> None:
    """Add these details to `shown`, the nodes of the page by their ids.

    Nodes that failed or have not ended come first, then those with outputs of the pipeline, then the longest ones.
    Without `has_contents`, nothing of what outputs hold is added.
    """
    count = len(found.nodes)
    room = min(_MOST_ROOM, _ROOM + _ROOM_PER_NODE * count)
    left = _MOST_TABLES if count <= MANY else _MOST_TABLES_OF_MANY
    each = max(_LEAST_EACH, room // max(1, count))
    logs, contents = LogTails(found.run), OutputContents(work, found.run, count)
    for node in sorted(found.nodes.values(), key=_rank):
        details = shown[node.node]
        has_room = left > 0 and room > 0
        if has_room and (log := logs.of(node)):
            details["log"] = log
            room -= len(json.dumps(log))
        if has_room and has_contents and node.checks:
            _add_failing_rows(node, details["checks"])
        for output, of_output in zip(node.outputs, details.get("outputs", ()), strict=True):
            if has_contents and left > 0 and room > 0:
                of_output.update(contents.of(output, min(room, each)))
                room -= len(json.dumps(of_output))
            elif count <= MANY:
                of_output["kept"] = contents.is_kept(output)
            left -= 1


def _rank(node: RecordedNode) -> tuple[bool, bool, float]:
    """Return what sorts the nodes of which most is to be said first."""
    return node.status not in ("failed", NOT_ENDED), not any(output.shown for output in node.outputs), -node.duration


def _add_failing_rows(node: RecordedNode, shown: list[dict[str, Any]]) -> None:
    """Add the first rows that fail a check, from the file that has them; its line in the journal has fewer."""
    for check, of_check in zip(node.checks, shown, strict=True):
        if check.path is None or not Path(check.path).is_file():
            continue
        from nfrun.lookback.page.table_data import failing_rows

        try:
            of_check["rows"] = failing_rows(Path(check.path), _FAILING_ROWS)
        except HandoffError:
            continue
