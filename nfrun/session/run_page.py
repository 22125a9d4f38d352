"""Writes the page of a run when it has ended: `nfrun run --report FILE`. Few runs have one."""

from __future__ import annotations

from pathlib import Path

from nfrun.core.errors import Cause, cause_of
from nfrun.lookback.page.html_page import render_page
from nfrun.lookback.page.run_data import run_data
from nfrun.lookback.run_reference import find_run
from nfrun.session.report_files import write_report
from nfrun.session.run_setup import RunSetup


class RunPage:
    """The page of a run under way. Make it before nodes run: they may hide what it imports, by files of their own."""

    def __init__(self, setup: RunSetup, path: Path) -> None:
        self._setup, self._path = setup, path
        self.name = f"of the page ({path})"

    def write(self) -> Cause | None:
        """Write the page, after the last line of the journal. Says why it cannot be written, and returns the cause."""
        setup = self._setup
        try:
            run = find_run(setup.work, None, setup.started.run)
            page = render_page(run_data(setup.work, run, setup.redactor))
            write_report(self._path, lambda file: file.write(page.encode()))
        except Exception as error:
            why = isinstance(error, OSError) and error.strerror
            setup.messages(f"nfrun: the report {self.name} stopped: {why or f'{type(error).__name__}: {error}'}")
            return cause_of(error)
        return None
