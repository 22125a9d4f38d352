"""Keeps the instances of classes that Python nodes call, so that a model is loaded once for all calls in a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from nfrun.system.threads import start_thread

if TYPE_CHECKING:
    from concurrent.futures import Future

RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
RUN_COROUTINE = "run_coroutine"  # in the memo of a run: what awaits coroutines that belong to no attempt
# What the instance is of: the folder and the body of a node, and the values and inputs that `__init__` gets.
Key = tuple[tuple[str, str], Hashable]


class LoopClosed(Exception):
    """Raised for a coroutine whose event loop has ended."""


class _Instances:
    """The instances for one key: those that are idle, and the one that calls on the event loop share.

    The lock lets calls make an instance one after the other.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[Any] = []
        self.shared: Future[Any] | None = None


class InstancePool:
    """The instances of one process. Thread-safe.

    A call takes an idle instance of its key. Another one is made only if none is idle, and one at a time for each key,
    so that calls which begin at once do not all load a model when the first is about to give its own back.
    `run_coroutine` awaits an async `close()` on the event loop of the calls.
    """

    def __init__(self, run_coroutine: RunCoroutine | None = None) -> None:
        self._lock = threading.Lock()
        self._run_coroutine = run_coroutine or _run_alone
        self._instances: dict[Key, _Instances] = {}
        self._closed: set[tuple[str, str]] = set()

    def take(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return an instance that no other call has; `give_back` must follow. Raises what `make` raises."""
        found = self._of(key)
        with found.lock:
            return found.idle.pop() if found.idle else make()

    def give_back(self, key: Key, instance: Any) -> None:
        """Make an instance idle."""
        with self._lock:
            if key[0] not in self._closed:
                self._instances.setdefault(key, _Instances()).idle.append(instance)
                return
        self._close(instance)

    async def shared(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return the instance that all calls on the event loop share. The first call has it made on a thread.

        Raises what `make` raises, in all calls that wait for it.
        """
        found = self._of(key)
        future = found.shared
        if future is None or (future.done() and future.exception() is not None):
            from concurrent.futures import Future  # few nodes have calls on the event loop

            future = Future()
            start_thread(copy_context().run, "nfrun-instance", _make, future, make)
            found.shared = future
        if not future.done():
            import asyncio

            return await asyncio.shield(asyncio.wrap_future(future))
        return future.result()

    def close(self, needed: Collection[tuple[str, str]] = ()) -> list[BaseException]:
        """Call `close()` of instances, if they have it, except those of classes that are still `needed`.

        Classes are named by the folder and the body of their nodes. An instance that a call still has is closed when
        it is given back. Returns what was raised.
        """
        with self._lock:
            keys = [key for key in self._instances if key[0] not in needed]
            self._closed.update(key[0] for key in keys)
            found = [self._instances.pop(key) for key in keys]
        unused = [instance for each in found for instance in each.idle]
        shared = [each.shared for each in found if each.shared is not None and each.shared.done()]
        unused += [future.result() for future in shared if future.exception() is None]
        return [error for instance in unused if (error := self._close(instance)) is not None]

    def has_unused(self, needed: Collection[tuple[str, str]]) -> bool:
        """Return whether there may be instances that `close` would close."""
        with self._lock:
            return any(key[0] not in needed for key in self._instances)

    def _of(self, key: Key) -> _Instances:
        with self._lock:
            self._closed.discard(key[0])
            return self._instances.setdefault(key, _Instances())

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


def unused_instances(memo: Mapping[Any, Any], needed: Collection[tuple[str, str]]) -> Callable[[], list[str]] | None:
    """Return the function that closes the instances of a run, except those of `needed` classes; None without any.

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


def _make(future: Future[Any], make: Callable[[], Any]) -> None:
    try:
        instance = make()
    except BaseException as error:
        future.set_exception(error if not isinstance(error, StopIteration) else RuntimeError(repr(error)))
    else:
        future.set_result(instance)
