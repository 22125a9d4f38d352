"""What a worker process does: it makes the attempts that it is sent, one at a time, until nobody sends any more.

Whatever it has to say goes through one pipe. It knows the run's folder, and neither the scheduler nor other workers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO

from nfrun.core.events import NodeStarted, Outcome
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.engine.attempt import AttemptRunner
from nfrun.logs.node_logs import Logs
from nfrun.nodes.base import CancelToken
from nfrun.tables.worker_store import WorkerStore


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What all attempts of a run share. `outputs` and `scratch` are folders; `environ` is the whole environment.

    `durable`: outputs are to survive a power loss.
    """

    pipeline: Pipeline
    run_id: str
    outputs: Path
    scratch: Path
    environ: Mapping[str, str]
    fsync: bool = False


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """One attempt to be made. The inputs have a path; `read` are those of the node's outputs that some node reads."""

    node: NodeSpec
    start: NodeStarted
    consumed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be passed on to the run's `log` or `progress`, called with the `arguments`."""

    method: str
    arguments: tuple[Any, ...]


class Cancelled(BaseException):
    """Raised inside of a node that was told to stop: not an Exception, as nodes catch those."""


def serve(pipe: Connection, streams: Sequence[Connection], config: WorkerConfig) -> None:
    """Make attempts until the pipe is closed. Each `Order` is answered by some `Said` and one `Outcome`.

    All that is printed to stdout and stderr, whoever does it, goes into the two `streams`.
    """
    # Ctrl-C is for the run, which decides what it means; and what nodes leave behind ends with their worker.
    os.setsid()
    # Not SIG_IGN, which programs that a node starts would inherit.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # it came with that of the fork server
    threading.Thread(target=_leave_with_parent, name="nfrun-parent", daemon=True).start()
    os.environ.clear()
    os.environ.update(config.environ)
    me = os.getpid()
    worker = _Worker(pipe, streams, config)
    signal.signal(signal.SIGTERM, worker.stop)
    os.register_at_fork(after_in_child=lambda: _be_a_stranger(pipe))
    with suppress(EOFError, OSError, Cancelled):
        while True:
            order: AttemptOrder = pipe.recv()
            outcome = worker.make(order)
            if os.getpid() != me:
                os._exit(1)  # a child that the node forked has returned from it: only its parent speaks for the node
            pipe.send(outcome)


def _be_a_stranger(pipe: Connection) -> None:
    """A child that a node has forked behaves as that of any program: it says nothing in the name of the worker."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe.close()


def _leave_with_parent() -> None:
    """End this process as soon as the run's has ended, however it did."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class _Logs(Logs):
    """Says what nodes log; what they print goes into the streams of the process."""

    def __init__(self, on_line: Callable[..., object]) -> None:
        super().__init__()
        self._pass_on = on_line

    def log(self, node: str, attempt: int, level: str, line: str) -> None:
        self._pass_on("log", node, attempt, level, line)


class _Worker:
    def __init__(self, pipe: Connection, streams: Sequence[Connection], config: WorkerConfig) -> None:
        self._pipe = pipe
        self._streams = streams
        self._config = config
        self._sending = threading.Lock()
        self._memo: dict[Any, Any] = {}
        self._cancel_token: CancelToken | None = None
        self._print_there()

    def make(self, order: AttemptOrder) -> Outcome:
        setting, spec = self._config, order.node
        work = AttemptRunner(
            setting.pipeline.with_nodes({spec.id: spec}),
            WorkerStore(setting.outputs, fsync=setting.fsync),
            setting.run_id,
            setting.scratch,
            setting.environ,
            _Logs(self._say),
            self._progress,
            memo=self._memo,
            consumed_here=order.consumed,
        )
        self._cancel_token = CancelToken()
        streams = self._print_there()
        try:
            return work(order.start, self._cancel_token, asyncio.run)
        finally:
            self._cancel_token = None
            for stream in streams:
                with suppress(ValueError, OSError):
                    stream.flush()

    def _print_there(self) -> tuple[TextIO, TextIO]:
        """Have all that is printed go into the streams. Anew for each attempt: the one before may have closed them."""
        for number, stream in enumerate(self._streams, 1):
            os.dup2(stream.fileno(), number)
        sys.stdout, sys.stderr = streams = _printing(1), _printing(2)
        return streams

    def stop(self, number: int, frame: object) -> None:
        """For SIGTERM: ends the node that is under way, and else the worker, by an error on the main thread."""
        if self._cancel_token is not None:
            # Not its method `request`, which takes a lock that the interrupted code may hold.
            self._cancel_token.cancelled = True
        raise Cancelled

    def _progress(self, node: str, done: float, total: float | None) -> None:
        self._say("progress", node, done, total)

    def _say(self, what: str, *arguments: Any) -> None:
        with self._sending:
            self._pipe.send(Message(what, arguments))


def _printing(number: int) -> TextIO:
    """What prints to the descriptor, line by line, as Python does to a terminal. Half a character is no error."""
    return open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
