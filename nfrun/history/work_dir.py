"""Manages the work folder, the folder with everything that outlives a run, its locks and the numbers of its runs.

Runs of different pipelines may use it at once. Each lock is a `flock`, never the existence of a file: the system frees
it as soon as its holder is gone, even if that was killed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from nfrun.core.errors import HandoffError, WorkDirLocked
from nfrun.core.pipeline import WORK_DIR, WORK_IGNORED, Pipeline
from nfrun.core.text import ellipsize
from nfrun.core.values import frozen
from nfrun.system.atomic_files import PARTIAL, is_same_file, make_folders, name_errors, remove
from nfrun.system.kept_files import is_inside

LOGS = "logs"
SCRATCH = "scratch"
INPUTS = "inputs"
_LOCK = "lock"
_LOCKS = "locks"
_STORE_ID = "store-id"
_RUN = re.compile(r"([1-9]\d{0,15})-\d{8}-\d{6}")
_OLD_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # the ids of older versions, without the number
_CHECKSUM_TEXT = re.compile(r"[0-9a-f]{32}")
_MAX_RUNS = 1 << 53
_MAX_NAME = 200  # bytes of a pipeline's name that a file name can have, with room for an ending
_MAX_SHOWN = 300  # characters of a pipeline's path in a lock file, which has room for more than ten times as many bytes
# After a holder was killed, the system may take some milliseconds to end all of its processes.
_TIMEOUT_SECONDS = 0.25
_POLL_SECONDS = 0.005
_WAIT_SECONDS = 0.1  # between two looks while a run waits for another one
_HOLDER_BYTES = 4096  # bytes of a lock file that are read and written
_SHOWN = ("pipeline", "run", "process", "host")
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe does not block
_Held = TypeVar("_Held")


def is_ours(folder: Path) -> bool:
    """Return whether a folder is the work folder of any runs, or the part of a store that has their outputs."""
    if _CHECKSUM_TEXT.fullmatch(folder.name):
        return any((folder / name).is_dir() for name in ("data", "code", "tmp"))
    return (folder / _LOCK).is_file() and (folder / _LOCKS).is_dir() and (folder / "runs").is_dir()


def new_run_id(number: int) -> str:
    """Return the id of the run with this number: the number, and the time in UTC."""
    return f"{number}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


def run_number(run_id: str) -> int:
    """Return the number in the id of a run; 0 for an id of an older version, which has none."""
    found = _RUN.fullmatch(run_id)
    return int(found[1]) if found else 0


def pipeline_file(pipeline: str) -> str:
    """Return the name of the file of a pipeline from its name in the work folder."""
    name, _, checksum = pipeline.rpartition(" ")
    return name if name and _CHECKSUM_TEXT.fullmatch(checksum) else pipeline


def is_run_id(name: str) -> bool:
    """Return whether the name is the id of a run, also of an older version."""
    return bool(_RUN.fullmatch(name) or _OLD_RUN.fullmatch(name))


@frozen
class RunStart:
    """A run that holds the lock of its pipeline. `waited`: another run had to end first."""

    run: str
    number: int
    waited: bool


class WorkDir:
    """The work folder, created readable only by its owner.

    `runs/<id>/` has the outputs of one run, and a scratch folder for each running attempt. `history.db` has what runs
    have recorded. `inputs/` has tables that programs have given to runs. The attribute `above` lists the folders to
    fsync when the work folder is new: its parent, and the parents of folders made for it.

    A run holds `locks/<pipeline>.lock` alone, and `lock` together with other runs. `nfrun clean` holds `lock` alone,
    and so does a run of an older version. Lock files name their last holder, and `lock` the last run that started. The
    lock of the folder `locks` is held for moments: while a run starts, and while no other run may start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.above = [path.parent]

    @classmethod
    def of_pipeline(cls, pipeline: Pipeline, path: Path | None) -> WorkDir:
        """Return the work folder at `path`. If it is None: the one of the profile, or `.nfrun` beside the file."""
        return cls(path.absolute() if path is not None else Path(pipeline.folder, pipeline.work or WORK_DIR))

    def pipeline_name(self, pipeline: Pipeline) -> str:
        """Return the name by which this work folder identifies the runs of a pipeline: see `name_of_file`."""
        return self.name_of_file(Path(pipeline.folder, Path(pipeline.file).name))

    def name_of_file(self, file: Path) -> str:
        """Return the name by which this work folder identifies the runs of the pipeline in a file.

        Pipelines with the same file name in different folders get different names. The folder is taken relative to the
        work folder, so that both may be moved together, and as a checksum, because paths may be secret.
        """
        name, folder = file.name, os.path.relpath(file.parent, self.path.parent)
        if folder == ".":
            return name
        return f"{name} {_checksum(folder)}"

    def store_address(self, store: str) -> str:
        """Return the address of the part of a store that has the outputs of the runs in this folder, and of no others.

        Raises OSError.
        """
        file = self.path / _STORE_ID
        if not file.exists():
            new = file.with_name(f"{_STORE_ID}-{os.urandom(6).hex()}{PARTIAL}")
            try:
                new.touch(0o600)
                new.write_text(os.urandom(16).hex())
                with suppress(FileExistsError):  # another run has just made it
                    file.hardlink_to(new)
            finally:
                new.unlink(missing_ok=True)
        id = file.read_text()
        if not re.fullmatch(r"[0-9a-f]{32}", id):  # damaged, as by a power loss
            file.unlink(missing_ok=True)
            return self.store_address(store)
        base, mark, options = store.partition("?")
        return f"{base.rstrip('/')}/{id}{mark}{options}"

    @property
    def store_id(self) -> str:
        """The name of the part of a store that has the outputs of the runs in this folder, "" if there is none."""
        with suppress(OSError):
            return (self.path / _STORE_ID).read_text()
        return ""

    def store_folders(self) -> tuple[Path, ...]:
        """Return the folders for outputs in places that machines share, and for copies of them on this machine.

        The first is a name, which folders have in several places. Empty if no run of this folder has had such a place.
        """
        if not self.store_id:
            return ()
        from nfrun.tables.places.host_cache import default_folder  # few runs have a place

        return Path(self.store_id), default_folder()

    def is_used(self) -> bool:
        """Return whether a run has ever used the folder. Otherwise it may be any folder of the user."""
        return any((self.path / name).exists() for name in (_LOCK, "runs"))

    @contextmanager
    def start_run(
        self, pipeline: Pipeline, *, wait: float = 0.0, on_wait: Callable[[str], object] = lambda holder: None
    ) -> Iterator[RunStart]:
        """Give a new run its number, and hold the lock of its pipeline within the `with` block.

        Creates the work folder if it is missing. Removes what killed runs left, of all pipelines. Raises OSError,
        HandoffError if the folder cannot be locked, and WorkDirLocked if another run of the pipeline, or `nfrun clean`,
        holds the lock for the next `wait` seconds, at least 0.25. If it waits longer, it calls `on_wait(message)` once.
        """
        with ExitStack() as stack:
            run, waited = wait_for(partial(self._lock_pipeline, pipeline, stack), wait, on_wait)
            self.remove_left()
            yield RunStart(run, run_number(run), waited)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the work folder alone within the `with` block: no run is under way in it.

        Raises OSError, HandoffError if the folder cannot be locked, and WorkDirLocked if a run, or `nfrun clean`, holds
        a lock for the next 0.25 seconds.
        """
        with ExitStack() as stack:
            wait_for(partial(self._lock_alone, stack))
            yield

    @contextmanager
    def pause_starts(self) -> Iterator[None]:
        """Let no run start within the `with` block, for moments only. Raises OSError, HandoffError without locks."""
        lock = self._open_lock(self.path / _LOCKS, os.O_RDONLY | os.O_DIRECTORY, fcntl.LOCK_EX)
        try:
            yield
        finally:
            close_lock(lock)

    def is_running(self, pipeline: str) -> bool:
        """Return whether a run of the pipeline with this name is under way, of this process too. Raises OSError."""
        return is_locked(self._lock_of(pipeline))

    def _lock_of(self, pipeline: str) -> Path:
        return self.path / _LOCKS / f"{_file_name(pipeline)}.lock"  # not `.yaml`: it is no pipeline file

    def runs_under_way(self) -> frozenset[str]:
        """Return the ids of the runs that hold a lock, also of older versions. Skips locks of other users.

        Raises OSError for a lock that cannot be opened now: nobody knows whether its run is under way.
        """
        found: set[str] = set()
        for path in (self.path / _LOCK, *(self.path / _LOCKS).glob("*")):
            with suppress(PermissionError):
                run = holder_of(path).get("run") if not path.is_symlink() and is_locked(path) else None
                found.update({run} if isinstance(run, str) else ())
        return frozenset(found)

    def make_run_folder(self, run_id: str) -> Path:
        """Create the folder of a new run and return its path. Raises OSError."""
        folder = self.path / "runs" / run_id
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
        return folder

    def remove_left(self) -> None:
        """Remove what killed runs left, whatever their pipeline. Ignores errors, as in a folder that is read-only.

        Each lock names the last run of its pipeline, and that run has removed what earlier ones left.
        """
        for path in (self.path / _LOCKS).glob("*"):
            with suppress(OSError):
                run = holder_of(path).get("run")  # before the look at the lock, which a new run may take meanwhile
                if isinstance(run, str) and _RUN.fullmatch(run) and not is_locked(path):
                    self.remove_unfinished(run)

    def remove_unfinished(self, run_id: str) -> None:
        """Remove the scratch folders and unfinished files of an ended run that was killed. Ignores errors."""
        folder = self.path / "runs" / run_id
        with suppress(OSError):
            names = os.listdir(folder)  # noqa: PTH208  (quick, however many there are)
            left = [folder / name for name in names if name == SCRATCH or name.endswith(PARTIAL)]
            for path in left if left and is_inside(left[0], self.path) else ():
                remove(path, ignore_errors=True)

    def run_folders(self) -> list[Path]:
        """Return the folders of all runs, the first run first; those of older versions are sorted by name.

        Skips links and other entries of `runs/`. Empty where there are no runs yet. Raises OSError if they cannot be
        listed.
        """
        runs = self.path / "runs"
        try:
            with os.scandir(runs) as found:
                names = [entry.name for entry in found if is_run_id(entry.name) and entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [runs / name for name in sorted(names, key=lambda name: (run_number(name), name))]

    def given_input(self, digest: str) -> Path:
        """Return the path of the file with a table that a program has given to a run, by the digest of its content."""
        return self.path / INPUTS / f"{digest}.arrow"

    def make(self) -> None:
        """Create the folder if it is missing. Raises OSError, and HandoffError if it cannot have locks."""
        if not self.path.exists():  # an existing folder may be the user's own, as with `--work .`
            self.above = make_folders(self.path, 0o700)
            with name_errors(self.path / ".gitignore") as ignored:
                ignored.write_bytes(WORK_IGNORED)
        try:
            (self.path / _LOCKS).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise unusable(self.path / _LOCKS if self.path.is_dir() else self.path, error) from error

    def _open_lock(self, path: Path, flags: int, kind: int) -> int:
        try:
            return open_lock(path, flags, kind)
        except (BlockingIOError, FileNotFoundError):
            raise
        except OSError as error:
            raise unusable(path, error) from error

    def _lock_pipeline(self, pipeline: Pipeline, stack: ExitStack) -> str:
        """Take the locks of a run until `stack` is closed, and return its id. Raises WorkDirLocked and OSError.

        Removes what the last run of the pipeline left before the lock names the new one: if killed, the next run can.
        """
        self.make()
        own = self._lock_of(self.pipeline_name(pipeline))
        with self.pause_starts(), ExitStack() as held:
            locks = []
            for path, kind in ((self.path / _LOCK, fcntl.LOCK_SH), (own, fcntl.LOCK_EX)):
                try:
                    locks.append(self._open_lock(path, os.O_RDWR | os.O_CREAT, kind | fcntl.LOCK_NB))
                except BlockingIOError:
                    raise self._locked(path) from None
                held.callback(close_lock, locks[-1])
            last, previous = map(read_holder, locks)
            number = self._last_number(last) + 1
            id, file = new_run_id(number), ellipsize(pipeline.file, _MAX_SHOWN)
            if isinstance(ended := previous.get("run"), str) and _RUN.fullmatch(ended):
                self.remove_unfinished(ended)
            for path, lock in zip((self.path / _LOCK, own), locks, strict=True):
                self._write_holder(path, lock, run=id, number=number, pipeline=file)
            stack.enter_context(held.pop_all())
        return id

    def _lock_alone(self, stack: ExitStack) -> None:
        self.make()
        path = self.path / _LOCK
        try:
            lock = self._open_lock(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = [path for path in sorted((self.path / _LOCKS).iterdir()) if is_locked(path)]
            raise self._locked(*running or [path]) from None
        stack.callback(close_lock, lock)
        self._write_holder(path, lock, command="nfrun clean", number=self._last_number(read_holder(lock)))

    def _write_holder(self, path: Path, lock: int, **holder: str | int) -> None:
        try:
            write_holder(lock, **holder)
        except OSError as error:
            raise unusable(path, error) from error

    def _locked(self, *paths: Path) -> WorkDirLocked:
        """Return the error that names the holders of these lock files."""
        holders = [*map(holder_of, paths)]
        what = next((f"'{holder['command']}'" for holder in holders if holder.get("command")), "another run")
        known = "; ".join(filter(None, map(describe_holder, holders)))
        return WorkDirLocked(f"{what} is under way in {self.path}{f' ({known})' if known else ''}")

    def _last_number(self, last: Mapping[str, Any]) -> int:
        """Return the highest number that a run in this folder has had. `last` is the holder that `lock` names.

        Folders of runs count too, since the lock file may be damaged, or older than they are. Raises OSError.
        """
        runs = self.path / "runs"
        names = os.listdir(runs) if runs.is_dir() else []  # noqa: PTH208  (quick, however many there are)
        number = last.get("number")
        known = number if isinstance(number, int) and 0 <= number < _MAX_RUNS else 0
        return max([known, *map(run_number, names)])


def _file_name(pipeline: str) -> str:
    """Return the name of a pipeline as the name of a file, which the system limits to 255 bytes."""
    return pipeline if len(os.fsencode(pipeline)) <= _MAX_NAME else _checksum(pipeline)


def _checksum(text: str) -> str:
    from nfrun.system.checksums import text_checksum

    return text_checksum(text)


def wait_for(
    take: Callable[[], _Held], seconds: float = 0.0, on_wait: Callable[[str], object] = lambda holder: None
) -> tuple[_Held, bool]:
    """Call `take` until it does not raise WorkDirLocked, for `seconds` and at least 0.25. Returns its result.

    Beside the result, returns whether it waited for longer than 0.25 s; then it has called `on_wait(error)` once.
    """
    begin, told = time.monotonic(), False
    while True:
        try:
            return take(), told
        except WorkDirLocked as locked:
            waited = time.monotonic() - begin
            if waited > max(seconds, _TIMEOUT_SECONDS):
                raise
            if waited > _TIMEOUT_SECONDS and not told:
                told = True
                on_wait(str(locked))
        time.sleep(_WAIT_SECONDS if told else _POLL_SECONDS)


def open_lock(path: Path, flags: int, kind: int) -> int:
    """Open and lock a file or folder and return its descriptor. Raises OSError.

    `kind` is that of `flock`. With `LOCK_NB`, raises BlockingIOError if another holder is in the way.
    """
    while True:
        lock = os.open(path, flags | _FLAGS, 0o600)
        _OPEN_LOCKS.append(lock)
        try:
            with name_errors(path):
                fcntl.flock(lock, kind)
            if is_same_file(lock, path):  # else it was removed and made again
                return lock
        except BaseException:
            close_lock(lock)
            raise
        close_lock(lock)


def close_lock(lock: int) -> None:
    """Close a file that `open_lock` has opened. Closing again does nothing."""
    if lock in _OPEN_LOCKS:
        _OPEN_LOCKS.remove(lock)
        with suppress(OSError):
            os.close(lock)


def is_locked(path: Path) -> bool:
    """Return whether a process holds this lock file alone, this process too. Raises OSError."""
    try:
        close_lock(open_lock(path, os.O_RDONLY, fcntl.LOCK_SH | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def read_holder(lock: int) -> dict[str, Any]:
    """Return the mapping that the holder wrote into the open lock file; empty if it is not there or not valid."""
    holder: Any = None
    with suppress(OSError, ValueError, RecursionError):
        holder = json.loads(os.pread(lock, _HOLDER_BYTES, 0))
    return holder if isinstance(holder, dict) else {}


def write_holder(lock: int, **holder: str | int) -> None:
    """Write the holder into a lock file, for the error message of other runs. Raises OSError."""
    text = json.dumps({**holder, "process": os.getpid(), "host": os.uname().nodename})
    # One write over the old text: a concurrent reader finds the old or the new holder, never an empty file.
    os.pwrite(lock, text.encode().ljust(_HOLDER_BYTES), 0)


def holder_of(path: Path) -> dict[str, Any]:
    """Return the mapping that the last holder wrote into a lock file; empty if it is unknown."""
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | _FLAGS)
        holder = read_holder(file)
        os.close(file)
        return holder
    return {}


def describe_holder(holder: Mapping[str, Any]) -> str:
    """Describe the holder of a lock, as in `pipeline p.yaml, run 3-20260101-000000`; "" if nothing is known of it."""
    return ", ".join(f"{key} {holder[key]}" for key in _SHOWN if holder.get(key))


def unusable(path: Path, error: OSError) -> HandoffError:
    """Return the error that says why a lock cannot be used and what to do. `error` is that of the system."""
    why, what_to_do = _REASONS.get(error.errno or 0, (error.strerror or str(error), ""))
    hint = ", or ".join(filter(None, (what_to_do, "keep the runs elsewhere with --work DIR")))
    return HandoffError(f"cannot use {path}: {why} ({hint})", error)


_A_FILE, _NO_PERMISSION = ("it is not a folder", "remove it"), ("no permission", "let this user read and write it")
_REASONS = {
    errno.EISDIR: ("it is a folder, not a file", "remove it"),
    errno.ENOTDIR: _A_FILE,
    errno.EEXIST: _A_FILE,
    errno.ELOOP: ("it is a symbolic link", "remove it"),
    errno.ESPIPE: ("it is not an ordinary file", "remove it"),
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: ("the file system is read-only", ""),
}
_OPEN_LOCKS: list[int] = []
# A child that a node forks inherits the locks and would hold them for as long as it lives.
os.register_at_fork(after_in_child=lambda: [*map(close_lock, [*_OPEN_LOCKS])])
