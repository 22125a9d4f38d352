"""Makes the instances that the calls on an event loop share, without holding up the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from nfrun.nodes.instances import InstancePool, Key
from nfrun.system.threads import start_thread


async def shared_instance(pool: InstancePool, key: Key, make: Callable[[], Any]) -> Any:
    """Return the instance that all calls share; the first call has it made on a thread. Raises what `make` raises."""
    if not pool.has_shared(key):
        loading = pool.loading.get(key)
        if loading is None:
            loading = pool.loading[key] = _on_thread(lambda: pool.share(key, make))
            loading.add_done_callback(lambda _: pool.loading.pop(key, None))
        await asyncio.shield(loading)
    return pool.share(key, make)


def _on_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def run() -> None:
        try:
            result = context.run(function)
        except BaseException as error:
            loop.call_soon_threadsafe(_fail, future, error)
        else:
            loop.call_soon_threadsafe(_end, future, result)

    start_thread(run, "nfrun-instance")
    return future


def _end(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error if not isinstance(error, StopIteration) else RuntimeError(repr(error)))
