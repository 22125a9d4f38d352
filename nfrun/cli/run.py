"""Carries out `nfrun run`: wires the cache, store, executor and reporters of one run together and runs it.

`run_setup.py` prepares the run, and `run_reports.py` builds its reporters.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Any, TextIO

from nfrun.cache.run_cache import PERSISTENT_HANDOFFS, RunCache
from nfrun.cache.work_dir import LOGS, SCRATCH
from nfrun.cli.exit_codes import EXIT_CODES, EXIT_IO, EXIT_OK, run_exit_code
from nfrun.cli.run_reports import build_reporters
from nfrun.cli.run_setup import RunOptions, RunSetup, set_up_run
from nfrun.core.errors import cause_of
from nfrun.core.events import AttemptStopped, Event, NodeLogged, NodeProgressed, RunFinished
from nfrun.core.text import escape_controls
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.event_dispatch import BackPressure, EventDispatcher
from nfrun.engine.executors.base import RunAttempt
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.placement import nodes_in_processes
from nfrun.engine.runner import Run
from nfrun.logs.event_redaction import redact_events
from nfrun.logs.node_logs import Logs
from nfrun.logs.redaction import Redactor
from nfrun.logs.stream_takeover import capture_prints, redact_stderr, separate_stdout
from nfrun.nodes.registry import KINDS
from nfrun.reports.run_record import RunRecord
from nfrun.system.runtime import collect_rarely, set_allocator
from nfrun.system.signals import cancel_on_signals
from nfrun.tables.store import TableStore

_SWITCH_INTERVAL = 0.0001


def run_pipeline(
    options: RunOptions, set_redactor: Callable[[Redactor], None] = lambda redactor: None
) -> tuple[int, bool]:
    """Run a pipeline. Returns the exit code, and whether a detached node still runs in a thread.

    Calls `set_redactor(redactor)` as soon as the secrets are known, for all messages from then on. Raises SpecError,
    WorkDirLocked, HandoffError and OSError.
    """
    with set_up_run(options, set_redactor) as setup:
        _set_environment(setup.pipeline.env)
        cache = _open_cache(setup)
        processes = nodes_in_processes(setup.pipeline, options.executor, setup.recorded)
        if cache is not None:
            processes -= cache.reused_nodes
        with separate_stdout() as results, redact_stderr(setup.redactor) as fallback:
            if processes:
                from nfrun.engine.executors.processes import start_server

                start_server()
            import_arrow()  # before the clock starts: otherwise the first node to make a table would pay for it
            parts = _Wiring(setup, cache, processes, results)
            try:
                end = parts.run_to_end(fallback)
            finally:
                error = parts.close()
        code = parts.code(end)
        if error and code == EXIT_OK:
            code = EXIT_CODES[cause_of(error)]
            if parts.record.end is None or not parts.record.end.error:  # else it is shown already
                print(f"nfrun: {escape_controls(setup.redactor(str(error)))}", file=sys.stderr)
        if cache is not None and code == EXIT_OK:
            cache.remove_intermediate(parts.record.refs)
        return code, parts.run.detached > 0


def import_arrow() -> None:
    """Import pyarrow with the system's allocator, unless the environment names another (see `set_allocator`)."""
    set_allocator()
    import pyarrow  # noqa: F401


class _Wiring:
    """Makes the parts of one run and connects their callbacks. Results for stdout are written to `results`."""

    def __init__(self, setup: RunSetup, cache: RunCache | None, processes: frozenset[str], results: IO[str]) -> None:
        options, redactor = setup.options, setup.redactor
        self._setup = setup
        self._cache = cache
        self._processes = processes
        self._caught: list[int] = []
        self.record = RunRecord(setup.plan)
        self._back_pressure = BackPressure()
        self._dispatcher = EventDispatcher(
            [*build_reporters(setup, self.record, self._table, results, processes), self._back_pressure],
            gate=None if cache is None else cache.gate,
        )
        self._emit = redact_events(redactor, self._dispatcher.emit)
        self._contention = GilContention()
        self._logs = Logs(self._log, setup.folder / LOGS, redactor.filter, self._back_pressure.has_room)
        self.run = Run(
            setup.plan,
            self._on_event,
            keep_going=options.keep_going,
            seed=zlib.crc32(setup.started.run.encode()),  # the same for the same run id
            grace=options.grace,
            on_wake=self._contention.look,
        )
        self._store = _store(setup, processes, self.run)
        self._scratch = setup.folder / SCRATCH

    def run_to_end(self, fallback: TextIO) -> RunFinished:
        """Run to the end. Prints that belong to no node go to `fallback`."""
        if not gc.isenabled():  # it is off during start-up
            collect_rarely()
        run, store = self.run, self._store
        with (
            cancel_on_signals(run.cancel) as self._caught,
            self._capture_prints(fallback),
            self._workers() as run_attempt,
        ):
            cached = run_attempt if self._cache is None else self._cache.with_cache(run_attempt, store, run.abort)
            return run.go(lambda on_outcome: ThreadExecutor(cached, on_outcome), store)

    def close(self) -> Exception | None:
        """Deliver all events and write what is left. Returns the error of the journal, None if it is complete."""
        if self.run.detached:  # otherwise each GIL wait here takes 5 ms while the detached node runs
            sys.setswitchinterval(_SWITCH_INTERVAL)
        self._logs.close()
        self._dispatcher.close()
        error = self._cache.close() if self._cache is not None else None
        self._store.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        with suppress(OSError):
            self._setup.folder.rmdir()  # only if the run kept nothing
        return error

    def code(self, end: RunFinished) -> int:
        """Return the exit code of a run that ended with `end`. Call it after `close`."""
        return run_exit_code(end, self._caught) or (EXIT_IO if self._dispatcher.stopped else EXIT_OK)

    def _capture_prints(self, fallback: TextIO) -> AbstractContextManager[None]:
        return capture_prints(self._logs, fallback, lambda: self.run.detached > 0)

    @contextmanager
    def _workers(self) -> Iterator[RunAttempt]:
        """Yield the `RunAttempt` of the run. Nodes in `processes` run in worker processes, which end with the block."""
        setup, processes = self._setup, self._processes
        runner = AttemptRunner(
            setup.pipeline,
            self._store,
            setup.started.run,
            self._scratch,
            os.environ.copy(),
            self._logs,
            self._progress,
            contention=self._contention,
            grace=setup.options.grace,
        )
        if not processes:
            yield runner
            return
        from nfrun.engine.executors.processes import ProcessWorkers

        workers = ProcessWorkers(runner, self._store, setup.folder, processes, setup.plan.slots)
        try:
            yield workers
        finally:
            workers.close()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, AttemptStopped) and event.why == "timeout":
            self._logs.detach(event.node, event.attempt)
        self._emit(event)

    def _log(self, node: str, level: str, line: str) -> None:
        self._back_pressure.sent()
        self._emit(NodeLogged(self.run.now(), node, level, line))

    def _progress(self, node: str, done: float, total: float | None) -> None:
        self._emit(NodeProgressed(self.run.now(), node, done, total))

    def _table(self, output: str) -> Any:
        with suppress(Exception):  # a failed preview must not fail the run
            return self._store.open(self.record.refs[output])
        return None


def _set_environment(env: Mapping[str, str]) -> None:
    """Set the variables of the pipeline in this process, because nodes share its environment."""
    os.environ.update(env)
    if hasattr(time, "tzset"):
        time.tzset()  # otherwise TZ would only affect child processes


def _open_cache(setup: RunSetup) -> RunCache | None:
    """Open the cache of the run; None if its handoff leaves no files for a later run. Raises OSError."""
    options = setup.options
    if options.handoff not in PERSISTENT_HANDOFFS:
        return None
    return RunCache.open(
        setup.pipeline,
        setup.plan,
        setup.work,
        setup.folder,
        setup.started,
        resume=options.resume,
        keep=options.keep,
        fsync=options.fsync,
    )


def _store(setup: RunSetup, processes: frozenset[str], run: Run) -> TableStore:
    """Make the table store of the run. Inputs that are read as files are written first."""
    options, keep = setup.options, setup.plan.retained
    if options.handoff == "json":
        from nfrun.tables.json_store import JsonStore

        return JsonStore(setup.folder, retained=keep, on_published=run.output_published, on_error=run.abort)
    file_readers = [
        spec for name, spec in setup.pipeline.nodes.items() if name in processes or KINDS[spec.kind].reads_files(spec)
    ]
    return TableStore(
        setup.folder,
        mode=options.handoff,
        retained=keep,
        write_first=frozenset(item.output for spec in file_readers for item in spec.inputs),
        budget=options.memory,
        persistent=options.handoff in PERSISTENT_HANDOFFS,
        fsync=options.fsync,
        on_published=run.output_published,
        on_error=run.abort,
    )
