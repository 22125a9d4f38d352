"""Runs a pipeline as a command: with what belongs to its process, and with the reporters that the options ask for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, cast

from nfrun.cli.exit_codes import EXIT_CODES, EXIT_OK, run_exit_code
from nfrun.engine.event_dispatch import Reporter
from nfrun.history.database import PREVIEWS
from nfrun.reports.printing import is_plain, printer_on
from nfrun.reports.progress.plain_lines import progress_on
from nfrun.session.options import RunOptions, tells_github
from nfrun.session.run import Run
from nfrun.session.run_setup import carry_out, set_up_run
from nfrun.system.logs.print_capture import capture_prints
from nfrun.system.processes.signals import cancel_on_signals
from nfrun.system.runtime import children_time
from nfrun.system.std_streams import Messages, separate_streams
from nfrun.tables.handoffs import PERSISTENT_HANDOFFS

if TYPE_CHECKING:
    from nfrun.reports.table_preview import Preview

_SWITCH_INTERVAL = 0.0001


def run_command(options: RunOptions, messages: Messages, command: Sequence[str] = ()) -> tuple[int, bool]:
    """Run a pipeline. Returns the exit code, and whether a detached node still runs in a thread.

    `command` has the words of the command line, for the journal.
    Secrets are redacted in `messages` as soon as they are known. Raises SpecError, WorkDirLocked, HandoffError and
    OSError.
    """
    caught: list[int] = []
    with set_up_run(options, messages, command) as run:
        # Nodes on threads share the environment of this process. Nothing has imported numpy yet.
        os.environ.update({**run.thread_variables, **run.pipeline.env})
        time.tzset()  # otherwise TZ would only affect child processes
        with separate_streams(run.redactor.filter()) as (results, fallback):

            @contextmanager
            def around(run: Run) -> Iterator[None]:
                with cancel_on_signals(run.cancel) as signals, capture_prints(fallback, lambda: run.detached > 0):
                    yield
                caught.extend(signals)
                if run.detached:  # otherwise each GIL wait from now on takes 5 ms while the detached node runs
                    sys.setswitchinterval(_SWITCH_INTERVAL)

            carry_out(run, partial(build_reporters, results), around)
        stopped = [EXIT_CODES[cause] for cause in run.stopped_reporters.values()]
        return run_exit_code(run.end, caught) or next(iter(stopped), EXIT_OK), run.detached > 0


def build_reporters(results: IO[str], run: Run) -> Iterator[Reporter]:
    """Yield the reporters that the options ask for, in order. Results for stdout are written to `results`."""
    shown, record = run.shown, run.record
    err, github = sys.stderr, tells_github(shown, os.environ)
    if github and not shown.quiet:
        from nfrun.reports.ci.github_report import GitHubLines

        yield GitHubLines(record, err, verbose=shown.verbose)
    elif not shown.quiet:
        yield progress_on(sys.stderr, record, color=shown.color, verbose=shown.verbose)
    if github:  # what it prints of nodes and tables must not be taken for commands
        from nfrun.cli.github import github_report
        from nfrun.reports.ci.github_report import HarmlessStream

        err = cast("IO[str]", HarmlessStream(err))
        results = cast("IO[str]", HarmlessStream(results, as_json=shown.json))
    from nfrun.reports.table_preview import KnownPreviews

    kept = run.database.kept(PREVIEWS, run.started.pipeline)
    previews = KnownPreviews(*kept, refs=record.refs, table=run.shown_table, redact=run.redactor)
    yield _summary(run, results, err, previews.of)
    yield previews
    if shown.json:
        yield run.document(results)
    if github:
        yield github_report(run, sys.stderr, partial(_command_to_go_on, run))


def _summary(run: Run, results: IO[str], err: IO[str], preview: Callable[[str], Preview | None]) -> Reporter:
    shown, record = run.shown, run.record
    from nfrun.reports.summary import Summary

    if not shown.quiet and not all(is_plain(stream, shown.color) for stream in (results, err)):
        # Import only the package for now. After nodes have run, a file rich.py of the user would be found instead.
        import rich  # noqa: F401
    return Summary(
        record,
        results,
        err,
        console=partial(printer_on, color=shown.color),
        preview=preview,
        obstacles=run.obstacles,
        over_budget=run.over_budget,
        cpu=lambda: time.process_time() + children_time() + sum(record.nodes[name].cpu for name in run.executors),
        quiet=shown.quiet,
        with_outputs=not shown.json,
        redact=run.redactor,
        command=partial(_command_to_go_on, run),
    )


def _command_to_go_on(run: Run) -> str:
    """Return the command line that reuses what a run has finished, "" if it has finished nothing that stays."""
    from nfrun.lookback.command_again import command_to_go_on

    record = run.record
    counts = record.counts()
    if run.where.handoff not in PERSISTENT_HANDOFFS or not counts["ok"] + counts["reused"]:
        return ""
    left = {name for name, node in record.nodes.items() if node.status != "ok"}
    again = [selector for selector, names in run.selection.forced.items() if not left.isdisjoint(names)]
    unfinished = {"failed": counts["failed"], "skipped": counts["skipped"] + counts["cancelled"]}
    left_over = [status for status, count in unfinished.items() if count]
    return command_to_go_on(run.started.command, again, left_over, run.started.date)
