"""Work folders whose runs are recorded by the tests, without a run."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import WORK_DIR, OutputId
from nfrun.history.database import Journal
from nfrun.history.journal import FinishedOutput, RecordedNode, RunHeader
from nfrun.history.work_dir import LOGS, WorkDir, close_lock, open_lock, write_holder
from nfrun.system.logs.node_logs import log_path

START = 1_700_000_000.0  # seconds since 1970: 2023-11-14 22:13:20 UTC


class Kept:
    """The work folder in a folder. `add` writes the lines of a run, as if it had been kept there."""

    def __init__(self, folder: Path) -> None:
        self.work = WorkDir(folder / WORK_DIR)

    def add(
        self,
        number: int,
        status: str = "ok",
        *,
        id: str = "",
        pipeline: str = "p.yaml",
        at: float = START,
        duration: float = 2.0,
        nodes: Iterable[RecordedNode] = (),
        counts: Mapping[str, int] | None = None,
        **header: Any,
    ) -> Path:
        """Add a run and return its folder. With an empty status it has no end."""
        id = id or f"{number}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(at))}"
        folder = self.work.make_run_folder(id)
        journal = Journal(folder)
        journal.started(RunHeader(id, pipeline, number, at=at, **header))
        for node in nodes:
            journal.add(node)
        if status:
            journal.ended(status, at=at + duration, duration=duration, counts=counts or {})
        journal.close()
        return folder

    @contextmanager
    def running(self, number: int, *, pipeline: str = "p.yaml", **fields: Any) -> Iterator[Path]:
        """Add a run that is under way: within the `with` block, the lock of its pipeline is held. Yields its folder."""
        folder = self.add(number, "", pipeline=pipeline, **fields)
        locks = self.work.path / "locks"
        locks.mkdir(exist_ok=True)
        lock = open_lock(locks / f"{pipeline}.lock", os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            write_holder(lock, run=folder.name, number=number, pipeline=pipeline)
            yield folder
        finally:
            close_lock(lock)

    def log(self, run: Path, node: str, stream: str, text: str, attempt: int = 1) -> None:
        """Write a log file of a node."""
        path = log_path(run / LOGS, node, attempt, stream)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())


def output(id: str, rows: int = 10, **fields: Any) -> FinishedOutput:
    """Return the entry of an output whose node has only this one."""
    names = {"schema": "a: int64", "digest": f"digest-{id}", "size": 1300, "checksum": "c", "schema_digest": "s"}
    return FinishedOutput(OutputId(id), rows, **{"bytes": 1200, **names, **fields})


def failure(error: str = "KeyError: 'price'", **fields: Any) -> Failure:
    """Return the failure of a node."""
    type, _, message = error.partition(": ")
    return Failure(Cause.NODE, type, message, **fields)


def finished(node: str, *, reused: bool = False, **fields: Any) -> RecordedNode:
    """Return the entry of a finished node."""
    return RecordedNode(node, "reused" if reused else "ok", **{"key": "k", "attempts": 1, "started": 0.0, **fields})
