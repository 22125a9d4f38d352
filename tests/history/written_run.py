"""Writes what a run leaves in a work folder, without a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from recorded_lines import rewrite_lines

from nfrun.history.database import Journal
from nfrun.history.journal import RecordedNode, RunHeader
from nfrun.history.work_dir import WorkDir


def write_run(
    work: WorkDir,
    header: RunHeader,
    nodes: Iterable[RecordedNode] = (),
    *,
    unfinished: Sequence[RecordedNode] = (),
    ended: str = "ok",
    is_torn: bool = False,
) -> Path:
    """Write the lines of a run, and a file for each output that it has made itself. Returns its folder.

    With an empty `ended` the run has no end, and if it `is_torn` its first line is damaged.
    """
    folder = work.make_run_folder(header.run)
    journal = Journal(folder)
    journal.started(header)
    for node in nodes:
        for output in node.outputs:
            if output.file and not output.home:
                (folder / output.file).write_bytes(b"." * output.size)
        journal.add(node)
    journal.add(*unfinished)
    if ended:
        journal.ended(ended)
    journal.close()
    if is_torn:
        rewrite_lines(folder, lambda line: {} if line["event"] == "started" else line)
    return folder
