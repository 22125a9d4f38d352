"""Checks for `nfrun doctor` whether runs can be fast and right on this machine: cores, memory, processes and disks."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import mmap
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_count, format_seconds, format_size, shortened
from nfrun.system.atomic_files import atomic_write
from nfrun.system.mounts import mount_of
from nfrun.system.native_threads import given_thread_variables
from nfrun.system.runtime import (
    allowed_cores,
    available_memory,
    cores,
    cpu_quota,
    is_busy,
    memory_kills,
    memory_left,
    processes_left,
)

_LITTLE_MEMORY = 1_000_000_000
_FEW_FILES = 1024
_FEW_PROCESSES = 64
_MOST_LISTED = 4
_LITTLE_SPACE = 1_000_000_000
_NO_SPACE = 50_000_000
_FILES = 20
_SLOW_FILE = 0.01  # seconds; a local disk takes 0.0001
_MAKE_ROOM = "make room: 'nfrun clean --cache-size 0' removes all tables that can be made again"
_ELSEWHERE = "keep the runs on a local disk: --work DIR"


def _check(about: str, text: str, facts: Mapping[str, Any], *wrong: tuple[object, str, str, str]) -> HealthCheck:
    """Return a check with the first of `wrong` that applies: its level, what it adds to the text, and what to do."""
    for applies, level, more, advice in wrong:
        if applies:
            return HealthCheck(about, level, text + more, advice, facts)
    return HealthCheck(about, OK, text, "", facts)


def check_cores(slots: int) -> HealthCheck:
    """Check how many cores there are for this process, beside all that runs. `slots` is how many nodes run at once."""
    machine, allowed, quota = os.cpu_count() or 1, allowed_cores(), cpu_quota()
    load = os.getloadavg()[0]
    of = f" of {machine}" if machine != cores() else ""
    text = f"{format_count(cores(), 'core')}{of}, {format_count(slots, 'node')} at once; the load is {load:.1f}"
    if allowed < machine:
        text += f"; this process may run on {allowed} (taskset, Slurm or a container's cpuset)"
    if quota is not None and quota < allowed:
        text += f"; its control group may use the time of {quota:g} (docker --cpus, a CPU limit of Kubernetes)"
    facts = {"cores": cores(), "machine": machine, "allowed": allowed, "quota": quota, "load": round(load, 2)}
    advice = "other programs use the cores, and nodes wait for them: look with 'top'"
    return _check("cores", text, facts, (is_busy(), NOTE, "", advice))


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> HealthCheck:
    """Check how much memory there is, and whether the system has ended processes for lack of it."""
    total, kills = available_memory(), memory_kills()
    free = min([left for left in (_free_memory(meminfo), memory_left()) if left is not None], default=None)
    text = format_size(total) + ("" if free is None else f", {format_size(free)} free")
    killed = f"; the system has ended a process here because memory ran out ({kills:,} so far)"
    fewer = "let fewer nodes run at once: -j, 'resources: {memory: …}'"
    return _check(
        "memory",
        text,
        {"bytes": total, "free": free, "kills": kills},
        (kills, NOTE, killed, f"give the container more memory, or {fewer}"),
        (free is not None and free < _LITTLE_MEMORY, NOTE, "", f"end other programs, or {fewer}"),
    )


def _free_memory(meminfo: Path) -> int | None:
    """Return how much memory programs can still have without swapping; None where the system does not tell."""
    with suppress(OSError, ValueError, LookupError):
        found = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(found["MemAvailable"].split()[0]) * 1024
    return None


def check_limits() -> HealthCheck:
    """Check how many files and processes there may be."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = processes_left()
    endless = files == resource.RLIM_INFINITY
    text = f"{'any number of' if endless else f'{files:,}'} open files"
    text += "" if left is None else f", {left:,} more processes and threads"
    raised = _FEW_FILES if most == resource.RLIM_INFINITY else min(most, _FEW_FILES)
    more = "raise the limit of the container on processes (docker --pids-limit): workers and threads need them"
    return _check(
        "limits",
        text,
        {"files": None if endless else files, "processes": left},
        (left is not None and left < _FEW_PROCESSES, PROBLEM, "", more),
        (not endless and files < _FEW_FILES, NOTE, "", f"'ulimit -n {raised}' allows more"),
    )


def check_threads(environ: Mapping[str, str]) -> HealthCheck:
    """Check whether variables let native libraries start more threads than cores, in every node at once."""
    given = given_thread_variables(environ)
    many = [f"{name}={value}" for name, value in given.items() if _number(value) > 1]
    if not many:
        text = "native libraries start one thread for each node that asks for no more"
        return HealthCheck("threads", OK, text, "", {"variables": given})
    advice = f"unset {'it' if len(many) == 1 else 'them'}: a node that needs more says 'resources: {{cpu: N}}'"
    text = f"{shortened(many, _MOST_LISTED)}: so many native threads in each of the nodes that run at once"
    return HealthCheck("threads", NOTE, text, advice, {"variables": given})


def _number(text: str) -> int:
    """Return the number in a variable of a library, which may have one for each level: `4,2`. 0 if it is none."""
    first = text.partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdecimal() else 0


def check_bytecode() -> HealthCheck:
    """Check whether Python can keep what it has compiled: without that, each start takes several times as long."""
    import nfrun.core

    there = os.path.exists(importlib.util.cache_from_source(nfrun.core.__file__))  # noqa: PTH110
    facts = {"written": not sys.dont_write_bytecode, "there": there}
    if there:
        return HealthCheck("bytecode", OK, "modules are compiled once", "", facts)
    site = Path(nfrun.__file__).parent.parent
    why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else f"Python cannot write to {site}"
    text = f"{why}, and nothing is compiled: each start compiles all modules again"
    advice = f"as a user who may write there, compile them once: {sys.executable} -m compileall -q {site}"
    return HealthCheck("bytecode", NOTE, text, advice, facts)


def try_folder(folder: Path) -> tuple[float, str]:
    """Make files in a folder, lock, rename and map them, and remove them again. Raises OSError.

    Returns how many seconds a small file takes, and what does not work there, "" if all does.
    """
    place = Path(tempfile.mkdtemp(prefix=".nfrun-doctor-", dir=folder))
    try:
        began = time.perf_counter()
        for number in range(_FILES):
            with atomic_write(place / str(number)) as name:
                Path(name).write_bytes(b"x" * mmap.PAGESIZE)
        seconds = (time.perf_counter() - began) / _FILES
        return seconds, _lacking(place / "0")
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


def check_disk(folder: Path, what: str, table: Path = Path("/proc/self/mountinfo")) -> HealthCheck:
    """Check the file system of the folder in which `what` is. It must exist."""
    mount = mount_of(folder, table)
    kind = mount.type or "a file system of unknown type"
    facts: dict[str, Any] = {"folder": str(folder), "type": mount.type, "mounted": mount.point}
    try:
        there = os.statvfs(folder)
        free = there.f_bavail * there.f_frsize
        seconds, lacking = try_folder(folder)
    except OSError as error:
        why = error.strerror or str(error)
        text = f"{folder} ({kind}): {what} cannot be written there: {why}"
        do = {errno.ENOSPC: _MAKE_ROOM, errno.EDQUOT: _MAKE_ROOM, errno.EROFS: _ELSEWHERE}
        advice = do.get(error.errno or 0, f"let this user write there, or {_ELSEWHERE}")
        return HealthCheck("disk", PROBLEM, text, advice, facts)
    facts |= {"free": free, "seconds_per_file": round(seconds, 6)}
    text = f"{folder} ({kind}): {format_size(free)} free, a small file takes {format_seconds(seconds)}"
    little = "tables take at most a tenth of what is free, and nodes whose tables are gone run again"
    memory = "it is memory: tables take it from the nodes, and are gone when the machine starts again"
    layer = f"it goes with the container, and the next one runs all nodes: mount a volume at {folder}"
    remote = "; locks, renames and mapped files there are not those of a local disk"
    return _check(
        "disk",
        text,
        facts,
        (lacking, PROBLEM, f"; {lacking} do not work there: runs may disturb each other", _ELSEWHERE),
        (mount.is_network, PROBLEM, remote, _ELSEWHERE),
        (free < _NO_SPACE, PROBLEM, "", _MAKE_ROOM),
        (free < _LITTLE_SPACE, NOTE, "", little),
        (seconds > _SLOW_FILE and not is_busy(), NOTE, "", f"each node waits for several files: {_ELSEWHERE}"),
        (mount.is_memory, NOTE, "", memory),
        (mount.is_layer, NOTE, "", layer),
    )
