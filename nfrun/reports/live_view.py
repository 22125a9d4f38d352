"""Shows a run live on a terminal, in at most 16 rows, whatever the number of nodes."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nfrun.core.events import AttemptStopped, Event, NodeLogged
from nfrun.core.text import ellipsize, escape_controls
from nfrun.reports.format_units import format_seconds
from nfrun.reports.line_reporter import LineReporter
from nfrun.reports.run_record import RunRecord, StageRecord

_STAGES, _RUNNING, _FAILED = 5, 6, 3  # with the head line and one line for the omitted of each, at most 16
_BAR_WIDTH = 24


class LiveView(LineReporter):
    """A reporter that redraws the state of the run until it ends. After that only the log lines of nodes remain."""

    def __init__(self, record: RunRecord, console: Console, name: str) -> None:
        super().__init__(console.file)
        self._record = record
        self._console = console
        self._name = name
        self._live = Live(
            get_renderable=lambda: self,
            console=console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._clock = console.get_time
        self._began = self._clock()
        self._live.start()

    def event(self, event: Event) -> None:
        """Add the line that a node logged, or that its attempt was stopped."""
        if isinstance(event, NodeLogged):
            self.add(f"{event.node} | {ellipsize(event.text, 2_000)}")
        elif isinstance(event, AttemptStopped):
            self.add(f"{event.node} told to stop: {escape_controls(event.why)}")

    def close(self) -> None:
        """Print the last lines and remove the view."""
        super().close()
        self._live.stop()

    def _write(self, text: str) -> None:
        # Lines are buffered because the view below is redrawn for each print.
        self._console.print(Text(text), soft_wrap=True, end="")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Runs on rich's thread while the record changes. That is safe: its nodes are never added or removed.
        yield self.view(self._clock() - self._began)

    def view(self, now: float) -> Group:
        """Return the rows to show `now` seconds after the start."""
        record = self._record
        running = [name for name, node in record.nodes.items() if node.status == "running"]
        failed = [name for name, node in record.nodes.items() if node.status in ("failed", "retrying")]
        ended = sum(node.status not in ("waiting", "running", "retrying") for node in record.nodes.values())
        failed_count = sum(record.nodes[name].status == "failed" for name in failed)
        head = Text.assemble(
            (escape_controls(self._name), "bold"),
            f"  {ended:,}/{len(record.nodes):,} nodes  {len(running)} running  ",
            (f"{failed_count} failed  " if failed_count else "", "red"),
            format_seconds(now),
            no_wrap=True,
            overflow="ellipsis",
        )
        return Group(head, *self._stages(), *self._running(running, now), *self._failures(failed))

    def _stages(self) -> list[Table | Text]:
        """Return the rows of the stages around the first one that is not complete."""
        stages = self._record.stages()
        done = [sum(self._record.nodes[n].ended is not None for n in stage.names) for stage in stages]
        current = next((i for i, stage in enumerate(stages) if done[i] < len(stage.names)), len(stages) - 1)
        first = max(0, min(current - 1, len(stages) - _STAGES))
        rows: list[Table | Text] = [_stage(stages[i], done[i]) for i in range(first, min(first + _STAGES, len(stages)))]
        if len(stages) > _STAGES:
            rows.append(_row(f"  … {len(stages):,} stages", "dim"))
        return rows

    def _running(self, names: list[str], now: float) -> list[Text]:
        names.sort(key=lambda name: self._record.nodes[name].started or 0.0)
        rows = []
        for name in names[: _RUNNING - 1]:
            node = self._record.nodes[name]
            done, total = node.progress or (0.0, None)
            progress = f"  {done:,g}/{total:,g}" if total else f"  {done:,g}" if node.progress else ""
            rows.append(
                _row(f"  > {ellipsize(name, 40)}  {format_seconds(max(0.0, now - (node.started or 0.0)))}{progress}")
            )
        if len(names) >= _RUNNING:
            rows.append(_row(f"    … and {len(names) - _RUNNING + 1:,} more running", "dim"))
        return rows

    def _failures(self, names: list[str]) -> list[Text]:
        rows = []
        for name in names[-_FAILED:]:
            node = self._record.nodes[name]
            message = node.failure.message if node.failure else ""
            rows.append(_row(f"  ! {ellipsize(name, 40)} {node.status}: {ellipsize(message, 80)}", "red"))
        return rows


def _row(text: str, style: str = "") -> Text:
    """Return text that takes one row, however narrow the terminal is."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _stage(stage: StageRecord, done: int) -> Table:
    row = Table.grid(padding=(0, 1))
    for width in (12, _BAR_WIDTH, None):
        row.add_column(width=width, no_wrap=True)
    total = len(stage.names)
    names = ellipsize(", ".join(stage.names[:8]), 60)
    row.add_row(
        f"  stage {stage.index + 1}", ProgressBar(total, done, width=_BAR_WIDTH), f"{done:,}/{total:,}  {names}"
    )
    return row
