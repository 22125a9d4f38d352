"""Carries out `nfrun run`: adds to a run what belongs to the process, such as signals, streams and the environment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nfrun.cli.exit_codes import EXIT_CODES, EXIT_OK, run_exit_code
from nfrun.cli.run_reports import build_reporters
from nfrun.engine.runner import Run
from nfrun.session.options import RunOptions
from nfrun.session.prepared_run import Caller
from nfrun.session.run import run_prepared
from nfrun.session.run_setup import set_up_run
from nfrun.system.logs.print_capture import capture_prints
from nfrun.system.processes.signals import cancel_on_signals
from nfrun.system.std_streams import Messages, separate_streams

_SWITCH_INTERVAL = 0.0001


def run_command(options: RunOptions, messages: Messages, command: Sequence[str] = ()) -> tuple[int, bool]:
    """Run a pipeline. Returns the exit code, and whether a detached node still runs in a thread.

    `command` has the words of the command line, for the journal.
    Secrets are redacted in `messages` as soon as they are known. Raises SpecError, WorkDirLocked, HandoffError and
    OSError.
    """
    caught: list[int] = []
    with set_up_run(options, messages, command) as setup:
        # Nodes on threads share the environment of this process. Nothing has imported numpy yet.
        os.environ.update({**setup.thread_variables, **setup.pipeline.env})
        time.tzset()  # otherwise TZ would only affect child processes
        with separate_streams(setup.redactor.filter()) as (results, fallback):

            @contextmanager
            def around(run: Run) -> Iterator[None]:
                with cancel_on_signals(run.cancel) as signals, capture_prints(fallback, lambda: run.detached > 0):
                    yield
                caught.extend(signals)
                if run.detached:  # otherwise each GIL wait from now on takes 5 ms while the detached node runs
                    sys.setswitchinterval(_SWITCH_INTERVAL)

            result = run_prepared(setup, Caller(lambda *parts: build_reporters(setup, results, *parts), around))
        stopped = [EXIT_CODES[cause] for cause in result.stopped_reporters.values()]
        return run_exit_code(result.end, caught) or next(iter(stopped), EXIT_OK), result.detached > 0
