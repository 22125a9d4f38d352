"""Finds and removes old runs and unneeded outputs in a work folder. Decides by the journals of the runs.

For each pipeline it keeps the last run that ended with `ok` and all later runs, which can be resumed, each with the
outputs that are there. It also keeps the outputs of `cache: true` nodes: for each cache key, those of the latest run
that has them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from nfrun.cache.journal import JournalContents, read_journal
from nfrun.cache.work_dir import JOURNAL, LOGS, WorkDir
from nfrun.core.values import frozen
from nfrun.system.atomic_files import PARTIAL


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


def plan_prune(work: WorkDir, *, everything: bool = False) -> PrunePlan:
    """Plan the removal of old runs and unneeded outputs, or with `everything` of all runs. Removes nothing itself.

    The caller must hold the lock of the work folder. Raises OSError if the run folders cannot be listed, and
    PermissionError if a journal cannot be read.
    """
    journals = [read_journal(folder) for folder in work.run_folders()]
    needed = {} if everything else _needed(journals)
    runs = tuple(run.folder for run in journals if run.folder not in needed)
    files = [path for folder, names in needed.items() for path in _entries(folder) if path.name not in names]
    files += (path for path in _entries(work.path / "timings") if path.name.endswith(PARTIAL))
    return PrunePlan(runs, tuple(files), _size((*runs, *files)))


def _needed(journals: Iterable[JournalContents]) -> dict[Path, set[str]]:
    """Return the names of the needed files, with the journal and the logs, by folder of a run that stays."""
    needed: dict[Path, set[str]] = {}
    ended_well: set[str] = set()
    cached: set[tuple[str, str]] = set()
    readable = [(run.started, run) for run in journals if run.started is not None]
    for started, run in sorted(readable, key=lambda pair: pair[0].number, reverse=True):
        names: set[str] = set()
        stays = started.pipeline not in ended_well
        for finished in run.finished:
            for output in finished.outputs:
                wanted = finished.cached and (finished.key or "", output.id) not in cached
                if output.file and (stays or wanted) and (run.folder / output.file).is_file():
                    names.add(output.file)
                    if finished.cached:
                        cached.add((finished.key or "", output.id))
        if stays or names:
            needed[run.folder] = names | {JOURNAL, LOGS}
        if run.ended == "ok":
            ended_well.add(started.pipeline)
    return needed


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
