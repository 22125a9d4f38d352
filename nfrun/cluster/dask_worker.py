"""Runs inside of a Dask worker: makes the attempts of a run, each as a task of Dask, and sends what their hosts tell.

The client of the run calls these functions by their names, so the scheduler needs no nfrun. An attempt is one task,
which waits on its thread of the worker until the attempt has ended: Dask knows that the thread is in use. The task
itself has names only: the client sends its order by a call of `give`. What the host tells goes to the client as events
of the worker, in their order.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from importlib import import_module
from queue import Empty, SimpleQueue
from typing import Any

from nfrun.cluster import hosted

TASK = "__import__('nfrun.cluster.dask_worker', fromlist=['make']).make(topic, run, token, shares)"
KEY = "nfrun-"  # before the token of an attempt: Dask shows it as the name of all tasks
BEGUN, MESSAGE, ENDED = "begun", "message", "ended"  # what an event tells of an attempt
_LOOK_SECONDS = 1.0  # between two looks whether the order of an attempt is still to come

_orders: dict[tuple[str, str], SimpleQueue[str]] = {}  # by run and token


def make(topic: str, run: str, token: str, shares: bool) -> None:
    """Make an attempt, as a task of Dask. If it `shares` its thread, others run beside it: the run counts them.

    Kills the attempt if Dask does not want the task any more, as when the client is gone.
    """
    dask: Any = import_module("distributed")  # it has no types
    worker = dask.get_worker()
    if shares:
        dask.secede()
    is_over = threading.Event()

    def tell(kind: str, text: str = "") -> None:
        worker.log_event(topic, (worker.address, token, kind, text))

    def end(text: str) -> None:
        tell(ENDED, text)
        is_over.set()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(KEY + token)
        is_held = task is not None and task.state in ("executing", "long-running")
        return is_held and worker.status.name in ("running", "paused")

    tell(BEGUN)
    inbox, order = _orders.setdefault((run, token), SimpleQueue()), ""
    while not order and is_wanted():
        with suppress(Empty):
            order = inbox.get(timeout=_LOOK_SECONDS)
    _orders.pop((run, token), None)
    if order:
        hosted.start(run, token, order, partial(tell, MESSAGE), end, memory_of(worker))
        if not hosted.wait_while_wanted(is_over, is_wanted):
            hosted.drop(run, token)


async def give(run: str, token: str, order: str) -> None:
    """Take the order of an attempt, whose task may have begun or not."""
    _orders.setdefault((run, token), SimpleQueue()).put(order)


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
    for key in [key for key in list(_orders) if key[0] == run]:  # of tasks that never began
        _orders.pop(key, None)
    return await asyncio.get_running_loop().run_in_executor(None, hosted.end, run)


def memory_of(worker: Any) -> int:
    """Return the memory limit of a worker in bytes, 0 without one."""
    return int(worker.memory_manager.memory_limit or 0)
