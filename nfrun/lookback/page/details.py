"""Adds to the nodes of a page what they printed, what their outputs hold, and the rows that failed checks.

A page has a size, so this goes as far as there is room, beginning with what matters most.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.text import file_stem
from nfrun.history.work_dir import WorkDir, is_run_id
from nfrun.lookback.log_files import last_lines, logs_of_nodes
from nfrun.lookback.page.output_data import OutputContents
from nfrun.lookback.page.recorded import NOT_ENDED, Recorded
from nfrun.lookback.recorded_run import RecordedNode
from nfrun.lookback.run_list import ListedRun

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


_LINES, _LONGEST_LINE = 20, 500


class LogTails:
    """The ends of the logs of a run. Those of a node that was reused are in the run in which it ran."""

    def __init__(self, run: ListedRun) -> None:
        self._run = run
        self._files: dict[Path, Mapping[str, Mapping[str, Path]]] = {}  # by the folder of the run

    def of(self, node: RecordedNode) -> dict[str, Any]:
        """Return the last lines of a node and where its logs are; empty where it has none."""
        home = node.finished.home if node.finished else ""
        folder = self._run.folder.with_name(home) if is_run_id(home) else self._run.folder
        if folder not in self._files:
            self._files[folder] = logs_of_nodes(folder)
        files = self._files[folder].get(file_stem(node.node), {})
        lines: list[str] = []
        with suppress(OSError):
            for path in files.values():
                lines += last_lines(path, _LINES + 1)  # one more tells that there are more
        if not lines:
            return {}
        shown = [line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…" for line in lines[-_LINES:]]
        return {"tail": shown, "path": str(next(iter(files.values()))), "more": len(lines) > _LINES}
