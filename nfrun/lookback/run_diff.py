"""Compares two runs by their journals: parameters, versions, and of every node why it ran, its outputs and its time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from nfrun.core.errors import NotRecorded
from nfrun.core.pipeline import OutputId
from nfrun.core.values import field, frozen
from nfrun.history.cache.change_text import entry_changes
from nfrun.history.journal import RUNS_LAST, FinishedNode, FinishedOutput, JournalContents, UnfinishedNode
from nfrun.history.run_history import reader_digest
from nfrun.history.work_dir import WorkDir
from nfrun.lookback.recorded_run import Node, ends_of, why
from nfrun.lookback.run_list import ListedRun, run_before
from nfrun.lookback.run_reference import LAST, find_run
from nfrun.system.checksums import shown_name

Runs = tuple[ListedRun, ListedRun]  # the earlier and the later one
NOT_ENDED = "not ended"
_FILE_SCHEMA = "path: string, rows: int64, bytes: int64"  # of the table of a node that only writes a file
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

    @property
    def describes_a_file(self) -> bool:
        """Whether it is the table of a `write` node, which has the name and the size of the file."""
        return self.after is not None and self.after.schema == _FILE_SCHEMA


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
    before: Node | None
    after: Node | None
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
    first, second = ends_of(before), ends_of(after)
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
    ran = [timing for timing in timings if not _is_reused(first[timing.node]) and not _is_reused(second[timing.node])]
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


def _node_diff(name: str, before: Node | None, after: Node | None, absent: Pair) -> NodeDiff | None:
    """Return the difference of a node, None if there is none. `absent` is the status of a node without a line."""
    status = _status(before) or absent[0], _status(after) or absent[1]
    error = _error(before), _error(after)
    changes, outputs, files = "", [], []
    if isinstance(before, FinishedNode) and isinstance(after, FinishedNode):
        both_last = before.reason == after.reason == RUNS_LAST  # they run each time and have no key
        if not both_last and (before.key is None or before.key != after.key or before.reads != after.reads):
            changes = entry_changes(before, after)
        outputs = [*_output_diffs(before, after)]
        names = dict.fromkeys([*before.wrote, *after.wrote])
        files = [shown_name(file) for file in names if before.wrote.get(file) != after.wrote.get(file)]
    elif isinstance(after, UnfinishedNode):
        changes = "" if _ends_alike(before, after) else why(after)
    ended = [text.replace("reused", "ok") for text in status]  # a reused node has ended as well as one that ran
    if not (changes or outputs or files or ended[0] != ended[1] or error[0] != error[1]):
        return None
    return NodeDiff(name, before, after, changes, status, error, tuple(outputs), tuple(files))


def _ends_alike(before: Node | None, after: UnfinishedNode) -> bool:
    """Whether a node ended alike in both runs, without finishing, and ran or was skipped for the same reason."""
    return isinstance(before, UnfinishedNode) and (before.status, why(before)) == (after.status, why(after))


def _output_diffs(before: FinishedNode, after: FinishedNode) -> Iterable[OutputDiff]:
    for id in dict.fromkeys(output.id for output in (*after.outputs, *before.outputs)):
        old, new = before.output(id), after.output(id)
        if old is None or new is None:
            yield OutputDiff(id, old, new, ())
        elif reader_digest(old) != reader_digest(new):
            columns = schema_changes(old.schema, new.schema)
            if not columns and old.digest == new.digest:
                columns = ("the metadata of the schema",)
            yield OutputDiff(id, old, new, columns)


def _status(end: Node | None) -> str:
    if end is None:
        return ""
    if isinstance(end, UnfinishedNode):
        return end.status
    return "reused" if end.reused else "ok"


def _error(end: Node | None) -> str:
    return end.failure.error if isinstance(end, UnfinishedNode) and end.failure is not None else ""


def _is_reused(end: Node) -> bool:
    return not isinstance(end, FinishedNode) or end.reused


def _changed_values(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, Pair]:
    """Return the values that differ as texts, by name."""
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]
    return {name: (_value_text(before.get(name)), _value_text(after.get(name))) for name in names}


def _value_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
