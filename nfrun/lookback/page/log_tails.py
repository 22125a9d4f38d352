"""Shows the last lines of what nodes printed and logged."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.text import file_stem
from nfrun.history.work_dir import is_run_id
from nfrun.lookback.log_files import last_lines, logs_of_nodes
from nfrun.lookback.recorded_run import RecordedNode
from nfrun.lookback.run_list import ListedRun

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
