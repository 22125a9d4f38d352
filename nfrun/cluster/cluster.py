"""Runs attempts on a cluster, over any engine: `ClusterExecutor`."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from nfrun.cluster.base import PER_WORKER, Cluster, is_private, shown_amount
from nfrun.cluster.folder_copies import with_changes
from nfrun.cluster.slots import Slot, WorkerSlots
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
_TOLD_SECONDS = 5.0  # without workers, until it is said
_MOST_WAITING = 1000  # attempts, each on a thread, for what few workers have

Needs = tuple[tuple[str, float], ...]  # what an attempt takes beside slots
_KILL_SECONDS = 2.0  # for an attempt that was killed to tell that it has ended
_GONE_SECONDS = 10.0  # for the run to stop the attempts of a cluster that is gone


class ClusterExecutor(ThreadExecutor):
    """Runs each attempt on a worker of the cluster, while a thread waits for its outcome."""

    begins_at_once = False

    def __init__(self, cluster: Cluster, context: ExecutorContext, on_outcome: OnOutcome) -> None:
        self.name = cluster.engine.name
        self._engine = cluster.engine
        self._slots = WorkerSlots(
            lambda: [w for w in cluster.engine.workers() if not cluster.has_secrets or is_private(w.address)]
        )
        self._attempts = RemoteAttempts(cluster, context, self._slots)
        self.own = {name: self._slots.most() for name in PER_WORKER if name != "cpu" or cluster.uses_all}
        self._warn, self._tell = cluster.warn, cluster.tell
        self._lacks: dict[Needs, float] = {}  # since when no worker has this
        self._told: set[Needs] = set()
        super().__init__(context.with_cache(self._attempts), on_outcome)

    def capacity(self, now: float) -> float | None:
        """Return the number of slots of all workers that there are now.

        Attempts that wait for `memory` or `gpu` count as if they had slots of their own: others go on beside them.
        """
        slots, waiting = self._slots.amount(), [each for each in list(self._attempts.waiting) if each[1]]
        lacking: dict[Needs, list[str]] = {} if slots else {(): []}
        for name, needs in waiting:
            if not self._slots.has(needs):
                lacking.setdefault(needs, []).append(name)
        self._lacks = {needs: self._lacks.get(needs, now) for needs in lacking}
        for needs, names in lacking.items():
            if now - self._lacks[needs] >= _TOLD_SECONDS and needs not in self._told:
                self._told.add(needs)
                self._warn(_waits_text(needs, names))
        return slots and slots + min(len(waiting), _MOST_WAITING)

    def close(self, grace: float = 0.0) -> None:
        """End all attempts, those that are under way after `grace` seconds, and the hosts of the run."""
        super().close(grace)
        self._attempts.close()
        for message in self._engine.close(max(grace, _CLOSE_SECONDS)):
            self._tell(message)


def _waits_text(needs: Needs, names: Sequence[str]) -> str:
    """Say that no worker has what nodes take."""
    if not needs:
        return "the cluster has no workers any more: the run waits until some join"
    others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    takes = " and ".join(f"{shown_amount(name, amount)} of '{name}'" for name, amount in needs)
    return f"node '{names[0]}'{others} takes {takes}, and no worker has that: it waits until one joins"


class RemoteAttempts(OrderedAttempts):
    """Makes attempts on the workers of a cluster. Safe to call from several threads.

    The outputs of an attempt stay in the store, and the references to them come back. An executor can use it in place
    of `runner`. `slots` has the room of the workers.
    """

    def __init__(self, cluster: Cluster, context: ExecutorContext, slots: WorkerSlots) -> None:
        self._engine, self._config = cluster.engine, cluster.config
        self._warn, self._made_on = cluster.warn, cluster.made_on
        super().__init__(context.runner, context.store)
        self._worker_environ = context.placement.worker_environ
        self._on_begun, self._on_error = context.runner.on_begun, context.on_error
        self._slots = slots
        self._executions: dict[str, _Execution] = {}  # those under way, by token
        self.waiting: list[tuple[str, Needs]] = []  # nodes whose attempts wait for a worker with room
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._checksums = FileChecksums()
        self._gone = ""  # why the cluster is gone
        self._engine.on_gone = self._end_all

    def close(self) -> None:
        """End the wait for all attempts."""
        self._slots.close()
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
        needs = tuple([(name, spec.amounts[name]) for name in PER_WORKER[1:] if spec.amounts.get(name)])
        self.waiting.append((spec.id, needs))
        taken = {"cpu": spec.cpu, **dict(needs)}
        slot = self._slots.take(taken, lambda: not cancel_token.cancelled and not self._gone)
        self.waiting.remove((spec.id, needs))
        if slot is None:
            return self._cancelled(start, cancel_token)
        execution = _Execution(self._receive, partial(self._slots.give_back, slot))
        self._execute(execution, order, slot, cancel_token)
        ended = execution.ended
        if ended is not None and ended.outcome is not None:
            return self._outcome(ended, ended.outcome, start)
        if cancel_token.cancelled or self._gone or ended is None:
            return self._cancelled(start, cancel_token)
        return start.outcome(Failure(Cause.LOST, "WorkerLost", ended.lost))

    def _execute(self, execution: _Execution, order: AttemptOrder, slot: Slot, cancel_token: CancelToken) -> None:
        """Submit the order, and pass on what comes back until the attempt has ended or is lost."""
        if not isinstance(order.start, CallStarted):
            self._made_on[order.start.key[:2]] = slot.worker
        granted = dict(order.start.granted or {})
        if slot.held:
            granted["gpu"] = tuple(sorted(unit for unit, _ in slot.held))
        order = replace(order, start=replace(order.start, granted=granted))
        variables = {**self._worker_environ.get(order.node.id, {}), **unit_variables(granted, {})}
        text = to_text(RemoteOrder(execution.token, self._config, order, variables))
        stop = partial(self._engine.stop, execution.token)
        timers: list[threading.Timer] = []

        def later(seconds: float, do: Callable[[], object]) -> None:
            timer = threading.Timer(seconds, do)
            timer.daemon = True
            timers.append(timer)
            start_timer(timer)

        def give_up() -> None:  # the worker may hang, or be out of reach
            if self._slots.avoid(slot.worker):
                self._warn(f"worker {slot.worker} does not answer: nothing else runs there until it does")
            execution.end()

        def kill() -> None:
            stop(True)
            later(_KILL_SECONDS, give_up)

        def end() -> None:
            stop(False)
            later(self._runner.grace, kill)

        with self._lock:
            self._executions[execution.token] = execution
        try:
            if not self._gone:
                given = execution.token, slot.worker, text, slot.needs["cpu"] < 1
                # Before the order is there: what runs and cannot be killed yet gets no grace when the run ends.
                with cancel_token.on_cancel(end, kill):
                    self._engine.submit(*given, execution.inbox.put, execution.on_end)
                    if cancel_token.cancelled:  # the worker may not know a stop that came before the order
                        stop(False)
                    execution.listen(partial(self._pass_on, order))
        finally:
            del self._executions[execution.token]
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
        """Return the outcome of an attempt that was stopped. If the cluster is gone, the run is told to stop first."""
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
        self._slots.wake()
        for execution in under_way:
            execution.end()


class _Execution:
    """One execution of an attempt on a worker. `receive` gets what the host sends at the end, before anyone else.

    `on_over` is called when the worker has told of the end, or has left: until then nothing else goes there, also if
    nobody waits any more. When it is over, `ended` is its end, None if nobody waits for it any more.
    """

    def __init__(self, receive: Callable[[Ended], object], on_over: Callable[[], object]) -> None:
        self.token = os.urandom(8).hex()
        self.inbox: SimpleQueue[str | None] = SimpleQueue()
        self.ended: Ended | None = None
        self._receive, self._on_over = receive, on_over

    def on_end(self, text: str | None, why: str) -> None:
        """Take the end of the attempt, as `Engine.submit` tells it."""
        try:
            ended = Ended(self.token, lost=why) if text is None else from_text(text)
        except WireError as error:
            ended = Ended(self.token, lost=str(error))
        self._receive(ended)
        self.ended = ended
        self._on_over()
        self.end()

    def end(self) -> None:
        """Wait for the attempt no more."""
        self.inbox.put(None)

    def listen(self, pass_on: Callable[[Told], object]) -> None:
        """Pass on messages until the attempt has ended or is lost."""
        while (text := self.inbox.get()) is not None:
            with suppress(HandoffError, WireError):  # what it tells of itself decides nothing
                pass_on(from_text(text))
