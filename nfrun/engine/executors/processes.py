"""Makes some of the attempts in worker processes, so that their Python code has an interpreter lock of its own.

Workers come from a fork server that has imported what they need: forking a process that has threads may hang it, and
starting Python anew takes twenty times as long. They stay warm from one attempt to the next. The thread that a run
gives to an attempt carries it over and waits: a process more, and not another way to run things.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from nfrun.core.errors import HandoffError, io_failure_type
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef
from nfrun.engine.attempt import AttemptRunner, RunCoroutine
from nfrun.engine.executors.worker import AttemptOrder, Message, WorkerConfig, serve
from nfrun.logs.node_logs import STREAMS
from nfrun.nodes.base import CancelToken
from nfrun.system.os_errors import is_out_of_resources, reason
from nfrun.system.pipes import Feed, read_chunk, read_left
from nfrun.system.process_tree import wait_group_exit
from nfrun.system.runtime import set_allocator
from nfrun.tables.output_files import output_path
from nfrun.tables.store import TableStore

_END_SECONDS = 5.0  # for a process that has closed its pipe, or was killed, to be gone

_PRELOAD = ["pyarrow", "nfrun.engine.executors.worker"]


def start_server() -> None:
    """Have the fork server come up, beside whatever the caller does next. It keeps the environment of this moment."""
    set_allocator()
    _context()
    with suppress(Exception), _sheltered():  # the first worker will tell
        forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


@contextmanager
def _sheltered() -> Iterator[None]:
    """A Python started inside looks for no module in the working directory, and is not interrupted while it starts."""
    before = os.environ.get("PYTHONSAFEPATH")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Worker:
    """A worker process, the pipe to it, and those that its stdout and stderr go into.

    All that looks at processes is done one at a time: of two threads that ask at once how a process ended, the standard
    library gives one the wrong answer, and starting one asks for all of them.
    """

    _one_at_a_time = threading.Lock()

    def __init__(self, config: WorkerConfig) -> None:
        context = _context()
        self.pipe, theirs = context.Pipe()
        pairs = [context.Pipe(duplex=False) for _ in STREAMS]
        self.streams = [reading for reading, _ in pairs]
        streams = [writing for _, writing in pairs]
        self.process = context.Process(target=serve, args=(theirs, streams, config), name="nfrun-worker")
        with self._one_at_a_time:
            self.process.start()
        for mine in (theirs, *streams):
            mine.close()

    @property
    def alive(self) -> bool:
        with self._one_at_a_time:
            return self.process.is_alive()

    def print_left(self, feeds: Sequence[Feed]) -> None:
        """Pass on what it has printed and nobody has read. Raises OSError if it is discarded."""
        read_left({stream.fileno(): feed for stream, feed in zip(self.streams, feeds, strict=True)})

    def terminate(self) -> None:
        """Tell it to end, and what its nodes have started."""
        if not self._signal(os.killpg, signal.SIGTERM):  # it has no group of its own yet
            self._signal(os.kill, signal.SIGTERM)

    def linger(self, seconds: float) -> None:
        """Once its node has ended: let it go, and wait for what that has started, at most these seconds."""
        until = time.monotonic() + seconds
        self.pipe.close()
        if connection.wait([self.process.sentinel], seconds) and self.process.pid is not None:
            self._status()
            wait_group_exit(self.process.pid, until - time.monotonic())

    def kill(self) -> None:
        """End it, and what its nodes have started."""
        self._signal(os.killpg, signal.SIGKILL)
        self._signal(os.kill, signal.SIGKILL)  # it may not have a group of its own yet

    def discard(self) -> int | None:
        """Let go of it; returns how it ended by itself, None if it did not and was killed."""
        ended = connection.wait([self.process.sentinel], _END_SECONDS)
        status = self._status() if ended else None
        self.kill()
        if not ended:
            connection.wait([self.process.sentinel], _END_SECONDS)
            self._status()
        for pipe in (self.pipe, *self.streams):
            pipe.close()
        return status

    def _status(self) -> int | None:
        with self._one_at_a_time:
            self.process.join(_END_SECONDS)
            return self.process.exitcode

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> bool:
        with suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                send(self.process.pid, number)
                return True
        return False


class ProcessWorkers:
    """Makes the attempts at `nodes` in processes, at most `most` at a time, and leaves all others to `work`.

    It is what makes attempts for an executor, as `work` is. `close` ends the processes.
    """

    def __init__(
        self, runner: AttemptRunner, store: TableStore, outputs: Path, nodes: Collection[str], most: int
    ) -> None:
        self._runner = runner
        self._store = store
        self._outputs = outputs
        self._nodes = frozenset(nodes)
        shared = runner.pipeline.with_nodes({})
        self._config = WorkerConfig(shared, runner.run_id, outputs, runner.scratch, runner.environ, store.fsync)
        self._change = threading.Condition()
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._starting = 0
        self._closed = False
        for _ in range(min(most, len(self._nodes))):  # ahead of the first attempt, beside what else there is to do
            self._starting += 1
            threading.Thread(target=self._prepare, name="nfrun-worker-start", daemon=True).start()

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt, here or there."""
        if start.node not in self._nodes:
            return self._runner(start, cancel_token, run_coroutine)
        input_waits: dict[str, float] = {}
        logs = self._runner.logs
        try:
            order = self._order(start, input_waits)
            outcome = self._carry_over(order, cancel_token)
            outputs = self._register_files(outcome)
        except HandoffError as error:
            return Outcome(start.node, start.attempt, Failure("io", io_failure_type(error), str(error)))
        except (OSError, EOFError) as error:  # of the system, or of a fork server that did not come up
            kind = "io" if is_out_of_resources(error) else "error"
            failure = Failure(kind, type(error).__name__, f"no worker process could be started: {reason(error)}")
            return Outcome(start.node, start.attempt, failure)
        finally:
            logs.end(start.node, start.attempt)
        for output, seconds in outcome.input_waits.items():
            input_waits[output] = input_waits.get(output, 0.0) + seconds
        return replace(outcome, outputs=outputs, input_waits=input_waits)

    def close(self) -> None:
        """End all processes, whatever they are at."""
        with self._change:
            self._closed = True
            workers, self._all = self._all, []
            self._change.notify_all()
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.discard()

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _order(self, start: NodeStarted, input_waits: dict[str, float]) -> AttemptOrder:
        """What is sent. Waits for the files of the inputs, and notes how long under their ids."""
        inputs: dict[str, OutputRef] = {}
        for output, ref in start.inputs.items():
            began = time.perf_counter()
            inputs[output] = replace(ref, path=str(self._store.file(ref)))
            input_waits[output] = time.perf_counter() - began
        spec = self._runner.pipeline.nodes[start.node]
        read = self._runner.consumed.intersection(spec.output_ids)
        return AttemptOrder(spec, replace(start, inputs=inputs), read)

    def _carry_over(self, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        worker = self._take()
        if worker is None:
            return Outcome(order.node.id, order.start.attempt, Failure("cancelled", "Cancelled", "stopped"))
        kill = threading.Timer(self._runner.grace, worker.kill)
        kill.daemon = True

        def end() -> None:
            worker.terminate()
            kill.start()

        outcome: Outcome | None = None
        logs, node, attempt = self._runner.logs, order.node.id, order.start.attempt
        feeds = [logs.of(node, attempt, name).feed for name in STREAMS]
        # One that was stopped in the middle of a message may have sent half of it.
        with suppress(EOFError, OSError, UnpicklingError), cancel_token.on_cancel(end, worker.kill):
            worker.print_left([_forget, _forget])  # by whoever an earlier node has left behind
            worker.pipe.send(order)
            outcome = self._listen(worker, feeds)
            if cancel_token.cancelled:
                worker.linger(self._runner.grace)
        kill.cancel()
        with suppress(OSError):
            worker.print_left(feeds)
        if outcome is None:
            return self._lost(worker, order, cancel_token)
        told_to_stop = outcome.failure is not None and outcome.failure.kind == "cancelled"
        if cancel_token.cancelled or told_to_stop:  # who knows in which state it is
            worker.kill()
            self._discard(worker)
        else:
            with self._change:
                self._idle.append(worker)
                self._change.notify()
        if told_to_stop and not cancel_token.cancelled:  # not by us
            return Outcome(outcome.node, outcome.attempt, lost="its worker process was told to end by SIGTERM")
        return outcome

    def _listen(self, worker: _Worker, feeds: Sequence[Feed]) -> Outcome:
        """Pass on what the worker says and prints until the outcome comes. Raises EOFError or OSError if none will."""
        # The process itself too: one that it has forked may hold the pipe open.
        awaited: list[Any] = [worker.pipe, worker.process.sentinel, *worker.streams]
        while True:
            ready = connection.wait(awaited)
            for stream, feed in zip(worker.streams, feeds, strict=True):
                # Its number is asked for each time: once the run is over and it is closed, that may be another's.
                if stream in ready and read_chunk(stream.fileno(), feed) == 0:
                    awaited.remove(stream)  # nobody has it any more
            if worker.pipe not in ready and worker.process.sentinel not in ready:
                continue
            if not worker.pipe.poll():
                raise EOFError
            said: Message | Outcome = worker.pipe.recv()
            if isinstance(said, Outcome):
                return said
            tell: Callable[..., object] = self._runner.logs.log if said.method == "log" else self._runner.progress
            tell(*said.arguments)

    def _lost(self, worker: _Worker, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        node, attempt = order.node.id, order.start.attempt
        ending = _ending(self._discard(worker))
        self._remove_files(order.node.output_ids, attempt)  # it may have been at its last words
        if cancel_token.cancelled:
            return Outcome(node, attempt, Failure("cancelled", "Cancelled", "stopped"))
        return Outcome(node, attempt, lost=ending)

    def _register_files(self, outcome: Outcome) -> dict[str, OutputRef]:
        adopted: dict[str, OutputRef] = {}
        try:
            for output, ref in outcome.outputs.items():
                adopted[output] = self._store.register_file(ref)
        except HandoffError:
            for ref in adopted.values():
                self._store.discard(ref)
            self._remove_files(outcome.outputs.keys() - adopted.keys(), outcome.attempt)
            raise
        return adopted

    def _remove_files(self, outputs: Iterable[str], attempt: int) -> None:
        for output in outputs:
            with suppress(OSError):
                Path(output_path(self._outputs, output, attempt)).unlink()

    # -- the workers -----------------------------------------------------------------------------------------------

    def _take(self) -> _Worker | None:
        """A worker that has nothing to do, a new one if there is none; None if all is over. Raises OSError."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._idle or not self._starting or self._closed)
                if self._closed:
                    return None
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start()
            if worker.alive:
                return worker
            self._discard(worker)

    def _prepare(self) -> None:
        worker = None
        with suppress(Exception):  # the next attempt starts one for itself, and tells what is wrong
            worker = self._start()
        with self._change:
            self._starting -= 1
            if worker is not None:
                self._idle.append(worker)
            self._change.notify_all()

    def _start(self) -> _Worker | None:
        worker = _Worker(self._config)
        with self._change:
            if not self._closed:
                self._all.append(worker)
                return worker
        worker.kill()
        worker.discard()
        return None

    def _discard(self, worker: _Worker) -> int | None:
        with self._change:
            ours = worker in self._all
            if ours:
                self._all.remove(worker)
        return worker.discard() if ours else None  # else `close` has seen to it


def _forget(data: bytes) -> None:
    """Prints for nobody."""


def _ending(status: int | None) -> str:
    """What became of a worker, in words."""
    if status is None or status == 0:
        return "its worker process has closed the connection to the run"
    if status > 0:
        return f"its worker process exited with status {status} while the node ran"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hints = {
        "SIGKILL": "; the system does that when memory runs out",
        "SIGSEGV": "; something compiled crashed in it",
        "SIGBUS": "; something compiled crashed in it",
        "SIGABRT": "; something compiled gave up in it",
    }
    return f"its worker process was killed by {name}{hints.get(name, '')}"
