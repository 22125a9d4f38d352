"""Prepares a run and carries it out: `run_in_program` in any Python program, `carry_out` for a command.

To prepare one is to read and plan the pipeline, to lock the work folder and to make the run folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from nfrun.code.fingerprint import FolderCode
from nfrun.code.module_space import FolderModules
from nfrun.core.errors import ClusterError, HandoffError, SpecError, one_line
from nfrun.core.pipeline import WORK_DIR
from nfrun.core.plan import SCHEDULES, Plan
from nfrun.engine.attempt_context import Importer
from nfrun.engine.event_dispatch import tell_stopped
from nfrun.engine.executors.base import Placement
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.placement import place_nodes
from nfrun.history.cache.remembered_code import restore_checks, save_checks
from nfrun.history.cache.reuse_decision import plan_without_results
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.database import CHECKS, Database
from nfrun.history.work_dir import WorkDir, new_run_id
from nfrun.nodes.folders import folders_of
from nfrun.pipeline_file.known_checks import KnownChecks
from nfrun.pipeline_file.missing import warnings_of
from nfrun.pipeline_file.resolve import Resolved, resolve
from nfrun.session.cluster_options import check_cluster, store_of_run
from nfrun.session.options import RunOptions, What, cache_budget
from nfrun.session.report_files import check_report_files, make_report_folders, remove_test_cases, write_report
from nfrun.session.run import Around, BuildReporters, Program, Run
from nfrun.session.selection import selection_of
from nfrun.system.std_streams import Messages
from nfrun.tables.handoffs import PERSISTENT_HANDOFFS

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.lookback.run_reference import ListedRun


_NO_RUN = 0  # the number in `run.id` while mistakes are looked for, before the run has one
NO_DATE = "--date has no effect: no expression reads run.date"


@contextmanager
def set_up_run(
    options: RunOptions, messages: Messages, command: Sequence[str] = (), program: Program | None = None
) -> Iterator[Run]:
    """Prepare a run, and hold the lock of its pipeline within the `with` block.

    `command` has the words of the command line, for the journal, and `program` what only a program gives. Secrets are
    redacted in `messages` as soon as they are known. Raises UsageError, SpecError, WorkDirLocked and OSError.
    """
    what, shown, where = options.what, options.shown, options.where
    check_report_files(shown, what)
    remove_test_cases(shown)
    if where.executor in CLUSTERS:
        check_cluster(where, where.handoff)
    cache_budget(options.kept.cache_size, os.environ)  # it may be wrong
    known = known_checks(what.pipeline, what.work)

    def resolved_for(run_id: str) -> Resolved:
        more = {"given": what.given, "far": where.executor in CLUSTERS, "absent": [], "run_id": run_id}
        return resolve_options(what, messages, known, program, **more)

    resolved = resolved_for(new_run_id(_NO_RUN))
    pipeline, warned = resolved.pipeline, [*map(one_line, warnings_of(resolved.pipeline))]
    messages.warn_all(warned)
    work = WorkDir.of_pipeline(pipeline, what.work)
    selection = selection_of(what, pipeline, work)
    if what.date and not pipeline.date:
        messages.warn(NO_DATE)

    on_wait = (lambda why: None) if shown.quiet else (lambda why: messages(f"nfrun: waiting, because {why}"))
    with work.start_run(pipeline, wait=where.wait, on_wait=on_wait) as start, ExitStack() as stack:
        if resolved.uses_run or start.waited:  # while it waited, the file may have been edited
            resolved = resolved_for(start.run)
            pipeline = resolved.pipeline
            messages.warn_all(text for text in map(one_line, warnings_of(pipeline)) if text not in warned)
            selection = selection_of(what, pipeline, work)
        database = stack.enter_context(closing(Database(work, messages.warn)))
        save_checks(known, database.kept(CHECKS, work.name_of_file(what.pipeline.absolute()))[1])
        # Not before the lock is held: another run may be writing this file.
        make_report_folders(shown)
        events = shown.events.open("w", encoding="utf-8") if shown.events else None
        stack.callback(_close, events)
        folder = work.make_run_folder(start.run)
        stack.callback(_remove_empty, folder, database)
        store = store_of_run(where, work) if where.executor in CLUSTERS else ""
        yield Run(options, messages, resolved, selection, database, start, folder, store, command, events, program)


def known_checks(file: Path, work: Path | None) -> KnownChecks:
    """Return what earlier runs of a pipeline file have found in order.

    Without a `work` folder, this is the folder beside the file: a folder that the file names is not known yet.
    """
    file = file.absolute()
    folder = WorkDir(work.absolute() if work else file.parent / WORK_DIR)
    with closing(Database(folder)) as database:
        return restore_checks(database.kept(CHECKS, folder.name_of_file(file))[0])


def resolve_options(
    what: What, messages: Messages, known: KnownChecks, program: Program | None, **more: Any
) -> Resolved:
    """Resolve the pipeline of a run or a plan, with `more` arguments of `resolve`. `program` is what a program gives.

    Secrets are redacted in `messages` as soon as they are known. Raises SpecError.
    """
    if program is not None:
        more |= {"values": program.params, "built": program.built}
    return resolve(
        what.pipeline,
        params_file=what.params_file,
        environ=os.environ,
        date=what.date,
        set_redactor=messages.set_redactor,
        profile=what.profile,
        inputs=what.inputs,
        known=known,
        work=what.work,
        columns=True,
        **more,
    )


def _close(events: IO[str] | None) -> None:
    if events is not None:
        with suppress(OSError):  # its reporter has told it
            events.close()


def _remove_empty(folder: Path, database: Database) -> None:
    """Remove the folder of a run that has not begun."""
    with suppress(OSError, HandoffError):
        if not any(folder.iterdir()) and database.ends(folder.name)[0] is None:
            folder.rmdir()


def run_in_program(run: Run, build_reporters: BuildReporters, around: Around = nullcontext) -> None:
    """Carry out a prepared run, on any thread, beside other runs in this process.

    The options `json`, `color`, `quiet` and `verbose` are those of the command's reports: they do nothing here. A
    program can keep the `run` that `around(run)` gets, and call its `cancel` from any thread. A node that fails is no
    error of this function. The other arguments are those of `Run.go`.

    Nothing of the process changes for good, but for an audit hook, which Python cannot remove: it does nothing while no
    run is under way. While runs are under way, and until a print after the end of detached
    nodes, `sys.stdout` and `sys.stderr` route what nodes print to the logs of their runs (see `capture_prints`, also
    for its limits). The user's modules are in `sys.modules` under other names (see `ModuleSpace`, also for its limits).
    Python nodes on threads see the `env` of the file only in `context.env`; scripts and worker processes have it in
    their environment. The fork server of the workers stays until the process ends. No worker imports the main module of
    the program, which may be a notebook or have no `if __name__ == "__main__"`. Nodes that use state that all nodes of
    a process share run in workers, unless the file or `options.executor` says `thread`: what the program has seeded
    does not reach them.
    """
    from nfrun.system.logs.print_capture import capture_prints

    @contextmanager
    def capturing(run: Run) -> Iterator[None]:
        with capture_prints(has_detached=lambda: run.detached > 0), around(run):
            yield

    carry_out(run, build_reporters, capturing, in_program=True)


def carry_out(run: Run, build_reporters: BuildReporters, around: Around, *, in_program: bool = False) -> None:
    """Carry out a prepared run: open its cache, place its nodes, and run it to the end."""
    write_files = _files_of_record(run)
    base, folders = Path(run.pipeline.folder), folders_of(run.pipeline.nodes.values())
    with FolderModules(base, folders, shares_process=in_program) as modules, _open_cache(run) as cache:
        if cache is not None and in_program:
            cache.is_in_program()
        run.plan = _plan_of_run(run, cache)
        placement = _placement(run, cache)
        with _on_cluster(run, placement) as cluster:
            run.go(build_reporters, around, _importer(run, modules), cache, placement, cluster, in_program=in_program)
    write_files()


def _files_of_record(run: Run) -> Callable[[], object]:
    """Return what writes the page and the trace of the run, if it has any, after the last line of the journal."""
    if run.shown.report is None and run.shown.trace is None:
        return lambda: None
    # Before nodes run: they may hide these modules by files of their own.
    from nfrun.lookback.run_reference import find_run

    files: dict[str, tuple[Path, Callable[[ListedRun], str]]] = {}
    if (path := run.shown.report) is not None:
        from nfrun.lookback.page.html_page import render_page
        from nfrun.lookback.page.run_data import run_data

        files[f"of the page ({path})"] = path, lambda found: render_page(run_data(run.work, found, run.redactor))
    if (path := run.shown.trace) is not None:
        from nfrun.lookback.page.recorded_trace import recorded_trace

        files[f"of the trace ({path})"] = path, lambda found: recorded_trace(found, run.redactor)

    def write() -> None:
        for name, (path, make) in files.items():
            try:
                content = make(find_run(run.work, None, run.started.run)).encode()
                write_report(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
            except Exception as error:
                run.stopped_reporters[name] = tell_stopped(name, error, run.messages)

    return write


def _importer(run: Run, modules: FolderModules) -> Importer:
    """Return what imports modules for the nodes in a folder: also that of the functions which a program gives."""
    functions = run.program and run.program.built and run.program.built.functions
    if not functions:
        return modules.importer
    from nfrun.code.program_functions import program_module

    given = program_module(functions)

    def importer(folder: str) -> Callable[[str], ModuleType] | None:
        load = modules.importer(folder) or import_module
        return (lambda name: given if name == given.__name__ else load(name)) if not folder else load

    return importer


def _placement(run: Run, cache: RunCache | None) -> Placement:
    """Return where the nodes run."""
    executor, pipeline, plan = run.where.executor, run.pipeline, run.plan
    code, reused = (cache.code, cache.reused_nodes) if cache else (FolderCode(Path(pipeline.folder)), ())
    return place_nodes(pipeline, executor, run.recorded, code, reused, run.thread_variables, plan.retained)


def _on_cluster(run: Run, placement: Placement) -> AbstractContextManager[Cluster | None]:
    if run.where.executor not in CLUSTERS:
        return nullcontext()
    from nfrun.session.cluster_run import open_cluster

    return open_cluster(run, placement)


@contextmanager
def _open_cache(run: Run) -> Iterator[RunCache | None]:
    """Open the cache of the run; None if its handoff leaves no files for a later run.

    Raises OSError and SelectionError.
    """
    if run.where.handoff not in PERSISTENT_HANDOFFS:
        yield None
        return
    cache = RunCache(
        run.pipeline,
        run.plan,
        run.database,
        run.folder,
        run.started,
        fresh=run.what.fresh is True,
        force=run.selection.force,
        keep=run.kept.keep,
        budget=run.budget,
        fsync=run.kept.fsync,
        verify=run.what.verify,
        warn=run.messages.warn,
        redact=run.redactor,
        selected=run.selection.nodes,
    )
    try:
        yield cache
    except _refusals():  # before any node runs
        cache.forget()
        raise
    finally:
        cache.close()


def _plan_of_run(run: Run, cache: RunCache | None) -> Plan:
    """Return the plan of the nodes that take part in the run. Raises SelectionError."""
    plan, selected = cache.plan if cache else run.plan, run.selection.nodes
    if cache is None and selected is not None:
        why = f"--handoff {run.where.handoff} uses no results of earlier runs"
        plan = plan_without_results(run.pipeline, plan, selected, why)
    return SCHEDULES[run.where.schedule](plan)


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which a run is refused: by a cluster, its place, or what this machine lacks for a node."""
    from nfrun.tables.places.base import PlaceError  # few runs have a place

    return ClusterError, PlaceError, SpecError
