"""Runs a pipeline file: `run_pipeline` is a function for any Python program. `run_command.py` is the command.

`run_setup.py` prepares the run, and `run_reports.py` builds the reporters of the command.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nfrun.cache.run_cache import RunCache
from nfrun.cache.selected_inputs import plan_without_results
from nfrun.cli.options import RunOptions
from nfrun.cli.run_setup import RunSetup, set_up_run
from nfrun.code.folder_code import FolderCode
from nfrun.code.module_space import FolderModules
from nfrun.core.errors import Cause, ClusterError, SelectionError
from nfrun.core.events import RunFinished
from nfrun.core.pipeline import OutputId
from nfrun.core.plan import SCHEDULES, Plan, with_lookups
from nfrun.core.text import shortened
from nfrun.core.values import frozen, replace
from nfrun.engine.event_dispatch import Reporter
from nfrun.engine.executors.registry import CLUSTERS
from nfrun.engine.node_stats import NodeStatsFile
from nfrun.engine.pipeline_run import PipelineRun
from nfrun.engine.placement import place_nodes
from nfrun.engine.runner import Run
from nfrun.history.work_dir import LOGS, SCRATCH
from nfrun.nodes.folders import folders_of
from nfrun.nodes.registry import KINDS
from nfrun.reports.run_record import RunRecord
from nfrun.system.atomic_files import atomic_write
from nfrun.system.native_threads import arrow_threads
from nfrun.system.runtime import collect_rarely, peak_rss
from nfrun.system.std_streams import Messages
from nfrun.tables.handoffs import DEFAULT_HANDOFF, PERSISTENT_HANDOFFS, store_class
from nfrun.tables.late_store import LateStore

if TYPE_CHECKING:
    from nfrun.engine.cluster.base import Cluster
    from nfrun.engine.executors.base import Placement
    from nfrun.places.base import Place
    from nfrun.reports.end_report import EndReport
    from nfrun.tables.store import TableStore
    from nfrun.tables.stored_files import StoredFiles

# Opens an output by its id; None if it cannot be read.
OpenTable = Callable[[OutputId], Any]
# Returns why nodes are not reused, by node, "" if an earlier run has told it. It is called at the end of the run.
Obstacles = Callable[[], Mapping[str, str]]
# Returns the bytes that kept tables take, and the budget, if that is less. It is called at the end of the run.
OverBudget = Callable[[], tuple[int, int] | None]
_MOST_FETCHED = 16_000_000  # bytes of a table that is fetched from object storage to show its first rows
_BuildReporters = Callable[[RunRecord, OpenTable, Mapping[str, str], Obstacles, OverBudget], Iterable[Reporter]]


@frozen
class RunResult:
    """The result of a run. `record` has the nodes and the stages, and in `refs` the references of all outputs.

    `end` is the last event, as it was reported: a run whose journal is not complete did not end with `ok`. `detached`
    nodes still run, each on a thread. `stopped_reporters` has the cause of each reporter that failed, by its name.
    `tables` has the outputs of the pipeline by name, None for those that the run does not have; a command takes none.
    """

    end: RunFinished
    record: RunRecord
    detached: int
    stopped_reporters: Mapping[str, Cause]
    tables: Mapping[str, Any]


def run_pipeline(
    options: RunOptions,
    reporters: Iterable[Reporter] = (),
    around: Callable[[Run], AbstractContextManager[object]] = nullcontext,
) -> RunResult:
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
    from nfrun.logs.print_capture import capture_prints

    @contextmanager
    def capturing(run: Run) -> Iterator[None]:
        with capture_prints(has_detached=lambda: run.detached > 0), around(run):
            yield

    with set_up_run(options, Messages()) as setup:
        return run_prepared(setup, lambda *parts: reporters, capturing, in_program=True)


def run_prepared(
    setup: RunSetup,
    build_reporters: _BuildReporters,
    around: Callable[[Run], AbstractContextManager[object]],
    *,
    in_program: bool = False,
) -> RunResult:
    """Run a prepared pipeline inside of `around(run)`, and return its result.

    `build_reporters(record, table, placement, obstacles, over_budget)` gets the executors of nodes that do not run on
    threads as `placement`. `obstacles()` returns why nodes are not reused, and `over_budget()` that of `RunCache`.
    `in_program`: other runs and a program's own modules may be in this process.
    """
    base, folders = Path(setup.pipeline.folder), folders_of(setup.pipeline.nodes.values())
    with FolderModules(base, folders, shares_process=in_program) as modules, _open_cache(setup) as cache:
        if cache is not None and in_program:
            cache.is_in_program()
        setup = replace(setup, plan=_plan(setup, cache))
        return _run(setup, cache, build_reporters, around, modules, in_program)


def _plan(setup: RunSetup, cache: RunCache | None) -> Plan:
    """Return the plan of the nodes that take part in the run. Raises SelectionError."""
    options, plan, selected = setup.options, cache.plan if cache else setup.plan, setup.selection.nodes
    if cache is None and selected is not None:
        why = f"--handoff {options.handoff} uses no results of earlier runs"
        with _without_folder(setup.folder):
            plan = plan_without_results(setup.pipeline, plan, selected, why)
    return SCHEDULES[options.schedule](plan)


@contextmanager
def _without_folder(folder: Path) -> Iterator[None]:
    """Remove the folder of a run, which is empty, if the selected nodes cannot run."""
    try:
        yield
    except SelectionError:
        with suppress(OSError):
            folder.rmdir()
        raise


def _run(
    setup: RunSetup,
    cache: RunCache | None,
    build_reporters: _BuildReporters,
    around: Callable[[Run], AbstractContextManager[object]],
    modules: FolderModules,
    in_program: bool,
) -> RunResult:
    options, pipeline = setup.options, setup.pipeline
    code, reused = (cache.code, cache.reused_nodes) if cache else (FolderCode(Path(pipeline.folder)), ())
    variables, retained = setup.thread_variables, setup.plan.retained
    placement = place_nodes(pipeline, options.executor, setup.recorded, code, reused, variables, retained)
    if options.executor not in CLUSTERS:
        return _run_placed(setup, cache, build_reporters, around, modules, in_program, placement, None)
    from nfrun.cli.cluster_run import open_cluster

    with open_cluster(setup, placement) as cluster:
        return _run_placed(setup, cache, build_reporters, around, modules, in_program, placement, cluster)


def _run_placed(
    setup: RunSetup,
    cache: RunCache | None,
    build_reporters: _BuildReporters,
    around: Callable[[Run], AbstractContextManager[object]],
    modules: FolderModules,
    in_program: bool,
    placement: Placement,
    cluster: Cluster | None,
) -> RunResult:
    options, pipeline, executors = setup.options, setup.pipeline, placement.executors
    plan = with_lookups(setup.plan, cache.may_be_reused) if cache else setup.plan
    record = RunRecord(plan, {name: spec.of for name, spec in pipeline.nodes.items() if spec.of and name in plan.nodes})

    def table(output: OutputId) -> Any:
        with suppress(Exception):  # a failed preview must not fail the run
            ref = record.refs[output]
            if (ref.path or ref.stored) and not run.store.holds(ref):  # of a node that was reused
                run.store.register_file(ref)
            return run.store.open(ref)
        return None

    def shown(output: OutputId) -> Any:
        ref = record.refs[output]
        is_far = ref.is_remote and not (ref.stored or "").startswith("file:")
        return None if is_far and (ref.size or 0) > _MOST_FETCHED else table(output)

    may_run = cache is None or len(cache.reused_nodes) < len(pipeline.nodes)
    run = PipelineRun(
        pipeline,
        plan,
        setup.started.run,
        folder=setup.folder,
        logs=setup.folder / LOGS,
        scratch=setup.folder / SCRATCH,
        environ={**os.environ, **setup.thread_variables, **pipeline.env},
        reporters=[
            record,
            *_events_file(setup),
            *build_reporters(record, shown, executors, *_notes(cache)),
            NodeStatsFile(setup.timings, setup.recorded, executors, lambda: cache.changed_state if cache else None),
        ],
        make_store=lambda run: _store(setup, executors, run, is_program=in_program, may_run=may_run, cluster=cluster),
        redactor=setup.redactor,
        on_error=setup.messages,
        report=_end_report(setup, record),
        placement=placement,
        gate=cache and cache.gate,
        importer=modules.importer,
        keep_going=options.keep_going,
        grace=options.grace,
        given=cache.given if cache else {},
        cluster=cluster,
    )
    return _go(run, record, table, setup, cache, around, in_program)


def _go(
    run: PipelineRun,
    record: RunRecord,
    table: OpenTable,
    setup: RunSetup,
    cache: RunCache | None,
    around: Callable[[Run], AbstractContextManager[object]],
    in_program: bool,
) -> RunResult:
    """Run to the end, and return the result."""
    pipeline = setup.pipeline
    tables: dict[str, Any] = {}
    returned = pipeline.outputs if in_program else {}  # a command shows the first tables only, and returns none
    try:
        end = run.go(around, cache and cache.with_cache, cache and cache.watch, cache and cache.known_outcome)
    finally:
        run.close(lambda: tables.update({name: table(output) for name, output in returned.items()}))
    if cache is not None:
        end = cache.end or end
        if run.dispatcher.gate_error is not None:
            end = end.with_error(run.dispatcher.gate_error)
    return RunResult(end, record, run.run.detached, run.dispatcher.stopped, tables)


def _notes(cache: RunCache | None) -> tuple[Obstacles, OverBudget]:
    if cache is None:
        return dict, lambda: None
    return lambda: cache.obstacles, lambda: cache.over_budget


def _end_report(setup: RunSetup, record: RunRecord) -> EndReport | None:
    """Return the reporter that writes the document of the run for its last nodes; None without such nodes."""
    if not setup.pipeline.last_nodes:
        return None
    from nfrun.reports.end_report import EndReport
    from nfrun.reports.json_document import run_document

    logs, scratch = setup.folder / LOGS, setup.folder / SCRATCH
    document = run_document(record, setup.pipeline, setup.started.run, logs, StringIO(), peak_rss)
    return EndReport(scratch / "report.json", document.as_json, _write_report)


def _write_report(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # the folder of the run may have been removed
    with atomic_write(path, private=True) as partial:
        Path(partial).write_text(text, encoding="utf-8")


def _events_file(setup: RunSetup) -> Iterator[Reporter]:
    if setup.events is not None:
        from nfrun.reports.events_file import EventsFile

        yield EventsFile(setup.events)


@contextmanager
def _open_cache(setup: RunSetup) -> Iterator[RunCache | None]:
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


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which a cluster or its place refuses a run."""
    from nfrun.places.base import PlaceError  # few runs have a place

    return ClusterError, PlaceError


def _store(
    setup: RunSetup, placement: Mapping[str, str], run: Run, *, is_program: bool, may_run: bool, cluster: Cluster | None
) -> TableStore:
    """Make the table store of the run. Inputs that are read as files are written first.

    The store of a run in which no node `may_run` is made when a table is read, if at all.
    """
    options = setup.options
    file_readers = [
        spec for name, spec in setup.pipeline.nodes.items() if name in placement or KINDS[spec.kind].reads_files(spec)
    ]
    # A source is there to be read again. With `cache: true` and as a result that the run shows, its table is kept.
    reads = [
        spec
        for spec in setup.pipeline.nodes.values()
        if (KINDS[spec.kind].has_local_source(spec) or KINDS[spec.kind].hands_on) and not spec.cache
    ]
    unwritten = frozenset(output for spec in reads for output in spec.output_ids) - setup.plan.retained

    def make() -> TableStore:
        from nfrun.tables.stored_files import LateStoredFiles

        store = store_class(options.handoff) if is_program else _store_class(setup)
        return store(
            setup.folder,
            mode=options.handoff,
            retained=setup.plan.retained,
            write_first=frozenset(output for spec in file_readers for item in spec.inputs for output in item.outputs),
            budget=options.memory,
            persistent=options.handoff in PERSISTENT_HANDOFFS,
            unwritten=unwritten if options.handoff == DEFAULT_HANDOFF else frozenset(),
            fsync=options.fsync,
            stored=LateStoredFiles(_stored_outputs) if cluster is None else _stored_outputs(cluster.place),
            on_published=run.output_published,
            on_error=run.abort,
        )

    if (may_run or setup.pipeline.last_nodes) and not is_program and not gc.isenabled():  # it is off during start-up
        collect_rarely()
    return make() if may_run else cast("TableStore", LateStore(make, fsync=options.fsync))


def _stored_outputs(place: Place | None = None) -> StoredFiles:
    from nfrun.places.stored_outputs import StoredOutputs  # few runs have outputs in places that machines share

    return StoredOutputs(place)


def _store_class(setup: RunSetup) -> type[TableStore]:
    """Import the class of the store, and with it Arrow, with the settings of a command that owns its process."""
    store = store_class(setup.options.handoff)
    if threads := arrow_threads(setup.thread_variables):
        import pyarrow

        pyarrow.set_cpu_count(threads)
    return store
