"""Has attempts made by the workers of a pool: passes on what a worker prints and sends, stops it, and replaces it.

It knows no store: the run's process and the host of a cluster use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pickle import UnpicklingError
from typing import NamedTuple

from nfrun.core.errors import Cause, cause_of
from nfrun.core.events import Failure, Outcome
from nfrun.core.observation import SharedObservation
from nfrun.engine.attempt_context import CANCELLED
from nfrun.engine.executors import pool
from nfrun.engine.executors.worker import AttemptOrder, CloseOrder
from nfrun.nodes.base import CancelToken
from nfrun.system.logs.node_logs import STREAMS
from nfrun.system.os_errors import reason
from nfrun.system.pipes import Feed
from nfrun.system.processes.process_tree import describe_exit
from nfrun.system.threads import start_timer

# For a worker to start and to take its attempt. That takes 0.1 s, on a machine without memory left several seconds. A
# worker that needs longer hangs, as at a network mount, and the timeout of the node does not count yet.
TAKE_SECONDS = 60.0

Calls = Mapping[str, Callable[..., object]]


class Receivers(NamedTuple):
    """The functions that take the messages of a worker.

    `calls` are called by name, and `feeds` get what it prints to STREAMS. `on_shared` gets the files and hosts that
    code of several nodes used, before another attempt begins in this worker.
    """

    calls: Calls
    feeds: Sequence[Feed]
    on_shared: Callable[[Sequence[SharedObservation]], object] = lambda shared: None


class WorkerOrders:
    """Makes orders in the workers of a pool. Safe to call from several threads.

    A worker that does not take an order within `take_seconds` is killed, and so is one that does not stop within
    `grace` seconds.
    """

    def __init__(self, workers: pool.WorkerPool, grace: float, take_seconds: float = TAKE_SECONDS) -> None:
        self._pool = workers
        self._grace = grace
        self._take_seconds = take_seconds

    def make(
        self, order: AttemptOrder, variables: Mapping[str, str], cancel_token: CancelToken, receivers: Receivers
    ) -> Outcome:
        """Make an order in a worker that has started with these variables.

        A worker that cannot be started gives a failure with the cause IO or PERMISSION, a worker or a fork server that
        dies or hangs one with the cause LOST.
        """
        try:
            worker = self._pool.take(self._take_seconds, variables)
        except (OSError, EOFError) as error:
            return order.start.outcome(_no_worker(error))
        if worker is None:
            return order.start.outcome(CANCELLED)
        kill = threading.Timer(self._grace, worker.kill)
        kill.daemon = True

        def end() -> None:
            worker.terminate()
            start_timer(kill)

        outcome: Outcome | None = None
        ending = ""
        spent: list[None] = []
        calls = {**receivers.calls, "spent": lambda: spent.append(None)}
        calls["instances"] = partial(setattr, worker, "has_instances", True)
        # A worker that is cancelled while it sends may have sent half a message.
        with suppress(EOFError, OSError, UnpicklingError), cancel_token.on_cancel(end, worker.kill):
            worker.drain([lambda data: None] * len(STREAMS))  # output of processes that an earlier node left behind
            try:
                outcome = worker.request(order, receivers.feeds, calls, self._take_seconds)
            except TimeoutError:
                worker.kill()
                ending = f"its worker process has not taken the attempt within {self._take_seconds:g} s"
            if cancel_token.cancelled:
                worker.wait_for_group(self._grace)
        kill.cancel()
        with suppress(OSError):
            worker.drain(receivers.feeds)
        if outcome is None:
            status = self._pool.discard(worker)
            lost = Failure(Cause.LOST, "WorkerLost", ending or _ending(status))
            return order.start.outcome(CANCELLED if cancel_token.cancelled else lost)
        was_terminated = outcome.failure is not None and outcome.failure.cause is Cause.CANCELLED
        if cancel_token.cancelled or was_terminated or spent:  # its state is unknown, or not that of its start
            worker.kill()
            self._pool.discard(worker)
        else:
            if outcome.observation is not None:
                # Before another attempt in this worker can use what this one has left in it.
                receivers.on_shared(outcome.observation.shared)
            self._pool.give_back(worker)
        if was_terminated and not cancel_token.cancelled:  # by someone else
            lost = Failure(Cause.LOST, "WorkerLost", "its worker process was told to end by SIGTERM")
            return order.start.outcome(lost)
        return outcome

    def unused_instances(self, needed: Collection[tuple[str, str]]) -> Callable[[], list[str]] | None:
        """Return the function that closes the instances of all classes but these in idle workers; None without any.

        That returns messages about errors.
        """
        if not self._pool.has_instances():
            return None
        order = CloseOrder(frozenset(needed))

        def close() -> list[str]:
            messages: list[str] = []
            for worker in self._pool.take_with_instances():
                try:
                    messages += worker.request(order, [lambda data: None] * len(STREAMS), {}, self._grace)
                except (EOFError, OSError, UnpicklingError):
                    self._pool.discard(worker)
                else:
                    worker.has_instances = bool(order.needed)
                    self._pool.give_back(worker)
            return messages

        return close

    def close(self) -> None:
        """Kill all worker processes, busy or idle."""
        self._pool.close()


def _no_worker(error: OSError | EOFError) -> Failure:
    """Return the failure for an error from the system, or from a fork server that did not start."""
    cause = Cause.LOST if isinstance(error, EOFError | ConnectionError | TimeoutError) else cause_of(error)
    return Failure(cause, type(error).__name__, f"no worker process could be started: {reason(error)}")


def _ending(status: int | None) -> str:
    """Say how a worker ended, from its exit code (negative for a signal), or None if it had to be killed."""
    if status is None or status == 0:
        return "its worker process has closed the connection to the run"
    return f"its worker process {describe_exit(status)}{' while the node ran' if status > 0 else ''}"
