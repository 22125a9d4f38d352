"""Formats amounts for people: those of `nfrun.core.text`, and those of nodes and outputs. Says where outputs are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nfrun.core.events import NodeFinished, OutputRef
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import TABLE
from nfrun.core.text import format_count as format_count
from nfrun.core.text import format_seconds as format_seconds
from nfrun.core.text import format_size as format_size

if TYPE_CHECKING:
    from nfrun.history.journal import FinishedOutput
    from nfrun.reports.run_record import NodeRecord

PIPE_WIDTH = 2_000  # characters of a file or pipe: wide enough for any table, so that each row is one line


def format_amount(value: float) -> str:
    """Format an amount in a unit of a node's own: `1,234,567`, `0.25`, `1e+30`."""
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1_000 else f"{value:.3g}"


def format_progress(node: NodeRecord, now: float) -> str:
    """Format the progress of a node: `50 %  512/1,024`, or `512` if the total is not known; "" if it tells none."""
    if node.progress is None:
        return ""
    done, total = node.progress
    if node.map is not None:
        return format_rows(done, node.map, now - node.since)
    if not total or total < 0:
        return format_amount(done)
    return f"{int(100 * done / total)} %  {format_amount(done)}/{format_amount(total)}"


def format_rows(done: float, counts: MapCounts, seconds: float) -> str:
    """Format the progress of a mapped node: `412/648 rows, 31/s, 8 s left (200 reused, 2 failed)`."""
    parts = [f"{format_amount(done)}/{format_amount(counts.rows)} rows"]
    more = done - counts.reused
    if more > 0 and seconds > 0:
        rate = more / seconds
        parts.append(f"{format_amount(round(rate) if rate >= 10 else float(f'{rate:.2g}'))}/s")
        if counts.rows > done:
            parts.append(f"{format_seconds((counts.rows - done) / rate)} left")
    return f"{', '.join(parts)}{format_counts(counts)}"


def format_counts(counts: MapCounts | None) -> str:
    """Return how many rows of a mapped node were reused and how many failed, in parentheses, "" if none."""
    if counts is None:
        return ""
    found = [("reused", counts.reused), ("failed", counts.failed)]
    shown = ", ".join(f"{number:,} {what}" for what, number in found if number)
    return f" ({shown})" if shown else ""


def format_outputs(outputs: Iterable[OutputRef | FinishedOutput]) -> str:
    """Return the rows of the outputs that are tables and the size of the others: `12 rows`, `12 rows, 3.1 MB`."""
    found = list(outputs)
    tables = [output.rows for output in found if output.type == TABLE]
    files = [output.bytes for output in found if output.type != TABLE]
    rows = [format_count(sum(tables), "row")] if tables else []
    return ", ".join([*rows, format_size(sum(files))] if files else rows)


def format_finished(event: NodeFinished) -> str:
    """Return what a node that has finished made, and of a mapped one that ran, which rows were reused or failed."""
    return format_outputs(event.outputs.values()) + ("" if event.reused else format_counts(event.map))


def format_calls(counts: MapCounts) -> str:
    """Return what a mapped node has called: `10 calls for 210 rows (200 reused, 2 failed)`."""
    return f"{format_count(counts.calls, 'call')} for {format_count(counts.rows, 'row')}{format_counts(counts)}"


def path_here(ref: OutputRef) -> str | None:
    """Return the path of an output on this machine, also in a folder that machines share; None if it is in no file."""
    if ref.path is not None or ref.stored is None:
        return ref.path
    from nfrun.tables.places.base import path_of  # few runs have a place that machines share

    return path_of(ref.stored)


def shown_place(ref: OutputRef) -> str | None:
    """Return the path of an output, or its address in object storage; None if it is in no file."""
    return path_here(ref) or ref.stored
