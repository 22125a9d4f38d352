"""Checks for `nfrun doctor` whether runs can be fast and right on this machine: cores, memory, processes and disks."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import mmap
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from nfrun.core.health import NOTE, OK, PROBLEM, HealthCheck
from nfrun.core.text import format_count, format_seconds, format_size, shortened
from nfrun.core.values import frozen
from nfrun.system.atomic_files import atomic_write
from nfrun.system.mounts import mount_of
from nfrun.system.native_threads import given_thread_variables
from nfrun.system.processes.process_exit import LONGEST, is_too_long
from nfrun.system.processes.process_tree import describe_exit, find_prctl
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
_IMPORT_SECONDS = 60.0
_SLOW_IMPORT = 3.0

_LITTLE_SPACE = 1_000_000_000
_NO_SPACE = 50_000_000
_FEW_INODES = 10_000
_FILES = 20
_SLOW_FILE = 0.01  # seconds; a local disk takes 0.0001
_CLOCKS = 1.0  # seconds by which that of a file system may differ
_TEMPORARY = "/tmp"
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


def check_processes() -> HealthCheck:
    """Check whether the processes of a run can be kept together, so that none outlives it."""
    if find_prctl() is not None:
        return HealthCheck("processes", OK, "none outlives its run", "", {"kept_together": True})
    text = "the system call prctl of Linux is not to be had: children of nodes may outlive a killed run"
    return HealthCheck("processes", NOTE, text, "allow it, as in the seccomp profile", {"kept_together": False})


def check_imports(packages: Sequence[str]) -> HealthCheck:
    """Import packages, each in a Python of its own, and say how long it takes."""
    taken: dict[str, float] = {}
    for name in packages:
        began = time.perf_counter()
        if why := _import(name):
            advice = f"install it again: {sys.executable} -m pip install --force-reinstall {name}"
            return HealthCheck("imports", PROBLEM, f"{name} cannot be imported: {why}", advice, {"seconds": taken})
        taken[name] = round(time.perf_counter() - began, 4)
    text = ", ".join(f"{name} in {format_seconds(seconds)}" for name, seconds in taken.items())
    is_slow = sum(taken.values()) >= _SLOW_IMPORT and not is_busy()
    advice = "each start takes that long: is Python on a network file system, or does a virus scanner read it?"
    return _check("imports", text, {"seconds": taken}, (is_slow, NOTE, "", advice))


def _import(package: str) -> str:
    """Import a package in a new Python. Returns why that failed, "" if it did not."""
    command = [sys.executable, "-P", "-c", f"import {package}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_IMPORT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it takes more than {_IMPORT_SECONDS:g} s"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else [describe_exit(done.returncode), *lines][-1]


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


# ------------------------------------------------------------------ file systems, temporary files and the clock


@frozen
class Trial:
    """The result of using a folder. `seconds` is how long a small file takes, and `ahead` by how many seconds the
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
    few = inodes if inodes is not None and inodes < _FEW_INODES else None
    text += "" if few is None else f", {few:,} more files"
    little = "tables take at most a tenth of what is free, and nodes whose tables are gone run again"
    memory = "it is memory: tables take it from the nodes, and are gone when the machine starts again"
    layer = f"it goes with the container, and the next one runs all nodes: mount a volume at {folder}"
    remote = "; locks, renames and mapped files there are not those of a local disk"
    disk = _check(
        "disk",
        text,
        facts,
        (trial.lacks, PROBLEM, f"; {trial.lacks} do not work there: runs may disturb each other", _ELSEWHERE),
        (mount.is_network, PROBLEM, remote, _ELSEWHERE),
        (free < _NO_SPACE or (few is not None and few < 100), PROBLEM, "", _MAKE_ROOM),
        (free < _LITTLE_SPACE or few is not None, NOTE, "", little),
        (trial.seconds > _SLOW_FILE and not is_busy(), NOTE, "", f"each node waits for several files: {_ELSEWHERE}"),
        (mount.is_memory, NOTE, "", memory),
        (mount.is_layer, NOTE, "", layer),
    )
    differs = abs(trial.ahead) > _CLOCKS
    by = f"{format_seconds(abs(trial.ahead))} {'ahead of' if trial.ahead > 0 else 'behind'} " if differs else ""
    clock = f"that of {folder} is {by}this machine's"
    advice = "set both by NTP: until then large files are read again in each run"
    return [disk, _check("clock", clock, {"ahead": round(trial.ahead, 3)}, (differs, NOTE, "", advice))]


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
    size, is_long = free.f_bavail * free.f_frsize, is_too_long(str(folder))
    text = f"{folder}: {format_size(size)} free"
    if is_long:
        text += f"; its path has more than {LONGEST} bytes, so that sockets of worker processes are in /tmp"
    no_sockets = is_long and not os.access(_TEMPORARY, os.W_OK)
    return _check(
        "temporary",
        text,
        {"folder": str(folder), "free": size, "is_too_long": is_long},
        (size < _NO_SPACE, PROBLEM, "", "make room, or set TMPDIR to another folder"),
        (no_sockets, PROBLEM, "", "/tmp cannot be written: shorten TMPDIR"),
    )
