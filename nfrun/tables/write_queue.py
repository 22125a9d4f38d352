"""Decides what a run writes or unlinks next, and whether there is room for one more output to wait.

Knows outputs by their keys and bytes: no tables, no files, no threads. Whoever has several holds a lock when it asks.
"""

from __future__ import annotations

from collections import OrderedDict, deque

Key = tuple[str, int]  # an output and the attempt that gave it


class WriteQueue:
    """What is still to be settled (written, or only hashed), and to be unlinked.

    Outputs in `ahead`, with `lasting` all of them, go at once, in the order in which they came. The others, oldest
    first, only while room is tight: while more than half of `budget` bytes wait, or somebody waits for room. Most
    tables have no reader left long before, and writing those would slow others down. What is being written waits too.
    """

    def __init__(self, budget: int, write_first: frozenset[str] = frozenset(), *, persistent: bool = False) -> None:
        self._budget = budget
        self._write_first = write_first
        self._persistent = persistent
        self._sizes: dict[Key, int] = {}  # of all that waits
        self._queue: OrderedDict[Key, None] = OrderedDict()  # to be written at once
        self._later: OrderedDict[Key, None] = OrderedDict()  # to be written only to let go of their tables
        self._writing: Key | None = None
        self._trash: deque[str] = deque()
        self.bytes = 0  # that wait
        self.waiters = 0  # of those who wait for room, counted by themselves

    def __contains__(self, key: Key) -> bool:
        """Whether the output waits: it is not settled."""
        return key in self._sizes

    def has_room(self, size: int) -> bool:
        """One output may be larger than the whole budget: it passes when nothing else waits."""
        return not self.bytes or self.bytes + size <= self._budget

    def under_pressure(self) -> bool:
        """Whether outputs are to be written only to let go of their tables."""
        return self.waiters > 0 or self.bytes > self._budget // 2

    def has_work(self) -> bool:
        """Whether `next` has something to give."""
        return bool(self._trash or self._queue or (self._later and self.under_pressure()))

    def add(self, key: Key, size: int, *, urgent: bool = False) -> None:
        """The output waits from now on; one that is wanted goes at once."""
        self._sizes[key] = size
        self.bytes += size
        at_once = urgent or self._persistent or key[0] in self._write_first
        (self._queue if at_once else self._later)[key] = None

    def prioritize(self, key: Key) -> bool:
        """The output goes at once, if it is one that could have waited longer; whether it is."""
        if key not in self._later:
            return False
        del self._later[key]
        self._queue[key] = None
        return True

    def cancel(self, key: Key) -> bool:
        """The output is not to be written any more. False if it is being written: `settle` is still to come."""
        if key == self._writing:
            return False
        self._queue.pop(key, None)
        self._later.pop(key, None)
        self.bytes -= self._sizes.pop(key, 0)
        return True

    def unlink(self, path: str) -> None:
        self._trash.append(path)

    def next(self) -> str | Key | None:
        """The path to unlink, or the output to write and then to `settle`; None while there is nothing to do."""
        if self._trash:  # first: it frees the room on the disk that writing needs
            return self._trash.popleft()
        if not self.has_work():
            return None
        self._writing, _ = (self._queue or self._later).popitem(last=False)
        return self._writing

    def finish(self, key: Key) -> None:
        """The output that `next` gave is written, or never will be."""
        self._writing = None
        self.bytes -= self._sizes.pop(key)
