"""Lays out the live view: at most 16 rows, in one grid, within the width of the terminal.

A row has a mark, a label, a figure, a bar and a text. Marks show the states and bars the progress, so that colours only
repeat what can be seen without them. The colours are of the 16 that every terminal has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from nfrun.core.pipeline import OutputId
from nfrun.core.text import cell_width, fit_cells
from nfrun.core.values import frozen
from nfrun.reports.format_units import format_progress, format_seconds
from nfrun.reports.run_record import NodeRecord, RunRecord, StageCounts, folded

_STAGES, _RUNNING, _FAILED = 5, 6, 3  # with the head line and one line for the omitted stages, at most 16
_MAX_LABEL, _MIN_LABEL = 40, 10
_MAX_BAR, _MIN_BAR = 24, 6
_MIN_TEXT = 8
_MIN_WIDTH = 30
FIGURE = 9  # columns of the widest duration
_NAMES = 8  # of a stage
_CELLS = 4  # names of running cells of a matrix

DIM = "2"
_BOLD, _RED, _GREEN, _YELLOW, _CYAN = "1", "31", "32", "33", "36"
_STATES = {  # the mark and its colour
    "ok": ("✓", _GREEN),
    "failed": ("✗", _RED),
    "running": ("▸", _CYAN),
    "retrying": ("↻", _YELLOW),
    "skipped": ("-", _YELLOW),
    "waiting": (" ", ""),
}


@frozen
class Look:
    """Writes marks and bars, with colours or none."""

    colored: bool

    def style(self, text: str, code: str) -> str:
        """Give a text a style, if the terminal has colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if text and code and self.colored else text

    def mark(self, state: str) -> str:
        """Return the mark of a state, in its colour."""
        return self.style(*_STATES[state])

    def bar(self, done: float, width: int, color: str) -> str:
        """Return a bar of `width` columns, which is full only at 1 and empty only at 0."""
        full = round(done * width)
        if 0 < done < 1:
            full = min(max(full, 1), width - 1)
        return self.style("━" * full, color) + self.style("╌" * (width - full), DIM)


@frozen
class Grid:
    """The widths of the columns for labels and for figures, and the names in each stage. They stay during a run."""

    labels: int
    figures: int
    stages: tuple[str, ...] = ()

    def labels_within(self, width: int) -> int:
        """Return the width of the labels in a terminal of this width."""
        return min(self.labels, max(_MIN_LABEL, width // 3))


@frozen
class _Row:
    """A row of the grid. `bar` says which part is done, None without a bar."""

    state: str
    label: str
    figure: str
    bar: float | None = None
    text: str = ""


def grid_of(record: RunRecord) -> Grid:
    """Return the grid for the nodes and stages of a run."""
    stages = record.plan.stages
    labels = max(len(_stage_label(len(stages))), cell_width(max(record.nodes, key=len, default="")))
    largest = max(map(len, stages), default=0)
    largest = max([largest, *(counts.nodes for counts in record.matrices.values())])
    names = tuple([_names(stage, record) for stage in stages])
    return Grid(min(labels, _MAX_LABEL), max(FIGURE, 2 * len(f"{largest:,}") + 1), names)


def _names(stage: Sequence[str], record: RunRecord) -> str:
    """Return the names of the first nodes of a stage, with the cells of a matrix as one."""
    names = folded(stage, record.cells) if record.cells else stage
    return ", ".join(names[:_NAMES]) + (", …" if len(names) > _NAMES else "")


def live_rows(record: RunRecord, now: float, grid: Grid, width: int, look: Look) -> list[str]:
    """Return the rows at `now` seconds after the start, with their styles, none wider than `width` columns.

    Below 30 columns there is only the name. What this costs does not depend on the number of nodes.
    """
    if width < _MIN_WIDTH:
        return [fit_cells(record.pipeline.name, width)]
    rows = [_head(record, now, width, look)]
    for row in (*_stages(record, grid), *_running(record, now), *_failures(record)):
        if isinstance(row, str):
            rows.append(look.style(fit_cells(f"    {row}", width, middle=False), DIM))
        else:
            rows.append(_line(row, grid, width, look))
    return rows


def _head(record: RunRecord, now: float, width: int, look: Look) -> str:
    counts = record.counts()
    parts = {
        "nodes": f"{sum(counts.values()):,}/{len(record.nodes):,} nodes",
        "running": f"{len(record.running):,} running",
        **{status: f"{counts[status]:,} {status}" for status in ("failed", "reused", "skipped") if counts[status]},
        "time": format_seconds(now),
    }
    colors = {"running": _CYAN, "failed": _RED, "skipped": _YELLOW}
    wanted = min(cell_width(record.pipeline.name), _MIN_LABEL)
    for part in ("skipped", "reused", "running", "time", "failed"):
        if wanted + sum(len(text) + 2 for text in parts.values()) > width:
            parts.pop(part, None)
    name = fit_cells(record.pipeline.name, width - sum(len(text) + 2 for text in parts.values()))
    return "  ".join(
        [look.style(name, _BOLD), *(look.style(text, colors.get(part, "")) for part, text in parts.items())]
    )


def _line(row: _Row, grid: Grid, width: int, look: Look) -> str:
    """Return a row of the grid. In a narrow terminal bars and texts shrink first, then figures are left out."""
    color = _STATES[row.state][1]
    labels = grid.labels_within(width)
    label = fit_cells(row.label, labels)
    line = f"  {look.mark(row.state)} {label}"
    left = width - 4 - labels - 2 - grid.figures
    if left < 0:
        return line
    line += f"{' ' * (labels - cell_width(label))}  {row.figure:>{grid.figures}}"
    if row.bar is not None:
        bar = min(_MAX_BAR, left // 2 - 2 if row.text else left - 2)
        if bar >= _MIN_BAR:
            line += f"  {look.bar(row.bar, bar, color)}"
            left -= bar + 2
    text = fit_cells(row.text, left - 2, middle=False) if left - 2 >= _MIN_TEXT else ""
    return f"{line}  {look.style(text, color if row.state == 'failed' else DIM)}" if text else line


def _stages(record: RunRecord, grid: Grid) -> Iterator[_Row | str]:
    """Yield the rows of the stages around the first one that has not ended."""
    stages = record.plan.stages
    running = {node.stage for node in record.running.values()}
    first = max(0, min(record.open_stage() - 1, len(stages) - _STAGES))
    for i in range(first, min(first + _STAGES, len(stages))):
        counts = record.stage_counts[i]
        names = grid.stages[i]
        text = f"{counts.failed:,} failed of {names}" if counts.failed else names
        figure, done = f"{counts.succeeded:,}/{counts.nodes:,}", counts.succeeded / counts.nodes
        yield _Row(_state(counts, i in running), _stage_label(i + 1), figure, done, text)
    if len(stages) > _STAGES:
        yield f"of {len(stages):,} stages"


def _state(counts: StageCounts, running: bool) -> str:
    if counts.failed:
        return "failed"
    if counts.has_ended:
        return "ok" if counts.succeeded == counts.nodes else "skipped"
    return "running" if running or counts.succeeded else "waiting"


def _stage_label(number: int) -> str:
    return f"stage {number:,}"


def _running(record: RunRecord, now: float) -> Iterator[_Row | str]:
    rows: dict[str, list[tuple[str, NodeRecord]]] = {}  # the cells of a matrix have one
    for name, node in record.running.items():
        rows.setdefault(record.cells.get(name, name), []).append((name, node))
    more = len(rows) - _RUNNING
    shown = list(islice(rows.items(), _RUNNING - (more > 0)))
    for of, nodes in shown:
        name, node = nodes[0]
        if name in record.cells:
            yield _cells(of, record.matrices[of], [cell for cell, _ in nodes])
            continue
        done, total = node.progress or (0.0, None)
        bar = min(1.0, max(0.0, done / total)) if total and total > 0 else None
        text = format_progress(node, now)
        if node.attempts > 1:
            text = f"attempt {node.attempts}  {text}".rstrip()
        yield _Row("running", name, format_seconds(max(0.0, now - node.since)), bar, text)
    if more > 0:
        yield f"and {len(record.running) - sum(len(nodes) for _, nodes in shown):,} more running"


def _cells(of: str, counts: StageCounts, running: Sequence[str]) -> _Row:
    """Return the row of a matrix of which cells are running: how many have ended, and which are running."""
    names = ", ".join([OutputId(name).cell("") for name in running[:_CELLS]])
    failed = f"{counts.failed:,} failed, " if counts.failed else ""
    text = f"{failed}{len(running):,} running: {names}{', …' if len(running) > _CELLS else ''}"
    return _Row("running", of, f"{counts.succeeded:,}/{counts.nodes:,}", counts.succeeded / counts.nodes, text)


def _failures(record: RunRecord) -> Iterator[_Row]:
    """Yield the rows of the nodes that wait for their next attempt, and of those that failed last."""
    retrying = list(islice(record.retrying.items(), _FAILED))
    failed = list(islice(reversed(record.failed.items()), _FAILED - len(retrying)))
    for name, node in [*failed[::-1], *retrying]:
        error = node.failure.error if node.failure else ""
        retry = f"attempt {node.attempts} failed: " if node.status == "retrying" else ""
        yield _Row(node.status, name, format_seconds(node.duration), None, f"{retry}{error}")
