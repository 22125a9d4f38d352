"""Manages the work folder, the folder with everything that outlives a run, and its lock.

One run at a time holds the lock. It is a `flock`, never the existence of a file: the system frees it as soon as its
holder is gone, even if that was killed.
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
from nfrun.system.atomic_files import is_same_file, make_folders, name_errors, remove_partials

WORK_DIR = ".nfrun"
JOURNAL = "journal.jsonl"
CHECKSUMS = "checksums.json"
LOGS = "logs"
SCRATCH = "scratch"
_LOCK = "lock"
# After a holder was killed, the system may take some milliseconds to end all of its processes.
_LOCK_TIMEOUT_SECONDS = 0.25
_POLL_SECONDS = 0.005
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_MAX_RUNS = 1 << 53
_HOLDER_BYTES = 4096  # bytes of the lock file that are read and written


def new_run_id() -> str:
    """Return a new run id, which sorts by the start time in UTC. It is only a label; nfrun orders runs by number."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"


class WorkDirLock:
    """The held lock of a work folder.

    `run` and `number` are the id and the number of the previous holder, None where they are unknown.
    """

    def __init__(self, lock: int) -> None:
        self._lock = lock
        previous = _read_holder(lock)
        run, number = previous.get("run"), previous.get("number")
        self.run = run if isinstance(run, str) and _RUN.fullmatch(run) else None
        self.number = number if isinstance(number, int) and 0 <= number < _MAX_RUNS else None

    def write_holder(self, *, run: str, pipeline: str, number: int) -> None:
        """Write the holder into the lock file, for the error message of other runs. Raises OSError."""
        holder = {"run": run, "pipeline": pipeline, "number": number}
        text = json.dumps({**holder, "process": os.getpid(), "host": socket.gethostname()})
        # One write over the old text: a concurrent reader finds the old or the new holder, never an empty file.
        os.pwrite(self._lock, text.encode().ljust(_HOLDER_BYTES), 0)


class WorkDir:
    """The work folder, created readable only by its owner.

    `runs/<id>/` has the journal and the outputs of one run, and a scratch folder for each running attempt.
    `timings/<pipeline>.json` has the durations of nodes in seconds, and `checksums.json` the checksums of large files
    outside of the folder. `lock` names the holder of the lock. The attribute
    `above` lists the folders to fsync when the work folder is new: its parent, and the parents of folders made for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.above = [path.parent]

    @classmethod
    def of_pipeline(cls, pipeline: Pipeline, path: Path | None) -> WorkDir:
        """Return the work folder at `path`, or `.nfrun` beside the pipeline file where `path` is None."""
        return cls(path.absolute() if path is not None else Path(pipeline.folder) / WORK_DIR)

    def pipeline_name(self, pipeline: Pipeline) -> str:
        """Return the name by which this work folder identifies the runs of a pipeline.

        Pipelines with the same file name in different folders get different names. The folder is taken relative to the
        work folder, so that both may be moved together, and as a checksum, because paths may be secret.
        """
        name, folder = Path(pipeline.file).name, os.path.relpath(pipeline.folder, self.path.parent)
        if folder == ".":
            return name
        from nfrun.system.checksums import text_checksum

        return f"{name} {text_checksum(folder)}"

    def is_used(self) -> bool:
        """Return whether a run has ever used the folder. Otherwise it may be any folder of the user."""
        return any((self.path / name).exists() for name in (_LOCK, "runs"))

    @contextmanager
    def lock(self) -> Iterator[WorkDirLock]:
        """Create the work folder if it is missing, and hold its lock within the `with` block.

        Raises WorkDirLocked if another run holds the lock for the next 0.25 seconds, and OSError.
        """
        if not self.path.exists():  # an existing folder may be the user's own, as with `--work .`
            self.above = make_folders(self.path, 0o700)
            with name_errors(self.path / ".gitignore") as ignored:
                ignored.write_text("*\n", encoding="utf-8")
        lock = self._lock_file()
        _OPEN_LOCKS.append(lock)
        try:
            yield WorkDirLock(lock)
        finally:
            _OPEN_LOCKS.remove(lock)
            _close(lock)

    def make_run_folder(self, run_id: str) -> Path:
        """Create the folder of a new run and return its path. Raises OSError."""
        folder = self.path / "runs" / run_id
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        return folder

    def remove_unfinished(self, run_id: str) -> None:
        """Remove the scratch folders and unfinished files of an ended run. Ignores errors.

        Only a run that was killed leaves any.
        """
        folder = self.path / "runs" / run_id
        if folder.is_symlink():
            return
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        remove_partials(folder)

    def run_folders(self) -> list[Path]:
        """Return the folders of all runs, sorted by name. Skips links and other entries of `runs/`.

        Empty where there are no runs yet. Raises OSError if they cannot be listed.
        """
        try:
            found = sorted((self.path / "runs").iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [path for path in found if _RUN.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]

    def _lock_file(self) -> int:
        """Open and lock the lock file and return its descriptor. Raises WorkDirLocked and OSError."""
        path = self.path / _LOCK
        deadline = time.monotonic() + _LOCK_TIMEOUT_SECONDS
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_same_file(lock, path):  # else the work folder was removed and made again
                    return lock
            except BlockingIOError:
                if time.monotonic() > deadline:
                    held = WorkDirLocked(f"another run holds {self.path}{_describe_holder(_read_holder(lock))}")
                    _close(lock)
                    raise held from None
            except BaseException:
                _close(lock)
                raise
            _close(lock)
            time.sleep(_POLL_SECONDS)


def _read_holder(lock: int) -> dict[str, Any]:
    """Return what the holder wrote into the lock file; empty where it has not yet, or the text is not valid."""
    holder: Any = None
    with suppress(OSError, ValueError, RecursionError):
        holder = json.loads(os.pread(lock, _HOLDER_BYTES, 0))
    return holder if isinstance(holder, dict) else {}


def _describe_holder(holder: Mapping[str, Any]) -> str:
    known = [f"{key} {holder[key]}" for key in ("pipeline", "run", "process", "host") if holder.get(key)]
    return f" ({', '.join(known)})" if known else ""


def _close(file: int) -> None:
    with suppress(OSError):
        os.close(file)


_OPEN_LOCKS: list[int] = []
# A child that a node forks inherits the locks and would hold them for as long as it lives.
os.register_at_fork(after_in_child=lambda: [*map(_close, _OPEN_LOCKS)])
