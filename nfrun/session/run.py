"""A run of a pipeline as an object: before it begins, under way, and at its end.

`run_setup.py` prepares a run and carries it out.
"""

from __future__ import annotations

import gc
import os
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cached_property, partial
from math import inf
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.errors import Cause
from nfrun.core.events import AllNodesEnded, CallStarted, NodeLogged, NodeProgressed, NodeStarted, Outcome, RunFinished
from nfrun.core.pipeline import NOTHING
from nfrun.core.plan import Plan, last_plan, plan_of, with_lookups
from nfrun.core.values import field, frozen, replace
from nfrun.engine.attempt import AttemptRunner, RunAttempt
from nfrun.engine.attempt_context import Importer, RunCoroutine
from nfrun.engine.event_dispatch import EventDispatcher, Reporter
from nfrun.engine.executors.base import ExecutorContext, Placement
from nfrun.engine.executors.registry import DEFAULT_EXECUTOR, EXECUTORS, prepare_executors
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.instance_closer import InstanceCloser
from nfrun.engine.node_stats import NodeStatsReporter, node_stats
from nfrun.engine.runner import Runner
from nfrun.history.cache.run_cache import RunCache
from nfrun.history.database import TIMINGS, Database
from nfrun.history.journal import RunHeader
from nfrun.history.run_plan import Circumstances, write_run_plan
from nfrun.history.work_dir import LOGS, SCRATCH, RunStart
from nfrun.nodes.base import CancelToken
from nfrun.nodes.external_files import declared_files, failure_without
from nfrun.nodes.instances import unused_instances
from nfrun.nodes.registry import kind_of
from nfrun.pipeline_file.built_document import BuiltPipeline
from nfrun.pipeline_file.resolve import Resolved
from nfrun.reports.run_record import RunRecord
from nfrun.session.options import RunOptions, cache_budget, slots_of
from nfrun.session.selection import Selection
from nfrun.system.atomic_files import atomic_write, remove
from nfrun.system.file_search import name_below
from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.redaction import redact_events, redact_value
from nfrun.system.native_threads import arrow_threads, default_thread_variables
from nfrun.system.runtime import available_memory, collect_rarely, cores, peak_rss, process_began
from nfrun.system.std_streams import Messages
from nfrun.tables.handoffs import DEFAULT_HANDOFF, PERSISTENT_HANDOFFS, LateStore, store_class

if TYPE_CHECKING:
    from nfrun.cluster.base import Cluster
    from nfrun.reports.json_document import EndReport, RunDocument
    from nfrun.tables.store import TableStore


BuildReporters: TypeAlias = "Callable[[Run], Iterable[Reporter]]"
Around: TypeAlias = "Callable[[Run], AbstractContextManager[object]]"
_WIRED = {"_attempts", "_cache", "_cluster", "_dispatcher", "_instances", "_logs", "_runner", "_store", "_watch"}
_MOST_FETCHED = 16_000_000  # bytes of a table that is fetched from object storage to show its first rows


@frozen
class Program:
    """Parameters by name with their types, and the pipeline if the program has built it: then there may be no file."""

    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    built: BuiltPipeline | None = None


class Run:
    """One run of a pipeline. `set_up_run` prepares it, and `go` carries it out, once.

    Several runs can be under way in one process, on threads of their own. A run changes nothing that belongs to the
    process, but for the audit hook of `code.watch`, which stays and does nothing while no run is under way. The caller
    adds what it needs around the nodes, such as signal handlers or the capture of prints.

    `what`, `kept`, `shown` and `where` are its options. `pipeline` is bound: its parameters and expressions are
    evaluated. `selection` says which nodes the run is about.
    `folder` is the run folder in the work folder `work`, and `started` the first line of the journal, with the words of
    the `command` line and the address `store` of the place for outputs; secrets are masked in it. `recorded` has the
    statistics of nodes in earlier runs. `thread_variables` are those that nfrun adds to the environment, so that each
    native library has one thread. `budget` is that of `cache_budget`. `events` is the open events file, None without
    `--events`. `redactor` masks secrets. `program` is what only a program gives, None for a command.

    While it is under way, `record` has its state, and `executors` those of the nodes that do not run on threads.

    At the end, `end` is the last event, as it was reported: a run whose journal is not complete did not end with `ok`.
    `stopped_reporters` has the cause of each reporter that failed, by its name.
    """

    record: RunRecord
    end: RunFinished
    executors: Mapping[str, str]

    def __init__(
        self,
        options: RunOptions,
        messages: Messages,
        resolved: Resolved,
        selection: Selection,
        database: Database,
        start: RunStart,
        folder: Path,
        store: str = "",
        command: Sequence[str] = (),
        events: IO[str] | None = None,
        program: Program | None = None,
    ) -> None:
        self.what, self.kept, self.shown, self.where = options.what, options.kept, options.shown, options.where
        self.pipeline = pipeline = resolved.pipeline
        self.messages, self.redactor, self.selection, self.program = messages, resolved.redactor, selection, program
        self.database, self.work, self.folder, self.events = database, database.work, folder, events
        self.budget = cache_budget(self.kept.cache_size, os.environ)
        self.thread_variables = default_thread_variables(pipeline, os.environ)
        name = self.work.pipeline_name(pipeline)
        self.recorded = node_stats(database.kept(TIMINGS, name)[0]())
        self._absent = resolved.absent
        redact, inputs = self.redactor, options.what.inputs.items()
        self.started = RunHeader(
            run=start.run,
            pipeline=name,
            number=start.number,
            at=time.time(),
            command=tuple(map(redact, command)),
            params=redact_value(pipeline.values, redact),
            host=redact(os.uname().nodename),
            secrets=pipeline.secrets,
            profile=pipeline.profile,
            inputs={name: redact(name_below(pipeline.folder, file)) for name, file in inputs},
            store=store,
            date=pipeline.date,
        )
        self.stopped_reporters: dict[str, Cause] = {}
        self._live: Runner | None = None  # while nodes may run

    @cached_property
    def plan(self) -> Plan:
        """The plan of all nodes, and of those that take part once that is known."""
        slots = slots_of(self.where.slots, self.pipeline)
        plan = plan_of(self.pipeline, slots=slots, estimated_durations=self.recorded.durations)
        # Nodes that lack a file come first: the run fails before it does more.
        first = dict.fromkeys(self._absent, inf)
        return replace(plan, priorities={**plan.priorities, **first}) if first else plan

    def go(
        self,
        build_reporters: BuildReporters,
        around: Around,
        importer: Importer,
        cache: RunCache | None,
        placement: Placement,
        cluster: Cluster | None = None,
        watch: RunWatch | None = None,
        *,
        in_program: bool = False,
    ) -> None:
        """Run to the end.

        `build_reporters(run)` makes the reporters that the caller wants. Nodes run inside of `around(run)`. `importer`
        is that of `AttemptRunner`. `watch` sees what attempts open in a run without a cache. `in_program`: other runs
        and a program's own modules may be in this process.
        """
        self._cache, self._cluster, self._in_program = cache, cluster, in_program
        self._watch = cache.watch if cache else watch
        self._wire(build_reporters, importer, placement)
        if cache is not None:
            self._record_plan()
            if cluster is not None:
                cache.note_workers(cluster.made_on)
        try:
            self.end = self._run_to_end(around, placement)
        finally:
            self._close()
        if cache is not None:
            self.end = cache.end or self.end
            if self._dispatcher.gate_error is not None:
                self.end = self.end.with_error(self._dispatcher.gate_error)
        self.stopped_reporters |= self._dispatcher.stopped
        if not self.detached:
            self._live = None
            for name in _WIRED & vars(self).keys():  # a program may keep many runs, for their results
                delattr(self, name)

    def cancel(self, why: str) -> None:
        """Cancel the run. Safe to call from any thread and from signal handlers, as `Runner.cancel` says."""
        if (runner := self._live) is not None:
            runner.cancel(why)

    @property
    def detached(self) -> int:
        """The number of nodes that still run, each on a thread, and that the run does not wait for."""
        return 0 if (runner := self._live) is None else runner.detached

    def _wire(self, build_reporters: BuildReporters, importer: Importer, placement: Placement) -> None:
        """Make the parts of the run: its store, executors, logs and event dispatcher."""
        pipeline, grace, cache, run_id = self.pipeline, self.where.grace, self._cache, self.started.run
        self._wired_plan = plan = with_lookups(self.plan, cache.may_be_reused) if cache else self.plan
        self.record, self.executors = RunRecord(plan, pipeline), placement.executors
        environ = {**os.environ, **self.thread_variables, **pipeline.env}
        prepare_executors(placement, environ)
        self._report = self._end_report()
        self._instances = InstanceCloser(pipeline.nodes.values(), grace, self.messages)
        self._dispatcher = EventDispatcher([*self._reporters(build_reporters)], self.messages, cache and cache.gate)
        self._emit = redact_events(self.redactor, self._dispatcher.emit)
        self._logs = Logs(self._log, self.folder / LOGS, self.redactor.filter, self._dispatcher.has_room)
        self._end_variables: dict[str, str] = {}  # for the last nodes, which are known when they start
        contention = GilContention()
        self._live = self._runner = Runner(
            plan,
            self._emit,
            placement=placement.executors,
            keep_going=self.where.keep_going,
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
        self._attempts = AttemptRunner(
            *(pipeline, self._store, run_id, self.folder / SCRATCH, environ, self._logs, self._progress),
            contention=contention,
            grace=grace,
            importer=importer,
            watch=self._watch,
            exposed=placement.exposed,
            unshared=placement.unshared,
            in_files=placement.in_files,
            end_variables=self._end_variables,
            on_begun=self._runner.begun,
        )

    def _run_to_end(self, around: Around, placement: Placement) -> RunFinished:
        on_cluster = None
        if self._cluster is not None:
            from nfrun.cluster.cluster import ClusterExecutor

            on_cluster = partial(ClusterExecutor, self._cluster)
        context = ExecutorContext(
            self._attempts,
            self._with_cache,
            self._store,
            self.folder,
            self._wired_plan.slots,
            placement,
            self._instances.finders,
            self._runner.abort,
            on_cluster,
        )
        self._instances.finders.append(partial(unused_instances, self._attempts.memo))
        names = dict.fromkeys([DEFAULT_EXECUTOR, *self.executors.values()])
        known = self._cache.known_outcome if self._cache else (lambda start: None)
        with around(self), nullcontext() if self._watch is None else self._watch.watching():
            makers = {name: partial(EXECUTORS[name], context) for name in names}
            return self._runner.go(makers, self._store, known, self._instances.close_all)

    def _with_cache(self, run_attempt: RunAttempt) -> RunAttempt:
        """Wrap what makes attempts with the cache lookup.

        Without a cache, let nodes fail of which a declared file is missing, as a cache does.
        """
        if self._cache is not None:
            return self._cache.with_cache(run_attempt, self._store, self._runner.abort)
        pipeline = self.pipeline
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
        pipeline, is_failure = self.pipeline, end.status == "failed" and longest() is None
        on_failure = pipeline.on_failure if is_failure else {}
        if not on_failure and not pipeline.finally_:
            return
        self._end_variables |= {
            "NFRUN_STATUS": end.status,
            "NFRUN_FAILED": " ".join(name for name in self._wired_plan.nodes if name in failed),
        }
        self._emit(AllNodesEnded(end.at, end))
        if self._report is not None and self._report.written.wait(self.where.grace):  # not if the disk hangs
            self._end_variables["NFRUN_REPORT"] = str(self._report.path)
        for specs in (on_failure, pipeline.finally_):
            if specs:
                yield last_plan(specs.values(), self._wired_plan, longest())

    def _close(self) -> None:
        """Close logs, reporters and then the store, which drops its tables: reporters may open them until then."""
        self._instances.close_all()
        self._logs.close()
        self._dispatcher.close()
        # Of nodes that were cancelled: the next run goes on from them.
        for open_map in self._attempts.open_maps.values():
            with suppress(Exception):
                open_map.close()
        self._store.close()
        self._attempts.memo.clear()  # so that what kinds keep there, such as a DuckDB instance, is freed now
        remove(self._attempts.scratch, ignore_errors=True)

    def _log(self, node: str, level: str, line: str) -> None:
        if (runner := self._live) is not None:
            self._emit(NodeLogged(runner.now(), node, level, line))

    def _progress(self, node: str, done: float, total: float | None) -> None:
        if (runner := self._live) is not None:
            self._emit(NodeProgressed(runner.now(), node, done, total))

    def _reporters(self, build_reporters: BuildReporters) -> Iterator[Reporter]:
        yield self.record
        if self.events is not None:
            from nfrun.reports.line_reporter import EventsFile

            yield EventsFile(self.events)
        if self.shown.junit is not None:
            from nfrun.session.ci_files import junit_file

            yield junit_file(self.shown.junit, self.record, self.started, self.folder / LOGS)
        yield from build_reporters(self)
        yield NodeStatsReporter(self.database.kept(TIMINGS, self.started.pipeline)[1], self.recorded, self.executors)
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
        nodes, in_program, where = self.pipeline.nodes, self._in_program, self.where
        retained, cluster = self.plan.retained, self._cluster
        # A source is there to be read again. With `cache: true` and as a result that the run shows, its table is kept.
        reads = [spec for spec in nodes.values() if not kind_of(spec).outside.moves_files(spec) and not spec.cache]
        unwritten = frozenset(output for spec in reads for output in spec.output_ids) - retained

        def make() -> TableStore:
            from nfrun.tables.places.stored_outputs import StoredOutputs

            store = store_class(where.handoff)  # imports Arrow
            if not in_program and (threads := arrow_threads(self.thread_variables)):
                import pyarrow

                pyarrow.set_cpu_count(threads)
            return store(
                self.folder,
                mode=where.handoff,
                retained=retained,
                budget=where.memory,
                persistent=where.handoff in PERSISTENT_HANDOFFS,
                unwritten=unwritten if where.handoff == DEFAULT_HANDOFF else frozenset(),
                fsync=self.kept.fsync,
                stored=StoredOutputs(None if cluster is None else cluster.place),
                on_published=self._runner.output_published,
                on_error=self._runner.abort,
            )

        may_run = self._cache is None or len(self._cache.reused_nodes) < len(nodes)
        if (may_run or self.pipeline.last_nodes) and not in_program and not gc.isenabled():  # it is off at start-up
            collect_rarely()
        return make() if may_run else cast("TableStore", LateStore(make, fsync=self.kept.fsync))

    def document(self, stdout: IO[str] | None = None) -> RunDocument:
        """Return the document of the run, a reporter that prints it on `stdout` at the end of the run."""
        from nfrun.reports.json_document import RunDocument

        return RunDocument(self.record, self.started.run, self.folder / LOGS, peak_rss, stdout)

    def _end_report(self) -> EndReport | None:
        """Return the reporter that writes the document of the run for its last nodes; None without such nodes."""
        if not self.pipeline.last_nodes:
            return None
        from nfrun.reports.json_document import EndReport

        return EndReport(self.folder / SCRATCH / "report.json", self.document().as_json, _write_report)

    def _record_plan(self) -> None:
        """Write the plan of the run. Without room for it the run goes on: no node depends on it."""
        where, system = self.where, os.uname()
        on = Circumstances(
            began=self.started.at if self._in_program else process_began(),
            slots=self.plan.slots,
            executor=where.executor,
            schedule=where.schedule,
            cores=cores(),
            memory=available_memory(),
            platform=f"{system.sysname} {system.release} {system.machine}",
        )
        redact, parts = self.redactor or str, (self.pipeline, self.plan, on)
        write_run_plan(self.database, self.started.run, *parts, executors=self.executors, redact=redact)


def _write_report(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # the folder of the run may have been removed
    with atomic_write(path, private=True) as partial:
        Path(partial).write_text(text, encoding="utf-8")
