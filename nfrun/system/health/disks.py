"""Checks the file systems of a work folder and of temporary files, and the clock, by using them."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_seconds, format_size
from nfrun.core.values import frozen
from nfrun.system.atomic_files import atomic_write
from nfrun.system.health.mounts import mount_of
from nfrun.system.processes.temp_folder import LONGEST, is_too_long
from nfrun.system.runtime import is_busy

_LITTLE_SPACE = 1_000_000_000
_NO_SPACE = 50_000_000
_FEW_INODES = 10_000
_FILES = 20
_SLOW_FILE = 0.01  # seconds; a local disk takes 0.0001
_CLOCKS = 1.0  # seconds by which that of a file system may differ
_TEMPORARY = "/tmp"
_MAKE_ROOM = "make room: 'nfrun clean --cache-size 0' removes all tables that can be made again"
_ELSEWHERE = "keep the runs on a local disk: --work DIR"


@frozen
class Trial:
    """What using a folder has shown. `seconds` is how long a small file takes, and `ahead` by how many seconds the
    clock of the file system differs. `lacks` says what does not work there, "" if all does."""

    seconds: float
    ahead: float
    lacks: str = ""


def try_folder(folder: Path) -> Trial:
    """Make files in a folder, lock, rename and map them, and remove them again. Raises OSError."""
    place = Path(tempfile.mkdtemp(prefix=".nfrun-doctor-", dir=folder))
    try:
        began = time.perf_counter()
        for number in range(_FILES):
            with atomic_write(place / str(number)) as name:
                Path(name).write_bytes(b"x" * mmap.PAGESIZE)
        seconds = (time.perf_counter() - began) / _FILES
        (place / "now").touch()
        ahead = (place / "now").stat().st_mtime - time.time()
        return Trial(seconds, ahead, _lacking(place / "0"))
    finally:
        rmtree(place, ignore_errors=True)


def _lacking(file: Path) -> str:
    with file.open("rb") as first, file.open("rb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return f"locks ({error.strerror})"
        with suppress(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "locks (two processes hold one at once)"
        try:
            mmap.mmap(first.fileno(), 0, access=mmap.ACCESS_READ).close()
        except OSError as error:
            return f"mapped files ({error.strerror})"
    return ""


def check_disk(folder: Path, what: str, table: Path = Path("/proc/self/mountinfo")) -> list[HealthCheck]:
    """Check the file system of the folder in which `what` is, and its clock. It must exist."""
    mount = mount_of(folder, table)
    kind = mount.type or "a file system of unknown type"
    facts: dict[str, Any] = {"folder": str(folder), "type": mount.type, "mounted": mount.point}
    try:
        there = os.statvfs(folder)
        free, inodes = there.f_bavail * there.f_frsize, there.f_favail if there.f_files else None
        trial = try_folder(folder)
    except OSError as error:
        why = error.strerror or str(error)
        text = f"{folder} ({kind}): {what} cannot be written there: {why}"
        do = {errno.ENOSPC: _MAKE_ROOM, errno.EDQUOT: _MAKE_ROOM, errno.EROFS: _ELSEWHERE}
        advice = do.get(error.errno or 0, f"let this user write there, or {_ELSEWHERE}")
        return [HealthCheck("disk", PROBLEM, text, advice, facts)]
    facts |= {"free": free, "inodes": inodes, "seconds_per_file": round(trial.seconds, 6)}
    text = f"{folder} ({kind}): {format_size(free)} free, a small file takes {format_seconds(trial.seconds)}"
    clock = _clock(trial, folder)
    if trial.lacks:
        text = f"{folder} ({kind}): {trial.lacks} do not work there: runs may disturb each other"
        return [HealthCheck("disk", PROBLEM, text, _ELSEWHERE, facts), *clock]
    if mount.is_network:
        text += "; locks, renames and mapped files there are not those of a local disk"
        return [HealthCheck("disk", PROBLEM, text, _ELSEWHERE, facts), *clock]
    level, advice = OK, ""
    if free < _NO_SPACE or (inodes is not None and inodes < 100):
        level, advice = PROBLEM, _MAKE_ROOM
    elif free < _LITTLE_SPACE or (inodes is not None and inodes < _FEW_INODES):
        level, advice = NOTE, "tables take at most a tenth of what is free, and nodes whose tables are gone run again"
    elif trial.seconds > _SLOW_FILE and not is_busy():
        level, advice = NOTE, f"each node waits for several files: {_ELSEWHERE}"
    elif mount.is_memory:
        level, advice = NOTE, "it is memory: tables take it from the nodes, and are gone when the machine starts again"
    elif mount.is_layer:
        level, advice = NOTE, f"it goes with the container, and the next one runs all nodes: mount a volume at {folder}"
    if inodes is not None and inodes < _FEW_INODES:
        text += f", {inodes:,} more files"
    return [HealthCheck("disk", level, text, advice, facts), *clock]


def _clock(trial: Trial, folder: Path) -> list[HealthCheck]:
    if abs(trial.ahead) <= _CLOCKS:
        return [HealthCheck("clock", OK, f"that of {folder} is this machine's", "", {"ahead": round(trial.ahead, 3)})]
    which = "ahead of" if trial.ahead > 0 else "behind"
    text = f"that of {folder} is {format_seconds(abs(trial.ahead))} {which} this machine's"
    advice = "set both by NTP: until then large files are read again in each run"
    return [HealthCheck("clock", NOTE, text, advice, {"ahead": round(trial.ahead, 3)})]


def check_temporary(environ: Mapping[str, str]) -> HealthCheck:
    """Check the folder of temporary files, in which worker processes have their sockets."""
    folder = Path(environ.get("TMPDIR") or _TEMPORARY)
    try:
        free = os.statvfs(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"{folder} cannot be written: {error.strerror or error}"
        return HealthCheck("temporary", PROBLEM, text, "set TMPDIR to a folder that can", {"folder": str(folder)})
    size = free.f_bavail * free.f_frsize
    facts = {"folder": str(folder), "free": size, "is_too_long": is_too_long(str(folder))}
    text = f"{folder}: {format_size(size)} free"
    if size < _NO_SPACE:
        return HealthCheck("temporary", PROBLEM, text, "make room, or set TMPDIR to another folder", facts)
    if facts["is_too_long"]:
        text += f"; its path has more than {LONGEST} bytes, so that sockets of worker processes are in /tmp"
        if not os.access(_TEMPORARY, os.W_OK):
            return HealthCheck("temporary", PROBLEM, text, "/tmp cannot be written: shorten TMPDIR", facts)
    return HealthCheck("temporary", OK, text, "", facts)
