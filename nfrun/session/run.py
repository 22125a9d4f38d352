"""Runs a pipeline file: `run_pipeline` is a function for any Python program, `run_prepared` for one that prepares it.

`run_setup.py` prepares the run before, and `prepared_run.py` puts it together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING

from nfrun.code.fingerprint import FolderCode
from nfrun.code.module_space import FolderModules
from nfrun.core.errors import Cause, ClusterError, SelectionError, SpecError, cause_of
from nfrun.core.plan import SCHEDULES, Plan
from nfrun.core.text import shortened
from nfrun.core.values import replace
from nfrun.engine.attempt_context import Importer
from nfrun.engine.event_dispatch import Reporter
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.placement import place_nodes
from nfrun.engine.runner import Run
from nfrun.history.cache.reuse_decision import plan_without_results
from nfrun.history.cache.run_cache import RunCache
from nfrun.nodes.folders import folders_of
from nfrun.pipeline_file.budgets import with_memory_here
from nfrun.session.options import RunOptions
from nfrun.session.prepared_run import Around, BuildReporters, Caller, PreparedRun, RunResult
from nfrun.session.report_files import write_report
from nfrun.session.run_setup import RunSetup, set_up_run
from nfrun.system.std_streams import Messages
from nfrun.tables.handoffs import PERSISTENT_HANDOFFS

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.engine.executors.base import Placement
    from nfrun.lookback.run_reference import ListedRun


def run_pipeline(options: RunOptions, reporters: Iterable[Reporter] = (), around: Around = nullcontext) -> RunResult:
    """Run a pipeline file, on any thread, beside other runs in this process, and return its result.

    Events go to the `reporters` and to the file of `options.events`. The options `json`, `color`, `quiet` and `verbose`
    are those of the command's reports: they do nothing here. Nodes run inside of `around(run)`: a program can keep
    `run`, and call its `cancel` from any thread. On the main thread, `lambda run: cancel_on_signals(run.cancel)`
    cancels the run on Ctrl-C. A node that fails is no error of this function. Raises UsageError, SpecError,
    SelectionError, WorkDirLocked, HandoffError and OSError.

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
    with set_up_run(options, Messages()) as setup:
        return run_in_program(setup, lambda *parts: reporters, around)


def run_in_program(
    setup: RunSetup, build_reporters: BuildReporters, around: Around, *, takes_tables: bool = True
) -> RunResult:
    """Run a prepared pipeline as `run_pipeline` does, and return its result. The other arguments are of `Caller`."""
    from nfrun.system.logs.print_capture import capture_prints

    @contextmanager
    def capturing(run: Run) -> Iterator[None]:
        with capture_prints(has_detached=lambda: run.detached > 0), around(run):
            yield

    return run_prepared(setup, Caller(build_reporters, capturing, in_program=True, takes_tables=takes_tables))


def run_prepared(setup: RunSetup, caller: Caller) -> RunResult:
    """Run a prepared pipeline for a caller, and return its result."""
    write_files = _files_of_record(setup)
    base, folders = Path(setup.pipeline.folder), folders_of(setup.pipeline.nodes.values())
    with FolderModules(base, folders, shares_process=caller.in_program) as modules, open_cache(setup) as cache:
        if cache is not None and caller.in_program:
            cache.is_in_program()
        setup = replace(setup, plan=plan_of_run(setup, cache))
        placement = _placement(setup, cache)
        setup = _with_memory_here(setup, placement)
        with _cluster(setup, placement) as cluster:
            result = PreparedRun(setup, caller, _importer(setup, modules), cache, placement, cluster).go()
    stopped = write_files()
    return replace(result, stopped_reporters={**result.stopped_reporters, **stopped}) if stopped else result


def _files_of_record(setup: RunSetup) -> Callable[[], Mapping[str, Cause]]:
    """Return what writes the page and the trace of the run, if it has any, after the last line of the journal.

    It says why one cannot be written, and returns the cause by the name of the report.
    """
    if setup.options.report is None and setup.options.trace is None:
        return dict
    # Before nodes run: they may hide these modules by files of their own.
    from nfrun.lookback.run_reference import find_run

    files: dict[str, tuple[Path, Callable[[ListedRun], str]]] = {}
    if (path := setup.options.report) is not None:
        from nfrun.lookback.page.html_page import render_page
        from nfrun.lookback.page.run_data import run_data

        files[f"of the page ({path})"] = path, lambda run: render_page(run_data(setup.work, run, setup.redactor))
    if (path := setup.options.trace) is not None:
        from nfrun.lookback.page.recorded_trace import recorded_trace

        files[f"of the trace ({path})"] = path, lambda run: recorded_trace(run, setup.redactor)

    def write() -> Mapping[str, Cause]:
        stopped: dict[str, Cause] = {}
        for name, (path, make) in files.items():
            try:
                text = make(find_run(setup.work, None, setup.started.run))
                write_report(path, partial(_write_text, text))
            except Exception as error:
                why = isinstance(error, OSError) and error.strerror
                setup.messages(f"nfrun: the report {name} stopped: {why or f'{type(error).__name__}: {error}'}")
                stopped[name] = cause_of(error)
        return stopped

    return write


def _write_text(text: str, file: IO[bytes]) -> None:
    file.write(text.encode())


def _importer(setup: RunSetup, modules: FolderModules) -> Importer:
    """Return what imports modules for the nodes in a folder: also that of the functions which a program gives."""
    functions = setup.program and setup.program.built and setup.program.built.functions
    if not functions:
        return modules.importer
    from nfrun.code.program_functions import program_module

    given = program_module(functions)

    def importer(folder: str) -> Callable[[str], ModuleType] | None:
        load = modules.importer(folder) or import_module
        return (lambda name: given if name == given.__name__ else load(name)) if not folder else load

    return importer


def _placement(setup: RunSetup, cache: RunCache | None) -> Placement:
    """Return where the nodes run."""
    options, pipeline = setup.options, setup.pipeline
    code, reused = (cache.code, cache.reused_nodes) if cache else (FolderCode(Path(pipeline.folder)), ())
    variables, retained = setup.thread_variables, setup.plan.retained
    return place_nodes(pipeline, options.executor, setup.recorded, code, reused, variables, retained)


def _with_memory_here(setup: RunSetup, placement: Placement) -> RunSetup:
    """Let nodes that are on no cluster take of the memory of this machine. Raises SpecError if one takes more."""
    if setup.options.executor not in CLUSTERS:
        return setup
    here = [name for name in setup.plan.nodes if placement.executors.get(name) not in CLUSTERS]
    pipeline, plan = with_memory_here(setup.pipeline, here), setup.plan
    amounts = {name: budget.amount for name, budget in pipeline.budgets.items() if name in plan.budget}
    plan = replace(plan, budget={**plan.budget, **amounts}, budgets=pipeline.budgets)
    return replace(setup, pipeline=pipeline, plan=plan)


@contextmanager
def _cluster(setup: RunSetup, placement: Placement) -> Iterator[Cluster | None]:
    if setup.options.executor not in CLUSTERS:
        yield None
        return
    from nfrun.session.cluster_run import open_cluster

    with open_cluster(setup, placement) as cluster:
        yield cluster


@contextmanager
def open_cache(setup: RunSetup) -> Iterator[RunCache | None]:
    """Open the cache of the run; None if its handoff leaves no files for a later run.

    Raises OSError and SelectionError.
    """
    options = setup.options
    if options.handoff not in PERSISTENT_HANDOFFS:
        if ignored := [name for name, spec in setup.pipeline.nodes.items() if spec.cache]:
            what = "node '{}' says" if len(ignored) == 1 else "nodes {} say"
            what = what.format(shortened(ignored, 4))
            setup.messages.warn(f"{what} 'cache: true', but --handoff {options.handoff} keeps nothing")
        yield None
        return
    with _without_folder(setup.folder):
        cache = RunCache(
            setup.pipeline,
            setup.plan,
            setup.work,
            setup.folder,
            setup.started,
            fresh=options.fresh,
            force=setup.selection.force,
            keep=options.keep,
            budget=setup.budget,
            fsync=options.fsync,
            verify=options.verify,
            warn=setup.messages.warn,
            redact=setup.redactor,
            selected=setup.selection.nodes,
        )
    try:
        yield cache
    except _refusals():  # before any node runs
        cache.forget()
        raise
    finally:
        cache.close()


def plan_of_run(setup: RunSetup, cache: RunCache | None) -> Plan:
    """Return the plan of the nodes that take part in the run. Raises SelectionError."""
    options, plan, selected = setup.options, cache.plan if cache else setup.plan, setup.selection.nodes
    if cache is None and selected is not None:
        why = f"--handoff {options.handoff} uses no results of earlier runs"
        with _without_folder(setup.folder):
            plan = plan_without_results(setup.pipeline, plan, selected, why)
    return SCHEDULES[options.schedule](plan)


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which a run is refused: by a cluster, its place, or what this machine lacks for a node."""
    from nfrun.tables.places.base import PlaceError  # few runs have a place

    return ClusterError, PlaceError, SpecError


@contextmanager
def _without_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of a run, which is empty, if the selected nodes cannot run."""
    try:
        yield
    except SelectionError:
        with suppress(OSError):
            folder.rmdir()
        raise
