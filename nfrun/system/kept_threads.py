"""Keeps threads for the next calls: `KeptThreads`. A module of its own, since few commands need `queue`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from nfrun.system.threads import start_thread


class KeptThreads:
    """Calls functions at once, each on a daemon thread, and keeps threads that are idle for the next ones.

    Starting a thread takes longer than many a call. `name` is that of all threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    def start(self, call: Callable[[], object]) -> None:
        """Call a function, which raises nothing. Raises HandoffError if the system allows no more threads."""
        with self._lock:
            is_idle = self._idle > 0
            self._idle -= is_idle
        if is_idle:
            self._calls.put(call)
        else:
            start_thread(self._serve, self._name, call)

    def _serve(self, call: Callable[[], object]) -> None:
        while True:
            call()
            with self._lock:
                self._idle += 1
            call = self._calls.get()
