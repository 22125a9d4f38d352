"""Makes attempts in worker processes, so that their Python code has a GIL of its own.

A thread sends the attempt to a worker of the pool and waits for the outcome, so the rest of the run works
as with threads. Tables travel through files in the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.events import CallOutcome, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NOTHING, NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.attempt_context import AttemptInputs, make_scratch, unit_variables
from nfrun.engine.executors import pool
from nfrun.engine.executors.base import ON_THREADS, ExecutorContext, OnOutcome, Placement
from nfrun.engine.executors.fork_server import start_server
from nfrun.engine.executors.ordered_attempts import OrderedAttempts
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.executors.worker import AttemptOrder, CallOrder, WorkerConfig, serve
from nfrun.engine.executors.worker_orders import TAKE_SECONDS, Receivers, WorkerOrders
from nfrun.nodes.base import CancelToken
from nfrun.nodes.folders import folders_of
from nfrun.nodes.registry import kind_of
from nfrun.rows.open_map import OpenMap
from nfrun.system.atomic_files import remove
from nfrun.system.logs.node_logs import STREAMS

if TYPE_CHECKING:
    from nfrun.tables.store import TableStore

PRELOAD = ["pyarrow.compute", "numpy.random", "nfrun.engine.executors.worker", "nfrun.tables.output_files"]


class ProcessExecutor(ThreadExecutor):
    """Runs each attempt in a worker process, while a thread waits for its outcome."""

    name = "process"
    begins_at_once = False

    def __init__(self, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        placement = context.placement
        ours = [node for node, name in placement.executors.items() if name == self.name]
        pipeline = context.runner.pipeline
        numbered = {name for name, budget in pipeline.budgets.items() if budget.is_numbered}
        own = [
            node for node in ours if node in placement.worker_environ or numbered & pipeline.nodes[node].amounts.keys()
        ]
        ahead = min(context.slots, len(ours) - len(own))
        self._workers = ProcessWorkers(
            context.runner, context.store, context.folder, context.runner.on_begun, ahead, placement=placement
        )
        context.finders.append(self._workers.unused_instances)
        super().__init__(context.with_cache(self._workers), on_outcome)

    def close(self, grace: float = 0.0) -> None:
        """End all worker processes, those of running attempts after `grace` seconds."""
        super().close(grace)
        if (close := self._workers.unused_instances(())) is not None:
            close()
        self._workers.close()


class ProcessWorkers(OrderedAttempts):
    """Makes attempts in worker processes.

    An executor can use it in place of `runner`. The first `ahead` workers start at once in the background; more start
    when attempts need them. Workers write their outputs into the folder `outputs`, and `store` registers the files.
    `on_begun(node, attempt, call)` is called when a worker has taken an attempt or a call. A worker that does not
    within `take_seconds` is killed. `placement` has the variables and threads of workers. `close` ends the processes.
    Safe to call from several threads.
    """

    def __init__(
        self,
        runner: AttemptRunner,
        store: TableStore,
        outputs: Path,
        on_begun: Callable[[str, int, int], object],
        ahead: int = 0,
        take_seconds: float = TAKE_SECONDS,
        placement: Placement = ON_THREADS,
    ) -> None:
        super().__init__(runner, store)
        self._environ = placement.worker_environ
        shared = replace(runner.pipeline, nodes={})
        config = WorkerConfig(
            shared,
            runner.run_id,
            outputs,
            runner.scratch,
            runner.environ,
            store.fsync,
            placement.arrow_threads,
            memory_share=1 / max(1, ahead),
            work=None if runner.watch is None else runner.watch.work,
            folders=folders_of(runner.pipeline.nodes.values()),
            unwatched=() if runner.watch is None else runner.watch.unwatched,
            started=runner.started,
        )
        start_server(PRELOAD)  # unless it was started before
        workers = pool.WorkerPool(serve, lambda environ: replace(config, environ={**config.environ, **environ}), ahead)
        self._orders = WorkerOrders(workers, runner.grace, take_seconds)
        self.unused_instances = self._orders.unused_instances
        self._calls: dict[str, Callable[..., object]] = {
            "taken": lambda node, attempt, call: None,  # a call begins when its function is loaded
            "begun": on_begun,
            "log": runner.logs.log,
            "progress": runner.progress,
        }

    def close(self) -> None:
        """Kill all worker processes, busy or idle."""
        self._orders.close()

    # -- a mapped node --------------------------------------------------------------------------------------------

    def _mapped_input(self, spec: NodeSpec, start: NodeStarted) -> str:
        assert spec.map is not None
        inputs = AttemptInputs(spec, start.inputs, self._store)
        return str(inputs.file(spec.map.over, lambda: make_scratch(self._runner.scratch, spec.id, start.attempt)))

    def _make_calls(self, order: CallOrder, open_map: OpenMap, cancel_token: CancelToken) -> Outcome:
        """Make calls in a worker, which keeps their results."""
        outcome = self._make_attempt(order, cancel_token)
        open_map.used(outcome.cpu, outcome.gil_wait)
        if outcome.observation is not None:
            open_map.note(outcome.observation)
        assert isinstance(outcome, CallOutcome)
        made = outcome.made
        if outcome.failure is not None and made is None:  # the worker was lost: in the call behind the last result
            made = min(open_map.work.made(order.pieces), len(order.pieces) - 1)
        return replace(outcome, observation=None, made=made)

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _registered(self, outcome: Outcome) -> Outcome:
        try:
            return super()._registered(outcome)
        except HandoffError:
            spec = self._runner.pipeline.nodes[outcome.node]
            self._remove_files(spec, spec.output_ids, outcome.attempt)
            raise

    def _sent(self, ref: OutputRef, spec: NodeSpec) -> OutputRef:
        if ref.files is not None and kind_of(spec).runs.reads_source_files:
            return replace(ref, path=None, files=self._store.files(ref))
        return replace(ref, path=str(self._store.file(ref)), files=None)

    def _make_attempt(self, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        units = unit_variables(order.start.granted, self._runner.environ)  # CUDA reads them once in a process
        variables = {**self._environ.get(order.node.id, NOTHING), **units}
        logs, watch = self._runner.logs, self._runner.watch
        feeds = [logs.of(order.node.id, order.start.attempt, name).feed for name in STREAMS]
        receivers = Receivers(self._calls, feeds, watch.receive if watch is not None else lambda shared: None)
        outcome = self._orders.make(order, variables, cancel_token, receivers)
        if outcome.failure is not None and not isinstance(order, CallOrder):  # it may have written some of its outputs
            left = [output for output in order.node.output_ids if output not in outcome.outputs]
            self._remove_files(order.node, left, order.start.attempt)
        return outcome

    def _remove_files(self, node: NodeSpec, outputs: Iterable[OutputId], attempt: int) -> None:
        for output in outputs:
            with suppress(OSError):
                remove(Path(self._store.path(output, attempt, node.type_of(output.name))))
