"""Runs attempts on daemon threads, and their coroutines on one shared event loop.

It does not use `concurrent.futures`, whose threads are joined at exit: a node stuck in a sleep would keep the process
from exiting. A thread cannot be killed: a stuck attempt is detached, and another thread takes its place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from contextvars import Context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import Cause, HandoffError
from nfrun.core.events import Failure, NodeStarted, Outcome, nfrun_failure
from nfrun.engine.attempt import RunAttempt
from nfrun.engine.attempt_context import CANCELLED
from nfrun.engine.executors.base import OnOutcome
from nfrun.nodes.base import CancelToken
from nfrun.nodes.instances import LoopClosed
from nfrun.system.threads import start_thread

if TYPE_CHECKING:
    import asyncio

# Returns the coroutine that makes a call and gives its outcome, and the context variables that it shall have.
CallOnLoop = Callable[[NodeStarted, CancelToken], tuple[Coroutine[Any, Any, Outcome], Context]]

# Has one entry more in a forked child than in its parent. To ask the system for the process id takes 0.2 us a node.
_FORKS: list[None] = []
os.register_at_fork(after_in_child=lambda: _FORKS.append(None))


class ThreadExecutor:
    """Runs each attempt on a thread, and reports its outcome to `on_outcome` on the same thread.

    There are as many threads as concurrent attempts. Each thread runs the attempt that `on_outcome` returns, or waits
    for the next one. What `run_attempt` raises is an error in nfrun or of its files. `call_on_loop` makes a call of a
    coroutine function, which occupies no thread.
    """

    name = "thread"
    begins_at_once = True
    own: Collection[str] = ()

    def __init__(self, run_attempt: RunAttempt, on_outcome: OnOutcome, call_on_loop: CallOnLoop | None = None) -> None:
        self._run_attempt = run_attempt
        self._call_on_loop = call_on_loop
        self._on_outcome = on_outcome
        self._queue: SimpleQueue[NodeStarted | None] = SimpleQueue()
        self._lock = threading.Condition()  # while `close` waits, notified when an attempt ends
        self._threads = 0
        self._idle = 0  # threads that wait for an attempt; below 0, as many attempts wait for a thread
        self._stopped = set[tuple[str, int, int]]()  # attempts that were stopped while they ran: they may never end
        self._forks = len(_FORKS)
        self._closing = False
        self._closed = False
        self._cancel_tokens: dict[tuple[str, int, int], CancelToken] = {}
        self._on_loop: dict[tuple[str, int, int], CancelToken] = {}  # of calls on the event loop
        self._loop = _Loop()

    def capacity(self, now: float) -> float | None:
        """Return None: there are as many threads as needed."""
        return None

    def start(self, attempt: NodeStarted) -> None:
        """Start an attempt on an idle thread, or on a new one. Never blocks.

        If the system allows no more threads, it waits for one that ends its attempt, and fails if none is likely to.
        """
        if attempt.on_loop:
            self._start_on_loop(attempt)
            return
        self._enqueue(attempt)
        self._add_threads()

    def stop(self, node: str, attempt: int, call: int = 0, grace: float = 0.0) -> None:
        """Cancel an attempt: signals its child process, or cancels its coroutine after `grace` seconds.

        Other Python code runs on. Never blocks.
        """
        key = (node, attempt, call)
        if on_loop := self._on_loop.get(key):
            on_loop.grace = grace
            on_loop.cancel()  # it only tells the event loop
            return
        with self._lock:
            if key in self._cancel_tokens:
                self._stopped.add(key)
            # It may not have begun yet: then it begins cancelled.
            cancel_token = self._cancel_tokens.setdefault(key, CancelToken())
        cancel_token.grace = grace
        try:
            # On a thread of its own: cancel callbacks may wait for a lock, and `stop` must not.
            start_thread(cancel_token.cancel, "nfrun-stop")
        except HandoffError:
            cancel_token.cancel()
        self._add_threads()  # its thread may have been the last that could take another attempt

    def close(self, grace: float = 0.0) -> None:
        """End the idle threads and the event loop. Child processes are killed after `grace` seconds."""
        # For attempts that wait for a thread. A check in each attempt would cost more.
        self._run_attempt = lambda start, *_: start.outcome(CANCELLED)
        with self._lock:
            self._closing = True
            self._lock.wait_for(
                lambda: not any(cancel_token.killable for cancel_token in list(self._cancel_tokens.values())), grace
            )
            self._closed = True
            idle, self._idle = self._idle, 0
            left = list(self._cancel_tokens.values())
        for cancel_token in left:
            cancel_token.kill()
        for _ in range(idle):
            self._queue.put(None)
        self._loop.close()

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine of no attempt. Raises LoopClosed if the loop that it may need has ended.

        If there was none before this executor was closed, the coroutine has one of its own.
        """
        if self._closing:
            if self._loop.was_started:
                coroutine.close()
                raise LoopClosed
            import asyncio

            return asyncio.run(coroutine)
        return self._loop.run_coroutine(coroutine, CancelToken())

    def _enqueue(self, attempt: NodeStarted) -> None:
        with self._lock:
            self._idle -= 1  # now, so that two attempts never count on the same idle thread
            self._queue.put(attempt)

    def _add_threads(self) -> None:
        """Start the threads that are missing. If none can be started and all are stuck, fail the attempts that wait."""
        while True:
            with self._lock:
                if self._idle >= 0:
                    return
                attempt = None
                try:
                    start_thread(self._serve, f"nfrun-worker-{self._threads + 1}")
                    self._threads += 1
                except HandoffError as error:
                    if self._threads > len(self._stopped):
                        return
                    attempt, failure = self._queue.get(), nfrun_failure(error)
                self._idle += 1
            if attempt is not None:
                self._cancel_tokens.pop(attempt.key, None)
                following = self._on_outcome(attempt.outcome(failure))
                if following is not None:
                    self._enqueue(following)

    def _serve(self) -> None:
        while (attempt := self._queue.get()) is not None:
            following: NodeStarted | None = attempt
            while following is not None:
                following = self._run_one(following)
                if following is not None and self._idle < 0:  # others have waited longer
                    self._queue.put(following)
                    following = self._queue.get()
            with self._lock:
                if self._closed:
                    return
                self._idle += 1

    def _start_on_loop(self, start: NodeStarted) -> None:
        """Make a call of a coroutine function on the event loop. Its outcome is reported on the thread of the loop."""
        assert self._call_on_loop is not None
        token = self._on_loop[start.key] = CancelToken()

        def end(outcome: Outcome | None) -> None:
            del self._on_loop[start.key]
            following = self._on_outcome(outcome or start.outcome(Failure(Cause.NODE, "CancelledError", "")))
            if following is not None:
                self.start(following)

        coroutine, variables = self._call_on_loop(start, token)
        try:
            self._loop.start(coroutine, variables, token, end)
        except HandoffError as error:  # no more threads
            coroutine.close()
            end(start.outcome(nfrun_failure(error)))

    def _run_one(self, attempt: NodeStarted) -> NodeStarted | None:
        if attempt.on_loop:
            self._start_on_loop(attempt)
            return None
        key = attempt.key
        # No lock here and below: each operation on the dictionary is atomic.
        cancel_token = self._cancel_tokens.setdefault(key, CancelToken())
        try:
            outcome = self._run_attempt(
                attempt, cancel_token, lambda coroutine: self._loop.run_coroutine(coroutine, cancel_token)
            )
        except BaseException as error:  # a bug in nfrun, or out of memory; without an outcome the run would never end
            outcome = attempt.outcome(nfrun_failure(error))
        if len(_FORKS) != self._forks:
            os._exit(1)  # this is a child that the node forked: only its parent may report an outcome
        self._cancel_tokens.pop(key, None)
        if self._stopped:
            self._stopped.discard(key)
        if self._closing:
            with self._lock:
                self._lock.notify_all()
        return self._on_outcome(outcome)


class _Loop:
    """An event loop on a thread of its own. The first coroutine starts it and imports asyncio.

    All nodes share it: it runs on if code in a node stops it. A task that a node cancels is its own or that of another
    node, which fails.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ident = 0  # of its thread

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], cancel_token: CancelToken) -> Any:
        """Run a coroutine to its end and return its result. If cancelled, waits until the coroutine has ended too."""
        import asyncio

        try:
            loop = self._started()
        except HandoffError:
            coroutine.close()
            raise
        tasks: list[asyncio.Task[Any] | None] = []

        async def run() -> Any:
            tasks.append(asyncio.current_task())
            if cancel_token.cancelled:
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine

        def cancel() -> None:
            # Not the future's cancel(): that returns while the coroutine is still in its `finally`.
            _later(loop, cancel_token.grace, lambda: [task.cancel() for task in tasks if task])

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            with cancel_token.on_cancel(cancel):
                return future.result()
        finally:
            # An error refers to this frame: a reference cycle would keep the coroutine's tables alive.
            tasks.clear()
            del future

    def start(
        self,
        coroutine: Coroutine[Any, Any, Outcome],
        variables: Context,
        cancel_token: CancelToken,
        on_done: Callable[[Outcome | None], None],
    ) -> None:
        """Start a coroutine with these context variables, and give its result to `on_done`. It must raise nothing.

        The result is None if the task was cancelled before it began.
        Does not wait. Raises HandoffError if the event loop cannot be started.
        """
        loop = self._started()

        async def run() -> Outcome:
            task = asyncio.current_task()
            assert task is not None
            grace = 0.0 if cancel_token.cancelled else None  # it had not begun
            with cancel_token.on_cancel(
                lambda: _later(loop, cancel_token.grace if grace is None else grace, task.cancel)
            ):
                return await coroutine

        def begin() -> None:
            task = variables.run(lambda: loop.create_task(run(), context=variables))
            task.add_done_callback(lambda done: on_done(None if done.cancelled() else done.result()), context=Context())

        import asyncio

        if threading.get_ident() == self._ident:
            begin()
        else:
            loop.call_soon_threadsafe(begin, context=Context())

    def close(self) -> None:
        """Stop the event loop, if it was started. Does not wait."""
        with self._lock:
            self._closed = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def was_started(self) -> bool:
        """Whether a coroutine has run on it."""
        return self._loop is not None

    def _started(self) -> asyncio.AbstractEventLoop:
        import asyncio

        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                start_thread(self._serve, "nfrun-loop", loop)
                self._loop = loop
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        self._ident = threading.get_ident()
        while not self._closed:
            # In asyncio, SystemExit and KeyboardInterrupt end the whole loop, which other nodes still need.
            with suppress(SystemExit, KeyboardInterrupt):
                loop.run_forever()
        if not asyncio.all_tasks(loop):  # those of detached nodes may still be called by other threads
            loop.close()


def _later(loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[[], object]) -> None:
    """Call a function on an event loop, from any thread."""
    later = (lambda: loop.call_later(seconds, function)) if seconds else function
    loop.call_soon_threadsafe(later, context=Context())
