"""Decides which output a run writes or which file it unlinks next, and whether one more output fits the budget.

It handles keys and byte counts only; `tables/store.py` does the I/O. Not thread-safe: `TableStore` holds its lock.
"""

from __future__ import annotations

from collections import OrderedDict, deque

Key = tuple[str, int]  # an output id and the attempt that produced it


class WriteQueue:
    """Queues the outputs to write (or only to hash) and the files to unlink.

    Outputs are written in the order of `add`. One counts as queued until `finish`, also while it is being written.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._sizes: dict[Key, int] = {}  # bytes of each queued output
        self._queue: OrderedDict[Key, None] = OrderedDict()
        self._writing: Key | None = None
        self._trash: deque[str] = deque()
        self.bytes = 0  # of all queued outputs
        self.kept = 0  # bytes of the outputs in memory that are not to be written, at most a quarter of the budget
        self._temporary = 0  # bytes of all these
        self.waiters = 0  # publishers that wait for room; each adds and removes itself

    def __contains__(self, key: Key) -> bool:
        """Return whether the output is queued or being written."""
        return key in self._sizes

    def has_room(self, size: int) -> bool:
        """Return whether `size` more bytes fit into 7/8 of the budget. An empty queue takes an output of any size.

        The rest is for the outputs of publishers that wait: with two of them, each with a quarter of the budget, all
        outputs take less than 1.5 times the budget.
        """
        return not self.bytes or self.bytes + self.kept + size <= self._budget - self._budget // 8

    def count_temporary(self, size: int) -> bool:
        """Count `size` bytes more that stay in memory, or less. Return whether such outputs are to become files."""
        self._temporary += size
        self.kept = min(self._temporary, self._budget // 4)
        return self._temporary > self._budget // 4

    def under_pressure(self) -> bool:
        """Return whether publishers wait for memory, or will soon."""
        return self.waiters > 0 or self.bytes + self.kept > self._budget // 2

    def has_work(self) -> bool:
        """Return whether `next` would return a task."""
        return bool(self._trash or self._queue)

    def add(self, key: Key, size: int) -> None:
        """Queue an output of `size` bytes."""
        self._sizes[key] = size
        self.bytes += size
        self._queue[key] = None

    def cancel(self, key: Key) -> bool:
        """Remove the output from the queue. Return False if it is being written: `finish` is still to be called."""
        if key == self._writing:
            return False
        self._queue.pop(key, None)
        self.bytes -= self._sizes.pop(key, 0)
        return True

    def unlink(self, path: str) -> None:
        """Queue a file to unlink."""
        self._trash.append(path)

    def next(self) -> str | Key | None:
        """Return a path to unlink or the key of an output to write, or None if there is nothing to do.

        Call `finish` once the output is written.
        """
        if self._trash:  # first: unlinking frees the disk space that writing needs
            return self._trash.popleft()
        if not self._queue:
            return None
        self._writing, _ = self._queue.popitem(last=False)
        return self._writing

    def finish(self, key: Key) -> None:
        """Remove the output that `next` returned: it is written, or has failed."""
        self._writing = None
        self.bytes -= self._sizes.pop(key)
