"""Decides which tables of earlier runs are removed, so that the others fit the budget of the work folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nfrun.core.values import frozen

_MOST_BYTES = 10 * 1000**3


@frozen
class KeptTable:
    """A table that is kept, in one file.

    `size` is that of the file in bytes, and `seconds` is how long it takes to make the table again. `last_used` is the
    number of the last run that has it as an output. A table that `is_protected` is never removed. `result` is the cache
    key and the output id under which it is found, None if no journal names it.
    """

    path: Path
    size: int
    seconds: float
    last_used: int
    is_protected: bool = False
    result: tuple[str, str] | None = None

    @property
    def seconds_per_byte(self) -> float:
        """How long it takes to make a byte of the table again."""
        return self.seconds / max(1, self.size)


def tables_to_remove(tables: Iterable[KeptTable], budget: int) -> list[KeptTable]:
    """Return the tables to remove, so that at most `budget` bytes stay: those that take the least time per byte first.

    Among equals, those go first that have not been used for longest. Protected tables stay, whatever they take.
    """
    kept = list(tables)
    total = sum(table.size for table in kept)
    removed = []
    if total > budget:
        removable = (table for table in kept if not table.is_protected)
        for table in sorted(removable, key=lambda t: (t.seconds_per_byte, t.last_used, t.path)):
            removed.append(table)
            total -= table.size
            if total <= budget:
                break
    return removed


def default_budget(free: int, kept: int) -> int:
    """Return the budget if none is given: 10 GB, or a tenth of the disk space that tables could take, if that is less.

    `free` is the free space and `kept` the size of all tables, in bytes.
    """
    return min(_MOST_BYTES, (free + kept) // 10)
