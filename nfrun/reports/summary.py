"""What a run was, told at its end: timings by stage, the critical path, the outputs, and last of all what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nfrun.errors import escape, shorten
from nfrun.events import Event
from nfrun.reports.amounts import count, seconds, size
from nfrun.reports.record import NodeRecord, Record

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_STAGES, _MOST_OUTPUTS, _MOST_COLUMNS, _MOST_FAILURES = 40, 6, 12, 5
_MOST_ROWS, _FIRST_ROWS = 25, 10  # a table of more rows than the one is cut to the other


class Summary:
    """Prints once the run has ended: results on `out`, everything else on `err`.

    `outputs` maps the shown names to output ids, `table(id)` opens one (None if it has none to show), `place(node)` is
    the `file:line:column` of a node, `cpu()` the seconds of processor time that the process has used so far. `quiet`
    leaves only the failures.
    """

    def __init__(
        self,
        record: Record,
        out: Console,
        err: Console,
        *,
        outputs: Mapping[str, str],
        table: Callable[[str], pa.Table | None],
        place: Callable[[str], str],
        cpu: Callable[[], float],
        quiet: bool = False,
    ) -> None:
        self._record = record
        self._out = out
        self._err = err
        self._outputs = outputs
        self._table = table
        self._place = place
        self._quiet = quiet
        self._cpu = cpu
        self._cpu_before = cpu()

    def event(self, event: Event) -> None:
        """Nothing to note: the record has it."""

    def close(self) -> None:
        if not self._quiet:
            self._print_stages()
            self._print_speed()
            self._print_outputs()
        self._print_failures()

    # -- timings ---------------------------------------------------------------------------------------------------

    def _print_stages(self) -> None:
        table = Table(box=box.SIMPLE_HEAD, title=None, pad_edge=False)
        table.add_column("stage", justify="right")
        table.add_column("nodes", overflow="ellipsis", no_wrap=True, max_width=48)
        for heading in ("wall", "busy", "parallel", "rows", "bytes", "handoff"):
            table.add_column(heading, justify="right", no_wrap=True)
        stages = self._record.stages()
        for stage in stages[:_MOST_STAGES]:
            names = ", ".join(stage.names[:6]) + (", …" if len(stage.names) > 6 else "")
            table.add_row(
                str(stage.index + 1),
                Text(f"{len(stage.names)}: {names}" if len(stage.names) > 1 else names),
                *([seconds(stage.wall), seconds(stage.busy), f"{stage.parallelism:.1f}"] if stage.wall else [""] * 3),
                *([f"{stage.rows:,}", size(stage.bytes), seconds(stage.handoff)] if stage.wall else [""] * 3),
            )
        self._err.print(table)
        if len(stages) > _MOST_STAGES:
            self._err.print(f"… and {count(len(stages) - _MOST_STAGES, 'more stage')}", style="dim")

    def _print_speed(self) -> None:
        record = self._record
        path, longest = record.critical_path()
        wall = record.end.at if record.end else record.at
        shown = [*path[:4], "…", *path[-3:]] if len(path) > 8 else path
        self._err.print(Text(f"critical path {seconds(longest)}: {' -> '.join(shown)}"), soft_wrap=True)
        if wall > 0 and record.end and record.end.status == "ok":
            ratio = record.sequential / wall
            line = f"sequential {seconds(record.sequential)} -> {seconds(wall)} ({ratio:.1f}x)"
            self._err.print(Text(line, style="bold"))
            # Nodes that compute at the same time slow one another down, and their times add up to more than they need.
            if ratio > 1.1 and self._cpu() - self._cpu_before > 0.5 * wall:
                line = (
                    "the nodes shared the processor, so one after the other may take less: --schedule sequential tells"
                )
                self._err.print(line, style="dim", soft_wrap=True)

    # -- results ---------------------------------------------------------------------------------------------------

    def _print_outputs(self) -> None:
        found = [(name, id) for name, id in self._outputs.items() if id in self._record.refs]
        for name, id in found[:_MOST_OUTPUTS]:
            table = self._table(id)
            if table is not None:
                self._print_table(name, table, self._record.refs[id].path)
        if len(found) > _MOST_OUTPUTS:
            self._out.print(f"\n… and {count(len(found) - _MOST_OUTPUTS, 'more output')}")

    def _print_table(self, name: str, data: pa.Table, path: str | None) -> None:
        head = f"\n{name}: {count(data.num_rows, 'row')}, {count(data.num_columns, 'column')}"
        self._out.print(Text(head, style="bold"), Text(escape(path or ""), style="dim"), soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        columns = data.column_names[:_MOST_COLUMNS]
        for column in columns:
            kind = str(data.schema.field(column).type) if data.column_names.count(column) == 1 else ""
            numeric = kind.startswith(("int", "uint", "float", "double", "decimal", "half"))
            table.add_column(Text(shorten(column, 40)), justify="right" if numeric else "left", overflow="fold")
        if len(columns) < data.num_columns:
            table.add_column(f"… {data.num_columns - len(columns)} more")
        rows = _rows(data, len(columns))
        for row in rows:
            table.add_row(*[Text(cell) for cell in row])
        self._out.print(table)
        if len(rows) < data.num_rows:
            self._out.print(f"… and {count(data.num_rows - len(rows), 'more row')}", style="dim")

    # -- failures --------------------------------------------------------------------------------------------------

    def _print_failures(self) -> None:
        """What went wrong, the failures themselves last: the end is what people read first."""
        record = self._record
        failed, cancelled = record.named("failed"), record.named("cancelled")
        if record.end and record.end.error:
            self._err.print(Text(f"nfrun: {escape(record.end.error)}"), soft_wrap=True)
        elif record.end and record.end.status == "cancelled":
            done = len(record.named("ok"))
            self._err.print(f"cancelled: {count(done, 'node')} finished, {len(cancelled):,} did not")
        elif cancelled:
            line = f"not started after the failure: {_few(cancelled)}; -k runs what does not depend on it"
            self._err.print(line, soft_wrap=True)
        if len(failed) > _MOST_FAILURES:
            self._err.print(f"{count(len(failed), 'node')} failed, the first {_MOST_FAILURES} of them:")
        for name in failed[:_MOST_FAILURES]:
            text = failure_text(name, record.nodes[name], self._place(name), self._skipped(name))
            self._err.print(Text(text), soft_wrap=True)

    def _skipped(self, failed: str) -> list[str]:
        return [n for n in self._record.named("skipped") if self._record.nodes[n].because == failed]


def failure_text(name: str, node: NodeRecord, place: str, skipped: list[str]) -> str:
    """A failure as people read it: node, place, exception, the user's frames, inputs, and what was skipped."""
    failure = node.failure
    if failure is None:
        return f"node '{name}' failed"
    head = f"{failure.type}: {failure.message}".removeprefix(": ")
    attempts = f" after {node.attempts} attempts" if node.attempts > 1 else ""
    lines = [f"\n{place}: node '{name}' failed{attempts}: {head}"]
    for frame in failure.frames:
        lines += [
            f"  {frame.file}:{frame.line} in {frame.function}",
            *([f"    {frame.source}"] if frame.source else []),
        ]
    if failure.details:
        lines += [f"  {line}" for line in failure.details.splitlines()[-20:]]
    if failure.inputs:
        lines += ["  inputs", *(f"    {shorten(line, 400)}" for line in failure.inputs)]
    if skipped:
        lines.append(f"  skipped {_few(skipped)}")
    return escape("\n".join(lines))


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6:,} more" if len(names) > 6 else shown


def _rows(data: pa.Table, columns: int) -> list[list[str]]:
    head = data if data.num_rows <= _MOST_ROWS else data.slice(0, _FIRST_ROWS)
    cells = [[_cell(value) for value in head.column(i).to_pylist()] for i in range(columns)]
    more = [[""] * head.num_rows] if columns < data.num_columns else []
    return [list(row) for row in zip(*cells, *more, strict=True)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return shorten(str(value), 80)
