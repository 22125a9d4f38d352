"""Keeps the tables that programs give to runs within a budget: those that were given longest ago go first."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from nfrun.history.eviction import default_budget
from nfrun.history.journal import read_ends
from nfrun.history.work_dir import INPUTS, WorkDir
from nfrun.system.kept_files import is_inside, remove


def remove_old_inputs(work: WorkDir, keep: Collection[Path], budget: int | None) -> None:
    """Remove given tables until the others take at most `budget` bytes, None for the default of kept tables.

    Those in `keep`, and those of runs under way, stay. Ignores errors: a later call removes what this one leaves.
    """
    found: list[tuple[float, int, Path]] = []
    with suppress(OSError), os.scandir(work.path / INPUTS) as entries:
        for entry in entries:
            status = entry.stat()
            found.append((status.st_mtime, status.st_size, Path(entry.path)))
    total = sum(size for _, size, _ in found)
    if not found or total <= (budget or 0):
        return
    with suppress(OSError):
        disk = os.statvfs(work.path)
        limit = default_budget(disk.f_bavail * disk.f_frsize, total) if budget is None else budget
        if total <= limit or not is_inside(work.path / INPUTS / "any", work.path):
            return
        headers = [read_ends(work.path / "runs" / run)[0] for run in work.runs_under_way()]
        used = {Path(file).name for header in headers if header is not None for file in header.inputs.values()}
        for _, size, path in sorted(found):
            if total > limit and path not in keep and path.name not in used:
                remove(path)
                total -= size
