"""The driver's side of what a run sends to one Dask worker and hears from it: `DaskChannel`.

Orders go over a connection to the worker itself, if it can be reached, and else through the scheduler. Each attempt
uses a *permit*: a task of Dask that holds a thread of the worker. So Dask knows that the thread is in use, and short
nodes need no task each: the run keeps a permit from one attempt to the next, for a moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

import distributed.comm

from nfrun.cluster import dask_worker
from nfrun.cluster.dask_worker import ENDED, FREE, HELD, MESSAGE, ORDER, STOP, Outgoing
from nfrun.core.values import frozen, mutable

_HOLD_SECONDS = 0.5  # after which a permit is given back, when its attempt ends: others may wait for the thread
_IDLE_SECONDS = 0.05  # for which it is kept without an attempt
_CONNECT_SECONDS = 3.0

Call = Callable[..., Coroutine[Any, Any, str | None]]


@frozen
class Order:
    """An order to a worker, and whom to tell what is heard of it. See `Engine.submit`."""

    token: str
    text: str
    shares: bool
    on_message: Callable[[str], object]
    on_end: Callable[[str | None, str], object]


@mutable
class _Permit:
    """A task that holds a thread, `since` then, None before it does. `token` is the attempt that uses it, if any."""

    name: str
    future: Any
    shares: bool
    since: float | None = None
    token: str = ""
    idle_since: float = 0.0


class DaskChannel:
    """Connects a run with one worker. All methods run on the event loop of the client.

    `call(function, *arguments)` calls a function of `dask_worker` there, and returns why that failed, or None.
    `on_lost` is called when the connection to the worker is lost.
    """

    def __init__(self, client: Any, address: str, run: str, call: Call, on_lost: Callable[[], object]) -> None:
        self.address = address
        self._client, self._run, self._call, self._on_lost = client, run, call, on_lost
        self._orders: dict[str, Order] = {}
        self._permits: dict[str, _Permit] = {}
        self._waiting: dict[bool, deque[Order]] = {False: deque(), True: deque()}  # for permits, by `shares`
        self._used_by: dict[str, _Permit] = {}  # by token
        self._comm: Any = None
        self.why_lost = ""
        self._loop = asyncio.get_running_loop()
        self._out = Outgoing(self._loop, self._send)
        self._has_begun = False
        self._is_connected = asyncio.Event()
        self._task = self._loop.create_task(self._begin())

    def submit(self, order: Order) -> None:
        """Send an order as soon as there is a permit."""
        if self.why_lost:
            order.on_end(None, self.why_lost)
            return
        self._orders[order.token] = order
        permits = () if order.shares else self._permits.values()
        free = next((p for p in permits if p.since is not None and not p.token and not p.shares), None)
        if free is not None:
            self._use(free, order)
        else:
            self._waiting[order.shares].append(order)
            self._ask_permits()

    def stop(self, token: str, kill: bool) -> bool:
        """Stop an attempt. One that was not sent yet ends here. Returns whether it is under way."""
        if token in self._used_by:
            self._out.put(STOP, token, kill)
        elif (order := self._orders.get(token)) is not None:
            self._waiting[order.shares].remove(order)
            self._end(token, None, "")
        return token in self._used_by

    def check(self, problem_of: Callable[[Any], str | None]) -> None:
        """End the attempts whose permits have failed: `problem_of(future)` says why."""
        for permit in list(self._permits.values()):
            if (problem := problem_of(permit.future)) is not None:
                self._lose(permit, f"its worker {self.address} could not make it: {problem}")

    def lose(self, why: str) -> None:
        """End all attempts, and the connection."""
        self.why_lost = why
        self.close()
        for token in list(self._orders):
            self._end(token, None, why)

    def close(self) -> None:
        """Give all permits back, and end the connection. Tells no end."""
        self._task.cancel()
        for permit in self._permits.values():
            with suppress(Exception):
                permit.future.release()
        self._permits.clear()
        if self._comm is not None:
            self._comm.abort()

    def hear(self, messages: Iterable[Any]) -> None:
        """Take what the worker has sent."""
        for kind, name, *given in messages:
            if kind == MESSAGE and name in self._orders:
                self._orders[name].on_message(*given)
            elif kind == ENDED:
                self._end(name, given[0], "")
            elif kind == HELD and name in self._permits:
                self._permits[name].since = time.monotonic()
                self._next(self._permits[name])
            elif kind == dask_worker.OVER and name in self._permits:
                self._lose(self._permits[name], f"its worker {self.address} has given it up")

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Get the worker ready, connect to it, and hear what it sends."""
        if (problem := await self._call(dask_worker.begin, self._client.id, self._run)) is not None:
            self.lose(f"its worker {self.address} could not make it: {problem}")
            return
        self._has_begun = True
        self._ask_permits()
        with suppress(Exception):  # the worker cannot be reached from here: all goes through the scheduler
            comm = await _connect(self.address, timeout=_CONNECT_SECONDS, **self._client.connection_args)
            await comm.write({"op": dask_worker.STREAM, "topic": self._client.id, "reply": False})
            self._comm = comm
        self._is_connected.set()
        try:
            while self._comm is not None:
                self.hear(await self._comm.read())
        except OSError:
            self._on_lost()
        except Exception as error:  # what it sends is no message
            self.lose(f"its worker {self.address} sends what cannot be read: {type(error).__name__}: {error}")

    async def _send(self, batch: list[Any]) -> None:
        await self._is_connected.wait()
        if self._comm is not None:
            await self._comm.write(batch)
        elif (problem := await self._call(dask_worker.take, self._client.id, batch)) is not None:
            self.lose(f"nothing can be sent to its worker {self.address}: {problem}")

    def _end(self, token: str, text: str | None, why: str) -> None:
        """Tell the end of an attempt once, and use its permit for the next."""
        order, permit = self._orders.pop(token, None), self._used_by.pop(token, None)
        if order is not None:
            order.on_end(text, why)
        if permit is not None and permit.name in self._permits:
            self._next(permit)

    # -- permits -----------------------------------------------------------------------------------------------------

    def _ask_permits(self) -> None:
        """Ask for as many permits as orders wait."""
        for shares, waiting in self._waiting.items() if self._has_begun else ():
            asked = sum(permit.since is None and permit.shares is shares for permit in self._permits.values())
            for _ in range(len(waiting) - asked):
                name = os.urandom(8).hex()
                given = {"topic": self._client.id, "permit": name, "shares": shares}
                try:
                    future = self._client.submit(
                        *(eval, dask_worker.HOLD, given),
                        key=dask_worker.KEY + name,
                        workers=[self.address],
                        allow_other_workers=False,
                        pure=False,
                    )
                except Exception as error:  # the connection is about to be lost
                    self.lose(f"it could not be sent to {self.address}: {type(error).__name__}: {error}")
                    return
                self._permits[name] = _Permit(name, future, shares)

    def _use(self, permit: _Permit, order: Order) -> None:
        permit.token = order.token
        self._used_by[order.token] = permit
        self._out.put(ORDER, order.token, permit.name, order.text)

    def _next(self, permit: _Permit) -> None:
        """Use a permit for the next order that waits, or give it back soon."""
        assert permit.since is not None
        waiting = self._waiting[permit.shares]
        is_old = permit.token != "" and (permit.shares or time.monotonic() - permit.since > _HOLD_SECONDS)
        permit.token = ""
        if waiting and not is_old:
            self._use(permit, waiting.popleft())
        elif is_old:
            self._free(permit)
        else:
            permit.idle_since = time.monotonic()
            self._loop.call_later(_IDLE_SECONDS, self._free_if_idle, permit, permit.idle_since)
        self._ask_permits()

    def _free_if_idle(self, permit: _Permit, since: float) -> None:
        if not permit.token and permit.idle_since == since and permit.name in self._permits:
            self._free(permit)

    def _free(self, permit: _Permit) -> None:
        del self._permits[permit.name]
        self._out.put(FREE, permit.name)
        permit.future.release()

    def _lose(self, permit: _Permit, why: str) -> None:
        """End the attempt that uses a permit which is lost, or one that waits for it."""
        del self._permits[permit.name]
        permit.future.release()
        waiting = self._waiting[permit.shares]
        if permit.token:
            self._end(permit.token, None, why)
        elif permit.since is None and waiting:
            self._end(waiting.popleft().token, None, why)
        self._ask_permits()


# Dask has no types.
_connect: Callable[..., Any] = vars(distributed.comm)["connect"]
