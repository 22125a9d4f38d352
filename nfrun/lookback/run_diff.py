"""Compares two runs by their journals: parameters, versions, and of every node why it ran, its outputs and its time.

It formats what differs as lines for people, and as a JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.errors import NotRecorded
from nfrun.core.pipeline import TABLE, OutputId
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.core.values import field, frozen
from nfrun.history.cache.change_text import entry_changes
from nfrun.history.journal import RUNS_LAST, FinishedOutput, JournalContents, RecordedNode, reader_digest
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.layout import Look
from nfrun.lookback.recorded_run import why
from nfrun.lookback.run_reference import LAST, ListedRun, find_run, run_before
from nfrun.lookback.run_view import run_json
from nfrun.reports.format_units import format_calls, format_count, format_outputs, format_seconds
from nfrun.reports.table_preview import cell_text
from nfrun.system.checksums import shown_name

Runs = tuple[ListedRun, ListedRun]  # the earlier and the later one
NOT_ENDED = "not ended"
Pair = tuple[str, str]  # of the earlier and the later run; "" where there is nothing


@frozen
class OutputDiff:
    """An output that differs between two runs. `before` or `after` is None where that run has no such output.

    `columns` describes the difference of the schemas, one line for each column.
    """

    id: OutputId
    before: FinishedOutput | None
    after: FinishedOutput | None
    columns: tuple[str, ...]


@frozen
class ChangedRow:
    """A row that differs.

    `label` is its key, or its position from 0. `before` and `after` have the values of the columns that differ. A row
    that only one of the tables has has all its values there, and None for the other table.
    """

    label: object
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


@frozen
class RowDiff:
    """The difference between the rows of two tables.

    `by` is the key column, or "row". `changed`, `added` and `removed` are numbers of rows, and `rows` are the first of
    each. Only columns that both tables have are compared.
    """

    by: str
    changed: int
    added: int
    removed: int
    rows: tuple[ChangedRow, ...]


@frozen
class NodeDiff:
    """A node that differs between two runs. `before` or `after` is None where that run does not have the node.

    If the node `runs_last`, it is in the file although a run does not have it: `on_failure` nodes run after failures.

    `changes` says in words what changed of its code, inputs, values, packages and files, "" if nothing is known to have
    changed; of a node that did not finish, why it ran or did not run. `status` and `error` are those of both runs. The
    status in a run that does not have the node is "", or `not ended` if the run was killed. `outputs` are those that
    differ, and `files` the names of files that it wrote with another content.
    """

    node: str
    before: RecordedNode | None
    after: RecordedNode | None
    changes: str
    status: Pair
    error: Pair
    outputs: tuple[OutputDiff, ...]
    files: tuple[str, ...]

    @property
    def runs_last(self) -> bool:
        """Whether it is a node of `on_failure` or `finally`."""
        return any(end is not None and end.reason == RUNS_LAST for end in (self.before, self.after))


@frozen
class Timing:
    """The seconds that a node took in both runs. It ran in both: it was not reused."""

    node: str
    before: float
    after: float


@frozen
class RunDiff:
    """The difference between two runs. `nodes` are those that differ, and `same` is how many do not.

    `params` and `versions` have the values that differ, by name.
    """

    before: JournalContents
    after: JournalContents
    params: Mapping[str, Pair]
    versions: Mapping[str, Pair]
    nodes: tuple[NodeDiff, ...]
    same: int
    timings: tuple[Timing, ...] = field(default=())

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs but times."""
        return not self.nodes and not self.params and not self.versions and self.before.ended == self.after.ended


def find_two_runs(work: WorkDir, pipeline: str | None, before: str | None, after: str | None) -> Runs:
    """Return the two runs that a user names: by default the last one and the one before it with the same profile.

    With one of them named, it is compared with the last run of its pipeline. Raises NotRecorded and OSError.
    """
    if before is None:
        last = find_run(work, pipeline)
        return run_before(work, last) or find_run(work, last.pipeline, f"{LAST}~1"), last
    first = find_run(work, pipeline, before)
    second = find_run(work, first.pipeline) if after is None else find_run(work, pipeline, after)
    if after is None and first.id == second.id:
        what = f"run {first.number} is the last one"
        raise NotRecorded(f"{what}: name the run to compare it with, such as {LAST}~1")
    return first, second


def diff_runs(before: JournalContents, after: JournalContents) -> RunDiff:
    """Compare two runs. Nodes are in the order of the later journal; those that are gone come last."""
    first, second = before.ends, after.ends
    names = list(dict.fromkeys([*second, *first]))
    absent = _absent(before), _absent(after)
    found = [
        diff for name in names if (diff := _node_diff(name, first.get(name), second.get(name), absent)) is not None
    ]
    started = [run.started for run in (before, after) if run.started is not None and run.started.at]
    params, versions = (
        _changed_values(*(getattr(run, what) for run in started)) if len(started) == 2 else {}  # else one is older
        for what in ("params", "versions")
    )
    timings = [Timing(name, first[name].duration, end.duration) for name, end in second.items() if name in first]
    ran = [timing for timing in timings if first[timing.node].status == second[timing.node].status == "ok"]
    return RunDiff(before, after, params, versions, tuple(found), len(names) - len(found), tuple(ran))


def schema_changes(before: str, after: str) -> tuple[str, ...]:
    """Describe the difference between two schemas, as `OutputRef.schema` has them: one line for each column."""
    first, second = (dict(column.partition(": ")[::2] for column in schema_columns(text)) for text in (before, after))
    lines = [f"{name}: {old} -> {second[name]}" for name, old in first.items() if second.get(name, old) != old]
    lines += [f"+ {name}: {kind}" for name, kind in second.items() if name not in first]
    lines += [f"- {name}: {kind}" for name, kind in first.items() if name not in second]
    return tuple(lines) or (("the columns are in another order",) if before != after else ())


def schema_columns(schema: str) -> Iterable[str]:
    """Yield the columns of a schema line. Types may have commas of their own, inside of brackets."""
    depth = start = 0
    for i, character in enumerate(schema):
        depth += (character in "<([{") - (character in ">)]}")
        if character == "," and depth <= 0:
            yield schema[start:i]
            start = i + 2
    if schema:
        yield schema[start:]


def _absent(run: JournalContents) -> str:
    """Return the status of a node that has no line in a journal: "", or that it did not end if the run may have it."""
    has_all = run.ended == "ok" or (run.ending is not None and run.ending.counts)
    return "" if has_all else NOT_ENDED


def _node_diff(name: str, before: RecordedNode | None, after: RecordedNode | None, absent: Pair) -> NodeDiff | None:
    """Return the difference of a node, None if there is none. `absent` is the status of a node without a line."""
    status = before.status if before else absent[0], after.status if after else absent[1]
    error = _error(before), _error(after)
    changes, outputs, files = "", [], []
    if before and after and before.is_finished and after.is_finished:
        both_last = before.reason == after.reason == RUNS_LAST  # they run each time and have no key
        if not both_last and (before.key is None or before.key != after.key or before.reads != after.reads):
            changes = entry_changes(before, after)
        outputs = [*_output_diffs(before, after)]
        names = dict.fromkeys([*before.wrote, *after.wrote])
        files = [shown_name(file) for file in names if before.wrote.get(file) != after.wrote.get(file)]
    elif after and not after.is_finished:  # it may have ended alike in both runs
        changes = "" if before and (before.status, why(before)) == (after.status, why(after)) else why(after)
    ended = [text.replace("reused", "ok") for text in status]  # a reused node has ended as well as one that ran
    if not (changes or outputs or files or ended[0] != ended[1] or error[0] != error[1]):
        return None
    return NodeDiff(name, before, after, changes, status, error, tuple(outputs), tuple(files))


def _output_diffs(before: RecordedNode, after: RecordedNode) -> Iterable[OutputDiff]:
    for id in dict.fromkeys(output.id for output in (*after.outputs, *before.outputs)):
        old, new = before.output(id), after.output(id)
        if old is None or new is None:
            yield OutputDiff(id, old, new, ())
        elif reader_digest(old) != reader_digest(new):
            columns = schema_changes(old.schema, new.schema)
            if not columns and old.digest == new.digest:
                columns = ("the metadata of the schema",)
            yield OutputDiff(id, old, new, columns)


def _error(end: RecordedNode | None) -> str:
    return end.failure.error if end and end.failure else ""


def _changed_values(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, Pair]:
    """Return the values that differ as texts, by name."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return {name: (_value_text(before.get(name)), _value_text(after.get(name))) for name in names}


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


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
        f"{status} (tolerated)" if end and end.tolerated and status == "failed" else status
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
