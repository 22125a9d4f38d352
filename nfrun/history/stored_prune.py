"""Finds what the runs of a work folder have left in places that machines share, and what of it can be removed.

A place belongs to one work folder, whose id is at the end of its address. Nothing is removed from any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from nfrun.core.values import frozen
from nfrun.history.eviction import KeptTable, tables_to_remove
from nfrun.history.journal import JournalContents
from nfrun.history.kept_tables import budget_of_place, kept_in_place
from nfrun.history.present_address import present_address
from nfrun.history.run_index import RunIndex
from nfrun.history.work_dir import WorkDir
from nfrun.tables.places.base import PlaceError, address_of, place_and_name

if TYPE_CHECKING:
    from nfrun.tables.places.base import Place


@frozen
class StoredPlan:
    """What can be removed from a place: what has these names, which may be all that is there. `size` is in bytes."""

    place: Place
    names: tuple[str, ...]
    size: int
    is_all: bool

    @property
    def addresses(self) -> list[str]:
        """The addresses of what is removed."""
        return [address_of(self.place.uri, name) for name in self.names]

    def remove(self) -> None:
        """Remove it. Raises PlaceError."""
        if self.is_all:
            self.place.remove_all()
        else:
            self.place.remove(self.names)


@frozen
class PlaceContents:
    """A place with all that is in it. `over_budget` are those outputs that are to be removed for its budget."""

    place: Place
    there: tuple[KeptTable, ...]
    over_budget: frozenset[KeptTable] = frozenset()

    @property
    def results(self) -> set[tuple[str, str]]:
        """The cache keys and output ids of what stays."""
        return {table.result for table in self.there if table.result is not None and table not in self.over_budget}

    def plan(self, kept: Collection[str], named: Collection[str] | None = None) -> StoredPlan:
        """Return what can be removed if journals that stay name these addresses.

        `named` are the addresses of which something can be removed at all, None for everything.
        """
        removed = []
        for table in self.there:
            address = address_of(self.place.uri, str(table.path))
            is_needed = address in kept and table not in self.over_budget
            if not is_needed and (named is None or address in named):
                removed.append(table)
        size, names = sum(table.size for table in removed), tuple(str(table.path) for table in removed)
        return StoredPlan(self.place, names, size, is_all=bool(names) and len(removed) == len(self.there))


def list_places(
    work: WorkDir,
    index: RunIndex,
    journals: Iterable[JournalContents],
    *,
    budget: int | None,
    on_error: Callable[[PlaceError], object],
) -> list[PlaceContents]:
    """Return the places that belong to the work folder, with what is in them. `budget` is that of `budget_of_place`.

    Calls `on_error(error)` for one that cannot be listed, which is left out.
    """
    from nfrun.tables.places.folder import open_place

    found = []
    for address in places_of(work, journals):
        try:
            place = open_place(address)
            there = kept_in_place(index, place)
        except PlaceError as error:
            on_error(error)
            continue
        over_budget = frozenset(tables_to_remove(there, budget_of_place(place, there, budget)))
        found.append(PlaceContents(place, tuple(there), over_budget))
    return found


def places_of(work: WorkDir, journals: Iterable[JournalContents]) -> list[str]:
    """Return the addresses of the places that belong to the work folder, as journals name them."""
    found: dict[str, None] = {}
    for journal in journals:
        if journal.started is not None and journal.started.store:
            found[present_address(journal.started.store, journal.folder)] = None
        for address in stored_by([journal]):
            with suppress(PlaceError):  # the journal is damaged
                found[place_and_name(address)[0]] = None
    return [address for address in found if work.owns_store(address)]


def stored_by(journals: Iterable[JournalContents]) -> set[str]:
    """Return the addresses of the outputs that journals name."""
    return {output.stored for run in journals for end in run.finished for output in end.outputs if output.stored}


def plan_places(
    contents: Sequence[PlaceContents], kept: Iterable[JournalContents], removable: Iterable[JournalContents] | None
) -> tuple[StoredPlan, ...]:
    """Return what can be removed from places if the journals `kept` stay.

    With `removable`, only what these journals name can be removed, and no code or copy of a local output.
    """
    needed, named = stored_by(kept), None if removable is None else stored_by(removable)
    plans = [each.plan(needed, named) for each in contents]
    return tuple(plan for plan in plans if plan.names)
