"""Locks files for as long as a process lives, and names the holder of a lock in its file."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from nfrun.core.errors import HandoffError, WorkDirLocked
from nfrun.system.atomic_files import is_same_file, name_errors

# After a holder was killed, the system may take some milliseconds to end all of its processes.
_TIMEOUT_SECONDS = 0.25
_POLL_SECONDS = 0.005
_WAIT_SECONDS = 0.1  # between two looks while a run waits for another one
_HOLDER_BYTES = 4096  # bytes of a lock file that are read and written
_SHOWN = ("pipeline", "run", "process", "host")
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe does not block

_Held = TypeVar("_Held")


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
    """Return what the holder wrote into the open lock file; empty where it has not yet, or the text is not valid."""
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
    """Return what the last holder wrote into a lock file; empty where that is unknown."""
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY | _FLAGS)
        holder = read_holder(file)
        os.close(file)
        return holder
    return {}


def lockers(path: Path, table: Path = Path("/proc/locks")) -> list[int]:
    """Return the processes that have taken the lock of a file, as far as the system tells: Linux has a list of them."""
    found: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        inode = str(path.stat().st_ino)
        for line in table.read_text().splitlines():
            words = line.split()
            # Some file systems have another device there than `stat` says, so only the inode is compared.
            if words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode and int(words[4]) > 0:
                found.append(int(words[4]))
    return found


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
