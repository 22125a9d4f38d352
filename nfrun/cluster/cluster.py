"""Runs attempts on a cluster, over any engine: `ClusterExecutor`."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue

from nfrun.cluster.base import PER_WORKER, Cluster, RemoteWorker, is_private
from nfrun.cluster.folder_copies import with_changes
from nfrun.cluster.wire import Ended, RemoteOrder, Told, WireError, from_text, to_text
from nfrun.core.errors import Cause, ClusterError, HandoffError
from nfrun.core.events import CallStarted, Failure, NodeStarted, Outcome, OutputRef
from nfrun.core.pipeline import NodeSpec, OutputId
from nfrun.core.values import replace
from nfrun.engine.attempt_context import CANCELLED, AttemptInputs, make_scratch, unit_variables
from nfrun.engine.executors.base import ExecutorContext, OnOutcome
from nfrun.engine.executors.ordered_attempts import OrderedAttempts
from nfrun.engine.executors.threads import ThreadExecutor
from nfrun.engine.executors.worker import AttemptOrder, CallOrder
from nfrun.nodes.base import CancelToken
from nfrun.rows.open_map import OpenMap
from nfrun.system.checksums import FileChecksums
from nfrun.system.threads import start_timer

_CLOSE_SECONDS = 1.5  # for the hosts to end, at least
_TOLD_SECONDS = 5.0  # for which an attempt waits for what no worker has, until it is said
_MORE_UNDER_WAY = 64  # attempts than twice the threads: the engine sees a queue, and others have their turn
_MOST_WAITING = 1000  # attempts, each on a thread, for what no worker has
_KILL_SECONDS = 2.0  # for an attempt that was killed to tell that it has ended
_GONE_SECONDS = 10.0  # for the run to stop the attempts of a cluster that is gone

Needs = tuple[tuple[str, float], ...]  # what an attempt takes of a worker beside a thread


class ClusterExecutor(ThreadExecutor):
    """Runs each attempt on a worker of the cluster, while a thread waits for its outcome."""

    begins_at_once = False

    def __init__(self, cluster: Cluster, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        self.name = cluster.engine.name
        self._engine = cluster.engine
        self._attempts = RemoteAttempts(cluster, context)
        self.own = PER_WORKER if cluster.uses_all else PER_WORKER[1:]
        self._warn, self._tell = cluster.warn, cluster.tell
        self._lacks: dict[Needs, float] = {}  # since when no worker has this
        self._told: set[Needs] = set()
        super().__init__(context.with_cache(self._attempts), on_outcome)

    def capacity(self, now: float) -> float | None:
        """Return how many attempts may be under way, those included that wait for a worker.

        Attempts that wait for what no worker has do not count: others go on beside them.
        """
        workers, waiting = self._engine.workers(), list(self._attempts.waiting.values())
        has = cache(lambda needs: any(_has(worker, needs) for worker in workers))
        lacking: dict[Needs, list[str]] = {}
        for name, needs in waiting:
            if not has(needs):
                lacking.setdefault(needs if workers else (), []).append(name)
        self._lacks = {needs: self._lacks.get(needs, now) for needs in lacking}
        for needs, names in lacking.items():
            if now - self._lacks[needs] >= _TOLD_SECONDS and needs not in self._told:
                self._told.add(needs)
                self._warn(_waits_text(needs, names))
        more = min(sum(map(len, lacking.values())), _MOST_WAITING) if workers else 0
        return 2 * sum(worker.threads for worker in workers) + _MORE_UNDER_WAY + more

    def close(self, grace: float = 0.0) -> None:
        """End all attempts, those that are under way after `grace` seconds, and the hosts of the run."""
        super().close(grace)
        self._attempts.close()
        for message in self._engine.close(max(grace, _CLOSE_SECONDS)):
            self._tell(message)


def _has(worker: RemoteWorker, needs: Needs) -> bool:
    return all(worker.resources.get(name, 0.0) >= amount for name, amount in needs)


def _waits_text(needs: Needs, names: Sequence[str]) -> str:
    """Say that no worker has what nodes take."""
    if not needs:
        return "the cluster has no workers: the run waits until some join"
    others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    takes = " and ".join(
        f"{f'{amount / 1e9:.3g} GB' if name == 'memory' else f'{amount:g}'} of '{name}'" for name, amount in needs
    )
    return f"node '{names[0]}'{others} takes {takes}, and no worker has that: it waits until one joins"


class RemoteAttempts(OrderedAttempts):
    """Makes attempts on the workers of a cluster. Safe to call from several threads.

    The outputs of an attempt stay in the store, and the references to them come back. An executor can use it in place
    of `runner`.
    """

    def __init__(self, cluster: Cluster, context: ExecutorContext) -> None:
        self._engine, self._config = cluster.engine, cluster.config
        self._warn, self._made_on, self._has_secrets = cluster.warn, cluster.made_on, cluster.has_secrets
        super().__init__(context.runner, context.store)
        self._worker_environ = context.placement.worker_environ
        self._on_begun, self._on_error = context.runner.on_begun, context.on_error
        self._executions: dict[str, _Execution] = {}  # those under way, by token
        self.waiting: dict[str, tuple[str, Needs]] = {}  # nodes whose attempts wait for a worker, by token
        self._warned: set[str] = set()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._checksums = FileChecksums()
        self._gone = ""  # why the cluster is gone
        self._engine.on_gone = self._end_all

    def close(self) -> None:
        """End the wait for all attempts."""
        for execution in list(self._executions.values()):
            execution.end()

    # -- a mapped node --------------------------------------------------------------------------------------------

    def _mapped_input(self, spec: NodeSpec, start: NodeStarted) -> str:
        assert spec.map is not None
        over = next(item for item in spec.inputs if item.name == spec.map.over)
        refs = [ref for output in over.outputs if (ref := start.inputs.get(output)) is not None]
        if over.is_plain and refs[0].files is None:
            (ref,) = refs
        else:  # several outputs are put together, or a table was read from other files
            inputs = AttemptInputs(spec, start.inputs, self._store)
            path = inputs.file(over.name, lambda: make_scratch(self._runner.scratch, spec.id, start.attempt))
            ref = OutputRef(OutputId(spec.id, f"input {next(self._numbers)}"), 0, 0, "", str(path))
        stored = self._store.stored(ref).stored
        assert stored is not None
        return stored

    def _make_calls(self, order: CallOrder, open_map: OpenMap, cancel_token: CancelToken) -> Outcome:
        """Make calls on a worker. Their results are kept as soon as they come."""
        outcome = self._make_attempt(order, cancel_token)
        return replace(outcome, observation=None)  # of a worker that was lost, nobody knows which calls it has made

    def _keep_records(self, start: CallStarted, ended: Ended, outcome: Outcome) -> None:
        """Keep what calls have given. Raises HandoffError."""
        open_map = self._runner.open_maps.get(start.key[:2])
        if not isinstance(open_map, OpenMap):
            return  # the node has ended meanwhile
        open_map.used(outcome.cpu, outcome.gil_wait)
        if outcome.observation is not None:
            open_map.note(outcome.observation)
        records = self._taken(ended.stored_records) if ended.stored_records else ended.records
        if records:
            open_map.add_records(records)

    def _taken(self, name: str) -> bytes:
        """Return what a host has put into the store under a name, and remove it there. Raises PlaceError."""
        place = self._store.place
        assert place is not None
        data: bytes = place.get(name).read_bytes()
        place.remove([name])
        return data

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _sent(self, ref: OutputRef, spec: NodeSpec) -> OutputRef:
        return replace(self._store.stored(ref), path=None, files=None)

    def _make_attempt(self, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        """Have a worker make the attempt, or calls, and return the outcome."""
        spec, start = order.node, order.start
        execution = _Execution(self._receive)
        self._execute(execution, order, self._needs(spec), cancel_token)
        ended = execution.ended
        if ended is not None and ended.outcome is not None:
            return self._outcome(ended, ended.outcome, start)
        if cancel_token.cancelled or self._gone or ended is None:
            return self._cancelled(start, cancel_token)
        return start.outcome(Failure(Cause.LOST, "WorkerLost", ended.lost))

    def _needs(self, spec: NodeSpec) -> dict[str, float]:
        """Return what an attempt takes of a worker beside a thread: `cpu` and `memory` only if workers declare them."""
        most: dict[str, float] = {}
        for worker in (workers := self._engine.workers()):
            most.update({name: max(amount, most.get(name, 0.0)) for name, amount in worker.resources.items()})
        taken = {"cpu": spec.cpu, **{name: spec.amounts.get(name, 0.0) for name in PER_WORKER[1:]}}
        if workers and "cpu" not in most and spec.cpu > 1:
            self._warn_once(
                f"node '{spec.id}' takes {spec.cpu:g} of 'cpu', and no worker declares any: it gets a thread"
            )
        if "cpu" in most:
            taken["cpu"] = min(spec.cpu, most["cpu"])
        return {name: amount for name, amount in taken.items() if amount and (name in most or name == "gpu")}

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)

    def _order_text(self, execution: _Execution, order: AttemptOrder, units: tuple[int, ...]) -> str:
        """Return the order of an attempt that has begun. Raises HandoffError if it must not go to its worker."""
        if self._has_secrets and not is_private(execution.worker):
            what = f"worker {execution.worker} sends what it gets as plain text: use TLS (tls://)"
            raise HandoffError(f"the pipeline has secrets, and {what}")
        granted = {**(order.start.granted or {}), **({"gpu": units} if units else {})}
        order = replace(order, start=replace(order.start, granted=granted))
        variables = {**self._worker_environ.get(order.node.id, {}), **unit_variables(granted, {})}
        return to_text(RemoteOrder(execution.token, self._config, order, variables))

    def _execute(
        self, execution: _Execution, order: AttemptOrder, needs: Mapping[str, float], cancel_token: CancelToken
    ) -> None:
        """Submit the attempt, send its order, and pass on what comes back until the attempt has ended or is lost."""
        token = execution.token
        stop = partial(self._engine.stop, token)
        timers: list[threading.Timer] = []

        def later(seconds: float, do: Callable[[], object]) -> None:
            timer = threading.Timer(seconds, do)
            timer.daemon = True
            timers.append(timer)
            start_timer(timer)

        def give_up() -> None:  # the worker may hang, or be out of reach
            if execution.worker:
                self._warn_once(f"worker {execution.worker} does not answer")
            execution.end()

        def kill() -> None:
            stop(True)
            later(_KILL_SECONDS, give_up)

        def end() -> None:
            stop(False)
            later(self._runner.grace, kill)

        def begin(worker: str, units: tuple[int, ...]) -> None:
            execution.worker = worker
            self.waiting.pop(token, None)
            if not isinstance(order.start, CallStarted):
                self._made_on[order.start.key[:2]] = worker
            self._engine.tell(token, self._order_text(execution, order, units))
            if cancel_token.cancelled:  # the worker may not know a stop that came before the order
                stop(False)

        with self._lock:
            self._executions[token] = execution
        self.waiting[token] = order.node.id, tuple(needs.items())
        try:
            if not self._gone:
                # Before the order is there: what runs and cannot be killed yet gets no grace when the run ends.
                with cancel_token.on_cancel(end, kill):
                    heard = execution.on_begin, execution.inbox.put, execution.on_end
                    self._engine.submit(token, order.node.declared, needs, *heard)
                    if cancel_token.cancelled:
                        stop(False)
                    execution.listen(begin, partial(self._pass_on, order))
        except Exception:
            self._engine.forget(token)
            raise
        finally:
            del self._executions[token]
            self.waiting.pop(token, None)
            for timer in timers:
                timer.cancel()

    def _pass_on(self, order: AttemptOrder, told: Told) -> None:
        """Carry out what the host tells of an attempt."""
        logs, node, attempt = self._runner.logs, order.start.node, order.start.attempt

        def log(*lines: tuple[str, str]) -> None:
            for level, line in lines:
                logs.log(node, attempt, level, line)

        takes: dict[str, Callable[..., object]] = {
            "begun": partial(self._on_begun, *order.start.key),
            "printed": lambda stream, data: logs.of(node, attempt, stream).feed(data),
            "skipped": lambda stream, size: logs.of(node, attempt, stream).skip(size),
            "logged": log,
            "progressed": partial(self._runner.progress, node),
        }
        takes[told.what](*told.given)

    def _receive(self, ended: Ended) -> None:
        """Take what shared code has used. On the thread of the engine: a later attempt may use it."""
        seen = ended.outcome and ended.outcome.observation
        if seen and self._runner.watch is not None:
            self._runner.watch.receive(seen.shared)

    def _outcome(self, ended: Ended, outcome: Outcome, start: NodeStarted) -> Outcome:
        """Return the outcome of an attempt, with all that came with it kept. Raises HandoffError."""
        if isinstance(start, CallStarted):
            self._keep_records(start, ended, outcome)
        for file, name in ended.evidence.items():
            path, data = Path(os.path.normpath(file)), self._taken(name)
            if path.is_relative_to(self._runner.evidence):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        spec, base = self._runner.pipeline.spec_of(start.node), self._runner.folder
        return with_changes(outcome, start, ended.named, spec, base, self._checksums)

    def _cancelled(self, start: NodeStarted, cancel_token: CancelToken) -> Outcome:
        """Return the outcome of an attempt that was stopped. If the cluster is gone, ask the run to stop first."""
        if self._gone and not cancel_token.cancelled:
            stopped = threading.Event()
            with cancel_token.on_cancel(stopped.set):
                stopped.wait(_GONE_SECONDS)
        return start.outcome(CANCELLED)

    def _end_all(self, why: str) -> None:
        """End the run: the cluster is gone."""
        with self._lock:
            self._gone = why
            under_way = list(self._executions.values())
        self._on_error(ClusterError(why))
        for execution in under_way:
            execution.end()


class _Execution:
    """One execution of an attempt on a worker, "" before it has begun. `receive` gets what the host sends at the end,
    before anyone else.

    When it is over, `ended` is its end, None if nobody waits for it any more.
    """

    def __init__(self, receive: Callable[[Ended], object]) -> None:
        self.token = os.urandom(8).hex()
        self.worker = ""
        self.ended: Ended | None = None
        self.inbox: SimpleQueue[tuple[str, tuple[int, ...]] | str | None] = SimpleQueue()
        self._receive = receive

    def on_begin(self, worker: str, units: tuple[int, ...]) -> None:
        """Take the worker of the attempt, and its units of `gpu`."""
        self.inbox.put((worker, units))

    def on_end(self, text: str | None, why: str) -> None:
        """Take the end of the attempt, as `Engine.submit` tells it."""
        try:
            ended = Ended(self.token, lost=why) if text is None else from_text(text)
        except WireError as error:
            ended = Ended(self.token, lost=str(error))
        self._receive(ended)
        self.ended = ended
        self.end()

    def end(self) -> None:
        """Wait for the attempt no more."""
        self.inbox.put(None)

    def listen(self, begin: Callable[[str, tuple[int, ...]], object], pass_on: Callable[[Told], object]) -> None:
        """Call `begin` when it begins, and pass on messages until it has ended or is lost."""
        while (found := self.inbox.get()) is not None:
            if isinstance(found, tuple):
                begin(*found)
                continue
            with suppress(HandoffError, WireError):  # what it tells of itself decides nothing
                pass_on(from_text(found))
