"""What runs inside of a Dask worker: one function makes an attempt, others are called beside the tasks.

The scheduler needs no nfrun: it gets the names of these functions only. Messages travel as events of the scheduler,
under the topic of the client, which the scheduler forgets some time after the client has gone.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from nfrun.engine.cluster import hosted

CALL = "__import__('nfrun.engine.cluster.dask_task', fromlist=['make']).make(token, topic, order, shares)"
KEY = "nfrun-"  # before the token: Dask shows it as the name of all tasks
MESSAGE, ENDED, LOST = "message", "ended", "lost"


def make(token: str, topic: str, order: str, shares: bool) -> None:
    """Make an attempt, on a thread of the worker. What its host sends goes to the client, in order.

    If it `shares` its slot, others run beside it: the run counts what they take.
    """
    dask: Any = import_module("distributed")  # it has no types
    worker = dask.get_worker()
    if shares:
        dask.secede()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(KEY + token)
        return task is not None and task.state in ("executing", "long-running")

    def send(text: str) -> None:
        worker.log_event(topic, (token, MESSAGE, text))

    try:
        found = ENDED, hosted.make(order, send, is_wanted, _memory(worker))
    except Exception as error:
        found = LOST, f"{type(error).__name__}: {error}"
    worker.log_event(topic, (token, *found))


async def ask(question: str, dask_worker: Any) -> str:
    """Answer a question. It may start a host, so it does not run on the thread of the worker's event loop.

    Dask gives the worker under this name.
    """
    return await asyncio.get_running_loop().run_in_executor(None, hosted.ask, question, _memory(dask_worker))


def _memory(worker: Any) -> int:
    """Return the memory limit of a worker in bytes, 0 without one."""
    return int(worker.memory_manager.memory_limit or 0)


async def stop(run: str, token: str, kill: bool) -> None:
    """Stop an attempt."""
    await asyncio.get_running_loop().run_in_executor(None, hosted.stop, run, token, kill)


async def end(run: str) -> list[str]:
    """End the host of a run. Returns messages about errors of `close()` of classes."""
    return await asyncio.get_running_loop().run_in_executor(None, hosted.end, run)
