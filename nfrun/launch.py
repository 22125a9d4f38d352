"""Joins the parts of one `nfrun run`: reads, binds, plans, and gives the run its store, executor and reports."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nfrun.bind import bind
from nfrun.book import LASTING, Book
from nfrun.choice import in_processes
from nfrun.contention import Contention
from nfrun.document import Document
from nfrun.errors import escape
from nfrun.events import NodeLogged, NodeProgressed
from nfrun.executors.threads import Make, ThreadExecutor
from nfrun.exits import IO_ERROR, OK, io_code, run_code
from nfrun.garbage import collect_rarely
from nfrun.handoff import Store
from nfrun.hiding import guarded_stderr, redactor_of, telling_without
from nfrun.journal import Started, next_number
from nfrun.kinds.kind import GRACE_SECONDS
from nfrun.machine import children_time, cores, peak_rss, set_allocator
from nfrun.paramsfile import params_file
from nfrun.plan import SCHEDULES, plan_of
from nfrun.read import read_pipeline
from nfrun.reports import Report, Telling
from nfrun.reports.record import Record
from nfrun.run import Run
from nfrun.secrets import Redactor
from nfrun.spec import Pipeline
from nfrun.streams import apart, printing, signals
from nfrun.timings import TimingsFile, read_timings
from nfrun.transcript import Logs
from nfrun.work import Work
from nfrun.workfolder import LOGS, WorkFolder, naming, new_run_id

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line. `slots` is how many nodes run at once.

    `memory` is how many bytes may wait to be written; None means a quarter of the memory. `resume` reuses what earlier
    runs have left; `keep` leaves what nobody but a node has read; `durable` has all of it survive a power loss. What
    was told to stop has `grace` seconds.
    """

    pipeline: Path
    given: Mapping[str, str]
    params_file: Path | None
    slots: int
    schedule: str
    handoff: str
    keep_going: bool
    work: Path | None
    json: bool
    events: Path | None
    color: str
    quiet: bool
    verbose: bool
    memory: int | None = None
    executor: str = ""
    resume: bool = False
    keep: bool = False
    durable: bool = False
    grace: float = GRACE_SECONDS


def launch(options: Options, hide: Callable[[Redactor], None] = lambda redactor: None) -> tuple[int, bool]:
    """Run a pipeline; returns the exit code, and whether a node still hangs in a thread.

    `hide(redactor)` is called as soon as it is known what is secret in whatever is told from then on. Raises SpecError,
    FolderHeld, HandoffError and OSError.
    """
    pipeline, document = read_pipeline(options.pipeline)
    redactor = redactor_of(pipeline, os.environ)
    hide(redactor)
    run_id = new_run_id()
    typed = params_file(options.params_file)
    bound = bind(pipeline, document, given=options.given, typed=typed, environ=os.environ, run_id=run_id)
    work_folder = WorkFolder.beside(pipeline, options.work)
    with work_folder.held() as hold:
        number = next_number(hold.number, work_folder)
        with naming(work_folder.path / "lock"):
            hold.tell(run=run_id, pipeline=pipeline.file, number=number)
        # Not before: it may be the one that whoever holds the folder writes.
        events = options.events.open("w", encoding="utf-8") if options.events else None
        started = Started(run_id, work_folder.name_of(pipeline), number)
        return _launched(options, bound, document, work_folder, started, events, redactor)


def _launched(
    options: Options,
    bound: Pipeline,
    document: Document,
    work_folder: WorkFolder,
    started: Started,
    events: IO[str] | None,
    redactor: Redactor,
) -> tuple[int, bool]:
    run_id = started.run
    folder = work_folder.run_folder(run_id)
    recorded = read_timings(work_folder.path, bound.file)
    plan = SCHEDULES[options.schedule](plan_of(bound, slots=options.slots, costs=recorded.took))
    _set_environment(bound.env)
    book = None
    if options.handoff in LASTING:
        book = Book.opened(
            bound, plan, work_folder, folder, started, resume=options.resume, keep=options.keep, durable=options.durable
        )
    processes = in_processes(bound, options.executor, recorded) - (book.settled if book is not None else frozenset())
    with apart() as results, guarded_stderr(redactor) as beside:
        if processes:
            from nfrun.executors.processes import start_server

            start_server()
        import_arrow()  # before the clock starts: else the first node to make a table would be charged for it
        make_store = _stores(options, bound, processes)
        record = Record(plan)

        def table(output: str) -> Any:
            with suppress(Exception):  # a preview is not worth failing for
                return store.open(record.refs[output])
            return None

        reports = _reports(
            options, bound, document, record, table, run_id, events, results, processes, folder / LOGS, redactor
        )
        telling = Telling([*reports, TimingsFile(work_folder.path, bound.file, recorded, processes)])
        contention = Contention()
        tell = telling_without(redactor, telling.tell if book is None else book.telling(telling.tell))
        run = Run(
            plan, tell, keep_going=options.keep_going, seed=_seed(run_id), grace=options.grace, woke=contention.look
        )
        store = make_store(folder, keep=plan.keep, published=run.published, broken=run.broken)

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


def _stores(options: Options, pipeline: Pipeline, processes: frozenset[str]) -> Callable[..., Store]:
    """What makes the store of a run, some of whose nodes are at work in `processes`."""
    if options.handoff != "json":
        elsewhere = [
            spec
            for name, spec in pipeline.nodes.items()
            if name in processes or (spec.kind == "run" and spec.format == "arrow")
        ]
        asked_for = frozenset(item.output for spec in elsewhere for item in spec.inputs)
        lasting = options.handoff in LASTING
        return partial(
            Store,
            mode=options.handoff,
            budget=options.memory,
            ahead=asked_for,
            lasting=lasting,
            durable=options.durable,
        )
    from nfrun.jsonhandoff import JsonStore

    return JsonStore


def _reports(
    options: Options,
    pipeline: Pipeline,
    document: Document,
    record: Record,
    table: Callable[[str], Any],
    run_id: str,
    events: IO[str] | None,
    results: IO[str],
    processes: frozenset[str],
    logs: Path,
    redactor: Redactor,
) -> Iterator[Report]:
    from nfrun.reports.document import RunDocument
    from nfrun.reports.events_file import EventsFile
    from nfrun.reports.plain import PlainLines
    from nfrun.reports.summary import Summary

    yield record
    if events is not None:
        yield EventsFile(events)
    if not options.quiet:
        if _is_live(sys.stderr):
            from nfrun.reports.live import LiveView

            yield LiveView(record, console_on(sys.stderr, options.color), pipeline.name)
        else:
            yield PlainLines(sys.stderr, pipeline.name, verbose=options.verbose)
    yield Summary(
        record,
        results,
        sys.stderr,
        console=partial(console_on, color=options.color),
        outputs={} if options.json else pipeline.outputs,
        table=table,
        place=lambda node: str(document.where_key("nodes", node)),
        cpu=time.process_time,
        elsewhere=lambda: children_time() + sum(record.nodes[name].cpu for name in processes),
        makespan=lambda costs: _makespan(pipeline, options.slots, costs),
        quiet=options.quiet,
        redact=redactor,
    )
    if options.json:
        yield RunDocument(
            record, results, run=run_id, name=pipeline.name, outputs=pipeline.outputs, logs=logs, peak_rss=peak_rss
        )


def _makespan(pipeline: Pipeline, slots: int, costs: Mapping[str, float]) -> float:
    """Seconds that a run takes whose nodes take these, on the cores that there are."""
    from nfrun.simulate import makespan

    return makespan(plan_of(pipeline, slots=min(slots, cores()), costs=costs))


def console_on(stream: IO[str], color: str) -> Console:
    """What prints there for people; the first call takes as long as the import of rich."""
    from nfrun.reports.console import console

    return console(stream, colored=_is_colored(stream, color))


def _is_colored(stream: IO[str], color: str) -> bool:
    """Whether to colour what is written there: no pipe is taken for a terminal, whatever FORCE_COLOR says."""
    wanted = stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    return color == "always" or (color == "auto" and wanted)


def _is_live(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
