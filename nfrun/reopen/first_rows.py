"""Opens the tables that a run has left, to show their first rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import table_path
from nfrun.lookback.command_again import command_for_tables
from nfrun.lookback.run_list import ListedRun

_ROWS = 25  # the most that are shown


def open_tables(run: ListedRun, outputs: Iterable[FinishedOutput]) -> tuple[dict[FinishedOutput, Any], dict[str, str]]:
    """Return the tables of outputs that can be opened, and of the others why they cannot be, by id."""
    tables: dict[FinishedOutput, Any] = {}
    missing: dict[str, str] = {}
    for output in outputs:
        try:
            tables[output] = _open(run, output)
        except (NotRecorded, HandoffError) as error:
            missing[output.id] = str(error)
    return tables, missing


def _open(run: ListedRun, output: FinishedOutput) -> Any:
    """Return the table in the file of an output, memory-mapped, after checking its first rows.

    Raises NotRecorded if there is no file, and HandoffError if it is damaged.
    """
    if output.file is None:
        show = f"'nfrun open {output.id} --run {run.number}'"
        raise NotRecorded(f"no file of it is kept; {show} shows it if what its node read is unchanged")
    path = table_path(run.folder, output)
    if path is None or path.is_symlink() or not path.is_file():
        again = command_for_tables(run, [output.id.node])
        raise NotRecorded(f"its table is no longer there; to make it again: {again}")
    import pyarrow as pa

    from nfrun.tables.ipc import open_file

    table = open_file(path, output.size)
    try:
        table.slice(0, _ROWS).validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"{path.name} is damaged: {error}") from error
    return table
