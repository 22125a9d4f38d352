"""Shows the progress of a run in a Python program: below the cell of a notebook, or on stderr."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from nfrun.core.text import escape_controls, shortened
from nfrun.engine.event_dispatch import Reporter
from nfrun.reports.last_line import last_line
from nfrun.reports.line_reporter import NoEvents
from nfrun.reports.progress.plain_lines import progress_on
from nfrun.reports.run_record import RunRecord
from nfrun.session.run import Run

_SECONDS = 0.3  # between two updates, and before the first one
_MOST_RUNNING = 8


def progress_reporters(progress: bool | None, run: Run) -> Iterator[Reporter]:
    """Yield the reporter that shows a run, if any. `progress` is that of `RunnablePipeline.run`."""
    in_notebook = _is_notebook()
    if in_notebook and progress is not False:
        yield NotebookProgress(run.record)
    elif progress:
        yield progress_on(sys.stderr, run.record)


def _is_notebook() -> bool:
    """Return whether this process shows rich output below cells: a kernel of Jupyter."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress(NoEvents):
    """A reporter that shows the running nodes on one line below a cell, and at the end the last line of the run."""

    name = "in the notebook"
    interval = _SECONDS

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._handle: Any = None
        # By it, what another thread displays belongs to the cell that has called `run`.
        self._context = contextvars.copy_context()

    def tick(self) -> None:
        """Show how many nodes have ended, and which are running."""
        counts = self._record.stage_counts
        done, nodes = sum(each.ended for each in counts), sum(each.nodes for each in counts)
        running = shortened([*self._record.running], _MOST_RUNNING)
        self._context.run(self._show, f"{self._record.pipeline.name}: {done} of {nodes} nodes, running {running}")

    def close(self) -> None:
        """Show the last line in place of the progress, if there was any."""
        if self._handle is not None:
            self._context.run(self._show, last_line(self._record))

    def _show(self, line: str) -> None:
        form = {"text/plain": escape_controls(line)}
        if self._handle is None:
            display: Any = import_module("IPython.display").display  # a kernel has it; nfrun does not depend on it
            self._handle = display(form, raw=True, display_id=True)
        else:
            self._handle.update(form, raw=True)
