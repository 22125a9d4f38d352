"""Joins the parts of one `nfrun run`: gives the run its book, store, executor and reports, and sees to its end.

Knows neither how a run is prepared nor who is told of it.
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

from nfrun.cache.run_cache import LASTING, Book
from nfrun.cache.work_dir import LOGS, SCRATCH
from nfrun.cli.exit_codes import IO_ERROR, OK, io_code, run_code
from nfrun.cli.run_reports import audience
from nfrun.cli.run_setup import Options, Prepared, preparing
from nfrun.core.events import AttemptStopped, Event, NodeLogged, NodeProgressed, RunFinished
from nfrun.core.text import escape
from nfrun.engine.attempt import Work
from nfrun.engine.event_dispatch import Pace, Telling
from nfrun.engine.executors.threads import Make, ThreadExecutor
from nfrun.engine.gil_contention import Contention
from nfrun.engine.placement import in_processes
from nfrun.engine.runner import Run
from nfrun.logs.event_redaction import telling_without
from nfrun.logs.node_logs import Logs
from nfrun.logs.redaction import Redactor
from nfrun.logs.stream_takeover import apart, guarded_stderr, printing
from nfrun.reports.run_record import Record
from nfrun.system.runtime import collect_rarely, set_allocator
from nfrun.system.signals import signals
from nfrun.tables.store import Store

_BRIEF_SECONDS = 0.0001


def launch(options: Options, hide: Callable[[Redactor], None] = lambda redactor: None) -> tuple[int, bool]:
    """Run a pipeline; returns the exit code, and whether a node still hangs in a thread.

    `hide(redactor)` is called as soon as it is known what is secret in whatever is told from then on. Raises SpecError,
    FolderHeld, HandoffError and OSError.
    """
    with preparing(options, hide) as prepared:
        _set_environment(prepared.pipeline.env)
        book = _opened(prepared)
        processes = in_processes(prepared.pipeline, options.executor, prepared.recorded)
        if book is not None:
            processes -= book.settled
        with apart() as results, guarded_stderr(prepared.redactor) as beside:
            if processes:
                from nfrun.engine.executors.processes import start_server

                start_server()
            import_arrow()  # before the clock starts: else the first node to make a table would be charged for it
            parts = _Parts(prepared, book, processes, results)
            try:
                end = parts.go(beside)
            finally:
                trouble = parts.close()
        code = parts.code(end)
        if trouble and code == OK:
            print(f"nfrun: {escape(prepared.redactor(trouble))}", file=sys.stderr)
            code = io_code(trouble)
        if book is not None and code == OK:
            book.tidy(parts.record.refs)
        return code, parts.run.abandoned > 0


def import_arrow() -> None:
    """Import pyarrow, with the allocator that suits nfrun unless the environment names another."""
    set_allocator()
    import pyarrow  # noqa: F401


class _Parts:
    """The parts of one run, which tell one another what happens. `results` takes what is for stdout."""

    def __init__(self, prepared: Prepared, book: Book | None, processes: frozenset[str], results: IO[str]) -> None:
        options, redactor = prepared.options, prepared.redactor
        self._prepared = prepared
        self._book = book
        self._processes = processes
        self._caught: list[int] = []
        self.record = Record(prepared.plan)
        self._pace = Pace()
        self._telling = Telling([*audience(prepared, self.record, self._table, results, processes), self._pace])
        tell = self._telling.tell if book is None else book.telling(self._telling.tell)
        self._tell = telling_without(redactor, tell)
        self._contention = Contention()
        self._logs = Logs(self._log, prepared.folder / LOGS, redactor.sieve, self._pace.has_room)
        self.run = Run(
            prepared.plan,
            self._happened,
            keep_going=options.keep_going,
            seed=zlib.crc32(prepared.started.run.encode()),  # the same if the run is repeated under its name
            grace=options.grace,
            woke=self._contention.look,
        )
        self._store = _store(prepared, processes, self.run)
        self._scratch = prepared.folder / SCRATCH

    def go(self, beside: TextIO) -> RunFinished:
        """Run to the end. What nobody in particular prints goes `beside`."""
        if not gc.isenabled():  # it was put off while starting
            collect_rarely()
        run, store = self.run, self._store
        with signals(run.cancel) as self._caught, self._printing(beside), self._workers() as make:
            recall = make if self._book is None else self._book.recalling(make, store, run.broken)
            return run.go(lambda settle: ThreadExecutor(recall, settle), store)

    def close(self) -> str:
        """Have everything told and written that is left to be; returns what went wrong with the book."""
        if self.run.abandoned:  # nothing here is to wait 5 ms whenever it wants Python's lock
            sys.setswitchinterval(_BRIEF_SECONDS)
        self._logs.close()
        trouble = self._book.close() if self._book is not None else ""
        self._telling.close()
        self._store.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        with suppress(OSError):
            self._prepared.folder.rmdir()  # only if the run kept nothing
        return trouble

    def code(self, end: RunFinished) -> int:
        """The exit code of a run that ended so, once it is closed."""
        end = self.record.end or end  # as it was told
        failures = [node.failure for node in self.record.nodes.values() if node.failure]
        return run_code(end, failures, self._caught) or (IO_ERROR if self._telling.stopped else OK)

    def _printing(self, beside: TextIO) -> AbstractContextManager[None]:
        return printing(self._logs, beside, lambda: self.run.abandoned > 0)

    @contextmanager
    def _workers(self) -> Iterator[Make]:
        """What makes the attempts, with processes for some of the nodes while inside."""
        prepared, processes = self._prepared, self._processes
        work = Work(
            prepared.pipeline,
            self._store,
            prepared.started.run,
            self._scratch,
            os.environ.copy(),
            self._logs,
            self._progress,
            contention=self._contention,
            grace=prepared.options.grace,
        )
        if not processes:
            yield work
            return
        from nfrun.engine.executors.processes import Workers

        workers = Workers(work, self._store, prepared.folder, processes, prepared.plan.slots)
        try:
            yield workers
        finally:
            workers.close()

    def _happened(self, event: Event) -> None:
        if isinstance(event, AttemptStopped) and event.why == "timeout":
            self._logs.give_up(event.node, event.attempt)
        self._tell(event)

    def _log(self, node: str, level: str, line: str) -> None:
        self._pace.said()
        self._tell(NodeLogged(self.run.now(), node, level, line))

    def _progress(self, node: str, done: float, total: float | None) -> None:
        self._tell(NodeProgressed(self.run.now(), node, done, total))

    def _table(self, output: str) -> Any:
        with suppress(Exception):  # a preview is not worth failing for
            return self._store.open(self.record.refs[output])
        return None


def _set_environment(env: Mapping[str, str]) -> None:
    """Nodes share this process, and its environment."""
    os.environ.update(env)
    if hasattr(time, "tzset"):
        time.tzset()  # else TZ would count in child processes only


def _opened(prepared: Prepared) -> Book | None:
    """The book of the run, if it leaves what another run can go on from. Raises OSError."""
    options = prepared.options
    if options.handoff not in LASTING:
        return None
    return Book.opened(
        prepared.pipeline,
        prepared.plan,
        prepared.work,
        prepared.folder,
        prepared.started,
        resume=options.resume,
        keep=options.keep,
        durable=options.durable,
    )


def _store(prepared: Prepared, processes: frozenset[str], run: Run) -> Store:
    """Where the run hands its outputs on. Some of its nodes are at work in `processes`."""
    options, keep = prepared.options, prepared.plan.keep
    if options.handoff == "json":
        from nfrun.tables.json_store import JsonStore

        return JsonStore(prepared.folder, keep=keep, published=run.published, broken=run.broken)
    elsewhere = [
        spec
        for name, spec in prepared.pipeline.nodes.items()
        if name in processes or (spec.kind == "run" and spec.format == "arrow")
    ]
    return Store(
        prepared.folder,
        mode=options.handoff,
        keep=keep,
        ahead=frozenset(item.output for spec in elsewhere for item in spec.inputs),
        budget=options.memory,
        lasting=options.handoff in LASTING,
        durable=options.durable,
        published=run.published,
        broken=run.broken,
    )
