"""Finds the files of outputs, also in places that machines share, and opens tables to show their first rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.core.errors import HandoffError, NotRecorded, NotStored
from nfrun.core.pipeline import FOLDER, TABLE, form_of
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import is_intact, table_path
from nfrun.lookback.command_again import command_for_tables
from nfrun.lookback.run_reference import ListedRun
from nfrun.tables.places.base import path_of

if TYPE_CHECKING:
    from nfrun.tables.places.stored_outputs import StoredOutputs


_ROWS = 25  # the most that are shown


def open_tables(run: ListedRun, outputs: Iterable[FinishedOutput]) -> tuple[dict[FinishedOutput, Any], dict[str, str]]:
    """Return the tables of outputs that can be opened, and a note for each of the others by id.

    It says why it cannot be opened, or is the path of a file.
    """
    tables: dict[FinishedOutput, Any] = {}
    notes: dict[str, str] = {}
    for output in outputs:
        try:
            if output.type != TABLE:
                notes[output.id] = str(find_output(run, output))
                continue
            tables[output] = open_table(run, output)
        except (NotRecorded, HandoffError) as error:
            notes[output.id] = str(error)
    return tables, notes


def open_table(run: ListedRun, output: FinishedOutput) -> Any:
    """Return the table in the file of an output, memory-mapped, after checking its first rows.

    Raises NotRecorded if there is no file, and HandoffError if it is damaged.
    """
    path = find_output(run, output)
    import pyarrow as pa

    from nfrun.tables.ipc import open_file

    table = open_file(path, output.size)
    try:
        table.slice(0, _ROWS).validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"{path.name} is damaged: {error}") from error
    return table


def find_output(run: ListedRun, output: FinishedOutput) -> Path:
    """Return the path of an output. Raises NotRecorded if there is no file, HandoffError if a place cannot be reached.

    What is fetched from a place that machines share is intact, and stays until the process ends.
    """
    what = f"the {form_of(output.type)} of '{output.id}' in run {run.number}"
    if output.stored:
        path, gone = _fetched(output), f"is not at {path_of(output.stored) or output.stored} any more"
    elif output.file is None:
        show = f"'nfrun open {output.id} --run {run.number}'"
        raise NotRecorded(f"no file of it is kept; {show} shows it if what its node read is unchanged")
    else:
        path, gone = table_path(run.folder, output), "was removed"
    if path is None or path.is_symlink() or not (path.is_dir() if output.type == FOLDER else path.is_file()):
        raise NotRecorded(f"{what} {gone}; to make it again: {command_for_tables(run, [output.id.node])}")
    return path


def intact_output(run: ListedRun, output: FinishedOutput) -> Path:
    """Return the path of an output as `find_output` does. Raises HandoffError if its content has changed."""
    path = find_output(run, output)
    if not output.stored and not is_intact(path, output):
        again = command_for_tables(run, [output.id.node])
        raise HandoffError(f"{path} is damaged and is not used; to make it again: {again}")
    return path


def _fetched(output: FinishedOutput) -> Path | None:
    """Return a path with what is at the address of an output, None if nothing intact is there."""
    try:
        path = _stored().get(output.stored)
        return path if is_intact(path, output) else None
    except NotStored:
        return None
    except OSError as error:
        raise HandoffError(f"cannot read {output.stored}: {error.strerror}", error) from error


@cache
def _stored() -> StoredOutputs:
    from nfrun.tables.places.stored_outputs import StoredOutputs  # most runs have none

    return StoredOutputs()
