"""Shares out the threads of slots in which no node runs, to nodes that can use more than their own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class SpareThreads:
    """Threads that nodes may use beside their own: as many as there are slots and cores without a node. Thread-safe.

    `most` is the smaller of the slots and the cores, and `in_use()` returns the slots in which nodes run. By default
    there are none. Those of a run are in the `memo` of its attempts.
    """

    def __init__(self, most: int = 0, in_use: Callable[[], float] = lambda: 0.0) -> None:
        self._most, self._in_use = most, in_use
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> bool:
        """Take a thread if there is one. Whoever has taken it calls `give_back` at its end."""
        with self._lock:
            if self._in_use() + self._taken >= self._most:
                return False
            self._taken += 1
            return True

    def may_keep(self) -> bool:
        """Return whether those who have taken threads may keep them, since no nodes need their slots."""
        return self._in_use() + self._taken <= self._most

    def give_back(self) -> None:
        """Give back a thread that was taken."""
        with self._lock:
            self._taken -= 1
