"""Words the last line of a run: its status, how many nodes ran, were reused or failed, and how to go on from there."""

from __future__ import annotations

from nfrun.core.text import escape_controls
from nfrun.reports.format_units import format_seconds
from nfrun.reports.run_record import RunRecord

GO_ON = "to go on from here: "  # begins the line with the command
_WORDS = {"ok": "ran", "reused": "reused", "failed": "failed", "skipped": "skipped", "cancelled": "cancelled"}


def last_line(record: RunRecord, name: str, command: str = "") -> str:
    """Return the last line of a run that has ended: `flights: ok, 3 ran, 17 reused, 0.4 s`.

    `name` is that of the pipeline. If the run did not end well, a second line has the `command` that goes on from what
    had finished, unless there is none.
    """
    status = record.end.status if record.end else "failed"
    counts = [f"{count:,} {_WORDS[status]}" for status, count in record.counts().items() if count]
    if record.tolerated:
        failed, few = record.counts()["failed"], f"{record.tolerated:,} "
        some = f"{failed:,} failed ({'' if record.tolerated == failed else few}tolerated)"
        counts = [some if text == f"{failed:,} failed" else text for text in counts]
    line = f"{escape_controls(name)}: {', '.join([status, *counts, _seconds(record.at)])}"
    return f"{line}\n{GO_ON}{escape_controls(command)}" if command and status != "ok" else line


def _seconds(value: float) -> str:
    """Format seconds with as many digits as people want to read: `26.9 ms`, `0.4 s`, `12 s`, `4 m 10 s`."""
    if 0.05 <= value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    return format_seconds(value)
