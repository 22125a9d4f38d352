"""Starts worker processes, and keeps those that are idle for the next order.

Workers are forked by a fork server that has imported what they need: forking a process that has threads may hang, and
starting a new Python takes twenty times as long. A worker gets one order at a time and answers it with any number of
messages and a reply.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

from nfrun.system.pipes import Feed, read_chunk, read_left
from nfrun.system.process_tree import wait_group_exit
from nfrun.system.threads import start_thread

_END_SECONDS = 5.0  # for a process that was killed or has closed its pipe to exit

_STARTING = threading.Lock()  # of the fork server: its start changes `os.environ` for a moment

# Runs in the worker: takes the pipe for orders and replies, the writing ends for stdout and stderr, and a config.
Serve = Callable[[connection.Connection, Sequence[connection.Connection], Any], None]


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker sends before its reply: a call to make in this process, with `arguments`."""

    method: str
    arguments: tuple[Any, ...]


def start_server(preload: list[str]) -> None:
    """Start the fork server in the background, unless this process has one.

    It imports `preload` and keeps the present environment variables; each worker sets those of its run.
    """
    _context(preload)
    with _STARTING, suppress(Exception), _safe_start():  # starting the first worker reports the error
        forkserver.ensure_running()


def _context(preload: list[str]) -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preload)
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


class Worker:
    """A worker process, the pipe to it, and the pipes from its stdout and stderr.

    A lock serializes all use of `multiprocessing.Process`: if two threads ask at once how a process ended, the standard
    library gives one of them the wrong answer. Starting a process asks for all processes.
    """

    _process_lock = threading.Lock()

    def __init__(self, context: ForkServerContext, serve: Serve, config: Any) -> None:
        self._pipe_lock = threading.Lock()
        self.pipe, worker_pipe = context.Pipe()
        pairs = [context.Pipe(duplex=False) for _ in range(2)]
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

    def request(
        self, order: object, feeds: Sequence[Feed], calls: Mapping[str, Callable[..., object]], seconds: float
    ) -> Any:
        """Send an order and return the reply.

        Until then, bytes in its stdout and stderr pipes go to `feeds`, and each message becomes one of the `calls`.
        Raises EOFError or OSError if no reply will come, TimeoutError if nothing has come after `seconds`.
        """
        until: float | None = time.monotonic() + seconds
        self._send(order, seconds)
        # Also the process itself: a child that it forked may hold the pipe open.
        awaited: list[Any] = [self.pipe, self.process.sentinel, *self.streams]
        while True:
            ready = connection.wait(awaited, until and max(0.0, until - time.monotonic()))
            for stream, feed in zip(self.streams, feeds, strict=True):
                # Call fileno() each time: after the stream is closed at the end of the run, its number may be reused.
                if stream in ready and read_chunk(stream.fileno(), feed) == 0:
                    awaited.remove(stream)  # no process has it open any more
            if self.pipe not in ready and self.process.sentinel not in ready:
                if until and time.monotonic() >= until:
                    raise TimeoutError
                continue
            until = None
            if not self.pipe.poll():
                raise EOFError
            answer = self.pipe.recv()
            if not isinstance(answer, Message):
                return answer
            calls[answer.method](*answer.arguments)

    def _send(self, order: object, seconds: float) -> None:
        """Send an order. A long one does not fit into the pipe, and waits until the worker reads it."""
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        with socket.fromfd(self.pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            self.pipe.send(order)
        except BlockingIOError:
            raise TimeoutError from None

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


class WorkerPool:
    """Starts workers as they are needed, and keeps idle ones. Thread-safe.

    A worker runs `serve` with `config`. `preload` are the modules that the fork server imports. The first `ahead`
    workers start at once in the background.
    """

    def __init__(self, serve: Serve, config: Any, preload: list[str], ahead: int = 0) -> None:
        self._serve = serve
        self._config = config
        self._context = _context(preload)
        self._change = threading.Condition()
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._starting = 0
        self._closed = False
        for _ in range(ahead):
            with self._change, suppress(Exception):  # then the order starts its own
                start_thread(self._start_idle, "nfrun-worker-start")
                self._starting += 1

    def take(self, seconds: float) -> Worker | None:
        """Return an idle worker, or a new one if none is idle or starting. None after `close`.

        Raises OSError or EOFError if no worker can be started, TimeoutError if one is still starting after `seconds`.
        """
        while True:
            with self._change:
                if not self._change.wait_for(lambda: self._idle or not self._starting or self._closed, seconds):
                    raise TimeoutError(f"none has started within {seconds:g} s")
                if self._closed:
                    return None
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start()
            if worker.alive:
                return worker
            self.discard(worker)

    def give_back(self, worker: Worker) -> None:
        """Take back a worker that has replied and is ready for another order."""
        with self._change:
            self._idle.append(worker)
            self._change.notify()

    def discard(self, worker: Worker) -> int | None:
        """End a taken worker, and return what `Worker.discard` returns. None if `close` does it."""
        with self._change:
            ours = worker in self._all
            if ours:
                self._all.remove(worker)
        return worker.discard() if ours else None

    def close(self) -> None:
        """Kill all workers, busy or idle."""
        with self._change:
            self._closed = True
            workers, self._all = self._all, []
            self._change.notify_all()
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.discard()

    def _start_idle(self) -> None:
        """Start an idle worker in the background."""
        worker = None
        with suppress(Exception):  # the next order starts its own and reports the error
            worker = self._start()
        with self._change:
            self._starting -= 1
            if worker is not None:
                self._idle.append(worker)
            self._change.notify_all()

    def _start(self) -> Worker | None:
        """Start a worker. Returns None after `close`."""
        worker = Worker(self._context, self._serve, self._config)
        with self._change:
            if not self._closed:
                self._all.append(worker)
                return worker
        worker.kill()
        worker.discard()
        return None
