"""Finds and removes files of the work folder that nfrun no longer needs. Decides by the journals of the runs.

Tables stay as far as the budget goes. A run stays if it is one of the last runs of its pipeline, if it has a table that
any run uses, or if its journal has a result that can be reused and that no later run has. So pruning runs no node
whose table is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from nfrun.core.values import frozen
from nfrun.history.eviction import tables_to_remove
from nfrun.history.journal import VERSION, FinishedNode, JournalContents, read_journal
from nfrun.history.kept_tables import budget_of, kept_tables
from nfrun.history.run_index import RunIndex
from nfrun.history.work_dir import JOURNAL, LOGS, WorkDir
from nfrun.system.atomic_files import PARTIAL

_LAST_RUNS = 100  # of a pipeline


@frozen
class PrunePlan:
    """The paths to remove.

    `runs` are the folders of whole runs. `files` are files and folders in the runs that stay, and unfinished files of
    `timings/`. `size` is how many bytes on disk are freed.
    """

    runs: tuple[Path, ...]
    files: tuple[Path, ...]
    size: int

    def remove(self) -> None:
        """Remove all paths, `files` first. Raises OSError at the first failure; earlier paths are removed by then."""
        for path in (*self.files, *self.runs):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def plan_prune(work: WorkDir, *, budget: int | None = None, everything: bool = False) -> PrunePlan:
    """Return which files and runs can be removed, all runs with `everything`. Removes nothing itself.

    Tables may take `budget` bytes, None for the default. The caller must hold the lock of the work folder. Raises
    OSError if the run folders cannot be listed, and PermissionError if a journal cannot be read.
    """
    folders = work.run_folders()
    needed = {} if everything else _needed(work, [read_journal(folder) for folder in folders], budget)
    runs = tuple(folder for folder in folders if folder not in needed)
    files = [
        path
        for folder, names in needed.items()
        for path in (_entries(folder) if names is not None else ())
        if path.name not in (names or ())
    ]
    files += (path for path in _entries(work.path / "timings") if path.name.endswith(PARTIAL))
    return PrunePlan(runs, tuple(files), _size((*runs, *files)))


def _needed(
    work: WorkDir, journals: Sequence[JournalContents], budget: int | None
) -> dict[Path, Collection[str] | None]:
    """Return the names of the needed files by folder of a run that stays, None for all files of the folder."""
    with closing(RunIndex(work, from_journals=True)) as index:
        tables = [table for table in kept_tables(index) if table.result is not None]
    removed = set(tables_to_remove(tables, budget_of(work.path, tables, budget)))
    needed: dict[Path, Collection[str] | None] = {}
    files: dict[Path, set[str]] = {}
    for table in tables:
        if table not in removed:
            files.setdefault(table.path.parent, set()).add(table.path.name)
    there = {table.result for table in tables if table not in removed and table.result is not None}
    seen: set[object] = set()
    left: dict[str, int] = {}
    known = [(run.started, run) for run in journals if run.started is not None]
    for header, run in sorted(known, key=lambda pair: pair[0].number, reverse=True):
        left[header.pipeline] = left.get(header.pipeline, _LAST_RUNS) - 1
        results = {_result(header.pipeline, end) for end in run.finished if _can_be_reused(end, there)}
        if header.version != VERSION:
            needed[run.folder] = None  # of a newer nfrun
        elif left[header.pipeline] >= 0 or run.folder in files or not results <= seen:
            needed[run.folder] = files.get(run.folder, set()) | {JOURNAL, LOGS}
            seen |= results
    for folder in files.keys() - needed.keys():
        needed[folder] = files[folder] | {JOURNAL, LOGS}
    return needed


def _can_be_reused(finished: FinishedNode, there: Collection[tuple[str, str]]) -> bool:
    """Return whether an entry may spare a run of its node: it has no outputs, or a table of it is `there`."""
    key = finished.key
    return key is not None and (not finished.outputs or any((key, output.id) in there for output in finished.outputs))


def _result(pipeline: str, finished: FinishedNode) -> object:
    """Return what tells the results apart that a node had in different runs."""
    outputs = tuple((output.id, output.digest, output.schema_digest) for output in finished.outputs)
    files = frozenset(finished.reads.items()), frozenset(finished.wrote.items())
    return pipeline, finished.node, finished.key, outputs, files


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(tops: Iterable[Path]) -> int:
    """Return how many bytes are freed. A file that several runs link to counts only if all its links go."""
    links: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for top in tops:
        for path in (top, *top.rglob("*")) if top.is_dir() and not top.is_symlink() else (top,):
            with suppress(OSError):
                found = path.lstat()
                if not path.is_dir():  # the link count of a folder counts its subfolders
                    links[found.st_ino] = links.get(found.st_ino, found.st_nlink) - 1
                    sizes[found.st_ino] = 512 * found.st_blocks
    return sum(size for node, size in sizes.items() if links[node] == 0)
