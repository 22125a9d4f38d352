"""Opens the tables that a run has left, to show their first rows."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nfrun.core.errors import HandoffError, NotRecorded
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import table_path
from nfrun.history.work_dir import WORK_DIR
from nfrun.lookback.run_list import ListedRun

_ROWS = 25  # the most that are shown


def command_again(run: ListedRun, nodes: Iterable[str]) -> str:
    """Return the command that makes the tables of these nodes again, and keeps them, without running all others.

    It is the command of the run, for the working directory and the work folder as they are now: a run may have been
    started in another directory, and a work folder may be a copy.
    """
    command = run.header.command or shlex.split(f"nfrun run {shlex.quote(run.file)}")
    words = [word for word in command if word not in ("--fresh", "--json")]
    work = run.folder.parents[1]
    named = next((at for at, word in enumerate(words) if at > 1 and Path(word).name == run.file), None)
    given = words.index("--work") + 1 if "--work" in words[:-1] else None
    beside = work.parent / run.file
    more = [] if "--keep" in words else ["--keep"]
    if named is not None and beside.is_file() and (given is None or not Path(words[named]).is_file()):
        words[named] = _as_given(words[named], beside)
    if given is not None:
        words[given] = _as_given(words[given], work)
    elif named is not None and not _is_same(Path(words[named]).parent / WORK_DIR, work):
        more += ["--work", os.path.relpath(work)]
    more += [word for node in nodes for word in ("--force", node)]
    end = words.index("--") if "--" in words else len(words)
    return shlex.join([*words[:end], *more, *words[end:]])


def _as_given(word: str, path: Path) -> str:
    """Return the word if it names this path from the working directory, and else the path from there."""
    return word if _is_same(Path(word), path) else os.path.relpath(path)


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


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
        again = command_again(run, [output.id.node])
        raise NotRecorded(f"its table is no longer there; to make it again: {again}")
    import pyarrow as pa

    from nfrun.tables.ipc import open_file

    table = open_file(path, output.size)
    try:
        table.slice(0, _ROWS).validate(full=True)
    except pa.ArrowException as error:
        raise HandoffError(f"{path.name} is damaged: {error}") from error
    return table
