"""Reads and changes the lines that a work folder has of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from nfrun.history.database import Database, hash_of
from nfrun.history.work_dir import WorkDir

Line = dict[str, Any]


def lines_of(run: Path) -> list[Line]:
    """Return the lines of the run with this folder."""
    with closing(Database(WorkDir(run.parent.parent))) as database:
        return [line for _, line in database.lines(run.name)]


def text_of(work: Path) -> str:
    """Return all lines of a work folder as one text."""
    runs = sorted((work / "runs").iterdir())
    return "".join(f"{json.dumps(line)}\n" for run in runs for line in lines_of(run))


def add_line(run: Path, line: Line) -> None:
    """Add a line to a run."""
    text = json.dumps(line)
    with _changed(run) as (db, first):
        values = line.get("node"), line["event"], text, hash_of(f"{run.name} {text}")
        db.execute(
            "insert into lines (id, node, event, line, checksum)"
            " values ((select max(id) + 1 from lines where id < ?), ?, ?, ?, ?)",
            (first + (1 << 24), *values),
        )


def rewrite_lines(run: Path, rewrite: Callable[[Line], Line | None]) -> None:
    """Change the lines of a run. Those for which `rewrite` returns None are left out."""
    with closing(Database(WorkDir(run.parent.parent))) as database:
        lines = [*database.lines(run.name)]
    with _changed(run) as (db, _):
        for id, line in lines:
            new = rewrite(line)
            text = json.dumps(new)
            db.execute("update lines set line = ?, checksum = ? where id = ?", (
                text, hash_of(f"{run.name} {text}"), id
            ))  # fmt: skip
            if new is None:
                db.execute("delete from lines where id = ?", (id,))


@contextmanager
def _changed(run: Path) -> Iterator[tuple[Any, int]]:
    with closing(Database(WorkDir(run.parent.parent), print)) as database, database.writing() as db:
        ((ref,),) = db.execute("select ref from runs where id = ?", (run.name,)).fetchall()
        yield db, ref << 24
