"""Decides what in a work folder nothing needs any more, and removes it. Knows no pipelines, only what journals tell.

Needed are, of every pipeline, the last run that ended well with all that it kept, the runs after it, which can be
resumed, and what nodes with `cache: true` gave, under every key from the latest run that has it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nfrun.cache.journal import JournalContents, read_journal
from nfrun.cache.work_dir import JOURNAL, LOGS, WorkDir


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What is to be removed: whole `runs`, and `files` and folders in those that stay. `size` in bytes on the disk."""

    runs: tuple[Path, ...]
    files: tuple[Path, ...]
    size: int

    def remove(self) -> None:
        """Remove it all. Raises OSError for the first that cannot be removed; those before it are gone."""
        for path in (*self.files, *self.runs):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def plan_prune(work: WorkDir, *, everything: bool = False) -> PrunePlan:
    """What nothing needs, or all runs. The folder must be held."""
    told = [read_journal(folder) for folder in work.run_folders()]
    needed = {} if everything else _needed(told)
    runs = tuple(run.folder for run in told if run.folder not in needed)
    files = [path for folder, names in needed.items() for path in _others(folder, names)]
    files += (path for path in _entries(work.path / "timings") if path.name.endswith(".partial"))
    return PrunePlan(runs, tuple(files), _size((*runs, *files)))


def _needed(told: Iterable[JournalContents]) -> dict[Path, set[str]]:
    """By folder of a run that stays, the names of files in it that are needed; its journal and logs always are."""
    needed: dict[Path, set[str]] = {}
    ended_well: set[str] = set()
    cached: set[tuple[str, str]] = set()
    known = [(run.started, run) for run in told if run.started is not None]
    for started, run in sorted(known, key=lambda pair: pair[0].number, reverse=True):
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
            needed[run.folder] = names
        if run.ended == "ok":
            ended_well.add(started.pipeline)
    return needed


def _others(folder: Path, names: set[str]) -> Iterator[Path]:
    return (path for path in _entries(folder) if path.name not in names and path.name not in (JOURNAL, LOGS))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _size(gone: Iterable[Path]) -> int:
    """Bytes that are freed: a file that several runs have counts once the last of its names goes."""
    links: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for top in gone:
        for path in (top, *top.rglob("*")) if top.is_dir() and not top.is_symlink() else (top,):
            with suppress(OSError):
                found = path.lstat()
                if not path.is_dir():  # whose links are the folders in it
                    links[found.st_ino] = links.get(found.st_ino, found.st_nlink) - 1
                    sizes[found.st_ino] = 512 * found.st_blocks
    return sum(size for node, size in sizes.items() if links[node] == 0)
