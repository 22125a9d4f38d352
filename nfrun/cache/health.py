"""Checks, for `nfrun doctor`, what the last runs of a work folder did not reuse, and what is not seen there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from nfrun.core.health import NOTE, OK, HealthCheck
from nfrun.core.text import shortened
from nfrun.history.journal import JournalContents, read_ends, read_journal
from nfrun.history.work_dir import WorkDir
from nfrun.system.health.mounts import mount_of

_MOST_LISTED = 4


def check_reuse(work: WorkDir, pipeline: str | None = None) -> list[HealthCheck]:
    """Check what the last run of each pipeline, or of one by its name in the work folder, has reused."""
    checks = []
    for journal in _last_runs(work, pipeline):
        assert journal.started is not None
        file, number = journal.started.pipeline.partition(" ")[0], journal.started.number
        reused = sum(1 for end in journal.finished if end.reused)
        obstacles: dict[str, list[str]] = {}
        for end in journal.finished:
            if end.obstacle and not end.cached:
                obstacles.setdefault(end.obstacle, []).append(end.node)
        ran = len(journal.finished) - reused
        text = f"{file}, run {number}: {ran:,} ran, {reused:,} reused"
        facts = {"file": file, "number": number, "ran": ran, "reused": reused, "obstacles": obstacles}
        if obstacles:
            listed = [f"{shortened(nodes, _MOST_LISTED)}: {why}" for why, nodes in obstacles.items()]
            text += f"; not reused: {'; '.join(listed)}"
            advice = "'cache: true' reuses them in spite of that; docs/reuse.md has the reasons"
            checks.append(HealthCheck("reuse", NOTE, text, advice, facts))
        else:
            checks.append(HealthCheck("reuse", OK, text, "", facts))
    return checks


def _last_runs(work: WorkDir, pipeline: str | None) -> Sequence[JournalContents]:
    """Return the journals of the last runs of each pipeline that have ended."""
    last: dict[str, Path] = {}
    for folder in reversed(work.run_folders()):
        header, ending = read_ends(folder)
        if header is not None and ending is not None and pipeline in (None, header.pipeline):
            last.setdefault(header.pipeline, folder)
    return [journal for folder in last.values() if (journal := read_journal(folder)).started is not None]


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
    return HealthCheck("not seen", OK, f"of {folder} nothing beyond what docs/reuse.md lists", "", facts)
