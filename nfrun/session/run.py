"""Runs a prepared pipeline: `run_in_program` in any Python program, `run_prepared` for a command.

`run_setup.py` prepares the run before. `PreparedRun` is the run.
"""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from nfrun.code.fingerprint import FolderCode
from nfrun.code.module_space import FolderModules
from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.errors import Cause, ClusterError, SpecError, cause_of
from nfrun.core.events import AllNodesEnded, CallStarted, NodeLogged, NodeProgressed, NodeStarted, Outcome, RunFinished
from nfrun.core.plan import SCHEDULES, Plan, last_plan, with_lookups
from nfrun.core.text import shortened
from nfrun.core.values import frozen, replace
from nfrun.engine.attempt import AttemptRunner, RunAttempt
from nfrun.engine.attempt_context import Importer, RunCoroutine
from nfrun.engine.event_dispatch import EventDispatcher, Reporter
from nfrun.engine.executors.base import ExecutorContext, MakeExecutor, Placement
from nfrun.engine.executors.registry import CLUSTERS, DEFAULT_EXECUTOR, EXECUTORS, prepare_executors
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.instance_closer import InstanceCloser
from nfrun.engine.node_stats import NodeStatsFile
from nfrun.engine.placement import place_nodes
from nfrun.engine.runner import Run
from nfrun.history.cache.reuse_decision import plan_without_results
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.history.work_dir import LOGS, SCRATCH
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import declared_files, failure_without
from nfrun.nodes.folders import folders_of
from nfrun.nodes.instances import unused_instances
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.budgets import with_memory_here
from nfrun.reports.run_record import RunRecord
from nfrun.session.report_files import write_report
from nfrun.session.run_setup import RunSetup
from nfrun.system.atomic_files import atomic_write, remove
from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.redaction import redact_events
from nfrun.system.native_threads import arrow_threads
from nfrun.system.runtime import available_memory, collect_rarely, cores, peak_rss, process_began
from nfrun.tables.handoffs import DEFAULT_HANDOFF, PERSISTENT_HANDOFFS, LateStore, store_class

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.lookback.run_reference import ListedRun
    from nfrun.reports.json_document import EndReport
    from nfrun.tables.store import TableStore


Around: TypeAlias = Callable[[Run], AbstractContextManager[object]]
_MOST_FETCHED = 16_000_000  # bytes of a table that is fetched from object storage to show its first rows


@frozen
class Caller:
    """The caller of a run: a command, which owns its process, or a program.

    `build_reporters(run)` makes the reporters that the caller wants. Nodes run inside of `around(run)`. `in_program`:
    other runs and a program's own modules may be in this process.
    """

    build_reporters: Callable[[PreparedRun], Iterable[Reporter]]
    around: Around
    in_program: bool = False


@frozen
class RunResult:
    """The result of a run. `record` has the nodes and the stages, and in `refs` the references of all outputs.

    `end` is the last event, as it was reported: a run whose journal is not complete did not end with `ok`. `detached`
    nodes still run, each on a thread. `stopped_reporters` has the cause of each reporter that failed, by its name.
    """

    end: RunFinished
    record: RunRecord
    detached: int
    stopped_reporters: Mapping[str, Cause]


class PreparedRun:
    """Wires one run together: its store, executors, logs, cache and event dispatcher. Call `go` once.

    Several runs can be under way in one process, on threads of their own. A run changes nothing that belongs to the
    process, but for the audit hook of `code.watch`, which stays and does nothing while no run is under way. The caller
    adds what it needs around the nodes, such as signal handlers or the capture of prints.

    `record` has the state of the run, and `executors` those of the nodes that do not run on threads. `importer` is that
    of `AttemptRunner`. `watch` sees what attempts open in a run without a cache.
    """

    def __init__(
        self,
        setup: RunSetup,
        caller: Caller,
        importer: Importer,
        cache: RunCache | None,
        placement: Placement,
        cluster: Cluster | None,
        watch: RunWatch | None = None,
    ) -> None:
        self._setup, self._caller, self._cache = setup, caller, cache
        self._placement, self._cluster, self.executors = placement, cluster, placement.executors
        pipeline, grace = setup.pipeline, setup.options.grace
        self._plan = plan = with_lookups(setup.plan, cache.may_be_reused) if cache else setup.plan
        self._watch, run_id = cache.watch if cache else watch, setup.started.run
        cells = {name: spec.of for name, spec in pipeline.nodes.items() if spec.of and name in plan.nodes}
        self.record = RunRecord(plan, cells)
        environ = {**os.environ, **setup.thread_variables, **pipeline.env}
        prepare_executors(placement, environ)
        self._report = _end_report(setup, self.record)
        self._instances = InstanceCloser(pipeline.nodes.values(), grace, setup.messages)
        self._dispatcher = EventDispatcher([*self._reporters()], setup.messages, cache and cache.gate)
        self._emit = redact_events(setup.redactor, self._dispatcher.emit)
        self._logs = Logs(self._log, setup.folder / LOGS, setup.redactor.filter, self._dispatcher.has_room)
        self._end_variables: dict[str, str] = {}  # for the last nodes, which are known when they start
        contention = GilContention()
        self.run = Run(
            plan,
            self._emit,
            placement=placement.executors,
            keep_going=setup.options.keep_going,
            seed=zlib.crc32(run_id.encode()),  # the same for the same run id
            grace=grace,
            on_timeout=self._logs.detach,
            on_wake=contention.look,
            last_plans=self._last_plans,
            given=cache.given if cache else {},
        )
        try:
            self._store = self._make_store()
        except BaseException:
            self._dispatcher.close()
            raise
        self._runner = AttemptRunner(
            *(pipeline, self._store, run_id, setup.folder / SCRATCH, environ, self._logs, self._progress),
            contention=contention,
            grace=grace,
            importer=importer,
            watch=self._watch,
            exposed=placement.exposed,
            unshared=placement.unshared,
            in_files=placement.in_files,
            end_variables=self._end_variables,
            on_begun=self.run.begun,
        )

    def go(self) -> RunResult:
        """Run to the end, and return the result."""
        cache = self._cache
        if cache is not None:
            record_plan(self._setup, self._placement, in_program=self._caller.in_program)
            if self._cluster is not None:
                cache.note_workers(self._cluster.made_on)
        try:
            end = self._run_to_end()
        finally:
            self._close()
        if cache is not None:
            end = cache.end or end
            if self._dispatcher.gate_error is not None:
                end = end.with_error(self._dispatcher.gate_error)
        return RunResult(end, self.record, self.run.detached, self._dispatcher.stopped)

    def _run_to_end(self) -> RunFinished:
        context = ExecutorContext(
            self._runner,
            self._with_cache,
            self._store,
            self._setup.folder,
            self._plan.slots,
            self._placement,
            self._instances.finders,
            self.run.abort,
            self.run.waiting,
            _on_cluster(self._cluster),
        )
        self._instances.finders.append(partial(unused_instances, self._runner.memo))
        names = dict.fromkeys([DEFAULT_EXECUTOR, *self.executors.values()])
        known = self._cache.known_outcome if self._cache else (lambda start: None)
        with self._caller.around(self.run), nullcontext() if self._watch is None else self._watch.watching():
            makers = {name: partial(EXECUTORS[name], context) for name in names}
            return self.run.go(makers, self._store, known, self._instances.close_all)

    def _with_cache(self, run_attempt: RunAttempt) -> RunAttempt:
        """Wrap what makes attempts with the cache lookup.

        Without a cache, let nodes fail of which a declared file is missing, as a cache does.
        """
        if self._cache is not None:
            return self._cache.with_cache(run_attempt, self._store, self.run.abort)
        pipeline = self._setup.pipeline
        base = Path(pipeline.folder)

        def run_with_files(start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
            spec = pipeline.nodes.get(start.node)
            if spec is not None and spec.files and not isinstance(start, CallStarted):
                for entry, found in declared_files(spec, base).items():
                    if not found:
                        return Outcome(start.node, start.attempt, failure_without(entry, spec, base))
            return run_attempt(start, cancel_token, run_coroutine)

        return run_with_files

    def _last_plans(
        self, end: RunFinished, failed: Collection[str], longest: Callable[[], float | None]
    ) -> Iterator[Plan]:
        """Yield the plans that run one after the other when all nodes have ended, for a run that ended like this.

        `failed` are the nodes that failed. `longest()` returns the seconds that a node may take, None before a signal.
        """
        pipeline, is_failure = self._setup.pipeline, end.status == "failed" and longest() is None
        on_failure = pipeline.on_failure if is_failure else {}
        if not on_failure and not pipeline.finally_:
            return
        self._end_variables |= {
            "NFRUN_STATUS": end.status,
            "NFRUN_FAILED": " ".join(name for name in self._plan.nodes if name in failed),
        }
        self._emit(AllNodesEnded(end.at, end))
        if self._report is not None and self._report.written.wait(self._setup.options.grace):  # not if the disk hangs
            self._end_variables["NFRUN_REPORT"] = str(self._report.path)
        for specs in (on_failure, pipeline.finally_):
            if specs:
                yield last_plan(specs.values(), self._plan, longest())

    def _close(self) -> None:
        """Close logs, reporters and then the store, which drops its tables: reporters may open them until then."""
        self._instances.close_all()
        self._logs.close()
        self._dispatcher.close()
        for open_map in self._runner.open_maps.values():  # of nodes that were cancelled: the next run goes on from them
            with suppress(Exception):
                open_map.close()
        self._store.close()
        self._runner.memo.clear()  # so that what kinds keep there, such as a DuckDB instance, is freed now
        remove(self._runner.scratch, ignore_errors=True)

    def _log(self, node: str, level: str, line: str) -> None:
        self._emit(NodeLogged(self.run.now(), node, level, line))

    def _progress(self, node: str, done: float, total: float | None) -> None:
        self._emit(NodeProgressed(self.run.now(), node, done, total))

    def _reporters(self) -> Iterator[Reporter]:
        setup = self._setup
        yield self.record
        if setup.events is not None:
            from nfrun.reports.line_reporter import EventsFile

            yield EventsFile(setup.events)
        if setup.options.junit is not None:
            from nfrun.session.ci_files import junit_file

            yield junit_file(setup, self.record, setup.options.junit)
        yield from self._caller.build_reporters(self)
        yield NodeStatsFile(setup.timings, setup.recorded, self.executors)
        if self._report is not None:
            yield self._report
        yield self._instances

    def obstacles(self) -> Mapping[str, str]:
        """Return why nodes are not reused, by node, "" if an earlier run has told it. Call it at the end of the run."""
        return self._cache.obstacles if self._cache else {}

    def over_budget(self) -> tuple[int, int] | None:
        """Return the bytes that kept tables take, and the budget, if that is less. Call it at the end of the run."""
        return self._cache.over_budget if self._cache else None

    def shown_table(self, output: str) -> Any:
        """Open an output to show its first rows, unless it is large and far away. None if it cannot be read."""
        ref = self.record.refs[output]
        is_far = ref.is_remote and not (ref.stored or "").startswith("file:")
        return None if is_far and (ref.size or 0) > _MOST_FETCHED else self.table(output)

    def table(self, output: str) -> Any:
        """Open an output by its id; None if it cannot be read."""
        with suppress(Exception):  # a failed preview must not fail the run
            ref, store = self.record.refs[output], self._store
            if (ref.path or ref.stored) and not store.holds(ref):  # of a node that was reused
                store.register_file(ref)
            return store.open(ref)
        return None

    def _make_store(self) -> TableStore:
        """Make the table store of the run.

        The store of a run in which no node runs is made when a table is read, if at all.
        """
        setup, nodes, in_program = self._setup, self._setup.pipeline.nodes, self._caller.in_program
        options, retained, cluster = setup.options, setup.plan.retained, self._cluster
        # A source is there to be read again. With `cache: true` and as a result that the run shows, its table is kept.
        reads = [spec for spec in nodes.values() if not kind_of(spec).outside.moves_files(spec) and not spec.cache]
        unwritten = frozenset(output for spec in reads for output in spec.output_ids) - retained

        def make() -> TableStore:
            from nfrun.tables.places.stored_outputs import StoredOutputs

            store = store_class(options.handoff)  # imports Arrow
            if not in_program and (threads := arrow_threads(setup.thread_variables)):
                import pyarrow

                pyarrow.set_cpu_count(threads)
            return store(
                setup.folder,
                mode=options.handoff,
                retained=retained,
                budget=options.memory,
                persistent=options.handoff in PERSISTENT_HANDOFFS,
                unwritten=unwritten if options.handoff == DEFAULT_HANDOFF else frozenset(),
                fsync=options.fsync,
                stored=StoredOutputs(None if cluster is None else cluster.place),
                on_published=self.run.output_published,
                on_error=self.run.abort,
            )

        may_run = self._cache is None or len(self._cache.reused_nodes) < len(nodes)
        if (may_run or setup.pipeline.last_nodes) and not in_program and not gc.isenabled():  # it is off at start-up
            collect_rarely()
        return make() if may_run else cast("TableStore", LateStore(make, fsync=options.fsync))


def _on_cluster(cluster: Cluster | None) -> MakeExecutor | None:
    if cluster is None:
        return None
    from nfrun.cluster.cluster import ClusterExecutor

    return partial(ClusterExecutor, cluster)


def _end_report(setup: RunSetup, record: RunRecord) -> EndReport | None:
    """Return the reporter that writes the document of the run for its last nodes; None without such nodes."""
    if not setup.pipeline.last_nodes:
        return None
    from nfrun.reports.json_document import EndReport, RunDocument

    logs, scratch = setup.folder / LOGS, setup.folder / SCRATCH
    document = RunDocument(record, setup.pipeline, setup.started.run, logs, peak_rss)
    return EndReport(scratch / "report.json", document.as_json, _write_report)


def _write_report(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # the folder of the run may have been removed
    with atomic_write(path, private=True) as partial:
        Path(partial).write_text(text, encoding="utf-8")


def record_plan(setup: RunSetup, placement: Placement, *, in_program: bool) -> None:
    """Write the plan of a run into its folder. Without room for it the run goes on: no node depends on it."""
    options, system = setup.options, os.uname()
    on = Circumstances(
        began=setup.started.at if in_program else process_began(),
        slots=setup.plan.slots,
        executor=options.executor,
        schedule=options.schedule,
        keep_going=options.keep_going,
        cores=cores(),
        memory=available_memory(),
        platform=f"{system.sysname} {system.release} {system.machine}",
    )
    redact = setup.redactor if setup.redactor else None
    with suppress(OSError):
        write_run_plan(setup.folder, setup.pipeline, setup.plan, on, executors=placement.executors, redact=redact)


def run_in_program(
    setup: RunSetup, build_reporters: Callable[[PreparedRun], Iterable[Reporter]], around: Around = nullcontext
) -> RunResult:
    """Run a prepared pipeline, on any thread, beside other runs in this process, and return its result.

    The options `json`, `color`, `quiet` and `verbose` are those of the command's reports: they do nothing here. A
    program can keep the `run` that `around(run)` gets, and call its `cancel` from any thread. A node that fails is no
    error of this function. The other arguments are of `Caller`.

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

    return run_prepared(setup, Caller(build_reporters, capturing, in_program=True))


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


def _cluster(setup: RunSetup, placement: Placement) -> AbstractContextManager[Cluster | None]:
    if setup.options.executor not in CLUSTERS:
        return nullcontext()
    from nfrun.session.cluster_run import open_cluster

    return open_cluster(setup, placement)


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
        plan = plan_without_results(setup.pipeline, plan, selected, why)
    return SCHEDULES[options.schedule](plan)


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors by which a run is refused: by a cluster, its place, or what this machine lacks for a node."""
    from nfrun.tables.places.base import PlaceError  # few runs have a place

    return ClusterError, PlaceError, SpecError
