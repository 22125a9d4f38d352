"""Checks a work folder for `nfrun doctor`: its locks and who holds them, its runs, and what its tables take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError
from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_count, format_size, shortened
from nfrun.history.cache.cache_key import FOR_EFFECT
from nfrun.history.cache.reuse_decision import NEVER_FINISHED, NO_CACHE
from nfrun.history.database import Database
from nfrun.history.journal import JournalContents
from nfrun.history.kept_tables import budget_of, size_of
from nfrun.history.work_dir import (
    WorkDir,
    describe_holder,
    holder_of,
    is_locked,
    pipeline_file,
    run_number,
    unusable,
)
from nfrun.system.mounts import mount_of

_MOST_LISTED = 4
_NEARLY = 0.9  # of the budget


def check_reuse(work: WorkDir, pipeline: str | None = None) -> list[HealthCheck]:
    """Check which nodes the last run of each pipeline, or of one by its name in the work folder, has reused."""
    runs: dict[str, list[str]] = {}
    profiles: dict[str, str] = {}  # of the last runs: a run is compared with one of the same profile
    with closing(Database(work)) as database:
        for run in database.runs(pipeline):
            name, profile = run.header.pipeline, run.header.profile
            if run.ending is not None and profile == profiles.setdefault(name, profile):
                runs.setdefault(name, []).append(run.folder.name)
        return [_reuse(*map(database.contents, last[:2])) for last in runs.values()]


def _reuse(last: JournalContents, before: JournalContents | None = None) -> HealthCheck:
    """Check which nodes ran in the last run of a pipeline, and in that before it, for one reason."""
    assert last.started is not None  # else the run is not listed
    file, number = pipeline_file(last.started.pipeline), last.started.number
    reused = sum(1 for end in last.finished if end.reused)
    ran = len(last.finished) - reused
    earlier = {end.node: end.reason for end in before.finished} if before else {}
    obstacles: dict[str, list[str]] = {}
    for end in last.finished:
        why = end.obstacle or (end.reason if earlier.get(end.node) == end.reason and not _is_meant(end.reason) else "")
        if why and not end.cached:
            obstacles.setdefault(why, []).append(end.node)
    text = f"{file}, run {number}: {ran:,} ran, {reused:,} reused"
    facts = {"file": file, "number": number, "ran": ran, "reused": reused, "obstacles": obstacles}
    if not obstacles:
        return HealthCheck("reuse", OK, text, "", facts)
    listed = [f"{shortened(nodes, _MOST_LISTED)}: {why}" for why, nodes in obstacles.items()]
    text += f"; not reused: {shortened(listed, _MOST_LISTED)}"
    advice = "'cache: true' reuses nodes in spite of that; 'nfrun plan' says of each node why it would run"
    return HealthCheck("reuse", NOTE, text, advice, facts)


def _is_meant(reason: str) -> bool:
    """Whether a node runs for a reason that the user gave, or for what another node made, or for the first time."""
    begins = ("--", "it needs '", "it reads '", "the input '")
    return (
        not reason or reason in (NO_CACHE, NEVER_FINISHED) or reason.startswith(begins) or reason.endswith(FOR_EFFECT)
    )


def check_unseen(folder: Path) -> HealthCheck:
    """Check what nfrun cannot see of files beside a pipeline in `folder`: a change there may not run a node again."""
    unseen, advice = [], []
    mount = mount_of(folder)
    if mount.is_memory:
        unseen.append(f"{folder} is in memory ({mount.type}): writes to large files through a mapping change no times")
        advice.append("give --verify after such writes")
    if mount.is_network:
        unseen.append(f"{folder} is on {mount.type}: this machine may see changes of others late")
        advice.append("run where the files are written, or give --verify")
    if not sys.platform.startswith("linux"):
        unseen.append("this is not Linux: whether somebody has a large file open to write is not known")
        advice.append("give --verify after such writes")
    facts = {"unseen": unseen}
    if unseen:
        return HealthCheck("not seen", NOTE, "; ".join(unseen), "; ".join(dict.fromkeys(advice)), facts)
    return HealthCheck("not seen", OK, f"changes of files in {folder} are seen as on any local disk", "", facts)


def check_work_dir(work: WorkDir, budget: int | None) -> list[HealthCheck]:
    """Check a work folder in which runs were kept. `budget` is that for tables, None for the default.

    If it cannot be used, the only check is that of the `work folder`.
    """
    try:
        return [_locks(work), _runs(work), _tables(work, budget)]
    except (HandoffError, OSError) as error:
        what, _, hint = str(error).removesuffix(")").rpartition(" (")  # an error ends with its hint in brackets
        return [HealthCheck("work folder", PROBLEM, *((what, hint) if what else (str(error), "")))]


def _locks(work: WorkDir) -> HealthCheck:
    """Return which locks are held, and which processes hold them."""
    held: list[dict[str, Any]] = []
    for path in (work.path / "lock", *sorted((work.path / "locks").glob("*"))):
        try:
            if not is_locked(path):
                continue
        except OSError as error:
            raise unusable(path if path.parent.is_dir() else path.parent, error) from error
        held.append({"file": path.name, **holder_of(path)})
    if held:
        holders = dict.fromkeys(describe_holder(lock) or lock["file"] for lock in held)
        text = f"held: {shortened([*holders], _MOST_LISTED)}"
        advice = "another run of the same pipeline waits with --wait, or exits with 75"
        return HealthCheck("locks", NOTE, text, advice, {"held": held})
    return HealthCheck("locks", OK, "none is held", "", {"held": []})


def _runs(work: WorkDir) -> HealthCheck:
    """Return how many runs are kept, and which of them were killed."""
    under_way = work.runs_under_way()
    with closing(Database(work)) as database:
        runs = [run for run in database.runs() if run.folder.name not in under_way]
    known = {run.folder.name for run in runs}
    unread = [folder.name for folder in work.run_folders() if folder.name not in known | under_way]
    killed = [run.folder.name for run in reversed(runs) if run.ending is None]
    facts = {
        "kept": len(runs) + len(under_way),
        "under_way": sorted(under_way),
        "killed": killed,
        "unreadable": unread,
    }
    text = format_count(len(runs) + len(under_way), "run")
    text += f", {len(under_way)} under way" if under_way else ""
    if unread:
        text += f"; the history does not have {_named(unread)}, so that nothing of it is reused"
        return HealthCheck("runs", NOTE, text, "'nfrun clean' removes what no run needs", facts)
    if killed:
        text += f"; {_named(killed)} {'was' if len(killed) == 1 else 'were'} killed"
    return HealthCheck("runs", OK, text, "", facts)


def _named(runs: Sequence[str]) -> str:
    numbers = [str(run_number(run) or run) for run in runs]
    return f"run{'s' if len(runs) > 1 else ''} {shortened(numbers, _MOST_LISTED)}"


def _tables(work: WorkDir, budget: int | None) -> HealthCheck:
    """Return what tables take of their budget: over it they are removed, and are made again where they are needed."""
    with closing(Database(work)) as database:
        tables = database.tables()
    size, kept = size_of(tables), size_of(table for table in tables if table.is_protected)
    most = budget_of(work.path, size, budget)
    facts = {"bytes": size, "budget": most, "protected": kept, "count": len(tables)}
    text = f"{format_count(len(tables), 'table')}, {format_size(size)} of at most {format_size(most)}"
    if tables and size > _NEARLY * most:
        text += f", {format_size(kept)} of which are never removed" if kept else ""
        advice = "removed tables are made again where nodes read them: --cache-size or NFRUN_CACHE_SIZE allows more"
        return HealthCheck("tables", NOTE, text, advice, facts)
    return HealthCheck("tables", OK, text, "", facts)
