"""Formats the difference between two runs: as lines for people, and as a JSON document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.output_types import TABLE
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.history.journal import UnfinishedNode
from nfrun.lookback.layout import Look
from nfrun.lookback.run_diff import ChangedRow, NodeDiff, OutputDiff, Pair, RowDiff, RunDiff, Runs, Timing
from nfrun.lookback.runs_view import run_json
from nfrun.reports.format_units import format_calls, format_count, format_outputs, format_seconds
from nfrun.reports.table_preview import cell_text

# Returns the rows of an output that differ, or a text why they are not compared; None if there is nothing to show.
Rows = Callable[[OutputDiff], RowDiff | str | None]

_MAX_NODES, _MAX_TIMES = 50, 10
_MAX_COLUMNS, _MAX_CELLS = 8, 6  # of a schema, and of a row
_MAX_FILES = 4
_ALL = ": --all shows all that differ"
_NO_ROW = "no row differs in the columns that both have"
_SECONDS = 0.001  # a smaller difference of times is not shown


def diff_lines(diff: RunDiff, runs: Runs, rows: Rows, look: Look, *, all: bool) -> Iterator[str]:
    """Yield the lines that show the difference between two runs.

    The cells of a matrix that differ alike have one line. With `all`, all nodes have lines, however many.
    """
    wall = [run.duration for run in runs]
    if diff.is_equal:
        took = "" if None in wall else f"; {' -> '.join(format_seconds(second or 0.0) for second in wall)}"
        nodes = format_count(diff.same, "node")
        yield f"run {runs[1].number} equals run {runs[0].number}: {nodes}, the same code, inputs and outputs{took}"
        return
    yield look.paint(
        " -> ".join(f"{escape_controls(run.file)} run {run.number} ({run.status})" for run in runs), "bold"
    )
    profiles = runs[0].header.profile, runs[1].header.profile
    if profiles[0] != profiles[1]:
        yield f"profile: {_arrow(profiles)}"
    for name, pair in diff.params.items():
        yield f"parameter {escape_controls(name)}: {_arrow(pair)}"
    for name, pair in diff.versions.items():
        yield f"version of {escape_controls(name)}: {_arrow(pair)}"
    yield ""
    groups = [[node] for node in diff.nodes] if all else _alike(diff.nodes)
    shown = groups if all else groups[:_MAX_NODES]
    width = max((len(change_of(alike[0])) for alike in shown), default=0)
    for alike in shown:
        yield from _node_lines(alike, width, rows, look)
    if left := sum(map(len, groups[len(shown) :])):
        yield look.paint(f"… and {format_count(left, 'more node')}{_ALL}", "dim")
    if diff.same:
        yield look.paint(f"{format_count(diff.same, 'node')} {'is' if diff.same == 1 else 'are'} the same", "dim")
    yield from _time_lines(diff.timings, runs, wall, look)


def diff_document(diff: RunDiff, runs: Runs, rows: Rows) -> dict[str, Any]:
    """Return the difference between two runs as JSON values."""
    before, after = map(run_json, runs)
    return {
        "before": before,
        "after": after,
        "equal": diff.is_equal,
        "params": {name: [*pair] for name, pair in diff.params.items()},
        "versions": {name: [*pair] for name, pair in diff.versions.items()},
        "nodes": [_node_document(node, rows) for node in diff.nodes],
        "same": diff.same,
        "seconds": {timing.node: [timing.before, timing.after] for timing in diff.timings},
    }


def change_of(node: NodeDiff) -> str:
    """Return in a word how a node differs."""
    if "" in node.status and not node.runs_last:
        return "gone" if node.status[0] else "new"
    return "failed" if node.status[1] == "failed" and node.status[0] != "failed" else "changed"


# ------------------------------------------------------------------ lines


def _arrow(pair: Pair) -> str:
    return " -> ".join(ellipsize(text, 80) or "nothing" for text in pair)


def _alike(nodes: Sequence[NodeDiff]) -> list[list[NodeDiff]]:
    """Group the cells of a matrix whose lines are the same. Each other node is a group of its own."""
    groups: dict[tuple[str, str, str], list[NodeDiff]] = {}
    for node in nodes:
        end = node.after or node.before
        of = end.of if end else ""
        key = (of, change_of(node), "; ".join(facts_of(node))) if of else (node.node, "", "")
        groups.setdefault(key, []).append(node)
    return list(groups.values())


def _node_lines(nodes: Sequence[NodeDiff], width: int, rows: Rows, look: Look) -> Iterator[str]:
    """Yield the lines of a node, or of cells that differ alike: with the outputs of the first one."""
    node, *others = nodes
    end = node.after or node.before
    name = f"{end.of} ({len(nodes):,} cells)" if others and end else node.node
    word, facts = change_of(node), "; ".join(facts_of(node))
    yield f"{look.paint(word.ljust(width), word)}  {escape_controls(f'{name}: {facts}')}"
    indent = " " * (width + 4)
    for output in node.outputs:
        if node.files and output.describes_a_file:
            continue  # that the file differs is said already
        head = f"{escape_controls(output.id)}: " if output.id != name else ""
        yield f"{indent}{head}{output_text(output)}"
        for column in [*output.columns[:_MAX_COLUMNS], *_more(output.columns, _MAX_COLUMNS, "column")]:
            yield f"{indent}  {ellipsize(column, 200)}"
        for line in _row_lines(rows(output)):
            yield f"{indent}  {line}"
    if others and node.outputs:
        yield look.paint(f"{indent}… and {format_count(len(others), 'more cell')}{_ALL}", "dim")


def facts_of(node: NodeDiff) -> Iterator[str]:
    """Yield what differs of a node itself."""
    before, after = (
        f"{status} (tolerated)" if isinstance(end, UnfinishedNode) and end.tolerated and status == "failed" else status
        for status, end in zip(node.status, (node.before, node.after), strict=True)
    )
    if "" in node.status:
        only = f"only the {'earlier' if before else 'later'} run has run it: " if node.runs_last else ""
        yield only + before + after
    elif before != after and {*node.status} != {"ok", "reused"}:
        yield f"{before} -> {after}"
    if node.error[1] and node.error[0] != node.error[1]:
        yield ellipsize(node.error[1], 200)
    if node.changes:
        yield node.changes
    elif node.outputs and node.before is not None and node.after is not None:
        yield "it gave another result, though nothing that nfrun sees has changed"
    if node.after is not None and node.after.map is not None and node.status[1] != "reused":
        yield format_calls(node.after.map)
    if node.files:
        yield f"it wrote other content to {shortened(node.files, _MAX_FILES)}"


def output_text(output: OutputDiff) -> str:
    """Return in a few words how an output differs, without its columns."""
    if output.before is None or output.after is None:
        given = output.after or output.before
        rows = format_outputs([given]) if given else ""
        return f"{rows}, which the {'earlier' if output.before is None else 'later'} run does not have"
    if output.after.type != TABLE:
        sizes = dict.fromkeys(format_outputs([side]) for side in (output.before, output.after))
        return f"other content, {' -> '.join(sizes)}"
    if output.before.rows != output.after.rows:
        return f"{output.before.rows:,} -> {format_count(output.after.rows, 'row')}"
    what = "another schema" if output.before.digest == output.after.digest else "other content"
    return f"{what}, {format_count(output.after.rows, 'row')}"


def _row_lines(found: RowDiff | str | None) -> Iterator[str]:
    if found is None:
        return
    if isinstance(found, str):
        yield found
        return
    counts = ((found.changed, "changed"), (found.added, "new"), (found.removed, "gone"))
    yield ", ".join(f"{format_count(count, 'row')} {word}" for count, word in counts if count) or _NO_ROW
    for row in found.rows:
        yield _row_text(found.by, row)


def _row_text(by: str, row: ChangedRow) -> str:
    label = cell_text(row.label)
    if row.before is None or row.after is None:
        sign, values = ("+", row.after) if row.before is None else ("-", row.before)
        cells = [f"{ellipsize(name, 40)} {_value(value)}" for name, value in (values or {}).items()]
    else:
        sign = " "
        cells = [f"{ellipsize(name, 40)} {_value(row.before[name])} -> {_value(row.after[name])}" for name in row.after]
    return f"{sign} {ellipsize(by, 40)} {label}: {', '.join([*cells[:_MAX_CELLS], *_more(cells, _MAX_CELLS, 'value')])}"


def _value(value: object) -> str:
    return "null" if value is None else cell_text(value)


def _more(found: Sequence[object], most: int, what: str) -> list[str]:
    return [f"… and {format_count(len(found) - most, f'more {what}')}"] if len(found) > most else []


def _time_lines(timings: Sequence[Timing], runs: Runs, wall: Sequence[float | None], look: Look) -> Iterator[str]:
    """Yield a table of times: the whole run, then the nodes that ran in both runs, those that got slower most first."""
    compared = [timing for timing in timings if abs(timing.after - timing.before) >= _SECONDS]
    compared.sort(key=lambda timing: timing.before - timing.after)
    shown = compared[:_MAX_TIMES]
    rows = [(timing.node, timing.before, timing.after) for timing in shown]
    if wall[0] is not None and wall[1] is not None:
        rows.insert(0, ("the whole run", wall[0], wall[1]))
    if not rows:
        return
    yield ""
    headings = ("time", *(f"run {run.number}" for run in runs), "change")
    cells = [(name, format_seconds(old), format_seconds(new), _signed(new - old)) for name, old, new in rows]
    yield from look.columns(headings, cells, right=headings[1:])
    if len(compared) > len(shown):
        more = format_count(len(compared) - len(shown), "more node")
        yield look.paint(f"… and {more} that ran in both runs", "dim")


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{format_seconds(abs(seconds))}"


# ------------------------------------------------------------------ JSON


def _node_document(node: NodeDiff, rows: Rows) -> dict[str, Any]:
    end = node.after or node.before
    return {
        "node": node.node,
        **({"of": end.of, "matrix": dict(end.cell)} if end and end.of else {}),
        "change": change_of(node),
        "status": [*node.status],
        "error": [*node.error],
        "because": node.changes,
        "outputs": [_output_document(output, rows) for output in node.outputs],
        "files": [*node.files],
    }


def _output_document(output: OutputDiff, rows: Rows) -> dict[str, Any]:
    sides = (output.before, output.after)
    found = rows(output)
    data: dict[str, Any] = {}
    if isinstance(found, str):
        data = {"data": {"error": found}}
    elif found is not None:
        counts = {"changed": found.changed, "new": found.added, "gone": found.removed}
        data = {"data": {**counts, "rows": [*map(_row_document, found.rows)]}}
    return {
        "id": output.id,
        "rows": [None if side is None else side.rows for side in sides],
        "schema": [None if side is None else side.schema for side in sides],
        "digest": [None if side is None else side.digest for side in sides],
        **data,
    }


def _row_document(row: ChangedRow) -> dict[str, Any]:
    return {"row": _plain(row.label), "before": _plain(row.before), "after": _plain(row.after)}


def _plain(value: object) -> Any:
    """Return a value of a table as a JSON value: what JSON does not have is a text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # NaN and infinity are texts
    return value if value is None or isinstance(value, bool | int | str) else str(value)
