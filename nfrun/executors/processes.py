"""Makes some of the attempts in worker processes, so that their Python code has an interpreter lock of its own.

Workers come from a fork server that has imported what they need: forking a process that has threads may hang it, and
starting Python anew takes twenty times as long. They stay warm from one attempt to the next. The thread that a run
gives to an attempt carries it over and waits: a process more, and not another way to run things.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from nfrun.errors import HandoffError
from nfrun.events import Failure, NodeStarted, Outcome, Ref
from nfrun.executors.worker import Order, Said, Setting, serve
from nfrun.handoff import Store
from nfrun.kinds.kind import Stop
from nfrun.machine import set_allocator
from nfrun.outputs import file_of
from nfrun.work import Wait, Work

TERM_SECONDS = 5.0  # a node that was told to stop has this long before its worker is killed
_END_SECONDS = 5.0  # for a process that has closed its pipe to be gone

_PRELOAD = ["pyarrow", "nfrun.executors.worker"]


def start_server() -> None:
    """Have the fork server come up, beside whatever the caller does next. It keeps the environment of this moment."""
    set_allocator()
    threading.Thread(target=_serve, name="nfrun-fork-server", daemon=True).start()


def _serve() -> None:
    _context()
    with suppress(Exception):  # the first worker will tell
        forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


@dataclass(frozen=True, slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection


class Workers:
    """Makes the attempts at `nodes` in processes, at most `most` at a time, and leaves all others to `work`.

    It is a `Work` itself, and like that never raises. `close` ends the processes.
    """

    def __init__(self, work: Work, store: Store, outputs: Path, nodes: Collection[str], most: int) -> None:
        self._work = work
        self._store = store
        self._outputs = outputs
        self._nodes = frozenset(nodes)
        self._setting = Setting(work.pipeline.with_nodes({}), work.run_id, outputs, work.scratch, work.environ)
        self._change = threading.Condition()
        self._idle: list[_Worker] = []
        self._all: list[_Worker] = []
        self._starting = 0
        self._closed = False
        for _ in range(min(most, len(self._nodes))):  # ahead of the first attempt, beside what else there is to do
            self._starting += 1
            threading.Thread(target=self._prepare, name="nfrun-worker-start", daemon=True).start()

    def __call__(self, start: NodeStarted, stop: Stop, wait: Wait) -> Outcome:
        """Make the attempt, here or there. Never raises."""
        if start.node not in self._nodes:
            return self._work(start, stop, wait)
        opened: dict[str, float] = {}
        try:
            order = self._order(start, opened)
            outcome = self._carry_over(order, stop)
            outputs = {output: self._store.adopt(ref) for output, ref in outcome.outputs.items()}
        except HandoffError as error:
            return Outcome(start.node, start.attempt, Failure("io", "", str(error)))
        for output, seconds in outcome.opened.items():
            opened[output] = opened.get(output, 0.0) + seconds
        return replace(outcome, outputs=outputs, opened=opened)

    def close(self) -> None:
        """End all processes, whatever they are at."""
        with self._change:
            self._closed = True
            workers = list(self._all)
            self._change.notify_all()
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in workers:
            worker.process.join(_END_SECONDS)

    # -- an attempt ------------------------------------------------------------------------------------------------

    def _order(self, start: NodeStarted, opened: dict[str, float]) -> Order:
        """What is sent. Waits for the files of the inputs, and notes how long under their ids."""
        inputs: dict[str, Ref] = {}
        for output, ref in start.inputs.items():
            began = time.perf_counter()
            inputs[output] = replace(ref, path=str(self._store.file(ref)))
            opened[output] = time.perf_counter() - began
        spec = self._work.pipeline.nodes[start.node]
        read = self._work.read.intersection(spec.output_ids)
        return Order(spec, replace(start, inputs=inputs), read)

    def _carry_over(self, order: Order, stop: Stop) -> Outcome:
        worker = self._take()
        if worker is None:
            return Outcome(order.node.id, order.start.attempt, Failure("cancelled", "Cancelled", "stopped"))
        kill = threading.Timer(TERM_SECONDS, worker.process.kill)
        kill.daemon = True

        def end() -> None:
            worker.process.terminate()
            kill.start()

        outcome: Outcome | None = None
        # Whatever is wrong with what it sends: one that was stopped in the middle of a message may send half of it.
        with suppress(Exception), stop.calling(end, worker.process.kill):
            worker.pipe.send(order)
            outcome = self._listen(worker, order.node.id)
        kill.cancel()
        if outcome is None:
            return self._lost(worker, order, stop)
        told_to_stop = outcome.failure is not None and outcome.failure.kind == "cancelled"
        if stop.requested or told_to_stop:
            worker.process.kill()  # who knows in which state it is
        else:
            with self._change:
                self._idle.append(worker)
                self._change.notify()
        if told_to_stop and not stop.requested:  # not by us
            return Outcome(outcome.node, outcome.attempt, lost="its worker process was told to end by SIGTERM")
        return outcome

    def _listen(self, worker: _Worker, node: str) -> Outcome:
        """Pass on what the worker says until the outcome comes. Raises EOFError or OSError if none will come."""
        while True:
            # The process itself too: one that it has forked may hold the pipe open.
            connection.wait([worker.pipe, worker.process.sentinel])
            if not worker.pipe.poll():
                raise EOFError
            said: Said | Outcome = worker.pipe.recv()
            if isinstance(said, Outcome):
                return said
            tell: Callable[..., None] = self._work.log if said.what == "log" else self._work.progress
            tell(*said.arguments)

    def _lost(self, worker: _Worker, order: Order, stop: Stop) -> Outcome:
        node, attempt = order.node.id, order.start.attempt
        worker.process.join(_END_SECONDS)
        for output in order.node.output_ids:  # it may have been at its last words
            with suppress(OSError):
                Path(file_of(self._outputs, output, attempt)).unlink()
        if stop.requested:
            return Outcome(node, attempt, Failure("cancelled", "Cancelled", "stopped"))
        return Outcome(node, attempt, lost=_ending(worker.process.exitcode))

    # -- the workers -----------------------------------------------------------------------------------------------

    def _take(self) -> _Worker | None:
        """A worker that has nothing to do, a new one if there is none; None if all is over."""
        with self._change:
            self._change.wait_for(lambda: self._idle or not self._starting or self._closed)
            while self._idle and not self._closed:
                worker = self._idle.pop()
                if worker.process.is_alive():
                    return worker
            if self._closed:
                return None
        return self._start()

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
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._setting), name="nfrun-worker")
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        with self._change:
            self._all.append(worker)
            closed = self._closed
        if closed:
            process.kill()
            return None
        return worker


def _ending(status: int | None) -> str:
    """What became of a worker, in words."""
    if status is None:
        return "its worker process does not answer any more"
    if status >= 0:
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
