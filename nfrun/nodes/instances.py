"""Keeps the instances of classes that Python nodes call, so that a model is loaded once for all calls in a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from nfrun.system.threads import start_thread

if TYPE_CHECKING:
    import asyncio

RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
RUN_COROUTINE = "run_coroutine"  # in the memo of a run: what awaits coroutines that belong to no attempt
# What the instance is of: the folder and the body of a node, and the values and inputs that `__init__` gets.
Key = tuple[tuple[str, str], Hashable]


class LoopClosed(Exception):
    """Raised for a coroutine whose event loop has ended."""


class _Turn:
    """Lets the calls for one key make an instance one after the other. `error` is why that failed: the last turn."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.error: BaseException | None = None


class InstancePool:
    """The instances of one process. Thread-safe.

    A call takes an idle instance of its key. Another one is made only if none is idle, and one at a time for each key,
    so that calls which begin at once do not all load a model when the first is about to give its own back. If it cannot
    be made, the calls that wait for it fail alike: each would try as long, one after the other. `run_coroutine` awaits
    an async `close()` on the event loop of the calls.
    """

    def __init__(self, run_coroutine: RunCoroutine | None = None) -> None:
        self._lock = threading.Lock()
        self._run_coroutine = run_coroutine or _run_alone
        self._idle: dict[Key, list[Any]] = {}
        self._shared: dict[Key, Any] = {}
        self._making: dict[Key, _Turn] = {}
        self._closed: set[tuple[str, str]] = set()
        self.loading: dict[Key, Any] = {}  # for the event loop: futures of instances that are being made

    def take(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return an instance that no other call has; `give_back` must follow. Raises what `make` raises."""
        turn = self._of(key)
        try:
            with turn.lock:
                found = self._pop(key)
                if found is not None:
                    return found[0]
                if turn.error is not None:
                    raise turn.error
                try:
                    return make()
                except BaseException as error:
                    turn.error = error
                    with self._lock:
                        self._making[key] = _Turn()
                    raise
        finally:
            del turn  # the frame of an error would keep it, and all that `__init__` had made

    def give_back(self, key: Key, instance: Any) -> None:
        """Make an instance idle."""
        with self._lock:
            if key[0] not in self._closed:
                self._idle.setdefault(key, []).append(instance)
                return
        self._close(instance)

    def share(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return the one instance that all calls on the event loop share. Raises what `make` raises."""
        if key not in self._shared:
            with self._of(key).lock:
                if key not in self._shared:
                    self._shared[key] = make()
        return self._shared[key]

    def has_shared(self, key: Key) -> bool:
        """Return whether `share` returns at once."""
        return key in self._shared

    def close(self, needed: Collection[tuple[str, str]] = ()) -> list[BaseException]:
        """Call `close()` of instances, if they have it, except those of classes that are still `needed`.

        Classes are named by the folder and the body of their nodes. An instance that a call still has is closed when
        it is given back. Returns what was raised.
        """
        with self._lock:
            keys = [key for key in {*self._idle, *self._shared, *self._making} if key[0] not in needed]
            self._closed.update(key[0] for key in keys)
            unused = [instance for key in keys for instance in self._idle.pop(key, ())]
            unused += [self._shared.pop(key) for key in keys if key in self._shared]
        return [error for instance in unused if (error := self._close(instance)) is not None]

    def has_unused(self, needed: Collection[tuple[str, str]]) -> bool:
        """Return whether there are instances that `close` would close."""
        with self._lock:
            return any(key[0] not in needed for key in (*self._making,) if key[0] not in self._closed)

    def _of(self, key: Key) -> _Turn:
        with self._lock:
            self._closed.discard(key[0])
            return self._making.setdefault(key, _Turn())

    def _close(self, instance: Any) -> BaseException | None:
        close = getattr(instance, "close", None)
        if callable(close):
            try:
                result = close()
                if hasattr(result, "__await__"):
                    self._run_coroutine(_closed(result))
            except LoopClosed:  # with a second signal, say: what the instance has on it has ended, too
                getattr(result, "close", bool)()
            except Exception as error:
                return error
        return None

    def _pop(self, key: Key) -> tuple[Any] | None:
        with self._lock:
            idle = self._idle.get(key)
            return (idle.pop(),) if idle else None


def unused_instances(memo: Mapping[Any, Any], needed: Collection[tuple[str, str]]) -> Callable[[], list[str]] | None:
    """Return what closes the instances in the memo of a run, except those of `needed` classes; None if there are none.

    That returns a message for each `close()` that raised.
    """
    pool: InstancePool | None = memo.get(InstancePool)
    if pool is None or not pool.has_unused(needed):
        return None
    kept = frozenset(needed)
    return lambda: [f"nfrun: close() of an instance failed: {type(e).__name__}: {e}" for e in pool.close(kept)]


async def _closed(closing: Any) -> None:
    await closing


def _run_alone(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own."""
    import asyncio

    return asyncio.run(coroutine)


async def shared_instance(pool: InstancePool, key: Key, make: Callable[[], Any]) -> Any:
    """Return the instance that all calls share; the first call has it made on a thread. Raises what `make` raises."""
    if not pool.has_shared(key):
        import asyncio  # few nodes have calls on the event loop

        loading = pool.loading.get(key)
        if loading is None:
            loading = pool.loading[key] = _on_thread(lambda: pool.share(key, make))
            loading.add_done_callback(lambda _: pool.loading.pop(key, None))
        await asyncio.shield(loading)
    return pool.share(key, make)


def _on_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    import asyncio

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
