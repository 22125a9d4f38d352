"""The result of a run in a Python program: its nodes, its failures, and its outputs, opened when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from html import escape
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Error, NotRecorded, UsageError
from nfrun.core.events import Frame
from nfrun.core.pipeline import TABLE, Gather, NodeSpec, OutputId, column_type
from nfrun.core.text import closest_match, ellipsize, escape_controls, shortened
from nfrun.core.values import frozen, replace
from nfrun.reports.format_units import format_count, format_seconds
from nfrun.reports.last_line import last_line
from nfrun.reports.run_record import NodeRecord
from nfrun.session.api.calls import shown_file
from nfrun.session.api.errors import RunFailed
from nfrun.session.run import Run

if TYPE_CHECKING:
    from nfrun.lookback.run_reference import ListedRun
    from nfrun.reports.printing import Printer

_MOST_LISTED = 8
_MOST_NODES, _MOST_SHOWN = 30, 5  # nodes that a notebook shows, and outputs and failures


@frozen
class NodeFailure:
    """The failure of a node. `type` and `message` are of the error; `traceback` is the text that `nfrun run` prints.

    `frames` are those of the user's code, the innermost last: `file`, `line`, `function` and `source`. `place` is where
    the node stands (`file:line:column`). `tolerated`: the failure does not let the run fail (`continue_on_error`).
    """

    node: str
    type: str
    message: str
    traceback: str
    place: str
    frames: tuple[Frame, ...]
    tolerated: bool

    def __str__(self) -> str:
        return self.traceback

    def _repr_html_(self) -> str:
        return as_html(self.traceback)


@frozen
class NodeResult:
    """The result of a node.

    `status` is `ok`, `reused`, `failed`, `skipped`, `cancelled`, `disabled` or `not_selected`. `took` is in seconds,
    over all `attempts`. `rows` and `bytes` are sums over its outputs. `because` is the node for which it was skipped,
    or why it is disabled. `checks` are the results of its checks, and `failure` says why it failed, None if it did not.
    """

    id: str
    status: str
    took: float
    attempts: int
    rows: int
    bytes: int
    because: str
    checks: tuple[CheckResult, ...]
    failure: NodeFailure | None
    _run: Callable[[], ListedRun]

    def log(self, stream: str = "stdout") -> str:
        """Return what its last attempt has written to `stdout` or `stderr`, or logged (`log`); "" for nothing.

        Of a node that was reused, it is what it wrote when it ran. Raises UsageError for another stream.
        """
        from nfrun.lookback.log_files import find_logs
        from nfrun.system.logs.node_logs import LOG, STREAMS

        if stream not in (*STREAMS, LOG):
            raise UsageError(f"stream: {stream!r} is none of {', '.join((*STREAMS, LOG))}", "stream")
        with suppress(NotRecorded, FileNotFoundError):
            if file := find_logs(self._run(), self.id)[0].get(stream):
                return file.read_text("utf-8", errors="replace")
        return ""


class Result(Mapping[str, Any]):
    """A run that has ended. As a mapping it has the outputs of the pipeline: a `pyarrow.Table`, mapped, or a Path.

    `status` is `ok`, `failed` or `cancelled`. `error` says why, if that is no failure of a node. `run` is the id of the
    run, and `number` its number in the work folder. `took` is in seconds. `warnings` are those of `nfrun run`.
    Any other output is there by its id: `result["split.large"]`, `result["score@lr@0"]`. The files of outputs stay in
    the work folder as those of any run do; NotRecorded says if one is gone, or if there never was one.
    """

    def __init__(self, run: Run, warnings: tuple[str, ...], *, interrupted: bool) -> None:
        self._run, self._record = run, run.record
        self._interrupted = interrupted
        self.run, self.number = run.started.run, run.started.number
        self.status: str = run.end.status
        self.error: str = run.end.error or ""
        self.took: float = run.end.at
        self.warnings = warnings

    # -- nodes -----------------------------------------------------------------------------------------------------

    @cached_property
    def nodes(self) -> Mapping[str, NodeResult]:
        """The result of each node, by its id, in the order of the file."""
        return _Nodes({name: self._node(name, node) for name, node in self._record.all_nodes().items()})

    def _node(self, name: str, node: NodeRecord) -> NodeResult:
        return NodeResult(
            id=name,
            status=node.status,
            took=node.duration,
            attempts=node.attempts,
            rows=node.rows,
            bytes=node.bytes,
            because=node.because,
            checks=node.checks,
            failure=self._failure(name, node),
            _run=lambda: self._listed,
        )

    def _failure(self, name: str, node: NodeRecord) -> NodeFailure | None:
        from nfrun.reports.summary import failure_text

        if node.failure is None or node.status != "failed":
            return None
        frames = tuple(replace(frame, file=shown_file(frame.file)) for frame in node.failure.frames)
        failure = replace(node.failure, frames=frames)
        place = self._record.place(name)
        skipped = [other for other, found in self._record.nodes.items() if found.because == name]
        text = failure_text(name, replace(node, failure=failure), place, skipped).strip()
        return NodeFailure(name, failure.type, failure.message, text, place, frames, node.tolerated)

    @cached_property
    def failures(self) -> tuple[NodeFailure, ...]:
        """The failures of all nodes that failed, in the order in which they did."""
        return tuple(failure for name in self._record.failed if (failure := self.nodes[name].failure) is not None)

    @property
    def counts(self) -> dict[str, int]:
        """The number of nodes by status."""
        return {status: count for status, count in self._record.counts().items() if count}

    def check(self) -> Result:
        """Return the result if the run has ended well.

        Otherwise raises RunFailed, with all failures in its text, or KeyboardInterrupt if Ctrl-C has cancelled the run.
        """
        __tracebackhide__ = True
        if self.status == "ok":
            return self
        if self._interrupted:
            raise KeyboardInterrupt(self._line)
        failures = [failure.traceback for failure in self.failures if not failure.tolerated]
        raise RunFailed("\n\n".join([self._line, *([self.error] if self.error else []), *failures]), self)

    # -- outputs ---------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"an output has a name, and {ellipsize(repr(name))} is none")
        named = self._run.pipeline.outputs.get(name)
        output = self._tables.output_id(name) if named is None else named
        return self._tables.tables([output])[output]

    def __iter__(self) -> Iterator[str]:
        return (name for name, output in self._run.pipeline.outputs.items() if output in self._record.refs)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def has(self, node: str, output: str = "") -> bool:
        """Return whether a node has an output in this run, its only one or the one of this name."""
        return OutputId(node, output) in self._record.refs

    def __contains__(self, name: object) -> bool:
        return any(name == each for each in self)

    def gather(self, node: str, form: str = "concat", *, columns: Sequence[str] | None = None) -> Any:
        """Return the outputs of all cells of a node together, as a node with `gather` reads them.

        `concat` gives one table, with a first column for each axis, or for those in `columns`; `dict` a mapping by the
        values on the axes, nested. `node` may be `node.output`. Cells without the output are left out. Raises
        NotRecorded if there is none, UsageError for a wrong argument, and ValueError if the tables do not fit together.
        """
        from nfrun.tables.formats import FormatError
        from nfrun.tables.gathered import put_together

        if form not in ("concat", "dict"):
            raise UsageError(f"form: {form!r} is neither 'concat' nor 'dict'", "form")
        gather = self._gather(node, form, columns)
        there = [output for output in gather.cells if output in self._record.refs]
        if not there:
            raise NotRecorded(f"no cell of '{node}' has an output in run {self.number}")
        if form == "concat" and (other := next((o for o in there if self._record.refs[o].type != TABLE), None)):
            raise ValueError(f"'{other}' is a file, and only tables are put together (form='dict')")
        try:
            return put_together(gather, self._tables.tables(there))
        except FormatError as error:
            raise ValueError(str(error)) from None

    def _gather(self, node: str, form: str, shown: Sequence[str] | None) -> Gather:
        named = (name for name in self._matrices if node.startswith(f"{name}."))
        name = node if node in self._matrices else next(named, node)
        output, cells = node.removeprefix(name).removeprefix("."), self._matrices.get(name)
        if not cells:
            raise NotRecorded(f"'{ellipsize(name)}' has no cells; {hint_of(name, self._matrices)}")
        outputs = {cell.outputs for cell in cells}
        if not output and any(len(names) > 1 and "" not in names for names in outputs):
            raise NotRecorded(f"'{name}' has several outputs: name one, as in '{name}.{next(iter(outputs))[0]}'")
        axes = tuple(cells[0].cell)
        found = {_output(cell, output): tuple(cell.cell.values()) for cell in cells}
        if wrong := next((axis for axis in shown or () if axis not in axes), None):
            raise UsageError(f"columns: '{name}' has no axis {wrong!r}; it has {', '.join(axes)}", "columns")
        columns = {
            axis: column_type(values[i] for values in found.values())
            for i, axis in enumerate(axes)
            if form == "concat" and (shown is None or axis in shown)
        }
        return Gather(form, axes, found, columns)

    @cached_property
    def _matrices(self) -> dict[str, list[NodeSpec]]:
        found: dict[str, list[NodeSpec]] = {}
        for spec in self._run.pipeline.nodes.values():
            if spec.of:
                found.setdefault(spec.of, []).append(spec)
        return found

    @cached_property
    def _listed(self) -> ListedRun:
        from nfrun.lookback.run_reference import find_run

        work = self._run.work
        return find_run(work, work.pipeline_name(self._run.pipeline), self.run)

    @cached_property
    def _tables(self) -> Any:
        from nfrun.lookback.reopen.opened_tables import RunTables

        return RunTables(self._listed, lambda: self._run.pipeline)

    # -- forms -----------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the document of `nfrun run --json`."""
        return self._run.document().as_json()

    @property
    def _line(self) -> str:
        return last_line(self._record)

    def __repr__(self) -> str:
        return f"<run {self.number} of {self._line}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: warnings, nodes, failures, first rows of outputs, and the last line."""
        from nfrun.reports.printing import PlainConsole

        text = StringIO()
        out = PlainConsole(text)
        for warning in self.warnings:
            out.print(f"warning: {warning}")
        table = out.new_table()
        for heading in ("node", "", "took", "rows"):
            table.add_column(heading)
        for name, node in islice(self.nodes.items(), _MOST_NODES):
            table.add_row(name, node.status, format_seconds(node.took), f"{node.rows:,}")
        out.print(table)
        if len(self.nodes) > _MOST_NODES:
            out.print(f"… and {format_count(len(self.nodes) - _MOST_NODES, 'more node')}")
        if self.error:
            out.print(self.error)
        for failure in islice(self.failures, _MOST_SHOWN):
            out.print(failure.traceback)
        for name in islice(self, _MOST_SHOWN):
            self._print_output(out, name)
        out.print(f"\nrun {self.number} of {self._line}")
        return as_html(text.getvalue())

    def _print_output(self, out: Printer, name: str) -> None:
        from nfrun.reports.table_preview import preview_of, print_preview

        try:
            found = self[name]
        except (Error, OSError) as error:
            out.print(f"{name}: {error}")
            return
        if isinstance(found, Path):
            out.print(f"{name}: {found}")
        else:
            print_preview(out, name, preview_of(found), None, self._run.redactor)


class _Nodes(dict[str, NodeResult]):
    """The nodes of a run by their ids."""

    def __missing__(self, name: str) -> NodeResult:
        raise NotRecorded(f"there is no node {name!r}; {hint_of(name, self)}")

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {node.status}' for name, node in self.items())}}}"


def _output(cell: NodeSpec, name: str) -> OutputId:
    """Return the id of an output of a cell; without a name of its only one."""
    return OutputId(cell.id, name or (cell.outputs[0] if cell.outputs else ""))


def hint_of(name: object, known: Iterable[str]) -> str:
    """Return what may be meant by a name that is not known."""
    guess = closest_match(str(name), known)
    return f"did you mean '{guess}'?" if guess else f"there is {shortened([*known], _MOST_LISTED) or 'none'}"


def as_html(text: str) -> str:
    """Return a text for a notebook."""
    return f"<pre>{escape(escape_controls(text))}</pre>"
