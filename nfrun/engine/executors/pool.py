"""Starts worker processes, and keeps those that are idle for the next order.

`fork_server.py` starts their processes. A worker gets one order at a time and answers it with any number of messages
and a reply.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection
from typing import Any

from nfrun.core.values import frozen
from nfrun.engine.executors.fork_server import NO_VARIABLES, Serve, make_process
from nfrun.system.pipes import Feed, read_chunk, read_left
from nfrun.system.processes.process_tree import wait_group_exit
from nfrun.system.threads import start_thread

_END_SECONDS = 5.0  # for a process that was killed or has closed its pipe to exit


@frozen
class Message:
    """A message that a worker sends before its reply: a call to make in this process, with `arguments`."""

    method: str
    arguments: tuple[Any, ...]


class Worker:
    """A worker process, the pipe to it, and the pipes from its stdout and stderr.

    A lock serializes all use of `multiprocessing.Process`: if two threads ask at once how a process ended, the standard
    library gives one of them the wrong answer. Starting a process asks for all processes.
    """

    _process_lock = threading.Lock()
    os.register_at_fork(after_in_child=_process_lock._at_fork_reinit)  # type: ignore[attr-defined]

    def __init__(self, serve: Serve, config: Any, environ: Mapping[str, str] = NO_VARIABLES) -> None:
        self._pipe_lock = threading.Lock()
        self.environ = environ
        self.has_instances = False  # of classes, which are closed before it ends
        self.pipe, worker_pipe = connection.Pipe()
        pairs = [connection.Pipe(duplex=False) for _ in range(2)]
        self.streams = [reading for reading, _ in pairs]
        streams = [writing for _, writing in pairs]
        self.process = make_process(serve, (worker_pipe, streams, config), environ)
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
        """Send SIGTERM to its process group: to the worker and to the processes that its nodes have started."""
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
        """Send SIGKILL to the worker and to the processes that its nodes have started."""
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

    A worker runs `serve` with `make_config(environ)`, where `environ` are the variables that its Python has from its
    start; most workers need none. The first `ahead` workers start at once in the background.
    """

    def __init__(self, serve: Serve, make_config: Callable[[Mapping[str, str]], Any], ahead: int = 0) -> None:
        self._serve = serve
        self._make_config = make_config
        self._change = threading.Condition()
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._starting = 0  # of those that have no `environ`
        self._closed = False
        for _ in range(ahead):
            with self._change, suppress(Exception):  # then the order starts its own
                start_thread(self._start_idle, "nfrun-worker-start")
                self._starting += 1

    def take(self, seconds: float, environ: Mapping[str, str] = NO_VARIABLES) -> Worker | None:
        """Return an idle worker that has started with `environ`, or a new one. None after `close`.

        Raises OSError or EOFError if no worker can be started, TimeoutError if one is still starting after `seconds`.
        """
        while True:
            with self._change:
                if not self._change.wait_for(lambda: self._is_ready(environ), seconds):
                    raise TimeoutError(f"none has started within {seconds:g} s")
                if self._closed:
                    return None
                worker = self._find_idle(environ)
                if worker is not None:
                    self._idle.remove(worker)
            if worker is None:
                return self._start(environ)
            if worker.alive:
                return worker
            self.discard(worker)

    def give_back(self, worker: Worker) -> None:
        """Take back a worker that has replied and is ready for another order."""
        with self._change:
            self._idle.append(worker)
            self._change.notify()

    def has_instances(self) -> bool:
        """Return whether idle workers have instances of classes."""
        with self._change:
            return any(worker.has_instances for worker in self._idle)

    def take_with_instances(self) -> list[Worker]:
        """Return all idle workers that have instances of classes. They are taken now."""
        with self._change:
            found = [worker for worker in self._idle if worker.has_instances]
            self._idle = [worker for worker in self._idle if worker not in found]
            return found

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

    def _is_ready(self, environ: Mapping[str, str]) -> bool:
        return bool(environ or not self._starting or self._closed or self._find_idle(environ))

    def _find_idle(self, environ: Mapping[str, str]) -> Worker | None:
        return next((worker for worker in reversed(self._idle) if worker.environ == environ), None)

    def _start_idle(self) -> None:
        """Start an idle worker in the background."""
        worker = None
        with suppress(Exception):  # the next order starts its own and reports the error
            worker = self._start(NO_VARIABLES)
        with self._change:
            self._starting -= 1
            if worker is not None:
                self._idle.append(worker)
            self._change.notify_all()

    def _start(self, environ: Mapping[str, str]) -> Worker | None:
        """Start a worker. Returns None after `close`."""
        worker = Worker(self._serve, self._make_config(environ), environ)
        with self._change:
            if not self._closed:
                self._all.append(worker)
                return worker
        worker.kill()
        worker.discard()
        return None
