"""Wires one run together: its store, executor, logs and event dispatcher.

Several runs can be under way in one process, on threads of their own. A run changes nothing that belongs to the
process, but for the audit hook of `code.watch`, which stays and does nothing while no run is under way. The caller
adds what it needs around the nodes, such as signal handlers or the capture of prints.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.events import (
    AllNodesEnded,
    CallStarted,
    Event,
    NodeLogged,
    NodeProgressed,
    NodeStarted,
    Outcome,
    OutputRef,
    RunFinished,
)
from nfrun.core.pipeline import NOTHING, Pipeline
from nfrun.core.plan import Plan, last_plan
from nfrun.core.values import replace
from nfrun.engine.attempt import AttemptRunner, RunAttempt
from nfrun.engine.attempt_context import Importer, RunCoroutine
from nfrun.engine.event_dispatch import BackPressure, EventDispatcher, EventGate, Reporter
from nfrun.engine.executors.base import ON_THREADS, ExecutorContext, MakeExecutor, Placement, Preparation
from nfrun.engine.executors.registry import DEFAULT_EXECUTOR, EXECUTORS
from nfrun.engine.gil_contention import GilContention
from nfrun.engine.instance_closer import InstanceCloser
from nfrun.engine.runner import KnownOutcome, Run
from nfrun.nodes.base import GRACE_SECONDS, CancelToken
from nfrun.nodes.external_files import declared_files, failure_without
from nfrun.nodes.instances import unused_instances
from nfrun.system.atomic_files import remove
from nfrun.system.logs.node_logs import Logs
from nfrun.system.logs.redaction import Redactor, redact_events

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

    WithCache = Callable[[RunAttempt, TableStore, Callable[[Exception], None]], RunAttempt]


class EndReport(Protocol):
    """The reporter that writes the document of the run to `path` when all nodes have ended, and sets `written`."""

    path: Path
    written: threading.Event

    def event(self, event: Event) -> None:
        """Take an event."""


class PipelineRun:
    """One run of a bound pipeline: call `go`, and then `close`. `run` has `cancel` and `detached`.

    Outputs are in `folder`, log files in `logs`, and scratch folders in `scratch`. `environ` is the whole environment
    of the nodes; in this process, only `context.env` shows it. `placement` says where nodes run. Events pass through
    `gate` before the reporters get them. `importer` is that of `AttemptRunner`. `make_store(run)` makes the store.
    `given` are outputs of earlier runs that nodes read. `on_error` is that of `EventDispatcher`. `on_cluster` makes
    the executor of the nodes that are placed on a cluster.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        plan: Plan,
        run_id: str,
        *,
        folder: Path,
        logs: Path,
        scratch: Path,
        environ: Mapping[str, str],
        reporters: Iterable[Reporter],
        make_store: Callable[[Run], TableStore],
        redactor: Redactor,
        on_error: Callable[[str], object],
        placement: Placement = ON_THREADS,
        gate: EventGate | None = None,
        importer: Importer = lambda folder: None,
        keep_going: bool = False,
        grace: float = GRACE_SECONDS,
        report: EndReport | None = None,
        given: Mapping[str, OutputRef] = NOTHING,
        on_cluster: MakeExecutor | None = None,
    ) -> None:
        self._makers = _executor_makers(Preparation(placement, environ, on_cluster))
        self._folder, self._placement, self._slots = folder, placement, plan.slots
        self._back_pressure, self._instances = BackPressure(), InstanceCloser(pipeline.nodes.values(), grace, on_error)
        all_reporters = (*reporters, *([report] if report else []), self._back_pressure, self._instances)
        self.dispatcher = EventDispatcher(all_reporters, on_error, gate)
        self._emit = redact_events(redactor, self.dispatcher.emit)
        self._logs = Logs(self._log, logs, redactor.filter, self._back_pressure.has_room)
        contention = GilContention()
        self._pipeline, self._plan, self._report, self._grace = pipeline, plan, report, grace
        self._end_variables: dict[str, str] = {}  # for the last nodes, which are known when they start
        self.run = Run(
            plan,
            self._emit,
            placement=placement.executors,
            keep_going=keep_going,
            seed=zlib.crc32(run_id.encode()),  # the same for the same run id
            grace=grace,
            on_timeout=self._logs.detach,
            on_wake=contention.look,
            last_plans=self._last_plans,
            given=given,
        )
        self.store = self._made(make_store)
        self._runner = AttemptRunner(
            *(pipeline, self.store, run_id, scratch, environ, self._logs, self._progress),
            contention=contention,
            grace=grace,
            importer=importer,
            exposed=placement.exposed,
            unshared=placement.unshared,
            in_files=placement.in_files,
            end_variables=self._end_variables,
            on_begun=self.run.begun,
        )

    def _made(self, make_store: Callable[[Run], TableStore]) -> TableStore:
        try:
            return make_store(self.run)
        except BaseException:
            self.dispatcher.close()
            raise

    def go(
        self,
        around: Callable[[Run], AbstractContextManager[object]],
        with_cache: WithCache | None = None,
        watch: RunWatch | None = None,
        known: KnownOutcome | None = None,
    ) -> RunFinished:
        """Run to the end, inside of `around(run)`.

        `with_cache(run_attempt, store, on_error)` adds a cache, and `watch` sees what attempts open. `known` is that of
        `Run.go`.
        """
        context = ExecutorContext(
            replace(self._runner, watch=watch),
            lambda run_attempt: (
                with_cache(run_attempt, self.store, self.run.abort) if with_cache else self._with_files(run_attempt)
            ),
            self.store,
            self._folder,
            self._slots,
            self._placement,
            self.run.begun,
            self._instances.finders,
            self.run.abort,
            self.run.waiting,
        )
        self._instances.finders.append(partial(unused_instances, self._runner.memo))
        with around(self.run), nullcontext() if watch is None else watch.watching():
            makers = {name: partial(make, context) for name, make in self._makers.items()}
            return self.run.go(makers, self.store, known or (lambda start: None), self._instances.close_all)

    def _last_plans(
        self, end: RunFinished, failed: Collection[str], longest: Callable[[], float | None]
    ) -> Iterator[Plan]:
        """Yield the plans that run one after the other when all nodes have ended, for a run that ended like this.

        `failed` are the nodes that failed. `longest()` returns the seconds that a node may take, None before a signal.
        """
        is_failure = end.status == "failed" and longest() is None
        on_failure = self._pipeline.on_failure if is_failure else NOTHING
        if not on_failure and not self._pipeline.finally_:
            return
        self._end_variables |= {
            "NFRUN_STATUS": end.status,
            "NFRUN_FAILED": " ".join(name for name in self._plan.nodes if name in failed),
        }
        self._emit(AllNodesEnded(end.at, end))
        if self._report is not None and self._report.written.wait(self._grace):  # not if the disk hangs
            self._end_variables["NFRUN_REPORT"] = str(self._report.path)
        for specs in (on_failure, self._pipeline.finally_):
            if specs:
                yield last_plan(specs.values(), self._plan, longest())

    def _with_files(self, run_attempt: RunAttempt) -> RunAttempt:
        """Let nodes fail of which a declared file is missing, as a cache does."""
        pipeline = self._runner.pipeline
        base = Path(pipeline.folder)

        def run_with_files(start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
            spec = pipeline.nodes.get(start.node)
            if spec is not None and spec.files and not isinstance(start, CallStarted):
                for entry, found in declared_files(spec, base).items():
                    if not found:
                        return Outcome(start.node, start.attempt, failure_without(entry, spec, base))
            return run_attempt(start, cancel_token, run_coroutine)

        return run_with_files

    def close(self, take_tables: Callable[[], object]) -> None:
        """Close logs, reporters and store. Calls `take_tables` before the store drops its tables."""
        self._instances.close_all()
        self._logs.close()
        self.dispatcher.close()
        for open_map in self._runner.open_maps.values():  # of nodes that were cancelled: the next run goes on from them
            with suppress(Exception):
                open_map.close()
        take_tables()
        self.store.close()
        self._runner.memo.clear()  # so that what kinds keep there, such as a DuckDB instance, is freed now
        remove(self._runner.scratch, ignore_errors=True)
        with suppress(OSError):
            self._folder.rmdir()  # only if the run kept nothing

    def _log(self, node: str, level: str, line: str) -> None:
        self._back_pressure.sent()
        self._emit(NodeLogged(self.run.now(), node, level, line))

    def _progress(self, node: str, done: float, total: float | None) -> None:
        self._emit(NodeProgressed(self.run.now(), node, done, total))


def _executor_makers(preparation: Preparation) -> dict[str, MakeExecutor]:
    names = dict.fromkeys([DEFAULT_EXECUTOR, *preparation.placement.executors.values()])
    return {name: EXECUTORS[name](preparation) for name in names}
