"""Decides which output a run writes or which file it unlinks next, and whether one more output fits the budget.

It handles keys and byte counts only; `tables/store.py` does the I/O. Not thread-safe: `TableStore` holds its lock.
"""

from __future__ import annotations

from collections import OrderedDict, deque

Key = tuple[str, int]  # an output id and the attempt that produced it


class WriteQueue:
    """Queues the outputs to write (or only to hash) and the files to unlink.

    Outputs in `write_first` are written at once, in the order of `add`; with `persistent`, all outputs are. The others
    are written only under pressure, oldest first: while more than half of `budget` bytes are queued or kept in memory,
    or a publisher waits for room. Most of them are released before that, and writing them would slow down other nodes.
    An output counts as queued until `finish`, also while it is being written.
    """

    def __init__(self, budget: int, write_first: frozenset[str] = frozenset(), *, persistent: bool = False) -> None:
        self._budget = budget
        self._write_first = write_first
        self._persistent = persistent
        self._sizes: dict[Key, int] = {}  # bytes of each queued output
        self._queue: OrderedDict[Key, None] = OrderedDict()  # to write at once
        self._later: OrderedDict[Key, None] = OrderedDict()  # to write only under pressure, to free their memory
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
        """Return whether outputs must be written to free their memory."""
        return self.waiters > 0 or self.bytes + self.kept > self._budget // 2

    def has_work(self) -> bool:
        """Return whether `next` would return a task."""
        return bool(self._trash or self._queue or (self._later and self.under_pressure()))

    def add(self, key: Key, size: int, *, urgent: bool = False) -> None:
        """Queue an output of `size` bytes. With `urgent` it is written at once."""
        self._sizes[key] = size
        self.bytes += size
        at_once = urgent or self._persistent or key[0] in self._write_first
        (self._queue if at_once else self._later)[key] = None

    def prioritize(self, key: Key) -> bool:
        """Write the output at once, if it was queued for later. Return whether it was."""
        if key not in self._later:
            return False
        del self._later[key]
        self._queue[key] = None
        return True

    def cancel(self, key: Key) -> bool:
        """Remove the output from the queue. Return False if it is being written: `finish` is still to be called."""
        if key == self._writing:
            return False
        self._queue.pop(key, None)
        self._later.pop(key, None)
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
        if not self.has_work():
            return None
        self._writing, _ = (self._queue or self._later).popitem(last=False)
        return self._writing

    def finish(self, key: Key) -> None:
        """Remove the output that `next` returned: it is written, or has failed."""
        self._writing = None
        self.bytes -= self._sizes.pop(key)
