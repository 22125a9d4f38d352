"""Runs inside of a Dask worker: takes the orders of a run, and sends back the messages of hosts.

The client of the run calls these functions by their names, so the scheduler needs no nfrun. Orders and messages go
through a connection of their own between the client and the worker, past the scheduler. Where the client cannot reach
the worker, they go through the scheduler: as calls to the worker, and as events under the topic of the client.

An attempt takes a thread of the worker, so that others who use the cluster wait for each other: a task of Dask, the
*permit*, waits on that thread as long as the run may use it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from nfrun.cluster import hosted

HOLD = "__import__('nfrun.cluster.dask_worker', fromlist=['hold']).hold(topic, permit, shares)"
KEY = "nfrun-"  # before the name of the permit: Dask shows it as the name of all tasks
STREAM = "nfrun_orders"  # of the connections of clients to a worker
# To a worker: with the token of an attempt, or the name of a permit.
ORDER, STOP, FREE = "order", "stop", "free"
# From a worker.
HELD, MESSAGE, ENDED, OVER = "held", "message", "ended", "over"

_channels: dict[tuple[str, str], _Channel] = {}  # by the address of the worker and the topic of the client


class Outgoing:
    """Queues messages and sends them in order by `send`, a coroutine function on an event loop. `put` is thread-safe.

    What is put while others are sent goes together, as one message.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[list[Any]], Any]) -> None:
        self._loop, self._send = loop, send
        self._waiting: deque[Any] = deque()
        self._lock = threading.Lock()
        self._is_sending = False
        self._task: asyncio.Task[None] | None = None

    def put(self, *message: Any) -> None:
        """Send a message soon."""
        with self._lock:
            self._waiting.append(message)
            if self._is_sending:
                return
            self._is_sending = True
        with suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._send_all())

    async def _send_all(self) -> None:
        while True:
            with self._lock:
                batch = list(self._waiting)
                self._waiting.clear()
                self._is_sending = bool(batch)
            if not batch:
                return
            with suppress(Exception):  # then the connection is closed, and whoever reads it knows
                await self._send(batch)


class _Channel:
    """Keeps the state of one run at a worker: its permits, by name, and the connection to its client, if any."""

    def __init__(self, worker: Any, topic: str, run: str) -> None:
        self.comm: Any = None
        self.run = run
        self._worker, self._topic = worker, topic
        self._permits: dict[str, _Permit] = {}
        self.put = Outgoing(asyncio.get_running_loop(), self._send).put

    def take(self, messages: Iterable[Any]) -> None:
        """Carry out what the client has sent."""
        for kind, name, *given in messages:
            if kind == ORDER:
                self._start(name, *given)
            elif kind == STOP:
                hosted.stop(self.run, name, *given)
            elif kind == FREE and (permit := self._permits.pop(name, None)) is not None:
                permit.is_over.set()

    def hold(self, name: str, is_wanted: Callable[[], bool]) -> None:
        """Hold a permit on this thread until it is over, or nobody wants it. In that case its attempt is killed."""
        permit = self._permits[name] = _Permit()
        self.put(HELD, name)
        if not hosted.wait_while_wanted(permit.is_over, is_wanted):
            self._permits.pop(name, None)
            if permit.token:
                hosted.drop(self.run, permit.token)
            self.put(OVER, name)

    def end(self) -> None:
        """Give all threads back."""
        for permit in list(self._permits.values()):
            permit.is_over.set()
        self._permits.clear()

    def abandon(self) -> None:
        """Give all threads back, and kill what is under way: nobody can hear of it any more."""
        tokens = [permit.token for permit in self._permits.values() if permit.token]
        self.end()
        for token in tokens:
            asyncio.get_running_loop().run_in_executor(None, hosted.drop, self.run, token)

    def _start(self, token: str, name: str, order: str) -> None:
        """Start an attempt, which holds a permit."""
        permit = self._permits.get(name)
        if permit is None:  # it was given up meanwhile
            self.put(OVER, name)
            return
        permit.token = token

        def end(text: str) -> None:
            permit.token = ""
            self.put(ENDED, token, text)

        start = partial(hosted.start, self.run, token, order, partial(self.put, MESSAGE, token))
        start = partial(start, end, memory_of(self._worker))
        if hosted.has_host(self.run):
            start()
        else:
            asyncio.get_running_loop().run_in_executor(None, start)

    async def _send(self, batch: list[Any]) -> None:
        if self.comm is not None:
            await self.comm.write(batch)
        else:
            for message in batch:  # the scheduler keeps the last thousand events
                self._worker.log_event(self._topic, (self._worker.address, [message]))


class _Permit:
    """A thread of the worker that the run may use, and the attempt that uses it now, if any."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.token = ""


async def begin(topic: str, run: str, dask_worker: Any) -> None:
    """Get ready for the orders of a run. Dask gives the worker under this name."""
    _channels[dask_worker.address, topic] = _Channel(dask_worker, topic, run)

    async def listen(comm: Any, topic: str) -> str:
        channel = _channels[dask_worker.address, topic]
        channel.comm = comm
        with suppress(OSError):  # the client has closed it, or is gone
            while True:
                channel.take(await comm.read())
        channel.abandon()
        if _channels.get((dask_worker.address, topic)) is channel:  # the client begins anew if it needs another
            del _channels[dask_worker.address, topic]
        return "dont_reply"

    dask_worker.handlers[STREAM] = listen


async def take(topic: str, messages: Iterable[Any], dask_worker: Any) -> None:
    """Carry out what a client has sent that cannot reach the worker itself."""
    _channels[dask_worker.address, topic].take(messages)


def hold(topic: str, permit: str, shares: bool) -> None:
    """Hold a permit, as a task of Dask. If it `shares` its thread, others run beside it: the run counts them."""
    dask: Any = import_module("distributed")  # it has no types
    worker = dask.get_worker()
    if shares:
        dask.secede()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(KEY + permit)
        return task is not None and task.state in ("executing", "long-running")

    _channels[worker.address, topic].hold(permit, is_wanted)


async def ask(question: str, dask_worker: Any) -> str:
    """Answer a question. It may start a host, so it does not run on the thread of the worker's event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, hosted.ask, question, memory_of(dask_worker))


def memory_of(worker: Any) -> int:
    """Return the memory limit of a worker in bytes, 0 without one."""
    return int(worker.memory_manager.memory_limit or 0)


async def end(run: str, topic: str, dask_worker: Any) -> list[str]:
    """End what the worker has of a run, and its host. Returns messages about errors of `close()` of classes."""
    if (channel := _channels.pop((dask_worker.address, topic), None)) is not None:
        channel.end()
    return await asyncio.get_running_loop().run_in_executor(None, hosted.end, run)
