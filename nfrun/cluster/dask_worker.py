"""Runs inside of a Dask worker: makes the attempts of a run, each as a task of Dask, and sends what their hosts tell.

The client of the run calls these functions by their names, so the scheduler needs no nfrun. An attempt is one task,
which waits on its thread of the worker until the attempt has ended: Dask knows that the thread is in use. The task
itself has names only: it tells the client that it begins, and gets its order by a call of `give`. Dask may execute a
task again, elsewhere too, so each execution has a number. What the host tells goes to the client as events of the
worker, in their order.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from nfrun.cluster import hosted
from nfrun.core.budgets import Units
from nfrun.system.runtime import available_memory

TASK = "__import__('nfrun.cluster.dask_worker', fromlist=['make']).make(topic, run, key, token, gpu)"
BEGUN, MESSAGE, ENDED = "begun", "message", "ended"  # what an event tells of an execution
_LOOK_SECONDS = 1.0  # between two looks whether an attempt is still wanted

_orders: dict[str, SimpleQueue[str]] = {}  # by execution
_units: dict[str, Units] = {}  # of `gpu`, by worker of this process
_units_lock = threading.Condition()


def make(topic: str, run: str, key: str, token: str, gpu: float) -> None:
    """Make an attempt, as the task of Dask with this key, which takes so much of the resource `gpu`.

    Kills the attempt if Dask does not want the task any more, as when the client is gone.
    """
    worker: Any = import_module("distributed").get_worker()  # it has no types
    is_over, execution = threading.Event(), os.urandom(6).hex()

    def tell(kind: str, given: Any = "") -> None:
        worker.log_event(topic, (worker.address, execution, token, kind, given))

    def end(text: str) -> None:
        tell(ENDED, text)
        is_over.set()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name in ("running", "paused")

    with _held_units(worker, gpu) as units:
        inbox, order = _orders.setdefault(execution, SimpleQueue()), ""
        tell(BEGUN, units)
        while not order and is_wanted():
            with suppress(Empty):
                order = inbox.get(timeout=_LOOK_SECONDS)
        del _orders[execution]
        if order:
            hosted.start(run, token, order, partial(tell, MESSAGE), end, memory_of(worker))
            if not hosted.wait_while_wanted(is_over, is_wanted):
                hosted.drop(run, token)


@contextmanager
def _held_units(worker: Any, gpu: float) -> Iterator[tuple[int, ...]]:
    """Hold units of `gpu`. Dask counts amounts only: waits while the free amount is parts of several units."""
    if not gpu:
        yield ()
        return
    with _units_lock:
        count = sum(amount for name, amount in worker.state.total_resources.items() if name.lower() == "gpu")
        units = _units.setdefault(worker.address, Units(math.ceil(count)))
        _units_lock.wait_for(lambda: units.fits(gpu))
        held = units.take(gpu)
    try:
        yield tuple(sorted(unit for unit, _ in held))
    finally:
        with _units_lock:
            units.give_back(held)
            _units_lock.notify_all()


async def give(execution: str, order: str) -> None:
    """Give its order to an execution that has begun."""
    if (inbox := _orders.get(execution)) is not None:
        inbox.put(order)


async def stop(run: str, token: str, kill: bool) -> None:
    """Stop an attempt, if it is under way."""
    hosted.stop(run, token, kill)


async def ask(question: str, dask_worker: Any) -> str:
    """Answer a question. It may start a host, so it does not run on the thread of the worker's event loop.

    Dask gives the worker under this name.
    """
    return await asyncio.get_running_loop().run_in_executor(None, hosted.ask, question, memory_of(dask_worker))


async def end(run: str) -> list[str]:
    """End the host of a run. Returns messages about errors of `close()` of classes."""
    return await asyncio.get_running_loop().run_in_executor(None, hosted.end, run)


def memory_of(worker: Any) -> int:
    """Return the bytes of memory of a worker for each of its threads."""
    return int(worker.memory_manager.memory_limit or available_memory()) // int(worker.state.nthreads)
