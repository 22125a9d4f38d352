"""The folder where nfrun keeps what outlives a run: what lies where, and that one run at a time has it.

Knows no nodes. The lock is the system's (`flock`), never the existence of a file: it is free the moment that its holder
is gone, however it went.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nfrun.core.errors import WorkDirLocked
from nfrun.core.pipeline import Pipeline
from nfrun.system.atomic_files import is_same_file, make_folders, name_errors

WORK_DIR = ".nfrun"
JOURNAL = "journal.jsonl"
LOGS = "logs"
SCRATCH = "scratch"
_LOCK = "lock"
# A holder that was killed a moment ago may take the system some milliseconds to be rid of, and all of its processes.
_PATIENCE_SECONDS = 0.25
_LOOK_SECONDS = 0.005
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_MOST_RUNS = 1 << 53
_MOST = 4096  # bytes of the lock file that are looked at


def new_run_id() -> str:
    """A name for a run that sorts by its start. A label only: nothing is decided by it."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"


class WorkDirLock:
    """The lock of a work folder, held. `run` and `number` are those of the run that held it last, None where nobody can
    know."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        told = _told_in(lock)
        run, number = told.get("run"), told.get("number")
        self.run = run if isinstance(run, str) and _RUN.fullmatch(run) else None
        self.number = number if isinstance(number, int) and 0 <= number < _MOST_RUNS else None

    def write_holder(self, *, run: str, pipeline: str, number: int) -> None:
        """Say who holds it, to whoever comes meanwhile. Raises OSError."""
        told = {"run": run, "pipeline": pipeline, "number": number}
        text = json.dumps({**told, "process": os.getpid(), "host": socket.gethostname()})
        # In one piece over what was there: whoever reads meanwhile finds either, and never nothing.
        os.pwrite(self._lock, text.encode().ljust(_MOST), 0)


class WorkDir:
    """The folder where nfrun keeps what outlives a run, readable by its owner alone.

    `runs/<id>/` holds what one run left: its journal, its outputs, and a folder for each attempt under way;
    `timings/<pipeline>.json` the seconds that nodes took; `lock` tells who holds the folder. `above` are the
    folders that have its name in them, and the names of those that were made for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.above = [path.parent]

    @classmethod
    def beside(cls, pipeline: Pipeline, path: Path | None) -> WorkDir:
        """The folder that was asked for, or `.nfrun` beside the pipeline file."""
        return cls(path.absolute() if path is not None else Path(pipeline.folder) / WORK_DIR)

    def pipeline_name(self, pipeline: Pipeline) -> str:
        """What its runs are found by here: a pipeline of the same name in another folder is another one.

        The folder as seen from here, so that both may be moved together, and not in words: paths may be secret.
        """
        name, folder = Path(pipeline.file).name, os.path.relpath(pipeline.folder, self.path.parent)
        if folder == ".":
            return name
        from nfrun.system.checksums import text_checksum

        return f"{name} {text_checksum(folder)}"

    def is_used(self) -> bool:
        """Whether it is one: some run has had it. Else it may be any folder of the user's."""
        return any((self.path / name).exists() for name in (_LOCK, "runs"))

    @contextmanager
    def lock(self) -> Iterator[WorkDirLock]:
        """While inside, the folder is there and nobody else holds it. Raises FolderHeld and OSError."""
        if not self.path.exists():  # else it may be a folder of the user's, as with `--work .`
            self.above = make_folders(self.path, 0o700)
            with name_errors(self.path / ".gitignore") as ignored:
                ignored.write_text("*\n", encoding="utf-8")
        lock = self._lock_file()
        mine = [lock]
        try:
            # A child that a node forks shares the lock, and would hold it for as long as it lives.
            os.register_at_fork(after_in_child=lambda: [*map(_close, mine)])
            yield WorkDirLock(lock)
        finally:
            mine.clear()
            _close(lock)

    def make_run_folder(self, run_id: str) -> Path:
        """Make the folder of a new run. Raises OSError."""
        folder = self.path / "runs" / run_id
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        return folder

    def remove_unfinished(self, run_id: str) -> None:
        """Remove what a run that is over had under way, as far as that can be done: nobody reads it.

        Only one that was killed leaves any.
        """
        folder = self.path / "runs" / run_id
        if folder.is_symlink():
            return
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        for partial in folder.glob("*.partial"):
            with suppress(OSError):
                partial.unlink()

    def run_folders(self) -> list[Path]:
        """The folders of all runs, in the order of their names, and nothing that only lies beside them.

        Raises OSError where they cannot be seen.
        """
        try:
            found = sorted((self.path / "runs").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path for path in found if _RUN.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]

    def _lock_file(self) -> int:
        """Raises FolderHeld and OSError."""
        path = self.path / _LOCK
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_same_file(lock, path):  # somebody may have removed the folder and made it again
                    return lock
            except BlockingIOError:
                if time.monotonic() > until:
                    held = WorkDirLocked(f"another run holds {self.path}{_who(_told_in(lock))}")
                    _close(lock)
                    raise held from None
            except BaseException:
                _close(lock)
                raise
            _close(lock)
            time.sleep(_LOOK_SECONDS)


def _told_in(lock: int) -> dict[str, Any]:
    """What a holder told; nothing where it has just come, or somebody wrote into the file."""
    holder: Any = None
    with suppress(OSError, ValueError, RecursionError):
        holder = json.loads(os.pread(lock, _MOST, 0))
    return holder if isinstance(holder, dict) else {}


def _who(holder: Mapping[str, Any]) -> str:
    known = [f"{key} {holder[key]}" for key in ("pipeline", "run", "process", "host") if holder.get(key)]
    return f" ({', '.join(known)})" if known else ""


def _close(file: int) -> None:
    with suppress(OSError):
        os.close(file)
