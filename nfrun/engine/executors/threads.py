"""Runs attempts on daemon threads, and coroutines on one event loop. Knows no scheduler: it is told whom to tell.

The threads are our own, since those of `concurrent.futures` are joined at exit: a node stuck in a sleep would keep the
process from ever leaving. A thread cannot be killed: a stopped attempt is abandoned and another thread takes its place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nfrun.core.events import NodeStarted, Outcome
from nfrun.engine.executors.base import OnOutcome
from nfrun.nodes.base import CancelToken

if TYPE_CHECKING:
    import asyncio

RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
RunAttempt = Callable[[NodeStarted, CancelToken, RunCoroutine], Outcome]


class ThreadExecutor:
    """As many threads as there are attempts at once; each takes the attempt that `settle` answers, or waits for one.

    `work(start, stop, wait)` makes an attempt and never raises.
    """

    def __init__(self, run_attempt: RunAttempt, on_outcome: OnOutcome) -> None:
        self._run_attempt = run_attempt
        self._on_outcome = on_outcome
        self._queue: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self._lock = threading.Condition()  # notified, while somebody waits for it, whenever an attempt has ended
        self._threads = 0
        self._idle = 0
        self._process = os.getpid()
        self._closing = False
        self._closed = False
        self._stops: dict[tuple[str, int], CancelToken] = {}
        self._loop = _Loop()

    def start(self, attempt: NodeStarted) -> None:
        """Begin an attempt on a thread that waits for one, or on a new one. Never blocks."""
        with self._lock:
            self._stops[attempt.node, attempt.attempt] = CancelToken()
            if self._idle:
                self._idle -= 1  # taken now, so that two attempts never count on the same idle thread
            else:
                self._threads += 1
                name = f"nfrun-worker-{self._threads}"
                threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._queue.put(attempt)

    def stop(self, node: str, attempt: int) -> None:
        """Ask an attempt to stop: a child process is signalled, a coroutine cancelled; Python code is left alone."""
        with self._lock:
            # It may have been answered by `settle` and not be under way yet: then it begins stopped.
            cancel_token = self._stops.setdefault((node, attempt), CancelToken())
        # On a thread of its own: what a stop calls may wait for a lock, and this must not.
        threading.Thread(target=cancel_token.cancel, name="nfrun-stop", daemon=True).start()

    def close(self, patience: float = 0.0) -> None:
        """End the threads that wait, and the event loop; a child process has `patience` seconds to end by itself."""
        with self._lock:
            self._closing = True
            self._lock.wait_for(
                lambda: not any(cancel_token.killable for cancel_token in list(self._stops.values())), patience
            )
            self._closed = True
            idle, self._idle = self._idle, 0
            left = list(self._stops.values())
        for cancel_token in left:
            cancel_token.kill()
        for _ in range(idle):
            self._queue.put(None)
        self._loop.close()

    def _serve(self) -> None:
        while (attempt := self._queue.get()) is not None:
            following: NodeStarted | None = attempt
            while following is not None:
                following = self._one(following)
            with self._lock:
                if self._closed:
                    return
                self._idle += 1

    def _one(self, attempt: NodeStarted) -> NodeStarted | None:
        key = (attempt.node, attempt.attempt)
        # No lock here, nor below where it is not needed: what is done to the dictionary is one step for the threads.
        cancel_token = self._stops.setdefault(key, CancelToken())
        try:
            outcome = self._run_attempt(
                attempt, cancel_token, lambda coroutine: self._loop.run_coroutine(coroutine, cancel_token)
            )
            if os.getpid() != self._process:
                os._exit(1)  # a child that the node forked has returned from it: only its parent speaks for the node
        except BaseException as error:  # a bug of ours, or no memory left; without an outcome the run would never end
            outcome = Outcome(*key, lost=f"its worker broke down: {type(error).__name__}: {error}")
        self._stops.pop(key, None)
        if self._closing:
            with self._lock:
                self._lock.notify_all()
        return self._on_outcome(outcome)


class _Loop:
    """One event loop on a thread of its own, started when first needed, and asyncio imported with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], cancel_token: CancelToken) -> Any:
        """Run the coroutine to its end and return its result; a stop cancels it, and then too it has ended."""
        import asyncio

        loop = self._started()
        tasks: list[asyncio.Task[Any] | None] = []

        async def run() -> Any:
            tasks.append(asyncio.current_task())
            if cancel_token.cancelled:
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine

        def cancel() -> None:
            # Not the future's own cancel(): that would leave the coroutine behind, still at its `finally`.
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in tasks if task])

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            with cancel_token.on_cancel(cancel):
                return future.result()
        finally:
            # An error knows this frame: in a circle the tables of the coroutine would stay alive.
            tasks.clear()
            del future

    def close(self) -> None:
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)

    def _started(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=[self._loop], name="nfrun-loop", daemon=True).start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            continue  # asyncio lets these end the whole loop, which the other nodes need
        return
