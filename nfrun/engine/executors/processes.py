"""Makes some of the attempts in worker processes, so that their Python code has a GIL of its own.

Workers are forked by a fork server that has imported what they need: forking a process that has threads may hang, and
starting a new Python takes twenty times as long. Workers are reused from one attempt to the next. The executor's thread
sends the attempt to a worker and waits for the outcome, so the rest of the run works as with threads.
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

from nfrun.core.errors import Cause, HandoffError, cause_of
from nfrun.core.events import Failure, NodeStarted, Outcome, OutputRef, nfrun_failure
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.executors.base import RunCoroutine
from nfrun.engine.executors.worker import AttemptOrder, Message, WorkerConfig, serve
from nfrun.logs.node_logs import STREAMS
from nfrun.nodes.base import CancelToken
from nfrun.system.os_errors import reason
from nfrun.system.pipes import Feed, read_chunk, read_left
from nfrun.system.process_tree import wait_group_exit
from nfrun.system.runtime import set_allocator
from nfrun.tables.output_files import output_path
from nfrun.tables.store import TableStore

_END_SECONDS = 5.0  # for a process that was killed or has closed its pipe to exit

_PRELOAD = ["pyarrow", "nfrun.engine.executors.worker"]


def start_server() -> None:
    """Start the fork server in the background. It keeps the environment variables of this moment."""
    set_allocator()
    _context()
    with suppress(Exception), _safe_start():  # starting the first worker reports the error
        forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


@contextmanager
def _safe_start() -> Iterator[None]:
    """Let a Python that starts inside ignore modules in the working directory, and no SIGINT interrupt its start."""
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
    """A worker process, the pipe to it, and the pipes from its stdout and stderr.

    A lock serializes all use of `multiprocessing.Process`: if two threads ask at once how a process ended, the standard
    library gives one of them the wrong answer. Starting a process asks for all processes.
    """

    _process_lock = threading.Lock()

    def __init__(self, config: WorkerConfig) -> None:
        context = _context()
        self._pipe_lock = threading.Lock()
        self.pipe, worker_pipe = context.Pipe()
        pairs = [context.Pipe(duplex=False) for _ in STREAMS]
        self.streams = [reading for reading, _ in pairs]
        streams = [writing for _, writing in pairs]
        self.process = context.Process(target=serve, args=(worker_pipe, streams, config), name="nfrun-worker")
        with self._process_lock:
            self.process.start()
        for pipe in (worker_pipe, *streams):
            pipe.close()

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        with self._process_lock:
            return self.process.is_alive()

    def drain(self, feeds: Sequence[Feed]) -> None:
        """Pass the bytes that wait in its stdout and stderr pipes to `feeds`. Raises OSError if it is discarded."""
        read_left({stream.fileno(): feed for stream, feed in zip(self.streams, feeds, strict=True)})

    def terminate(self) -> None:
        """Send SIGTERM to its process group: to the worker and to what its nodes have started."""
        if not self._signal(os.killpg, signal.SIGTERM):  # it has no process group of its own yet
            self._signal(os.kill, signal.SIGTERM)

    def wait_for_group(self, seconds: float) -> None:
        """After its node has ended: let it exit, and wait up to `seconds` for it and for what the node has started."""
        until = time.monotonic() + seconds
        self._close(self.pipe)
        if connection.wait([self.process.sentinel], seconds) and self.process.pid is not None:
            self._status()
            wait_group_exit(self.process.pid, until - time.monotonic())

    def kill(self) -> None:
        """Send SIGKILL to the worker and to what its nodes have started."""
        self._signal(os.killpg, signal.SIGKILL)
        self._signal(os.kill, signal.SIGKILL)  # it may not have a process group of its own yet

    def discard(self) -> int | None:
        """End the process and close its pipes. Waits a few seconds for it to exit by itself, then kills it.

        Returns its exit code, negative for a signal, or None if it had to be killed.
        """
        ended = connection.wait([self.process.sentinel], _END_SECONDS)
        status = self._status() if ended else None
        self.kill()
        if not ended:
            connection.wait([self.process.sentinel], _END_SECONDS)
            self._status()
        self._close(self.pipe, *self.streams)
        return status

    def _close(self, *pipes: connection.Connection) -> None:
        # One thread at a time: an attempt may end in the moment in which the run discards its worker.
        with self._pipe_lock:
            for pipe in pipes:
                pipe.close()

    def _status(self) -> int | None:
        with self._process_lock:
            self.process.join(_END_SECONDS)
            return self.process.exitcode

    def _signal(self, send: Callable[[int, int], None], number: signal.Signals) -> bool:
        with suppress(ProcessLookupError, PermissionError):
            if self.process.pid is not None:
                send(self.process.pid, number)
                return True
        return False


class ProcessWorkers:
    """Makes the attempts at `nodes` in worker processes, and all others with `runner`.

    An executor can use it in place of `runner`. Up to `most` workers start at once in the background; more start when
    attempts need them. Workers write their outputs into the folder `outputs`, and `store` registers the files. `close`
    ends the processes. Safe to call from several threads.
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
        for _ in range(min(most, len(self._nodes))):  # before the first attempt needs one
            self._starting += 1
            threading.Thread(target=self._start_idle, name="nfrun-worker-start", daemon=True).start()

    def __call__(self, start: NodeStarted, cancel_token: CancelToken, run_coroutine: RunCoroutine) -> Outcome:
        """Make the attempt, in a worker if the node is one of `nodes`.

        A failed hand-off of tables and a worker that cannot be started give a failure with the cause IO or PERMISSION,
        a worker or a fork server that dies gives one with the cause LOST.
        """
        if start.node not in self._nodes:
            return self._runner(start, cancel_token, run_coroutine)
        input_waits: dict[str, float] = {}
        logs = self._runner.logs
        try:
            order = self._order(start, input_waits)
            outcome = self._run_in_worker(order, cancel_token)
            outputs = self._register_files(outcome)
        except HandoffError as error:
            return Outcome(start.node, start.attempt, nfrun_failure(error))
        except (OSError, EOFError) as error:  # from the system, or from a fork server that did not start
            cause = Cause.LOST if isinstance(error, EOFError | ConnectionError) else cause_of(error)
            failure = Failure(cause, type(error).__name__, f"no worker process could be started: {reason(error)}")
            return Outcome(start.node, start.attempt, failure)
        finally:
            logs.end(start.node, start.attempt)
        for output, seconds in outcome.input_waits.items():
            input_waits[output] = input_waits.get(output, 0.0) + seconds
        return replace(outcome, outputs=outputs, input_waits=input_waits)

    def close(self) -> None:
        """Kill all worker processes, busy or idle."""
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
        """Build the message for the worker. Waits for the input files and adds the seconds waited to `input_waits`."""
        inputs: dict[str, OutputRef] = {}
        for output, ref in start.inputs.items():
            began = time.perf_counter()
            inputs[output] = replace(ref, path=str(self._store.file(ref)))
            input_waits[output] = time.perf_counter() - began
        spec = self._runner.pipeline.nodes[start.node]
        read = self._runner.consumed.intersection(spec.output_ids)
        return AttemptOrder(spec, replace(start, inputs=inputs), read)

    def _run_in_worker(self, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        worker = self._take()
        if worker is None:
            return Outcome(order.node.id, order.start.attempt, Failure(Cause.CANCELLED, "Cancelled", "stopped"))
        kill = threading.Timer(self._runner.grace, worker.kill)
        kill.daemon = True

        def end() -> None:
            worker.terminate()
            kill.start()

        outcome: Outcome | None = None
        logs, node, attempt = self._runner.logs, order.node.id, order.start.attempt
        feeds = [logs.of(node, attempt, name).feed for name in STREAMS]
        # A worker that is cancelled while it sends may have sent half a message.
        with suppress(EOFError, OSError, UnpicklingError), cancel_token.on_cancel(end, worker.kill):
            worker.drain([_drop, _drop])  # output of processes that an earlier node left behind
            worker.pipe.send(order)
            outcome = self._wait_outcome(worker, feeds)
            if cancel_token.cancelled:
                worker.wait_for_group(self._runner.grace)
        kill.cancel()
        with suppress(OSError):
            worker.drain(feeds)
        if outcome is None:
            return self._lost(worker, order, cancel_token)
        was_terminated = outcome.failure is not None and outcome.failure.cause is Cause.CANCELLED
        if cancel_token.cancelled or was_terminated:  # its state is unknown
            worker.kill()
            self._discard(worker)
        else:
            with self._change:
                self._idle.append(worker)
                self._change.notify()
        if was_terminated and not cancel_token.cancelled:  # by someone else
            lost = Failure(Cause.LOST, "WorkerLost", "its worker process was told to end by SIGTERM")
            return Outcome(outcome.node, outcome.attempt, lost)
        return outcome

    def _wait_outcome(self, worker: _Worker, feeds: Sequence[Feed]) -> Outcome:
        """Pass on logs, progress and prints of the worker until the outcome comes, and return it.

        Raises EOFError or OSError if none will come.
        """
        # Also the process itself: a child that it forked may hold the pipe open.
        awaited: list[Any] = [worker.pipe, worker.process.sentinel, *worker.streams]
        while True:
            ready = connection.wait(awaited)
            for stream, feed in zip(worker.streams, feeds, strict=True):
                # Call fileno() each time: after the stream is closed at the end of the run, its number may be reused.
                if stream in ready and read_chunk(stream.fileno(), feed) == 0:
                    awaited.remove(stream)  # no process has it open any more
            if worker.pipe not in ready and worker.process.sentinel not in ready:
                continue
            if not worker.pipe.poll():
                raise EOFError
            message: Message | Outcome = worker.pipe.recv()
            if isinstance(message, Outcome):
                return message
            method: Callable[..., object] = self._runner.logs.log if message.method == "log" else self._runner.progress
            method(*message.arguments)

    def _lost(self, worker: _Worker, order: AttemptOrder, cancel_token: CancelToken) -> Outcome:
        """Discard a worker that ended without an outcome. Its attempt fails, as cancelled if that was asked for."""
        node, attempt = order.node.id, order.start.attempt
        ending = _ending(self._discard(worker))
        self._remove_files(order.node.output_ids, attempt)  # it may have written some of its outputs
        if cancel_token.cancelled:
            return Outcome(node, attempt, Failure(Cause.CANCELLED, "Cancelled", "stopped"))
        return Outcome(node, attempt, Failure(Cause.LOST, "WorkerLost", ending))

    def _register_files(self, outcome: Outcome) -> dict[str, OutputRef]:
        """Register the outputs of a worker in the store. If one fails, removes them all and raises HandoffError."""
        registered: dict[str, OutputRef] = {}
        try:
            for output, ref in outcome.outputs.items():
                registered[output] = self._store.register_file(ref)
        except HandoffError:
            for ref in registered.values():
                self._store.discard(ref)
            self._remove_files(outcome.outputs.keys() - registered.keys(), outcome.attempt)
            raise
        return registered

    def _remove_files(self, outputs: Iterable[str], attempt: int) -> None:
        for output in outputs:
            with suppress(OSError):
                Path(output_path(self._outputs, output, attempt)).unlink()

    # -- the workers -----------------------------------------------------------------------------------------------

    def _take(self) -> _Worker | None:
        """Return an idle worker, or a new one if none is idle or starting. None after `close`.

        Raises OSError or EOFError if no worker can be started.
        """
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

    def _start_idle(self) -> None:
        """Start an idle worker in the background."""
        worker = None
        with suppress(Exception):  # the next attempt starts its own and reports the error
            worker = self._start()
        with self._change:
            self._starting -= 1
            if worker is not None:
                self._idle.append(worker)
            self._change.notify_all()

    def _start(self) -> _Worker | None:
        """Start a worker. Returns None after `close`."""
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
        return worker.discard() if ours else None  # else `close` does it


def _drop(data: bytes) -> None:
    """Drop the bytes."""


def _ending(status: int | None) -> str:
    """Say how a worker ended, from its exit code (negative for a signal), or None if it had to be killed."""
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
        "SIGSEGV": "; compiled code in it crashed",
        "SIGBUS": "; compiled code in it crashed",
        "SIGABRT": "; compiled code in it aborted",
    }
    return f"its worker process was killed by {name}{hints.get(name, '')}"
