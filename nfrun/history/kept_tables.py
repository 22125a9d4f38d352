"""Finds the tables, and the results of calls, that earlier runs have left, and removes what is over the budget.

The results of the calls of mapped nodes are streams, in a folder for each definition. Beside them lie the files that
the calls have read (`.reads`), and for each pipeline that uses the folder a file (`.used`) with the number of its last
run that did, and whether a node with `cache: true` did.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError
from nfrun.core.values import frozen, replace
from nfrun.history.database import Database, KeptTable
from nfrun.history.work_dir import INPUTS, WorkDir
from nfrun.rows.stream_files import streams_in
from nfrun.system.atomic_files import atomic_write, make_private, read_regular_file, remove
from nfrun.system.checksums import text_checksum
from nfrun.system.kept_files import is_inside

if TYPE_CHECKING:
    from nfrun.tables.places.folder import Place


_NEW_SECONDS = 3_600.0
_MOST_STORED = 1000**4
_MOST_BYTES = 10 * 1000**3
MAP = "map"
_USED = ".used"


def kept_in_place(database: Database, place: Place, *, now: float | None = None) -> list[KeptTable]:
    """Return the outputs in a place that machines share, by their names, with the protection of `Database.tables`.

    What no journal names costs nothing to remove: code, and copies of local outputs. With `now`, in seconds since 1970,
    it is protected for an hour after it was put. Raises PlaceError.
    """
    there = {found.name: found for found in place.names()}
    named = database.stored_tables(place.uri, there)
    kept = [replace(table, size=there[str(table.path)].size) for table in named]
    others = there.keys() - {str(table.path) for table in named}
    for name in sorted(others):
        is_new = now is not None and now - there[name].modified < _NEW_SECONDS
        kept.append(KeptTable(Path(name), there[name].size, 0.0, 0, is_new))
    return kept


def budget_of(folder: Path | None, kept: int, budget: int | None, most: int = _MOST_BYTES) -> int:
    """Return how many bytes may be kept in a folder: the budget that is given, else `most`.

    Without one it is a tenth of the disk space that they could take, if that is less: what is free, and the bytes
    `kept` that are there. `folder` is None for what is on no disk of this machine.
    """
    if budget is not None or folder is None or not folder.exists():
        return most if budget is None else budget
    found = os.statvfs(folder)  # `shutil` imports modules for archives
    return min(most, (found.f_bavail * found.f_frsize + kept) // 10)


def size_of(tables: Iterable[KeptTable]) -> int:
    """Return how many bytes the tables take."""
    return sum(table.size for table in tables)


def place_over_budget(place: Place, kept: Sequence[KeptTable], budget: int | None) -> list[KeptTable]:
    """Return which of the outputs `kept` in a place to remove. Without a budget they may take 1 TB."""
    return tables_to_remove(kept, budget_of(place.local_path(""), size_of(kept), budget, _MOST_STORED))


def remove_stored_over_budget(place: Place, database: Database, budget: int | None) -> None:
    """Remove outputs from a place until the others fit the budget. Raises PlaceError."""
    kept = kept_in_place(database, place, now=time.time())
    place.remove([str(table.path) for table in place_over_budget(place, kept, budget)])


def may_be_over_budget(work: Path, database: Database, budget: int | None) -> bool:
    """Return whether tables and streams may take more than the budget. If not, there is no need to list them."""
    total = database.table_bytes() + stream_bytes(work)
    return total > budget_of(work, total, budget)


def remove_over_budget(database: Database, tables: Sequence[KeptTable], budget: int | None) -> tuple[int, int]:
    """Remove tables until the others fit the budget; None is the default. Returns the bytes that stay, and the budget.

    Raises OSError at the first file that cannot be removed.
    """
    work = database.work.path
    kept = size_of(tables)
    budget = budget_of(work, kept, budget)
    removed = [table for table in tables_to_remove(tables, budget) if is_inside(table.path, work)]
    for table in removed:
        remove(table.path)
    database.forget_tables(table.path for table in removed)
    return kept - size_of(removed), budget


def tables_to_remove(tables: Iterable[KeptTable], budget: int) -> list[KeptTable]:
    """Return the tables to remove, so that at most `budget` bytes stay: those that take the least time per byte first.

    Among equals, those go first that have not been used for longest. Protected tables stay, whatever they take.
    """
    kept = list(tables)
    total = size_of(kept)
    removed = []
    if total > budget:
        removable = (table for table in kept if not table.is_protected)
        for table in sorted(removable, key=lambda t: (t.seconds_per_byte, t.last_used, t.path)):
            removed.append(table)
            total -= table.size
            if total <= budget:
                break
    return removed


def remove_unrecorded(database: Database, under_way: Callable[[], Collection[str]]) -> None:
    """Remove files of ended runs that no line of a journal names. Ignores errors."""
    for path in database.unrecorded(under_way):
        if is_inside(path, database.work.path):
            remove(path, ignore_errors=True)


def remove_old_inputs(work: WorkDir, keep: Collection[Path], budget: int | None) -> None:
    """Remove given tables until the others take at most `budget` bytes, None for the default of kept tables.

    Those in `keep`, and those of runs under way, stay. Ignores errors: a later call removes what this one leaves.
    """
    with suppress(OSError, HandoffError), closing(Database(work)) as database:
        headers = [database.ends(run)[0] for run in work.runs_under_way()]
        used = {Path(file).name for header in headers if header is not None for file in header.inputs.values()}
        used |= {path.name for path in keep}
        given = [(path, path.stat()) for path in paths_in(work.path / INPUTS)]
        tables = [KeptTable(path, at.st_size, 0.0, at.st_mtime_ns, path.name in used) for path, at in given]
        for table in tables_to_remove(tables, budget_of(work.path, size_of(tables), budget)):
            if is_inside(table.path, work.path):
                remove(table.path)


@frozen
class FolderUse:
    """The use of a folder by one pipeline, in its last run that used it, which has this `number`.

    `cached`: one of the nodes has `cache: true`. `unfinished`: one of them has not ended well.
    """

    pipeline: str
    number: int
    cached: bool = False
    unfinished: bool = False


def mark_used(folder: Path, use: FolderUse) -> None:
    """Note in the folder of a definition that a run uses it, once a run. Raises OSError."""
    path = folder / f"{text_checksum(use.pipeline)}{_USED}"
    known = _use(path)
    if known is not None and known.number == use.number:
        use = replace(use, cached=use.cached or known.cached)
    if known == use:
        return
    make_private(folder)
    with atomic_write(path, private=True) as partial:
        found = {"file": use.pipeline, "number": use.number, "cached": use.cached, "unfinished": use.unfinished}
        Path(partial).write_text(json.dumps(found), encoding="utf-8")


def stream_bytes(work: Path) -> int:
    """Return how many bytes all streams take."""
    return sum(_size(path) for folder in map_folders(work) for path in streams_of(folder))


def kept_streams(work: Path, last_runs: Mapping[str, int], busy: Collection[str] = ()) -> list[KeptTable]:
    """Return the streams in the work folder. `last_runs` has the number of the last run of each pipeline.

    Protected are those of nodes with `cache: true`, those of nodes that have not ended well in the last run of their
    pipeline, and all that runs of the `busy` pipelines may use.
    """
    found = []
    for folder in map_folders(work):
        uses = folder_uses(folder)
        protected = any(
            use.cached or use.pipeline in busy or (use.unfinished and use.number >= last_runs.get(use.pipeline, 0))
            for use in uses
        )
        number = max((use.number for use in uses), default=0)
        for path in streams_of(folder):
            seconds = 0.0 if protected else _seconds(path)
            found.append(KeptTable(path, _size(path), seconds, number, protected))
    return found


def map_folders(work: Path) -> list[Path]:
    """Return the folders of all definitions, by name."""
    return [path for path in paths_in(work / MAP) if path.is_dir() and not path.is_symlink()]


def folder_uses(folder: Path) -> list[FolderUse]:
    """Return the uses of the folder of a definition, without those whose file is damaged."""
    with suppress(OSError):
        return [use for path in sorted(folder.glob(f"*{_USED}")) if (use := _use(path)) is not None]
    return []


def streams_of(folder: Path) -> list[Path]:
    """Return the streams in the folder of a definition; none if it cannot be listed."""
    with suppress(HandoffError):
        return streams_in(folder)
    return []


def paths_in(folder: Path) -> list[Path]:
    """Return the paths in a folder, by name; none if it cannot be listed."""
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _use(path: Path) -> FolderUse | None:
    with suppress(OSError, ValueError, RecursionError, AttributeError):
        found = json.loads(read_regular_file(path))
        pipeline, number = found.get("file"), found.get("number")
        if isinstance(pipeline, str) and isinstance(number, int):
            return FolderUse(pipeline, number, found.get("cached") is True, found.get("unfinished") is True)
    return None


def _seconds(path: Path) -> float:
    """Return how many seconds the calls with the results in a stream took."""
    from nfrun.rows.results import read_stream  # most commands need no Arrow

    with suppress(HandoffError, FileNotFoundError):
        return sum(max(0.0, record.seconds) for record in read_stream(path))
    return 0.0


def _size(path: Path) -> int:
    with suppress(OSError):
        return os.stat(path).st_size  # noqa: PTH116
    return 0
