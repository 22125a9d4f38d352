"""Moves what a local run has left into a place that machines share, as a run on a cluster leaves it there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from nfrun.core.events import OutputRef
from nfrun.core.values import replace
from nfrun.history.database import Database, Journal, read_journal
from nfrun.history.journal import FinishedOutput
from nfrun.history.work_dir import WorkDir
from nfrun.tables.places.folder import Place
from nfrun.tables.places.stored_outputs import put_output


def move_outputs(work: WorkDir, place: Place) -> list[str]:
    """Move the outputs of all runs into the place. Returns their addresses there."""
    addresses: dict[str, str] = {}

    def moved(output: FinishedOutput, folder: Path) -> FinishedOutput:
        if output.file is None:
            return output
        path = folder.parent / (output.home or folder.name) / output.file
        ref = OutputRef(
            output.id,
            output.rows,
            output.bytes,
            output.schema,
            str(path),
            output.digest,
            size=output.size,
            checksum=output.checksum,
            schema_digest=output.schema_digest,
            type=output.type,
        )
        if str(path) not in addresses:
            addresses[str(path)] = put_output(place, ref).stored or ""
        return replace(output, file=None, home="", stored=addresses[str(path)])

    for folder in work.run_folders():
        found = read_journal(folder)
        with closing(Database(work, print)) as database:
            database.remove([folder.name])
        journal = Journal(folder)
        assert found.started is not None
        journal.started(replace(found.started, store=place.uri))
        for node in found.finished:
            journal.add(replace(node, outputs=tuple(moved(output, folder) for output in node.outputs)))
        journal.add(*found.unfinished)
        if found.ending is not None:
            ending = found.ending
            journal.ended(ending.status, at=ending.at, duration=ending.duration, counts=ending.counts)
        journal.close()
    return list(dict.fromkeys(addresses.values()))
