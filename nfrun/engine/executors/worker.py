"""The code of a worker process: makes the attempts that it receives, one at a time, until the pipe is closed.

Orders, log lines, progress and outcomes go through one pipe. Tables go through files in the run's folder.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import copy_context
from functools import partial
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nfrun.code.module_space import FolderModules
from nfrun.code.watch.process_state import WorkerState
from nfrun.code.watch.run_watch import RunWatch
from nfrun.core.events import CallStarted, NodeStarted, Outcome, nfrun_failure
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.values import frozen, replace
from nfrun.engine.attempt import AttemptRunner
from nfrun.engine.attempt_context import AttemptInputs, Progress, RunCoroutine
from nfrun.engine.executors import preload
from nfrun.engine.executors.pool import Message
from nfrun.nodes.base import CancelToken, seed_of
from nfrun.nodes.instances import RUN_COROUTINE, unused_instances
from nfrun.nodes.registry import kind_of
from nfrun.system.logs.node_logs import Logs
from nfrun.system.runtime import PeakMemory
from nfrun.system.std_streams import redirect_std_streams

if TYPE_CHECKING:
    import asyncio

    from nfrun.engine.attempt_context import PieceSource
    from nfrun.rows.piece import Piece
    from nfrun.rows.recorder import WorkerData, WorkerMap

_MOST_MAPS = 8  # mapped inputs that a worker keeps open


@frozen
class WorkerConfig:
    """The settings that all attempts of a run share.

    `outputs` and `scratch` are folders. `environ` is the complete environment. With `fsync`, outputs survive a power
    loss. `arrow_threads` is that of `Placement`, and `memory_share` that of `AttemptRunner`. With the work folder
    `work`, the worker watches what nodes open. `folders` are those of `folders_of`. `started` is that of
    `AttemptRunner`. Nobody watches what nodes open in the folders `unwatched`.
    """

    pipeline: Pipeline
    run_id: str
    outputs: Path
    scratch: Path
    environ: Mapping[str, str]
    fsync: bool = False
    arrow_threads: int = 0
    memory_share: float = 1.0
    work: Path | None = None
    folders: tuple[str, ...] = ()
    started: float = 0.0
    unwatched: tuple[Path, ...] = ()

    def watch(self) -> RunWatch | None:
        """Return the watch of the files that nodes open; None for a run without a work folder."""
        base = Path(self.pipeline.folder)
        return None if self.work is None else RunWatch(base, self.work, folders=self.folders, unwatched=self.unwatched)

    def runner(self, order: AttemptOrder, logs: Logs, progress: Progress, **settings: Any) -> AttemptRunner:
        """Return the runner for the attempt of an order. `settings` are more of `AttemptSettings`."""
        from nfrun.tables.output_files import WorkerStore  # here: the run's process needs no Arrow yet

        spec = order.node
        return AttemptRunner(
            replace(self.pipeline, nodes={spec.id: spec}),
            WorkerStore(Path(order.outputs or self.outputs), fsync=self.fsync),
            *(self.run_id, self.scratch, self.environ, logs, progress),
            consumed_here={spec.id: order.consumed},
            memory_share=self.memory_share,
            unshared=frozenset({spec.id} if order.unshared else ()),
            in_files=frozenset({spec.id} if order.in_files else ()),
            started=self.started,
            **settings,
        )


@frozen
class AttemptOrder:
    """An attempt to make. All inputs have a path or files. `consumed` has its outputs that other nodes read.

    The tables that an `unshared` node returns share no memory with objects that change later. What a node `in_files`
    reads from files stays there. Its outputs go into the folder `outputs`, if that is not "".
    """

    node: NodeSpec
    start: NodeStarted
    consumed: Sequence[OutputId]
    unshared: bool = False
    in_files: bool = False
    outputs: str = ""


@frozen
class CallOrder(AttemptOrder):
    """Calls of a mapped node's function to make, for `pieces` of `data`. All other inputs have a path."""

    pieces: tuple[Piece, ...] = ()
    data: WorkerData | None = None


@frozen
class CloseOrder:
    """Close the instances of all classes but these. The reply are messages about errors."""

    needed: frozenset[tuple[str, str]]


class Cancelled(BaseException):
    """Raised in a node that is cancelled by SIGTERM. Not an Exception, since nodes catch those."""


def serve(pipe: Connection, streams: Sequence[Connection], config: WorkerConfig) -> None:
    """Make attempts until the pipe is closed.

    Each `AttemptOrder` is answered by any number of messages and then one `Outcome`. All bytes written to
    stdout and stderr, also by child processes, go into the two `streams`.
    """
    # A process group of its own: Ctrl-C reaches only the run, and what nodes leave behind is killed with the worker.
    os.setsid()
    # Not SIG_IGN: programs that a node starts would inherit it.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # blocked when the fork server started
    threading.Thread(target=_exit_with_parent, name="nfrun-parent", daemon=True).start()
    os.environ.clear()
    os.environ.update(preload.environ)
    os.environ.update(config.environ)
    time.tzset()  # the fork server may have another TZ
    import pyarrow as pa  # unless the fork server has imported it

    if config.arrow_threads:
        pa.set_cpu_count(config.arrow_threads)
    worker_pid = os.getpid()
    worker = _Worker(streams, config)
    signal.signal(signal.SIGTERM, worker.stop)
    os.register_at_fork(after_in_child=lambda: _reset_forked_child(pipe))
    with suppress(EOFError, OSError, Cancelled), worker.watching():
        while True:
            order: AttemptOrder | CloseOrder = pipe.recv()
            if isinstance(order, CloseOrder):
                pipe.send(worker.close_instances(order.needed))
                continue
            outbox = Outbox(pipe)
            outbox.send("taken" if isinstance(order, CallOrder) else "begun", *order.start.key)
            try:
                outcome = worker.make(order, outbox)
            except Exception as error:
                outcome = order.start.outcome(nfrun_failure(error))
            if os.getpid() != worker_pid:
                os._exit(1)  # this is a child that the node forked: only its parent may report an outcome
            if worker.has_instances:
                outbox.send("instances")
            if worker.state.spent:
                outbox.send("spent")  # the run ends this process
            outbox.finish(outcome)


def _reset_forked_child(pipe: Connection) -> None:
    """In a child that a node forked: restore the default signal handlers and close the pipe to the run."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe.close()


def _exit_with_parent() -> None:
    """Exit this process as soon as the run's process has ended, for whatever reason."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class Outbox:
    """Sends the messages of one attempt to the run, from any thread, and then its outcome.

    A message that is cut off, when SIGTERM raises Cancelled in the middle of it, is the last one. So is the outcome: a
    thread that the node left running cannot write into the messages of the next attempt.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()  # a message of more than 16 KiB is written in two parts
        self._open = True

    def send(self, method: str, *arguments: Any) -> None:
        """Send a message. Does nothing after the last one."""
        data = ForkingPickler.dumps(Message(method, arguments))
        with self._lock:
            if self._open:
                self._open = False  # and stays so if the message is cut off
                self._pipe.send_bytes(data)
                self._open = True

    def finish(self, outcome: Outcome) -> None:
        """Send the outcome. Raises Cancelled if a message was cut off: the run could not read anything after it."""
        with self._lock:
            if not self._open:
                raise Cancelled
            self._open = False
            self._pipe.send(outcome)


class _Logs(Logs):
    """Sends log lines to the run. Prints go through the streams of this process instead."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def log(self, node: str, attempt: int, level: str, line: str) -> None:
        self._outbox.send("log", node, attempt, level, line)


class _Worker:
    """Makes attempts in this process, on the main thread. `memo` is kept from one attempt to the next."""

    def __init__(self, streams: Sequence[Connection], config: WorkerConfig) -> None:
        self._streams = streams
        self._config = config
        self._memo: dict[Any, Any] = {RUN_COROUTINE: self._run_coroutine}
        self._cancel_token: CancelToken | None = None
        self._watch = config.watch()
        self._modules = FolderModules(Path(config.pipeline.folder), config.folders)
        self._maps: dict[tuple[str, int], PieceSource] = {}  # of mapped nodes, the last used at the end
        self.state = WorkerState()
        self._event_loop: asyncio.Runner | None = None
        self._peak = PeakMemory()
        self._redirect_output()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the files that nodes open, if the run has a work folder, and let nodes import their modules."""
        with self._modules, nullcontext() if self._watch is None else self._watch.watching():
            yield

    @property
    def has_instances(self) -> bool:
        """Whether there are instances of classes to close before this process ends."""
        return unused_instances(self._memo, ()) is not None

    def close_instances(self, needed: frozenset[tuple[str, str]]) -> list[str]:
        """Close the instances of all classes but these. Returns messages about errors."""
        close = unused_instances(self._memo, needed)
        return close() if close is not None else []

    def make(self, order: AttemptOrder, outbox: Outbox) -> Outcome:
        """Make one attempt. Raises Cancelled if SIGTERM comes outside the node's code."""
        spec = order.node
        runner = self._config.runner(
            *(order, _Logs(outbox), lambda node, done, total: outbox.send("progress", node, done, total)),
            memo=self._memo,
            importer=self._modules.importer,
            watch=self._watch,
            process_state=self.state,
            open_maps=self._maps,
            on_begun=lambda *key: outbox.send("begun", *key),
        )
        self.state.seed = seed_of(spec)
        self.state.threads = spec.cpus if kind_of(spec).runs.calls_code else 0
        self._cancel_token = CancelToken()
        streams = self._redirect_output()
        self._peak.begin()
        try:
            make = partial(self._call, order, outbox) if isinstance(order, CallOrder) else AttemptRunner.__call__
            outcome = make(runner, order.start, self._cancel_token, self._run_coroutine)
            return with_shared(replace(outcome, memory=self._peak.bytes()), self._watch)
        finally:
            self._cancel_token = None
            for stream in streams:
                with suppress(ValueError, OSError):
                    stream.flush()

    def _run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop of this process, and return its result.

        It is the same loop for all attempts: an instance may keep a client from one call to the next.
        """
        import asyncio  # here: its import takes a tenth of the start of the fork server

        if self._event_loop is None:
            self._event_loop = asyncio.Runner()
        return self._event_loop.run(coroutine, context=copy_context())

    def _call(
        self,
        order: CallOrder,
        outbox: Outbox,
        runner: AttemptRunner,
        start: NodeStarted,
        cancel_token: CancelToken,
        run_coroutine: RunCoroutine,
    ) -> Outcome:
        """Make calls of a mapped node's function. The input stays open for the next ones."""
        mark = (start.node, start.attempt, runner.logs)
        try:
            if self._watch is not None:
                self._watch.running[mark] = None
            source = self._map_of(order, runner)
            outcome = runner(start, cancel_token, run_coroutine)
            if records := source.take_records():
                outbox.send("records", records)
            return replace(outcome, cpu=source.cpu, gil_wait=source.gil_wait, observation=source.seen)
        finally:
            if self._watch is not None:
                self._watch.running.pop(mark, None)
            runner.logs.end(start.node, start.attempt)

    def _map_of(self, order: CallOrder, runner: AttemptRunner) -> WorkerMap:
        """Return the open input of a mapped node, with the pieces of these calls. Raises HandoffError, FormatError."""
        from nfrun.rows.recorder import WorkerMap  # here: the run's process needs no Arrow yet

        key = order.start.key[:2]
        source = self._maps.pop(key, None)
        if source is None:
            assert order.data is not None and order.node.map is not None
            inputs = AttemptInputs(order.node, order.start.inputs, runner.store)
            names = [item.name for item in order.node.inputs if item.name != order.node.map.over]
            whole = {name: inputs.table(name) for name in names if inputs.has(name)}
            source = WorkerMap(order.data, whole, self._watch, partial(self._seed, order.node))
            while len(self._maps) >= _MOST_MAPS:
                first = self._maps.pop(next(iter(self._maps)))
                assert isinstance(first, WorkerMap)
                first.close()
        assert isinstance(source, WorkerMap)
        self._maps[key] = source
        assert isinstance(order.start, CallStarted)
        source.take(dict(zip(order.start.pieces, order.pieces, strict=True)))
        return source

    def _seed(self, node: NodeSpec, piece: Piece) -> None:
        """Seed the call for a piece by its rows."""
        self.state.seed = seed_of(node, piece.keys)

    def _redirect_output(self) -> tuple[TextIO, TextIO]:
        """Redirect stdout and stderr to the streams. Done for each attempt: the previous one may have closed them."""
        out, err = (stream.fileno() for stream in self._streams)
        return redirect_std_streams(out, err)

    def stop(self, number: int, frame: object) -> None:
        """Handle SIGTERM: raise Cancelled on the main thread. That ends the running node, or else the worker."""
        if self._cancel_token is not None:
            # Not its method `cancel`, which takes a lock that the interrupted code may hold.
            self._cancel_token.cancelled = True
        raise Cancelled


def with_shared(outcome: Outcome, watch: RunWatch | None) -> Outcome:
    """Add the files and hosts that code of several nodes used here: the process of the run has not seen them."""
    shared = () if watch is None else tuple(watch.take())
    if not shared:
        return outcome
    return replace(outcome, observation=replace(outcome.observation or Observation(), shared=shared))
