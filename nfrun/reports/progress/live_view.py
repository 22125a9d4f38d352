"""Shows a run on a terminal: a line for each node that ran or failed, and below the lines the live view."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from nfrun.core.events import (
    AttemptStopped,
    Event,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    RunStarted,
)
from nfrun.core.text import cell_width, ellipsize, escape_controls
from nfrun.reports.format_units import format_count, format_finished, format_seconds
from nfrun.reports.last_line import counts_of_nodes
from nfrun.reports.line_reporter import LineReporter
from nfrun.reports.progress.live_rows import DIM, FIGURE, Look, grid_of, live_rows
from nfrun.reports.run_record import RunRecord

_LONG_SECONDS = 1.0  # a node that takes as long always has a line
_MAX_SHORT = 100  # lines of shorter nodes
_SHORT_NOTE = "from here on only nodes that take a second or failed have a line; -v shows all"
_ERASE = "\r\x1b[J"  # the row of the cursor and all rows below it
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return the columns and rows of the terminal that a stream leads to; 80 and 24 if they are unknown."""
    with suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(stream.fileno())
        if columns and rows:
            return columns, rows
    return 80, 24


class LiveView(LineReporter):
    """A reporter that prints the lines of nodes, and redraws the state of the run below them until it ends.

    `size(stream)` returns the columns and rows of the terminal, which may change during the run. With `verbose` there
    are also lines for starts, reused and skipped nodes, and for all nodes, however many there are. Without it the cells
    of a matrix have one line, when the last of them has ended.
    """

    interval = 0.125

    def __init__(
        self,
        record: RunRecord,
        stream: TextIO,
        *,
        colored: bool,
        verbose: bool = False,
        size: Callable[[TextIO], tuple[int, int]] = terminal_size,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._terminal = stream
        self._record = record
        self._size = size
        self._clock = clock
        self._look = Look(colored)
        self._grid = grid_of(record)
        self._verbose = verbose
        self._began = clock()
        self._is_shown = False
        self._short = 0  # lines of short nodes
        self._told: set[str] = set()  # matrices that have their line
        also = (NodeStarted,) if verbose else ()
        self.event_types = (
            *(RunStarted, NodeFinished, NodeRetrying, NodeFailed, NodeSkipped, AttemptStopped, NodeLogged),
            *also,
        )

    def event(self, event: Event) -> None:
        """Add the line of the event, if it has one."""
        if isinstance(event, NodeFinished):
            self._finished(event)
        elif isinstance(event, NodeLogged):
            self.add(f"{event.node} | {ellipsize(event.text, 2_000)}")
        elif isinstance(event, NodeFailed | NodeRetrying):
            self._attempt_failed(event)
        elif isinstance(event, AttemptStopped):
            self.add(f"{event.node} told to stop: {escape_controls(event.why)}")
        elif isinstance(event, NodeSkipped):
            if self._verbose:
                self._node("skipped", event.node, "skipped", f"it needs {event.because}")
        elif isinstance(event, NodeStarted):
            self._node("running", event.node, "started", f"attempt {event.attempt}" if event.attempt > 1 else "")
        elif isinstance(event, RunStarted):
            self._began = self._clock() - event.at
        if isinstance(event, NodeFinished | NodeFailed | NodeSkipped) and not self._verbose:
            self._cell_ended(event)

    def tick(self) -> None:
        """Write the lines that were added since the last frame, and draw the view below them."""
        lines, self._lines = self._lines, []
        self._write("".join(lines))

    def pause(self) -> None:
        """Do nothing: lines wait for the next frame."""

    def close(self) -> None:
        """Write the last lines and remove the view."""
        begin, end = (_ERASE, _SHOW_CURSOR) if self._is_shown else ("", "")
        super()._write(f"{begin}{''.join(self._lines)}{end}")

    def _finished(self, event: NodeFinished) -> None:
        if not self._verbose and (
            event.reused or event.node in self._record.cells or self._is_left_out(event.duration)
        ):
            return
        how = "reused" if event.reused else format_seconds(event.duration)
        self._node("ok", event.node, how, format_finished(event))

    def _is_left_out(self, duration: float) -> bool:
        """Count a node or a matrix that takes no second, and return whether it is one of too many."""
        if duration >= _LONG_SECONDS:
            return False
        self._short += 1
        if self._short == _MAX_SHORT + 1:
            self.add(self._look.style(f"  {_SHORT_NOTE}", DIM))
        return self._short > _MAX_SHORT

    def _cell_ended(self, event: NodeFinished | NodeFailed | NodeSkipped) -> None:
        """Add the line of a matrix when its last cell has ended, unless all were reused."""
        of = self._record.cells.get(event.node)
        if of is None or of in self._told:
            return
        counts = self._record.matrices[of]
        if not counts.has_ended:
            return
        self._told.add(of)
        cells = [self._record.nodes[cell] for cell, matrix in self._record.cells.items() if matrix == of]
        started = [cell.started for cell in cells if cell.started is not None and cell.status == "ok"]
        if not started:
            return
        duration, all_well = event.at - min(started), counts.succeeded == counts.nodes
        if all_well and self._is_left_out(duration):
            return
        others = counts_of_nodes(Counter(cell.status for cell in cells if cell.status != "ok"))
        rows = format_count(sum(cell.rows for cell in cells), "row")
        state = "failed" if counts.failed else "ok" if all_well else "skipped"
        self._node(state, of, format_seconds(duration), ", ".join([format_count(counts.nodes, "cell"), *others, rows]))

    def _attempt_failed(self, event: NodeFailed | NodeRetrying) -> None:
        error = ellipsize(event.failure.error, 200)
        if isinstance(event, NodeRetrying):
            error = f"attempt {event.attempt} failed, the next in {format_seconds(event.delay)}: {error}"
        state = "failed" if isinstance(event, NodeFailed) else "retrying"
        self._node(state, event.node, format_seconds(event.duration), error)

    def _node(self, state: str, name: str, figure: str, text: str) -> None:
        columns, _ = self._size(self._terminal)
        padding = " " * (self._grid.labels_within(columns) - cell_width(name))
        self.add(f"{self._look.mark(state)} {name}{padding}  {figure:>{FIGURE}}  {text}".rstrip())

    def _write(self, text: str) -> None:
        """Write lines in place of the view, and draw it again below an empty line.

        The cursor stays on the empty line. There, another program may write to the terminal without damage to the view.
        And when the size of the terminal changes, which may wrap the rows of the view, they are all below the cursor.
        """
        columns, height = self._size(self._terminal)
        now = self._clock() - self._began
        rows = live_rows(self._record, now, self._grid, columns - 1, self._look)[: max(1, height - 2)]
        begin = _ERASE if self._is_shown else _HIDE_CURSOR
        self._is_shown = True
        super()._write("\n".join([begin + text, *rows]) + f"\r\x1b[{len(rows)}A")
