"""Words the last line of a run: its status, how many nodes ran, were reused or failed, and how to go on from there."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.core.events import NOT_SELECTED, STATUSES
from nfrun.core.text import escape_controls
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.run_record import RunRecord

GO_ON = "to go on from here: "  # begins the line with the command
_WORDS = {"ok": "ran", NOT_SELECTED: "not selected"}  # what people read instead of the status


def last_line(record: RunRecord, command: str = "") -> str:
    """Return the last line of a run that has ended: `flights: ok, 3 ran, 17 reused, 0.4 s`.

    If the run did not end well, a second line has the `command` that goes on from what had finished, unless there is
    none.
    """
    status = record.end.status if record.end else "failed"
    counts = counts_of_nodes(record.counts())
    if record.tolerated:
        failed, few = record.counts()["failed"], f"{record.tolerated:,} "
        some = f"{failed:,} failed ({'' if record.tolerated == failed else few}tolerated)"
        counts = [some if text == f"{failed:,} failed" else text for text in counts]
    rows = _rows(record)
    line = f"{escape_controls(record.pipeline.name)}: {', '.join([status, *counts, *rows, _seconds(record.at)])}"
    return f"{line}\n{GO_ON}{escape_controls(command)}" if command and status != "ok" else line


def counts_of_nodes(counts: Mapping[str, int]) -> list[str]:
    """Return the numbers of nodes by status as people read them: `3 ran`, `17 reused`."""
    return [f"{counts[s]:,} {_WORDS.get(s, s)}" for s in (*STATUSES, NOT_SELECTED) if counts.get(s)]


def _rows(record: RunRecord) -> list[str]:
    """Return how many rows of mapped nodes were computed, and how many failed, if these were not all."""
    maps = [node.map for node in record.nodes.values() if node.map is not None and node.status in ("ok", "failed")]
    rows, reused = sum(each.rows for each in maps), sum(each.reused for each in maps)
    failed = sum(node.map.failed for node in record.nodes.values() if node.map is not None and node.status == "ok")
    computed = [f"{rows - reused:,} of {rows:,} rows computed"] if reused else []
    return [*computed, *([f"{format_count(failed, 'row')} failed"] if failed else [])]


def _seconds(value: float) -> str:
    """Format seconds with as many digits as people want to read: `26.9 ms`, `0.4 s`, `12 s`, `4 m 10 s`."""
    if 0.05 <= value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return format_seconds(value)
