"""Puts a prepared run together: the engine, its store, cache, cluster and reporters. `run.py` opens what it needs."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nfrun.core.errors import Cause
from nfrun.core.events import RunFinished
from nfrun.core.pipeline import OutputId
from nfrun.core.plan import with_lookups
from nfrun.core.values import frozen
from nfrun.engine.attempt_context import Importer
from nfrun.engine.event_dispatch import Reporter
from nfrun.engine.executors.base import Placement
from nfrun.engine.node_stats import NodeStatsFile
from nfrun.engine.pipeline_run import PipelineRun
from nfrun.engine.runner import Run
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.history.work_dir import LOGS, SCRATCH
from nfrun.nodes.registry import kind_of
from nfrun.reports.run_record import RunRecord
from nfrun.session.run_setup import RunSetup
from nfrun.system.atomic_files import atomic_write
from nfrun.system.native_threads import arrow_threads
from nfrun.system.runtime import available_memory, collect_rarely, cores, peak_rss, process_began
from nfrun.tables.handoffs import DEFAULT_HANDOFF, PERSISTENT_HANDOFFS, LateStore, store_class

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.engine.executors.base import MakeExecutor, Placement
    from nfrun.reports.json_document import EndReport
    from nfrun.tables.store import TableStore


# Opens an output by its id; None if it cannot be read.
OpenTable: TypeAlias = Callable[[OutputId], Any]
# Returns why nodes are not reused, by node, "" if an earlier run has told it. It is called at the end of the run.
Obstacles: TypeAlias = Callable[[], Mapping[str, str]]
# Returns the bytes that kept tables take, and the budget, if that is less. It is called at the end of the run.
OverBudget: TypeAlias = Callable[[], "tuple[int, int] | None"]
BuildReporters: TypeAlias = Callable[
    [RunRecord, OpenTable, Mapping[str, str], Obstacles, OverBudget], Iterable[Reporter]
]
Around: TypeAlias = Callable[[Run], AbstractContextManager[object]]
_MOST_FETCHED = 16_000_000  # bytes of a table that is fetched from object storage to show its first rows


@frozen
class Caller:
    """Who runs a pipeline: a command, which owns its process, or a program.

    `build_reporters(record, table, placement, obstacles, over_budget)` gets the executors of nodes that do not run on
    threads as `placement`. `obstacles()` returns why nodes are not reused, and `over_budget()` that of `RunCache`.
    Nodes run inside of `around(run)`. `in_program`: other runs and a program's own modules may be in this process.
    Such a caller gets the tables of the pipeline's outputs with the result if it `takes_tables`.
    """

    build_reporters: BuildReporters
    around: Around
    in_program: bool = False
    takes_tables: bool = True


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


class PreparedRun:
    """A prepared run with all that it needs. Call `go` once."""

    def __init__(
        self,
        setup: RunSetup,
        caller: Caller,
        importer: Importer,
        cache: RunCache | None,
        placement: Placement,
        cluster: Cluster | None,
    ) -> None:
        self._setup, self._caller, self._cache = setup, caller, cache
        self._placement, self._cluster = placement, cluster
        plan, nodes = with_lookups(setup.plan, cache.may_be_reused) if cache else setup.plan, setup.pipeline.nodes
        self._record = RunRecord(
            plan, {name: spec.of for name, spec in nodes.items() if spec.of and name in plan.nodes}
        )
        self._run = PipelineRun(
            setup.pipeline,
            plan,
            setup.started.run,
            folder=setup.folder,
            logs=setup.folder / LOGS,
            scratch=setup.folder / SCRATCH,
            environ={**os.environ, **setup.thread_variables, **setup.pipeline.env},
            reporters=self._reporters(),
            make_store=self._store,
            redactor=setup.redactor,
            on_error=setup.messages,
            report=_end_report(setup, self._record),
            placement=placement,
            gate=cache and cache.gate,
            importer=importer,
            keep_going=setup.options.keep_going,
            grace=setup.options.grace,
            given=cache.given if cache else {},
            on_cluster=_on_cluster(cluster) if cluster else None,
        )

    def go(self) -> RunResult:
        """Run to the end, and return the result."""
        run, cache, tables = self._run, self._cache, dict[str, Any]()
        if cache is not None:
            record_plan(self._setup, self._placement, in_program=self._caller.in_program)
            if self._cluster is not None:
                cache.note_workers(self._cluster.made_on)
        hooks = (cache.with_cache, cache.watch, cache.known_outcome) if cache else ()
        # A command shows the first tables only, and returns none.
        takes_tables = self._caller.in_program and self._caller.takes_tables
        returned = self._setup.pipeline.outputs if takes_tables else {}
        try:
            end = run.go(self._caller.around, *hooks)
        finally:
            run.close(lambda: tables.update({name: self._table(output) for name, output in returned.items()}))
        if cache is not None:
            end = cache.end or end
            if run.dispatcher.gate_error is not None:
                end = end.with_error(run.dispatcher.gate_error)
        return RunResult(end, self._record, run.run.detached, run.dispatcher.stopped, tables)

    def _reporters(self) -> Iterator[Reporter]:
        setup, cache, executors = self._setup, self._cache, self._placement.executors
        yield self._record
        if setup.events is not None:
            from nfrun.reports.line_reporter import EventsFile

            yield EventsFile(setup.events)
        if setup.options.junit is not None:
            from nfrun.session.ci_files import junit_file

            yield junit_file(setup, self._record, setup.options.junit)
        notes = (lambda: cache.obstacles, lambda: cache.over_budget) if cache else (dict, lambda: None)
        yield from self._caller.build_reporters(self._record, self._shown, executors, *notes)
        yield NodeStatsFile(setup.timings, setup.recorded, executors)

    def _table(self, output: OutputId) -> Any:
        """Open an output by its id; None if it cannot be read."""
        with suppress(Exception):  # a failed preview must not fail the run
            ref, store = self._record.refs[output], self._run.store
            if (ref.path or ref.stored) and not store.holds(ref):  # of a node that was reused
                store.register_file(ref)
            return store.open(ref)
        return None

    def _shown(self, output: OutputId) -> Any:
        """Open an output to show its first rows, unless it is large and far away."""
        ref = self._record.refs[output]
        is_far = ref.is_remote and not (ref.stored or "").startswith("file:")
        return None if is_far and (ref.size or 0) > _MOST_FETCHED else self._table(output)

    def _store(self, run: Run) -> TableStore:
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

            store = store_class(options.handoff) if in_program else _store_class(setup)
            return store(
                setup.folder,
                mode=options.handoff,
                retained=retained,
                budget=options.memory,
                persistent=options.handoff in PERSISTENT_HANDOFFS,
                unwritten=unwritten if options.handoff == DEFAULT_HANDOFF else frozenset(),
                fsync=options.fsync,
                stored=StoredOutputs(None if cluster is None else cluster.place),
                on_published=run.output_published,
                on_error=run.abort,
            )

        may_run = self._cache is None or len(self._cache.reused_nodes) < len(nodes)
        if (may_run or setup.pipeline.last_nodes) and not in_program and not gc.isenabled():  # it is off at start-up
            collect_rarely()
        return make() if may_run else cast("TableStore", LateStore(make, fsync=options.fsync))


def _on_cluster(cluster: Cluster) -> MakeExecutor:
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


def _store_class(setup: RunSetup) -> type[TableStore]:
    """Import the class of the store, and with it Arrow, with the settings of a command that owns its process."""
    store = store_class(setup.options.handoff)
    if threads := arrow_threads(setup.thread_variables):
        import pyarrow

        pyarrow.set_cpu_count(threads)
    return store


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
