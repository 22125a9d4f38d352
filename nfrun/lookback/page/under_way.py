"""Finds out what was under way in a run that has no end: it was killed, or goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nfrun.core.text import file_stem, shortened
from nfrun.history.work_dir import JOURNAL
from nfrun.lookback.log_files import logs_of_nodes
from nfrun.lookback.page.recorded import NOT_ENDED, Recorded
from nfrun.lookback.run_list import RUNNING
from nfrun.reports.format_units import format_seconds

_ENDED_WELL = ("ok", "reused")
_MAX_LISTED = 4


def add_under_way(found: Recorded, nodes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Add to the nodes that were under way since when they were, and return what is known of the time of the run.

    Of a run that has ended, it adds and returns nothing. A node was under way if all that it waits for has ended and
    it has printed something, or if there was a slot for each such node.
    """
    if found.run.ending is not None:
        return {}
    printed = logs_of_nodes(found.run.folder)
    ended = max([span.ended for span in found.spans.values()], default=0.0)
    began = _modified(found.run.folder / JOURNAL) - ended  # the last line was written when the last node had ended
    is_running = found.run.status == RUNNING
    last = time.time() - began if is_running else ended
    ready = {name: at for name in found.nodes if (at := _ready_at(found, name)) is not None}
    sure = ready if len(ready) <= (found.slots or 0) else {n: at for n, at in ready.items() if file_stem(n) in printed}
    for name in sure:
        for path in printed.get(file_stem(name), {}).values():
            last = max(last, _modified(path) - began)
    for name, at in sure.items():
        seen = "it is under way" if is_running else "it was under way when the run was killed"
        times = {"queued": at, "started": at, "ended": max(at, last), "duration": max(0.0, last - at)}
        nodes[name].update({key: round(value, 6) for key, value in times.items()}, because=seen)
    names = shortened([*sure], _MAX_LISTED)
    if is_running:
        text = f"The run has been under way for {format_seconds(last)}"
        text += f": {names} {'is' if len(sure) == 1 else 'are'} under way." if sure else "."
    else:
        text = f"The run was killed after at least {format_seconds(last)}"
        text += f", when {names} {'was' if len(sure) == 1 else 'were'} under way." if sure else "."
    return {"duration": round(max(0.0, last), 6), "text": text}


def _ready_at(found: Recorded, name: str) -> float | None:
    """Return when a node that has not ended had all that it waits for, None if it had not."""
    if found.nodes[name].status != NOT_ENDED:
        return None
    before = found.graph.upstream(name)
    if any(found.nodes[need].status not in _ENDED_WELL for need in before):
        return None
    return max([found.spans[need].ended for need in before if need in found.spans], default=0.0)


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0
