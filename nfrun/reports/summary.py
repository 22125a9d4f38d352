"""Prints the summary of a run at its end: timings by stage, the critical path, the outputs and the failures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import IO, TYPE_CHECKING

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause
from nfrun.core.events import GIL_WAIT_SECONDS
from nfrun.core.pipeline import TABLE, OutputId
from nfrun.core.text import ellipsize, escape_controls, shortened
from nfrun.core.values import KW_ONLY, field, mutable
from nfrun.reports.format_units import format_count, format_seconds, format_size, shown_place
from nfrun.reports.last_line import last_line
from nfrun.reports.line_reporter import NoEvents
from nfrun.reports.printing import GAP, Printer
from nfrun.reports.run_record import NodeRecord, RunRecord, StageRecord, alike_failures, folded
from nfrun.reports.table_preview import Preview, print_file, print_preview
from nfrun.tables.python_values import NO_PREVIEW

if TYPE_CHECKING:
    from nfrun.history.journal import RecordedNode

_MAX_STAGES, _MAX_OUTPUTS, _MAX_FAILURES = 40, 6, 5
_MAX_OBSTACLES = _MAX_WARNINGS = 6
_MAX_LISTED = 6  # names of nodes
KEEP_GOING = "; -k runs what does not depend on it"
_MAX_NAMES = 48  # characters of the names column
_FIGURES = ("wall", "busy", "parallel", "rows", "bytes", "handoff")
_FEW, _OTHERS = 4, 24  # figures where not all of them fit, and characters for the number of a stage and its names
_HINT_SHARE = 0.1  # of the wall time: waits that take more are worth a hint
_COMPUTING = 0.5  # of the wall time: if the CPU time is more, the nodes computed rather than waited
_SHORTEST_WORK = 1.0  # seconds of all nodes: of less, start-up and chance are too large a part to be compared
_OWN_CORE = 1.1  # of the CPU time of nodes: durations that are no longer than this were computed, each on a core


@mutable
class Summary(NoEvents):
    """A reporter that prints the summary when the run has ended: results on `out`, everything else on `err`.

    `console(stream)` makes the console of a stream. `preview(id)` returns what is shown of a table, None if there is
    nothing to show. `obstacles()` returns why nodes are not reused, by node, "" if an earlier run has told it,
    and `over_budget()` the bytes that kept tables take and the budget, if that is less. `cpu()` returns the CPU seconds
    that the process, scripts and worker processes have used so far.
    With `quiet` only failures are printed, and without `with_outputs` no tables. Text from tables goes through
    `redact(text)`. `command()` returns the command that goes on after a failure, "" if there is none.
    """

    record: RunRecord
    out: IO[str]
    err: IO[str]
    _: KW_ONLY
    console: Callable[[IO[str]], Printer]
    preview: Callable[[str], Preview | None]
    obstacles: Callable[[], Mapping[str, str]] = dict
    over_budget: Callable[[], tuple[int, int] | None] = lambda: None
    cpu: Callable[[], float]
    quiet: bool = False
    with_outputs: bool = True
    redact: Callable[[str], str] = str
    command: Callable[[], str] = str
    _cpu_before: float = field(init=False)

    name = "on stdout"

    def __post_init__(self) -> None:
        self._cpu_before = self.cpu()

    def close(self) -> None:
        """Print the summary, and the failures and the last line even if the rest of it cannot be printed."""
        try:
            if not self.quiet:
                out, err = self.console(self.out), self.console(self.err)
                self._print_stages(err)
                self._print_speed(err, self.cpu() - self._cpu_before)
                if self.with_outputs:
                    self._print_outputs(out)
                    self._print_absent(err)
                self._print_warnings(err)
        finally:
            self._print_failures()
            is_ok = self.record.end is not None and self.record.end.status == "ok"
            if not self.quiet or not is_ok:
                self._print_error(last_line(self.record, "" if is_ok else self.command()))

    # -- timings ---------------------------------------------------------------------------------------------------

    def _print_stages(self, err: Printer) -> None:
        stages = self.record.stages_that_ran()
        if not stages:
            return
        shown = stages[:_MAX_STAGES]
        table = err.new_table()
        table.add_column("stage", justify="right", no_wrap=True)
        table.add_column("nodes", max_width=_MAX_NAMES)
        figures = [_figures(stage) for stage in shown]
        taken = sum(max(map(len, column)) + GAP for column in zip(_FIGURES, *figures, strict=True))
        count = len(_FIGURES) if taken + _OTHERS <= err.width else _FEW
        for heading in _FIGURES[:count]:
            table.add_column(heading, justify="right", no_wrap=True)
        for stage, cells in zip(shown, figures, strict=True):
            folds = folded(stage.names, self.record.cells)
            names = ", ".join(folds[:6]) + (", …" if len(folds) > 6 else "")
            ran, of = len(stage.names), self.record.stage_counts[stage.index].nodes
            names = f"{ran} of {of}: {names}" if ran < of else f"{ran}: {names}" if len(folds) > 1 else names
            table.add_row(str(stage.index + 1), err.shrinking_cell(names), *cells[:count])
        err.print(table)
        if len(stages) > _MAX_STAGES:
            err.print_line(f"… and {format_count(len(stages) - _MAX_STAGES, 'more stage')}", "dim")

    def _print_speed(self, err: Printer, cpu: float) -> None:
        record = self.record
        obstacles = self.obstacles()
        new: dict[tuple[str, str], list[str]] = {}  # the cells of a matrix have one line if they have one reason
        for name, why in obstacles.items():
            if why:
                new.setdefault((record.cells.get(name, name), why), []).append(name)
        for name, why in islice(new, _MAX_OBSTACLES):
            err.print_line(f"node '{name}' is not reused: {escape_controls(why)}; say 'cache: true' to reuse it", "dim")
        # One line for all others: what is as it was in the last run does not need to be read every time.
        more = [name for names in islice(new.values(), _MAX_OBSTACLES, None) for name in names]
        if others := [*more, *(name for name, why in obstacles.items() if not why)]:
            also, listed = "also " if new else "", shortened(folded(others, record.cells), _MAX_LISTED)
            err.print_line(f"{also}not reused: {listed} ('nfrun plan' says why)", "dim")
        if (found := self.over_budget()) is not None:
            kept, budget = map(format_size, found)
            what = f"kept tables take {kept}, more than the budget of {budget}"
            err.print_line(f"{what}: outputs of the last runs and of 'cache: true' nodes are not removed", "dim")
        path = record.path_text(" -> ")
        if not path:
            return
        wall = record.end.at if record.end else record.at
        if " -> " in path:
            err.print_line(f"critical path {format_seconds(record.critical_path()[1])}: {path}")
        if wall > 0 and record.end and record.end.status == "ok":
            if told := self._speed(wall, cpu):
                err.print_line(told, "bold")
            if told := self._gil_waits(wall):
                err.print_line(told, "dim")

    def _speed(self, wall: float, cpu: float) -> str:
        """Return a line that compares the run with one node at a time, "" where that cannot be known."""
        record = self.record
        # Nodes that compute at the same time slow each other down, unless each had a core: then the CPU time of their
        # threads makes up their durations. If not, the sum of the durations is too large.
        own = sum(node.cpu for node in record.nodes.values())
        is_known = record.sequential <= _OWN_CORE * own or cpu <= _COMPUTING * wall
        if record.sequential < _SHORTEST_WORK or not is_known:
            return ""
        before, now = format_seconds(record.sequential), format_seconds(wall)
        return f"sequential {before} -> {now} ({record.sequential / wall:.1f}x)"

    def _gil_waits(self, wall: float) -> str:
        """Return a line with the nodes that waited for the GIL, "" if that is not worth one."""
        nodes = self.record.nodes
        waited = sorted((n for n in nodes if nodes[n].gil_wait >= GIL_WAIT_SECONDS), key=lambda n: -nodes[n].gil_wait)
        if sum(nodes[n].gil_wait for n in waited) < _HINT_SHARE * wall:
            return ""
        waits = [f"{n} {format_seconds(nodes[n].gil_wait)} of {format_seconds(nodes[n].duration)}" for n in waited]
        then = "the next run has them in processes unless an 'executor' says otherwise"
        return f"waited for Python's lock: {shortened(waits, 4)}; {then}"

    # -- results ---------------------------------------------------------------------------------------------------

    def _print_outputs(self, out: Printer) -> None:
        groups: dict[
            str, list[tuple[str, OutputId]]
        ] = {}  # an output of a matrix is one of each cell: `scores@lr@0`, …
        for name, id in self.record.pipeline.outputs.items():
            if id in self.record.refs:
                groups.setdefault(name.partition("@")[0], []).append((name, id))
        for shown, ((name, id), *others) in islice(groups.items(), _MAX_OUTPUTS):
            self._print_output(out, name, id)
            if others:
                out.print(f"… and {format_count(len(others), 'more cell')} of {escape_controls(shown)}")
        if more := sum(map(len, islice(groups.values(), _MAX_OUTPUTS, None))):
            out.print(f"\n… and {format_count(more, 'more output')}")

    def _print_output(self, out: Printer, name: str, id: OutputId) -> None:
        ref = self.record.refs[id]
        where = shown_place(ref)
        if ref.type != TABLE:
            print_file(out, name, ref.type, ref.bytes, where)
            return
        try:
            preview = self.preview(id)
            if preview is not None:
                print_preview(out, name, preview, where, self.redact)
            elif ref.is_remote:  # it is too large to be fetched for this
                print_file(out, name, ref.type, ref.bytes, where)
        except OSError:  # of the stream
            raise
        except Exception:
            out.print(f"\n{escape_controls(name)}: {NO_PREVIEW}")

    def _print_absent(self, err: Printer) -> None:
        """Say which outputs of the file are absent after a good run, and why."""
        pipeline = self.record.pipeline
        why = {name: f"node '{id.node}' is disabled" for name, id in pipeline.absent_outputs.items()}
        for name, id in pipeline.outputs.items():
            node = self.record.nodes.get(id.node)
            if node is not None and node.tolerated:
                why[name] = f"node '{id.node}' {'failed' if node.status == 'failed' else 'was skipped'}"
            elif node is not None and id in node.absent:
                check = next(check for check in node.checks if check.severity == "skip" and not check.ok)
                why[name] = f"the check '{check.name}' of node '{id.node}' does not hold: {check.text}"
        for name, reason in why.items():
            err.print_line(f"the output '{name}' is absent: {reason}", "dim")

    def _print_warnings(self, err: Printer) -> None:
        """Tell which checks with `severity: warn` do not hold; those of the cells of a matrix count together."""
        found: dict[tuple[str, str], list[tuple[str, CheckResult]]] = {}
        for name, node in self.record.nodes.items():
            for check in node.checks:
                if check.severity == "warn" and not check.ok:
                    found.setdefault((self.record.cells.get(name, name), check.name), []).append((name, check))
        for (name, check), *more in islice(found.values(), _MAX_WARNINGS):
            also = f" (and {format_count(len(more), 'more cell')})" if more else ""
            what = f"warning: node '{name}' failed its check '{check.name}'{also}: {escape_controls(check.text)}"
            err.print_line(f"{self.record.place(name)}: {what}", "yellow")
        if len(found) > _MAX_WARNINGS:
            more_checks = format_count(len(found) - _MAX_WARNINGS, "more check")
            err.print_line(f"… and {more_checks} with 'severity: warn' failed: 'nfrun show' lists them", "yellow")

    # -- failures --------------------------------------------------------------------------------------------------

    def _print_failures(self) -> None:
        """Print what went wrong, with the failures last, because people read the end first."""
        record = self.record
        cancelled = record.named("cancelled")
        failed = sorted(record.named("failed"), key=lambda name: not record.nodes[name].tolerated)
        if record.end and record.end.error:
            self._print_error(f"nfrun: {escape_controls(record.end.error)}")
        elif cancelled and record.end and record.end.status == "failed":
            self._print_cancelled(cancelled)
        groups = alike_failures(failed, record)
        shown = groups[-_MAX_FAILURES:]
        for name, *others in shown:
            behind = (name, *others)
            skipped = [other for other in record.named("skipped") if record.nodes[other].because in behind]
            folds = folded(skipped, record.cells)
            self._print_error(failure_text(name, record.nodes[name], self.record.place(name), folds, others))
        if more := sum(map(len, groups[: -len(shown)] if shown else [])):
            self._print_error(f"\n… and {format_count(more, 'more node')} failed: 'nfrun show' lists them all")

    def _print_cancelled(self, cancelled: Sequence[str]) -> None:
        """Say which nodes a run that failed has not finished."""
        names = shortened(folded(cancelled, self.record.cells), _MAX_LISTED)
        self._print_error(f"not finished after the failure: {names}{KEEP_GOING}")

    def _print_error(self, text: str) -> None:
        print(text, file=self.err, flush=True)


def _figures(stage: StageRecord) -> list[str]:
    if not stage.wall:
        return [""] * len(_FIGURES)
    return [
        format_seconds(stage.wall),
        format_seconds(stage.busy),
        f"{stage.busy / stage.wall:.1f}",
        f"{stage.rows:,}",
        format_size(stage.bytes),
        format_seconds(stage.handoff),
    ]


def check_text(place: str, node: str, check: CheckResult) -> str:
    """Format a check that does not hold, and where the rows are that fail it."""
    rows = f"\nthe first failing rows are in {check.path}" if check.path else ""
    return f"{place}: the check '{check.name}' of node '{node}': {check.text}{rows}"


def failure_text(
    name: str, node: NodeRecord | RecordedNode, place: str, skipped: Sequence[str], others: Sequence[str] = ()
) -> str:
    """Format the failure of a node: place, exception, the user's stack frames, inputs, and the nodes skipped for it.

    `others` are cells of the same matrix that failed with the same error.
    """
    failure = node.failure
    if failure is None:
        return f"node '{name}' failed"
    attempts = f" after {node.attempts} attempts" if node.attempts > 1 else ""
    tolerated = " (tolerated)" if node.tolerated else ""
    what = f" {failure.error}" if failure.cause is Cause.CHECK else f" failed{attempts}{tolerated}: {failure.error}"
    if failure.cause is Cause.CHECK and node.tolerated:
        what += tolerated
    subject = f"{failure.rows} of '{name}'" if failure.rows else f"node '{name}'"
    sample = f" ({failure.sample})" if failure.sample else ""
    lines = [f"\n{place}: {subject}{what}{sample}"]
    if others:
        lines.append(f"  the same in {shortened(others, _MAX_LISTED)}")
    for frame in failure.frames:
        lines += [
            f"  {frame.file}:{frame.line} in {frame.function}",
            *([f"    {frame.source}"] if frame.source else []),
        ]
    if failure.details:
        lines += [f"  {line}" for line in failure.details.splitlines()[-20:]]
    if failure.inputs:
        lines += ["  inputs", *(f"    {ellipsize(line, 400)}" for line in failure.inputs)]
    if skipped:
        lines.append(f"  skipped {shortened(skipped, _MAX_LISTED)}")
    return escape_controls("\n".join(lines))
