"""Compares two runs by their journals: parameters, versions, and of every node why it ran, its outputs and its time.

The difference is a JSON document. Lines for people are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nfrun.core.errors import NotRecorded
from nfrun.core.pipeline import TABLE, form_of
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.history.cache.change_text import entry_changes
from nfrun.history.journal import RUNS_LAST, FinishedOutput, JournalContents, RecordedNode, reader_digest
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.layout import Look
from nfrun.lookback.recorded_run import why
from nfrun.lookback.run_reference import LAST, ListedRun, find_run, run_before
from nfrun.lookback.run_view import run_json
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.table_preview import cell_text
from nfrun.system.checksums import shown_name

Runs = tuple[ListedRun, ListedRun]  # the earlier and the later one
NOT_ENDED = "not ended"
Pair = tuple[str, str]  # of the earlier and the later run; "" where there is nothing
Document = Mapping[str, Any]

# Returns how the rows of an output differ, given as it is in both runs, None where a run does not have it. The result
# has the numbers of rows that `changed`, are `new` and are `gone`, and the first of each as `rows`: `row` is the key or
# the position from 0, `before` and `after` are the values that differ, or all values of a row that only one run has. Or
# it has an `error`, which says why they are not compared. None is nothing to show.
Rows = Callable[[FinishedOutput | None, FinishedOutput | None], Document | None]


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


def diff_runs(
    runs: Runs, journals: Sequence[JournalContents], rows: Rows = lambda before, after: None
) -> dict[str, Any]:
    """Return the difference between two runs as a JSON document, from their journals.

    `params` and `versions` have the values that differ, `nodes` those that differ, in the order of the later journal
    with those that are gone last, and `same` is the number of the others. `seconds` are those of the nodes that ran in
    both. Runs whose times alone differ are `equal`.
    """
    before, after = journals
    first, second = before.ends, after.ends
    names = list(dict.fromkeys([*second, *first]))
    absent = _absent(before), _absent(after)
    nodes = [
        node for name in names if (node := _node(name, first.get(name), second.get(name), absent, rows)) is not None
    ]
    started = [run.started for run in journals if run.started is not None and run.started.at]
    params, versions = (
        _changed_values(*(getattr(run, what) for run in started)) if len(started) == 2 else {}  # else one is older
        for what in ("params", "versions")
    )
    return {
        "before": run_json(runs[0]),
        "after": run_json(runs[1]),
        "equal": not nodes and not params and not versions and before.ended == after.ended,
        "params": params,
        "versions": versions,
        "nodes": nodes,
        "same": len(names) - len(nodes),
        "seconds": {
            name: [first[name].duration, end.duration]
            for name, end in second.items()
            if name in first and first[name].status == end.status == "ok"
        },
    }


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


def _node(
    name: str, before: RecordedNode | None, after: RecordedNode | None, absent: Pair, rows: Rows
) -> dict[str, Any] | None:
    """Return the difference of a node, None if there is none. `absent` is the status of a node without a line.

    `because` says in words what changed of its code, inputs, values, packages and files, "" if nothing is known to have
    changed; of a node that did not finish, why it ran or did not run. `files` are those that it wrote with another
    content.
    """
    status = before.status if before else absent[0], after.status if after else absent[1]
    error = _error(before), _error(after)
    because, outputs, files = "", [], []
    if before and after and before.is_finished and after.is_finished:
        both_last = before.reason == after.reason == RUNS_LAST  # they run each time and have no key
        if not both_last and (before.key is None or before.key != after.key or before.reads != after.reads):
            because = entry_changes(before, after)
        outputs = [*_outputs(before, after, rows)]
        names = dict.fromkeys([*before.wrote, *after.wrote])
        files = [shown_name(file) for file in names if before.wrote.get(file) != after.wrote.get(file)]
    elif after and not after.is_finished:  # it may have ended alike in both runs
        because = "" if before and (before.status, why(before)) == (after.status, why(after)) else why(after)
    ended = [text.replace("reused", "ok") for text in status]  # a reused node has ended as well as one that ran
    if not (because or outputs or files or ended[0] != ended[1] or error[0] != error[1]):
        return None
    end = after or before
    return {
        "node": name,
        **({"of": end.of, "matrix": dict(end.cell)} if end and end.of else {}),
        "change": _change(status),
        "status": list(status),
        "error": list(error),
        "because": because,
        "outputs": outputs,
        "files": files,
    }


def _change(status: Pair) -> str:
    """Return in a word how a node differs."""
    if "" in status:
        return "gone" if status[0] else "new"
    return "failed" if status[1] == "failed" and status[0] != "failed" else "changed"


def _outputs(before: RecordedNode, after: RecordedNode, rows: Rows) -> Iterator[dict[str, Any]]:
    for id, output in {output.id: output for output in (*before.outputs, *after.outputs)}.items():
        old, new = before.output(id), after.output(id)
        if old is not None and new is not None and reader_digest(old) == reader_digest(new):
            continue
        data = rows(old, new)
        yield {
            "id": id,
            **({"type": output.type} if output.type != TABLE else {}),
            **{what: [getattr(side, what, None) for side in (old, new)] for what in ("rows", "schema", "digest")},
            **({"data": data} if data is not None else {}),
        }


def _error(end: RecordedNode | None) -> str:
    return end.failure.error if end and end.failure else ""


def _changed_values(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, Pair]:
    """Return the values that differ as texts, by name."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return {name: (_value_text(before.get(name)), _value_text(after.get(name))) for name in names}


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


_MAX_NODES, _MAX_TIMES = 50, 10
_MAX_COLUMNS, _MAX_CELLS = 8, 6  # of a schema, and of a row
_MAX_FILES = 4
_ALL = ": --all shows all that differ"
_NO_ROW = "no row differs in the columns that both have"
_SECONDS = 0.001  # a smaller difference of times is not shown


def diff_lines(diff: Document, runs: Runs, look: Look, *, by: str = "row", all: bool) -> Iterator[str]:
    """Yield the lines that show the difference between two runs. Rows are called by the column `by`.

    The cells of a matrix that differ alike have one line. With `all`, all nodes have lines, however many.
    """
    wall = [run.duration for run in runs]
    if diff["equal"]:
        took = "" if None in wall else f"; {' -> '.join(format_seconds(second or 0.0) for second in wall)}"
        nodes = format_count(diff["same"], "node")
        yield f"run {runs[1].number} equals run {runs[0].number}: {nodes}, the same code, inputs and outputs{took}"
        return
    yield look.paint(
        " -> ".join(f"{escape_controls(run.file)} run {run.number} ({run.status})" for run in runs), "bold"
    )
    profiles = runs[0].header.profile, runs[1].header.profile
    if profiles[0] != profiles[1]:
        yield f"profile: {_arrow(profiles)}"
    for name, pair in diff["params"].items():
        yield f"parameter {escape_controls(name)}: {_arrow(pair)}"
    for name, pair in diff["versions"].items():
        yield f"version of {escape_controls(name)}: {_arrow(pair)}"
    yield ""
    groups = [[node] for node in diff["nodes"]] if all else _alike(diff["nodes"])
    shown = groups if all else groups[:_MAX_NODES]
    width = max((len(alike[0]["change"]) for alike in shown), default=0)
    for alike in shown:
        yield from _node_lines(alike, width, by, look)
    if left := sum(map(len, groups[len(shown) :])):
        yield look.paint(f"… and {format_count(left, 'more node')}{_ALL}", "dim")
    if same := diff["same"]:
        yield look.paint(f"{format_count(same, 'node')} {'is' if same == 1 else 'are'} the same", "dim")
    yield from _time_lines(diff["seconds"], runs, wall, look)


def _arrow(pair: Sequence[str]) -> str:
    return " -> ".join(ellipsize(text, 80) or "nothing" for text in pair)


def _alike(nodes: Sequence[Document]) -> list[list[Document]]:
    """Group the cells of a matrix whose lines are the same. Each other node is a group of its own."""
    groups: dict[tuple[str, ...], list[Document]] = {}
    for node in nodes:
        key = (node["of"], node["change"], *facts_of(node)) if "of" in node else (node["node"],)
        groups.setdefault(key, []).append(node)
    return list(groups.values())


def _node_lines(nodes: Sequence[Document], width: int, by: str, look: Look) -> Iterator[str]:
    """Yield the lines of a node, or of cells that differ alike: with the outputs of the first one."""
    node, *others = nodes
    name = f"{node['of']} ({len(nodes):,} cells)" if others else node["node"]
    word, facts = node["change"], "; ".join(facts_of(node))
    yield f"{look.paint(word.ljust(width), word)}  {escape_controls(f'{name}: {facts}')}"
    indent = " " * (width + 4)
    for output in node["outputs"]:
        head = f"{escape_controls(output['id'])}: " if output["id"] != name else ""
        what, *columns = output_texts(output)
        yield f"{indent}{head}{what}"
        for column in [*columns[:_MAX_COLUMNS], *_more(columns, _MAX_COLUMNS, "column")]:
            yield f"{indent}  {ellipsize(column, 200)}"
        for line in _row_lines(output["data"], by) if "data" in output else ():
            yield f"{indent}  {line}"
    if others and node["outputs"]:
        yield look.paint(f"{indent}… and {format_count(len(others), 'more cell')}{_ALL}", "dim")


def facts_of(node: Document) -> Iterator[str]:
    """Yield what differs of a node itself."""
    before, after = node["status"]
    if "" in (before, after):
        yield before + after
    elif before != after and {before, after} != {"ok", "reused"}:
        yield f"{before} -> {after}"
    if node["error"][1] and node["error"][0] != node["error"][1]:
        yield ellipsize(node["error"][1], 200)
    if node["because"]:
        yield node["because"]
    elif node["outputs"]:
        yield "it gave another result, though nothing that nfrun sees has changed"
    if node["files"]:
        yield f"it wrote other content to {shortened(node['files'], _MAX_FILES)}"


def output_texts(output: Document) -> Iterator[str]:
    """Yield in a few words how an output differs, and then how its columns do."""
    form, (old, new) = form_of(output.get("type", TABLE)), output["rows"]
    if old is None or new is None:
        given = format_count(old or new or 0, "row") if "type" not in output else f"a {form}"
        yield f"{given}, which the {'earlier' if old is None else 'later'} run does not have"
        return
    digests, rows = output["digest"], "" if "type" in output else f", {format_count(new, 'row')}"
    what = "another schema" if digests[0] == digests[1] else f"other content{'' if rows else f' of the {form}'}"
    yield f"{what}{rows}" if old == new else f"{old:,} -> {format_count(new, 'row')}"
    yield from schema_changes(*output["schema"])


def _row_lines(found: Document, by: str) -> Iterator[str]:
    if "error" in found:
        yield found["error"]
        return
    counts = [f"{format_count(found[word], 'row')} {word}" for word in ("changed", "new", "gone") if found[word]]
    yield ", ".join(counts) or _NO_ROW
    for row in found["rows"]:
        yield _row_text(by, **row)


def _row_text(by: str, row: Any, before: Document | None, after: Document | None) -> str:
    if before is None or after is None:
        sign, values = ("+", after) if before is None else ("-", before)
        cells = [f"{ellipsize(name, 40)} {_value(value)}" for name, value in (values or {}).items()]
    else:
        sign = " "
        cells = [f"{ellipsize(name, 40)} {_value(before[name])} -> {_value(after[name])}" for name in after]
    shown = ", ".join([*cells[:_MAX_CELLS], *_more(cells, _MAX_CELLS, "value")])
    return f"{sign} {ellipsize(by, 40)} {cell_text(row)}: {shown}"


def _value(value: object) -> str:
    return "null" if value is None else cell_text(value)


def _more(found: Sequence[object], most: int, what: str) -> list[str]:
    return [f"… and {format_count(len(found) - most, f'more {what}')}"] if len(found) > most else []


def _time_lines(
    seconds: Mapping[str, Sequence[float]], runs: Runs, wall: Sequence[float | None], look: Look
) -> Iterator[str]:
    """Yield a table of times: the whole run, then the nodes that ran in both runs, those that got slower most first."""
    compared = [(name, old, new) for name, (old, new) in seconds.items() if abs(new - old) >= _SECONDS]
    rows = sorted(compared, key=lambda row: row[1] - row[2])[:_MAX_TIMES]
    more = len(compared) - len(rows)
    if wall[0] is not None and wall[1] is not None:
        rows.insert(0, ("the whole run", wall[0], wall[1]))
    if not rows:
        return
    yield ""
    headings = ("time", *(f"run {run.number}" for run in runs), "change")
    cells = [(name, format_seconds(old), format_seconds(new), _signed(new - old)) for name, old, new in rows]
    yield from look.columns(headings, cells, right=headings[1:])
    if more:
        yield look.paint(f"… and {format_count(more, 'more node')} that ran in both runs", "dim")


def _signed(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{format_seconds(abs(seconds))}"
