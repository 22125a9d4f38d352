"""Shows the progress of a run in a Python program: below the cell of a notebook, or on stderr."""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from nfrun.core.events import Event
from nfrun.engine.event_dispatch import Reporter
from nfrun.reports.last_line import last_line
from nfrun.reports.run_record import RunRecord
from nfrun.session.run import Run

_SECONDS = 0.3  # between two updates, and before the first one


def progress_reporters(progress: bool | None, run: Run) -> Iterator[Reporter]:
    """Yield the reporter that shows a run, if any. `progress` is that of `RunnablePipeline.run`."""
    record, in_notebook = run.record, _is_notebook()
    if in_notebook and progress is not False:
        yield NotebookProgress(record)
    elif progress and not in_notebook and sys.stderr.isatty():
        from nfrun.reports.progress.live_view import LiveView

        yield LiveView(record, sys.stderr, colored=not os.environ.get("NO_COLOR"))
    elif progress and not in_notebook:
        from nfrun.reports.progress.plain_lines import PlainLines

        yield PlainLines(record, sys.stderr)


def _is_notebook() -> bool:
    """Return whether this process shows rich output below cells: a kernel of Jupyter."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookProgress:
    """A reporter that shows a bar and the running nodes below a cell, and at the end one line."""

    name = "in the notebook"
    interval = _SECONDS
    event_types = ()

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._handle: Any = None
        # By it, what another thread displays belongs to the cell that has called `run`.
        self._context = contextvars.copy_context()

    def event(self, event: Event) -> None:
        """Do nothing: the record keeps the state of the run."""

    def tick(self) -> None:
        """Show how many nodes have ended, and which are running."""
        from nfrun.session.api.html import progress_html

        record = self._record
        running = ", ".join([*record.running][:8])
        self._show(progress_html(record), f"{record.pipeline.name}: running {running}")

    def close(self) -> None:
        """Show the last line in place of the progress, if there was any."""
        if self._handle is not None:
            from nfrun.session.api.html import line_html

            line = last_line(self._record)
            self._show(line_html(line), line)

    def _show(self, html: str, text: str) -> None:
        self._context.run(self._display, {"text/html": html, "text/plain": text})

    def _display(self, forms: Mapping[str, str]) -> None:
        if self._handle is None:
            display: Any = import_module("IPython.display").display  # a kernel has it; nfrun does not depend on it
            self._handle = display(forms, raw=True, display_id=True)
        else:
            self._handle.update(forms, raw=True)
