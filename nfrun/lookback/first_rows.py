"""Opens the tables that a run has left, to show their first rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nfrun.cache.journal import FinishedOutput
from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.lookback.run_list import ListedRun, is_run_id

_ROWS = 25  # the most that are shown


def table_path(run: ListedRun, output: FinishedOutput) -> Path | None:
    """Return the file of an output, in this run or in that which made it; None if it is not there.

    Accepts only plain names from a journal, so that no file outside of the folders of runs is opened.
    """
    home, name = output.home or run.id, output.file or ".."
    if not is_run_id(home) or name == ".." or Path(name).name != name:
        return None
    path = run.folder.parent / home / name
    return path if path.is_file() and not path.is_symlink() else None


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
    path = table_path(run, output)
    if path is None:
        again = command_again(run, output.id.node)
        raise NotRecorded(f"its table is no longer there; to make it again: {again}")
    import pyarrow as pa

    from nfrun.tables.ipc import open_file

    table = open_file(path, output.size)
    try:
        table.slice(0, _ROWS).validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"{path.name} is damaged: {error}") from error
    return table


def command_again(run: ListedRun, node: str) -> str:
    """Return the command that makes the tables of a node again and keeps them."""
    words = run.header.command or ("nfrun", "run", run.file)
    return shlex.join([*words, *(["--keep"] if "--keep" not in words else []), "--force", node])
