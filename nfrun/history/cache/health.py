"""Checks, for `nfrun doctor`, which nodes the last runs did not reuse, and on what file system a folder is."""

from __future__ import annotations

import sys
from pathlib import Path

from nfrun.core.health import NOTE, OK, HealthCheck
from nfrun.core.text import shortened
from nfrun.history.cache.cache_key import FOR_EFFECT
from nfrun.history.cache.reuse_decision import NEVER_FINISHED, NO_CACHE
from nfrun.history.journal import JournalContents, read_ends, read_journal
from nfrun.history.work_dir import WorkDir, pipeline_file
from nfrun.system.health import mount_of

_MOST_LISTED = 4


def check_reuse(work: WorkDir, pipeline: str | None = None) -> list[HealthCheck]:
    """Check what the last run of each pipeline, or of one by its name in the work folder, has reused."""
    runs: dict[str, list[Path]] = {}
    profiles: dict[str, str] = {}  # of the last runs: a run is compared with one of the same profile
    for folder in reversed(work.run_folders()):
        header, ending = read_ends(folder)
        if header is None or ending is None or pipeline not in (None, header.pipeline):
            continue
        if header.profile == profiles.setdefault(header.pipeline, header.profile):
            runs.setdefault(header.pipeline, []).append(folder)
    return [_reuse(read_journal(last), *map(read_journal, before[:1])) for last, *before in runs.values()]


def _reuse(last: JournalContents, before: JournalContents | None = None) -> HealthCheck:
    """Check which nodes ran in the last run of a pipeline, and in that before it, for one reason."""
    assert last.started is not None  # as `read_ends` has read it
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
