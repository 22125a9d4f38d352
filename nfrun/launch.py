"""Joins the parts of one `nfrun run`: reads, binds, plans, and gives the run its store, executor and reports."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from nfrun.bind import bind
from nfrun.document import Document, load
from nfrun.errors import Problem, SpecError
from nfrun.events import NodeLogged, NodeProgressed, RunFinished
from nfrun.executors.threads import ThreadExecutor
from nfrun.handoff import Store
from nfrun.journal import Timings, WorkFolder, new_run_id
from nfrun.plan import Plan, plan_of, sequential, with_barriers
from nfrun.prints import Prints
from nfrun.read import read_pipeline
from nfrun.reports import Report, Telling
from nfrun.reports.record import Record
from nfrun.run import Run
from nfrun.spec import Pipeline
from nfrun.work import Work

if TYPE_CHECKING:
    from rich.console import Console

SCHEDULES: Mapping[str, Callable[[Plan], Plan]] = {
    "eager": lambda plan: plan,
    "staged": with_barriers,
    "sequential": sequential,
}
_SIGNALS = {signal.SIGINT: ("Ctrl-C", 130), signal.SIGTERM: ("SIGTERM", 143), signal.SIGHUP: ("SIGHUP", 129)}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line. `slots` is how many nodes run at once."""

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


def launch(options: Options) -> tuple[int, bool]:
    """Run a pipeline; returns the exit code, and whether a node still hangs in a thread.

    Raises SpecError, HandoffError and OSError.
    """
    pipeline, document = read_pipeline(options.pipeline)
    run_id = new_run_id()
    typed = _params_file(options.params_file)
    bound = bind(pipeline, document, given=options.given, typed=typed, environ=os.environ, run_id=run_id)
    events = options.events.open("w", encoding="utf-8") if options.events else None
    work_folder = WorkFolder.beside(pipeline, options.work)
    folder = work_folder.run_folder(run_id)
    costs = work_folder.timings(pipeline.file)
    plan = SCHEDULES[options.schedule](plan_of(bound, slots=options.slots, costs=costs))
    os.environ.update(bound.env)  # nodes share this process

    # Arrow's own default, mimalloc, makes threads that allocate large tables at once wait for one another: on two cores
    # the flights of the year took 1.4 times as long with it.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # Before the clock starts: else whichever node is the first to make a table would be charged for it.
    import pyarrow  # noqa: F401

    with _results() as results:
        record = Record(plan)

        def table(output: str) -> Any:
            with suppress(Exception):  # a preview is not worth failing for
                return store.open(record.refs[output])
            return None

        reports = _reports(options, bound, document, record, table, run_id, events, results)
        telling = Telling([*reports, Timings(work_folder, pipeline.file)])
        run = Run(plan, telling.tell, keep_going=options.keep_going, seed=zlib.crc32(run_id.encode()))
        store = Store(folder, mode=options.handoff, keep=plan.keep, published=run.published, broken=run.broken)

        def log(node: str, level: str, line: str) -> None:
            telling.tell(NodeLogged(run.now(), node, level, line))

        def progress(node: str, done: float, total: float | None) -> None:
            telling.tell(NodeProgressed(run.now(), node, done, total))

        work = Work(bound, store, run_id, folder / "scratch", os.environ.copy(), log, progress)
        try:
            with _signals(run) as caught, _prints(log):
                end = run.go(lambda settle: ThreadExecutor(work, settle), store)
        finally:
            telling.close()
            store.close()
            shutil.rmtree(folder / "scratch", ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()  # only if the run kept nothing
    return _exit_code(end, record, caught) or (74 if telling.stopped else 0), run.abandoned > 0


def _exit_code(end: RunFinished, record: Record, caught: list[int]) -> int:
    if end.status == "ok":
        return 0
    if caught:
        return _SIGNALS[signal.Signals(caught[0])][1]
    io = [node.failure.type for node in record.nodes.values() if node.failure and node.failure.kind == "io"]
    return 77 if "PermissionError" in io else 74 if end.error or io else 1


def _params_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    document = load(path)
    if not isinstance(document.root, dict):
        what = "a file of parameters is a mapping of names to values"
        raise SpecError([Problem(document.where(), what)])
    return document.root


def _reports(
    options: Options,
    pipeline: Pipeline,
    document: Document,
    record: Record,
    table: Callable[[str], Any],
    run_id: str,
    events: IO[str] | None,
    results: IO[str],
) -> Iterator[Report]:
    from nfrun.reports.document import RunDocument
    from nfrun.reports.events_file import EventsFile
    from nfrun.reports.plain import PlainLines
    from nfrun.reports.summary import Summary

    yield record
    if events is not None:
        yield EventsFile(events)
    err = _console(sys.stderr, options.color)
    if not options.quiet:
        if _is_live(sys.stderr):
            from nfrun.reports.live import LiveView

            yield LiveView(record, err, pipeline.name)
        else:
            yield PlainLines(sys.stderr, pipeline.name, verbose=options.verbose)
    yield Summary(
        record,
        _console(results, options.color),
        err,
        outputs={} if options.json else pipeline.outputs,
        table=table,
        place=lambda node: str(document.where_key("nodes", node)),
        cpu=time.process_time,
        quiet=options.quiet,
    )
    if options.json:
        yield RunDocument(record, results, run=run_id, name=pipeline.name, outputs=pipeline.outputs, peak_rss=_peak_rss)


def _console(stream: IO[str], color: str) -> Console:
    """A console that takes no pipe for a terminal, whatever FORCE_COLOR says, and no text for markup."""
    from rich.console import Console

    terminal = stream.isatty()
    colored = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    return Console(
        file=stream,
        force_terminal=terminal or color == "always",
        no_color=not colored,
        color_system="auto" if colored else None,
        width=None if terminal else 200,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def _is_live(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _peak_rss() -> int:
    """The most memory this process held, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def _signals(run: Run) -> Iterator[list[int]]:
    """While inside, Ctrl-C, SIGTERM and SIGHUP cancel the run; the numbers of those that came are in the list."""
    caught: list[int] = []

    def cancel(number: int, frame: object) -> None:
        caught.append(number)
        run.cancel(_SIGNALS[signal.Signals(number)][0])

    # What is ignored stays so: under nohup nobody's terminal closing ends the run.
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, cancel) for number in heeded}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _results() -> Iterator[IO[str]]:
    """What was stdout, for results alone: what child processes of nodes print to theirs goes to stderr meanwhile."""
    try:
        ours = sys.stdout.fileno() == 1
    except (OSError, ValueError):
        ours = False
    if not ours:  # somebody has put a stream of their own there, who then gets the results
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    try:
        yield stream
    finally:
        with suppress(BrokenPipeError):  # whoever read it has gone, as with `| head`
            stream.close()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _prints(log: Callable[[str, str, str], None]) -> Iterator[None]:
    """While inside, what nodes print is logged under their names."""
    out, err = sys.stdout, sys.stderr
    # What nobody in particular prints goes to stderr: stdout is for results.
    sys.stdout, sys.stderr = Prints("stdout", log, err), Prints("stderr", log, err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
