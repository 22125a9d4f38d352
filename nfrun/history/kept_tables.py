"""Finds the tables that earlier runs have left, and removes those that are over the budget of the work folder."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.values import replace
from nfrun.history.eviction import KeptTable, default_budget, tables_to_remove
from nfrun.history.index_tables import IndexedTable
from nfrun.history.map_folders import segment_bytes
from nfrun.history.run_index import RunIndex
from nfrun.system.kept_files import is_inside, remove

if TYPE_CHECKING:
    from nfrun.tables.places.base import Place

_NEW_SECONDS = 3_600.0
_MOST_STORED = 1000**4


def kept_tables(index: RunIndex, busy: Collection[str] = ()) -> list[KeptTable]:
    """Return the tables that runs have left.

    Protected are the outputs that a pipeline shows, of its last run and of its last run that ended with `ok`; what the
    nodes read that did not finish in its last run, and what those of them gave that failed a check; tables of nodes
    with `cache: true`, for each cache key those of the last run that has them; and all tables that runs of the `busy`
    pipelines use. A table that a later run has made again costs nothing to remove, and neither does one that no journal
    names.
    """
    return _kept(index.tables(), busy)


def kept_in_place(
    index: RunIndex, place: Place, *, busy: Collection[str] = (), now: float | None = None
) -> list[KeptTable]:
    """Return what is in a place that machines share, under the names there, with the protection of `kept_tables`.

    What no journal names costs nothing to remove: code, and copies of local outputs. With `now`, in seconds since 1970,
    it is protected for an hour after it was put. Raises PlaceError.
    """
    there = {found.name: found for found in place.names()}
    named = [table for table in index.stored_tables() if table.run == place.uri and table.file in there]
    sized = [(Path(table.file), replace(table, size=there[table.file].size)) for table in named]
    others = there.keys() - {table.file for table in named}
    kept = _kept(sized, busy)
    for name in sorted(others):
        is_new = now is not None and now - there[name].modified < _NEW_SECONDS
        kept.append(KeptTable(Path(name), there[name].size, 0.0, 0, is_new))
    return kept


def budget_of_place(place: Place, kept: Iterable[KeptTable], budget: int | None) -> int:
    """Return how many bytes may be in a place: the budget that is given, else 1 TB, in a folder a tenth of its disk.

    Of the disk counts what is free, and what is there, which is `kept`.
    """
    if budget is not None:
        return budget
    folder = place.local_path("")
    if folder is None or not folder.exists():
        return _MOST_STORED
    return min(_MOST_STORED, (_free_bytes(folder) + sum(table.size for table in kept)) // 10)


def remove_stored_over_budget(place: Place, index: RunIndex, budget: int | None) -> None:
    """Remove outputs from a place until the others fit the budget. Raises PlaceError."""
    kept = kept_in_place(index, place, now=time.time())
    removed = tables_to_remove(kept, budget_of_place(place, kept, budget))
    place.remove([str(table.path) for table in removed])


def _kept(tables: Iterable[tuple[Path, IndexedTable]], busy: Collection[str]) -> list[KeptTable]:
    found = []
    cached: dict[tuple[str, str], bool] = {}  # whether a node has `cache: true`, by what its last run says
    pinned: set[tuple[str, ...]] = set()
    contents: set[tuple[str, ...]] = set()
    for path, table in tables:
        protected = table.needed or table.pipeline in busy
        if cached.setdefault((table.pipeline, table.output), table.cached) and table.cached:
            protected |= _is_first(pinned, (table.pipeline, table.output, table.key))
        is_only = _is_first(contents, (table.pipeline, table.key, table.output, table.content))
        result = (table.key, table.output) if table.output else None
        seconds = table.seconds if is_only else 0.0
        found.append(KeptTable(path, table.size, seconds, table.number, protected, result))
    return found


def may_be_over_budget(work: Path, index: RunIndex, budget: int | None) -> bool:
    """Return whether tables and segments may take more than the budget. If not, there is no need to list them."""
    total = index.table_bytes() + segment_bytes(work)
    limit = default_budget(_free_bytes(work), total) if budget is None else budget
    return total > limit


def _free_bytes(work: Path) -> int:
    found = os.statvfs(work)  # `shutil` imports modules for archives
    return found.f_bavail * found.f_frsize


def budget_of(work: Path, tables: Iterable[KeptTable], budget: int | None) -> int:
    """Return the budget of a work folder with these tables: the one that is given, or if that is None the default."""
    if budget is not None:
        return budget
    return default_budget(_free_bytes(work), sum(table.size for table in tables))


def remove_over_budget(work: Path, tables: Sequence[KeptTable], budget: int | None) -> tuple[int, int]:
    """Remove tables until the others fit the budget; None is the default. Returns the bytes that stay, and the budget.

    Raises OSError at the first file that cannot be removed.
    """
    budget = budget_of(work, tables, budget)
    kept = sum(table.size for table in tables)
    for table in tables_to_remove(tables, budget):
        if is_inside(table.path, work):
            remove(table.path)
            kept -= table.size
    return kept, budget


def _is_first(seen: set[tuple[str, ...]], key: tuple[str, ...]) -> bool:
    """Add the key, and return whether it is new."""
    is_new = key not in seen
    seen.add(key)
    return is_new
