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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nfrun.audience import audience
from nfrun.book import LASTING, Book
from nfrun.choice import in_processes
from nfrun.contention import Contention
from nfrun.errors import escape
from nfrun.events import NodeLogged, NodeProgressed
from nfrun.executors.threads import Make, ThreadExecutor
from nfrun.exits import IO_ERROR, OK, io_code, run_code
from nfrun.garbage import collect_rarely
from nfrun.handoff import Store
from nfrun.hiding import guarded_stderr, telling_without
from nfrun.machine import set_allocator
from nfrun.prepare import Options, Prepared, preparing
from nfrun.reports import Telling
from nfrun.reports.record import Record
from nfrun.run import Run
from nfrun.secrets import Redactor
from nfrun.streams import apart, printing, signals
from nfrun.transcript import Logs
from nfrun.work import Work
from nfrun.workfolder import LOGS


def launch(options: Options, hide: Callable[[Redactor], None] = lambda redactor: None) -> tuple[int, bool]:
    """Run a pipeline; returns the exit code, and whether a node still hangs in a thread.

    `hide(redactor)` is called as soon as it is known what is secret in whatever is told from then on. Raises SpecError,
    FolderHeld, HandoffError and OSError.
    """
    with preparing(options, hide) as prepared:
        return _launched(prepared)


def _launched(prepared: Prepared) -> tuple[int, bool]:
    options, bound, plan, redactor = prepared.options, prepared.pipeline, prepared.plan, prepared.redactor
    run_id, folder = prepared.started.run, prepared.folder
    _set_environment(bound.env)
    book = _opened(prepared)
    processes = in_processes(bound, options.executor, prepared.recorded)
    if book is not None:
        processes -= book.settled
    with apart() as results, guarded_stderr(redactor) as beside:
        if processes:
            from nfrun.executors.processes import start_server

            start_server()
        import_arrow()  # before the clock starts: else the first node to make a table would be charged for it
        record = Record(plan)

        def table(output: str) -> Any:
            with suppress(Exception):  # a preview is not worth failing for
                return store.open(record.refs[output])
            return None

        telling = Telling(list(audience(prepared, record, table, results, processes)))
        contention = Contention()
        tell = telling_without(redactor, telling.tell if book is None else book.telling(telling.tell))
        run = Run(
            plan, tell, keep_going=options.keep_going, seed=_seed(run_id), grace=options.grace, woke=contention.look
        )
        store = _store(prepared, processes, run)

        def log(node: str, level: str, line: str) -> None:
            tell(NodeLogged(run.now(), node, level, line))

        logs = Logs(log, folder / LOGS, redactor.sieve)

        def progress(node: str, done: float, total: float | None) -> None:
            tell(NodeProgressed(run.now(), node, done, total))

        try:
            if not gc.isenabled():  # it was put off while starting
                collect_rarely()
            with signals(run.cancel) as caught, printing(logs, beside):
                environ = os.environ.copy()
                work = Work(
                    bound,
                    store,
                    run_id,
                    folder / "scratch",
                    environ,
                    logs,
                    progress,
                    contention=contention,
                    grace=options.grace,
                )
                with _workers(work, store, folder, processes, plan.slots) as make:
                    recall = make if book is None else book.recalling(make, store, run.broken)
                    end = run.go(lambda settle: ThreadExecutor(recall, settle), store)
        finally:
            logs.close()
            trouble = book.close() if book is not None else ""
            telling.close()
            store.close()
            shutil.rmtree(folder / "scratch", ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()  # only if the run kept nothing
    end = record.end or end  # as it was told
    failures = [node.failure for node in record.nodes.values() if node.failure]
    code = run_code(end, failures, caught) or (IO_ERROR if telling.stopped else OK)
    if trouble and not code:
        print(f"nfrun: {escape(redactor(trouble))}", file=sys.stderr)
        code = io_code(trouble)
    if book is not None and code == OK:
        book.tidy(record.refs)
    return code, run.abandoned > 0


def _set_environment(env: Mapping[str, str]) -> None:
    """Nodes share this process, and its environment."""
    os.environ.update(env)
    if hasattr(time, "tzset"):
        time.tzset()  # else TZ would count in child processes only


def _seed(run_id: str) -> int:
    """What chance is drawn from in this run, and again if it is repeated under this name."""
    return zlib.crc32(run_id.encode())


@contextmanager
def _workers(work: Work, store: Store, folder: Path, nodes: frozenset[str], most: int) -> Iterator[Make]:
    """What makes the attempts: `work`, with processes for some of the nodes while inside."""
    if not nodes:
        yield work
        return
    from nfrun.executors.processes import Workers

    workers = Workers(work, store, folder, nodes, most)
    try:
        yield workers
    finally:
        workers.close()


def import_arrow() -> None:
    """Import pyarrow, with the allocator that suits nfrun unless the environment names another."""
    set_allocator()
    import pyarrow  # noqa: F401


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
        from nfrun.jsonhandoff import JsonStore

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
