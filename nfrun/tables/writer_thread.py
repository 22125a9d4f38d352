"""Writes output files, and unlinks those that nobody needs, on a thread, so that nodes do not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from nfrun.system.kept_files import remove
from nfrun.system.threads import start_thread
from nfrun.tables.output_files import StoredOutput
from nfrun.tables.write_queue import Key, WriteQueue

_CLOSE_SECONDS = 0.1  # how long `close(wait=False)` waits for the thread


class WriterThread:
    """Does what a queue of outputs says, one task after the other. The thread starts when there is work.

    `write` writes one of the `outputs`. `change`, a condition of the `lock`, is notified after each task. `busy` tells
    whether a task is under way. Hold the lock to read it, and to call a method other than `join`.
    """

    def __init__(
        self,
        change: threading.Condition,
        lock: threading.Lock,
        queue: WriteQueue,
        outputs: Mapping[Key, StoredOutput],
        write: Callable[[StoredOutput], None],
    ) -> None:
        self.busy = False
        self._outputs = outputs
        self._write = write
        self._change = change
        self._lock = lock
        self._work = threading.Condition(lock)  # wakes the thread only when there is work for it
        self._queue = queue
        self._closed = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Start the thread, or tell it that there is work. Raises HandoffError if it cannot be started."""
        if self._thread is None:
            self._thread = start_thread(self._run, "nfrun-writer")
        self._work.notify()

    def add(self, output: StoredOutput) -> None:
        """Queue an output, at once if its file is requested. Raises HandoffError if the thread cannot be started."""
        if self._thread is None:
            self.wake()  # before the output is queued
        self._queue.add(output.key, output.bytes, urgent=output.file_requested)
        if self._queue.has_work():
            self.wake()

    def wait_for_room(self, size: int, is_closed: Callable[[], bool]) -> None:
        """Wait until the queue has room for so many bytes, or `is_closed`. Raises HandoffError as `wake` does."""
        if not self._queue.has_room(size):
            self._queue.waiters += 1
            self.wake()
            pa.default_memory_pool().release_unused()  # of the inputs of nodes that have ended
            try:
                self._change.wait_for(lambda: is_closed() or self._queue.has_room(size))
            finally:
                self._queue.waiters -= 1

    def stop(self) -> None:
        """End the thread once there is no work."""
        self._closed = True
        self._work.notify()

    def join(self, *, wait: bool) -> None:
        """Wait for the end of the thread, not for long if not `wait`. Call it without the lock."""
        if self._thread is not None:
            self._thread.join(None if wait else _CLOSE_SECONDS)

    def _run(self) -> None:
        with suppress(Exception):  # too many open files, for instance: then each write fails
            import nfrun.tables.digest  # noqa: F401  (now, not while the end of the run waits for it)

        while True:
            with self._lock:
                self.busy = False
                self._change.notify_all()
                self._work.wait_for(lambda: self._queue.has_work() or self._closed)
                under_pressure = self._queue.under_pressure()
                task = self._queue.next()
                if task is None:
                    return
                self.busy = True
                job = task if isinstance(task, str) else self._outputs[task]
            if isinstance(job, str):
                with suppress(OSError):
                    remove(Path(job))
            else:
                self._write(job)
                if under_pressure or self._queue.under_pressure():
                    # Allocators keep freed memory, glibc's up to several times the budget, until asked to return it.
                    pa.default_memory_pool().release_unused()
