"""Finds and removes files of the work folder that nfrun no longer needs. Decides by what the runs have recorded.

Tables stay as far as the budget goes. A run stays if it is under way, if it is one of the last runs of its pipeline, or
if it has a table that stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.contracts import EVIDENCE
from nfrun.core.errors import HandoffError
from nfrun.core.values import frozen
from nfrun.history.database import Database, KeptTable
from nfrun.history.journal import JournalContents, RunHeader
from nfrun.history.kept_tables import (
    budget_of,
    folder_uses,
    kept_in_place,
    kept_streams,
    map_folders,
    paths_in,
    place_over_budget,
    size_of,
    streams_of,
    tables_to_remove,
)
from nfrun.history.work_dir import INPUTS, LOGS, WorkDir
from nfrun.system.atomic_files import PARTIAL, remove
from nfrun.system.kept_files import is_inside
from nfrun.tables.places.base import PlaceError, address_of, place_and_name

if TYPE_CHECKING:
    from nfrun.tables.places.folder import Place


_NO_LIMIT = 1 << 62
_LAST_RUNS = 100  # of a pipeline


@frozen
class PrunePlan:
    """The paths to remove.

    `runs` are the folders of whole runs, some of which are gone already. `files` are files and folders in the runs that
    stay and in `map/`. `stored` is what is removed from places that machines share. `size` is how many bytes are freed,
    on disk and there. `outside` are the folders of the work folder in which nothing is removed, as they are, or have,
    links to what is outside.
    """

    runs: tuple[Path, ...]
    files: tuple[Path, ...]
    stored: tuple[StoredPlan, ...]
    size: int
    outside: tuple[Path, ...] = ()

    def remove(self, database: Database) -> None:
        """Remove all paths, `stored` first, which only the records of runs name, then `files`, and the records last.

        Raises OSError at the first failure; earlier paths are removed by then.
        """
        for plan in self.stored:
            plan.remove()
        for path in (*self.files, *self.runs):
            remove(path)
        database.forget_tables(self.files)
        if self.runs:
            database.remove([folder.name for folder in self.runs])
            database.shrink()


def plan_prune(
    database: Database,
    *,
    budget: int | None = None,
    everything: bool = False,
    pipeline: str | None = None,
    on_error: Callable[[OSError], object] | None = None,
) -> PrunePlan:
    """Return which files and runs can be removed. Removes nothing itself.

    With `everything` these are all runs, or those of the pipeline of this name. Otherwise tables may take `budget`
    bytes, None for the default. What belongs to a run under way is not among them. To remove the files, the caller must
    hold the lock of the work folder before it asks for the plan. Calls `on_error(error)` for each place of outputs that
    cannot be reached, where nothing is removed. Raises HandoffError, and OSError if the run folders cannot be listed,
    or without `on_error` a place cannot be reached.
    """
    work = database.work
    under_way = work.runs_under_way()
    headers = {run.folder: run.header for run in database.runs()}
    if not everything and not headers and any(map(paths_in, work.run_folders())):
        what = f"{database.path} has none of the runs in {work.path / 'runs'}, so it is not known what is needed"
        raise HandoffError(f"{what} ('nfrun clean --all' removes all)")
    folders = [*dict.fromkeys([*work.run_folders(), *headers])]  # some have only one of the two
    journals = [database.contents(folder.name) for folder in folders] if work.store_id else []
    if not everything:
        tables, removed = _over_budget(database, budget)
        needed = _needed(headers, (table for table in tables if table not in removed), database.runs_with_stored())
        rows = _rows_to_remove(work, {table.path for table in removed})
    else:
        of_others = {folder for folder in folders if folder not in headers or headers[folder].pipeline != pipeline}
        needed = dict.fromkeys(of_others if pipeline is not None else ())
        rows = _rows_to_remove(work, None, pipeline)
    needed |= {folder: None for folder in folders if folder.name in under_way}
    runs = tuple(folder for folder in folders if folder not in needed)
    kept = [journal for journal in journals if journal.folder in needed]
    only = journals if under_way or pipeline is not None else None
    of_places = _NO_LIMIT if everything else budget
    stored = plan_places(database, journals, kept, budget=of_places, only=only, on_error=on_error)
    files = [
        path
        for folder, names in needed.items()
        for path in (paths_in(folder) if names is not None else ())
        if path.name not in (names or ())
    ]
    given = {Path(file).name for folder in needed.keys() & headers.keys() for file in headers[folder].inputs.values()}
    files += [*rows, *(path for path in paths_in(work.path / INPUTS) if path.name not in given)]
    outside = {above for above in {path.parent for path in (*runs, *files)} if not is_inside(above / "any", work.path)}
    runs, inner = (tuple(path for path in paths if path.parent not in outside) for paths in (runs, files))
    links = sorted({work.path / above.relative_to(work.path).parts[0] for above in outside})
    size = _size((*runs, *inner)) + sum(plan.size for plan in stored)
    return PrunePlan(runs, inner, stored, size, tuple(links))


def _over_budget(database: Database, budget: int | None) -> tuple[list[KeptTable], set[KeptTable]]:
    """Return the tables of runs, and which of them and of the streams are over the budget."""
    work, last_runs = database.work, database.last_runs()
    busy = [name for name in last_runs if work.is_running(name)]
    tables = database.tables(busy)
    both = [*tables, *kept_streams(work.path, last_runs, busy)]
    return tables, set(tables_to_remove(both, budget_of(work.path, size_of(both), budget)))


def _rows_to_remove(work: WorkDir, removed: Collection[Path] | None, pipeline: str | None = None) -> list[Path]:
    """Return the streams that are `removed`, and unfinished files; the folder where no stream is left.

    None: all folders, or those that no other pipeline has used. What a run under way may use is not among them.
    """
    found: list[Path] = []
    for folder in map_folders(work.path):
        users = {use.pipeline for use in folder_uses(folder)}
        if any(map(work.is_running, users)):
            continue
        if removed is None:
            found += [folder] if pipeline is None or users == {pipeline} else []
            continue
        paths, streams = paths_in(folder), streams_of(folder)
        gone = [path for path in paths if path in removed or path.name.endswith(PARTIAL)]
        found += gone if not paths or any(path not in removed for path in streams) else [folder]
    return sorted(found)


def _needed(
    headers: Mapping[Path, RunHeader], tables: Iterable[KeptTable], stored: Collection[int]
) -> dict[Path, Collection[str] | None]:
    """Return the names of the needed files by folder of a run that stays, None for all files of the folder.

    `tables` are those that stay, and `stored` the numbers of runs that have outputs in places.
    """
    files: dict[Path, set[str]] = {}
    for table in tables:
        files.setdefault(table.path.parent, {LOGS, EVIDENCE}).add(table.path.name)
    needed: dict[Path, Collection[str] | None] = {}
    seen: Counter[str] = Counter()
    for folder, header in sorted(headers.items(), key=lambda pair: pair[1].number, reverse=True):
        seen[header.pipeline] += 1
        if seen[header.pipeline] <= _LAST_RUNS or header.number in stored:
            needed[folder] = {LOGS, EVIDENCE}
    return {**needed, **files}


def _size(tops: Iterable[Path]) -> int:
    """Return how many bytes are freed."""
    found = 0
    for top in tops:
        for path in (top, *top.rglob("*")) if top.is_dir() and not top.is_symlink() else (top,):
            with suppress(OSError):
                found += 0 if path.is_dir() and not path.is_symlink() else 512 * path.lstat().st_blocks
    return found


@frozen
class StoredPlan:
    """The files that can be removed from a place, by name; they may be all that are there. `size` is in bytes."""

    place: Place
    names: tuple[str, ...]
    size: int
    is_all: bool

    @property
    def addresses(self) -> list[str]:
        """The addresses of the outputs to remove."""
        return [address_of(self.place.uri, name) for name in self.names]

    def remove(self) -> None:
        """Remove it. Raises PlaceError."""
        if self.is_all:
            self.place.remove_all()
        else:
            self.place.remove(self.names)


def plan_places(
    database: Database,
    journals: Collection[JournalContents],
    kept: Iterable[JournalContents],
    *,
    budget: int | None,
    only: Iterable[JournalContents] | None,
    on_error: Callable[[OSError], object] | None,
) -> tuple[StoredPlan, ...]:
    """Return what can be removed from the places that `journals` name, if the journals `kept` stay.

    `budget` is that of `place_over_budget`. With `only`, what these journals name can be removed, and no code or copy
    of a local output. Calls `on_error(error)` for a place that cannot be listed, or raises the error without it.
    """
    from nfrun.tables.places.folder import open_place

    needed, named = stored_by(kept), None if only is None else stored_by(only)
    plans = []
    for uri in places_of(database.work, journals):
        try:
            place = open_place(uri)
            there = kept_in_place(database, place)
        except PlaceError as error:
            if on_error is None:
                raise
            on_error(error)
            continue
        over_budget = set(place_over_budget(place, there, budget))
        removed = []
        for table in there:
            address = address_of(place.uri, str(table.path))
            if (address not in needed or table in over_budget) and (named is None or address in named):
                removed.append(table)
        if removed:
            names, size = tuple(str(table.path) for table in removed), size_of(removed)
            plans.append(StoredPlan(place, names, size, is_all=len(removed) == len(there)))
    return tuple(plans)


def places_of(work: WorkDir, journals: Iterable[JournalContents]) -> list[str]:
    """Return the addresses of the places that belong to the work folder, as journals name them."""
    found: dict[str, None] = {}
    for journal in journals:
        if journal.started is not None and journal.started.store:
            found[journal.started.store] = None
        for address in stored_by([journal]):
            found[place_and_name(address)[0]] = None
    id = work.store_id
    return [address for address in found if id and address.partition("?")[0].endswith(f"/{id}")]


def stored_by(journals: Iterable[JournalContents]) -> set[str]:
    """Return the addresses of the outputs that journals name."""
    return {output.stored for run in journals for end in run.finished for output in end.outputs if output.stored}
