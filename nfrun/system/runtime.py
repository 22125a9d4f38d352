"""Measures and sets what this process uses, and may use: cores, memory, CPU time, the garbage collector, its folder."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_BUSY = 1.5  # processes that want a core, per core
_GC_THRESHOLD = 10_000  # new objects between two collections of the youngest generation
_MANY_OBJECTS = 5_000  # fewer new objects are scanned faster than all frozen ones are counted
_CLONE_FS = 0x200  # of the system call `unshare`


def cores() -> int:
    """Return how many processor cores this process may use: those that it may run on, at most what a container may."""
    quota = cpu_quota()
    allowed = allowed_cores()
    return allowed if quota is None else max(1, min(allowed, int(-(-quota // 1))))


def allowed_cores() -> int:
    """Return on how many processor cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_busy() -> bool:
    """Return whether so many processes of the machine want a core that times say little about anything else."""
    return os.getloadavg()[0] > _BUSY * (os.cpu_count() or 1)


def peak_rss() -> int:
    """Return the peak resident memory of this process in bytes.

    Reads `/proc` where it exists: the value of `getrusage` includes memory of the parent at the time of the fork.
    """
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class PeakMemory:
    """The peak resident memory of this process, of which a part of its time can be told, where Linux does that.

    To ask for it takes a microsecond, since it keeps a file open; `/proc/self/status` takes a hundred.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)

    def begin(self) -> None:
        """Begin from what the process has now."""
        if self._file is not None:
            with suppress(OSError):
                os.write(self._file, b"5")

    def bytes(self) -> int:
        """Return the peak since `begin` was called, in bytes; 0 if it is not known."""
        if self._file is None:
            return 0
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def children_time() -> float:
    """Return the CPU seconds of children that have ended."""
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def gc_paused() -> Iterator[None]:
    """Turn the garbage collector off while inside, and restore it afterwards.

    Building a large graph makes millions of objects, none of them garbage: scanning them again and again takes longer
    than building them.
    """
    was_enabled = gc.isenabled()
    young = gc.get_count()[0]
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # Many new objects would count as young and be scanned three more times. Freeze and unfreeze move them to
            # the oldest generation at no cost. Objects that were frozen before must stay frozen; counting visits each.
            if gc.get_count()[0] - young >= _MANY_OBJECTS and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def collect_rarely() -> None:
    """Turn the collector on, exclude all present objects, and collect about a tenth as often as Python's default.

    The plan lives until the end, and most objects of a run are freed by reference counting: there is little to find.
    """
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
    gc.enable()


def available_memory() -> int:
    """Return the memory of the machine or the container in bytes; 4 GiB if unknown."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 32
    limit = memory_limit()
    return memory if limit is None else min(memory, limit)


def process_began() -> float:
    """Return when this process began, in seconds since 1970, exact to 10 ms; now if the system does not tell."""
    now = time.time()
    with suppress(OSError, ValueError, IndexError, AttributeError):
        after_name = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        ticks = int(after_name.split()[19])  # field 22: since the system started
        return min(now, now - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK"))
    return now


# ------------------------------------------------------------------ the control groups of Linux, as of a container

# Of version 2: those of version 1 are not looked at.


def cpu_quota(root: str = "") -> float | None:
    """Return how many cores' worth of time this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders(root):
        with suppress(OSError, ValueError):  # the file says "max" if there is no limit
            quota, period = map(int, _read(folder, "cpu.max").split())
            found.append(quota / period)
    return min(found, default=None)


def memory_limit(root: str = "") -> int | None:
    """Return how many bytes this process and those beside it may use; None without a limit."""
    found = []
    for folder in _folders(root):
        with suppress(OSError, ValueError):
            found.append(int(_read(folder, "memory.max")))
    return min(found, default=None)


def memory_left(root: str = "") -> int | None:
    """Return how many bytes of the limit are not used; None without a limit. Cached files do not count as used."""
    left = []
    for folder in _folders(root):
        with suppress(OSError, ValueError, KeyError):
            used = int(_read(folder, "memory.current")) - _numbers(folder, "memory.stat")["inactive_file"]
            left.append(int(_read(folder, "memory.max")) - used)
    return min(left, default=None)


def memory_kills(root: str = "") -> int:
    """Return how many processes of this group the system has ended because its memory ran out."""
    with suppress(OSError, ValueError, LookupError):
        return _numbers(_folders(root)[0], "memory.events")["oom_kill"]
    return 0


def processes_left(root: str = "") -> int | None:
    """Return how many more processes and threads may be started here; None without a limit."""
    left = []
    for folder in _folders(root):
        with suppress(OSError, ValueError):
            left.append(int(_read(folder, "pids.max")) - int(_read(folder, "pids.current")))
    return min(left, default=None)


@cache
def _folders(root: str) -> tuple[Path, ...]:
    """Return the folders of the groups with this process, the innermost first. All limits on the way count.

    In a container the path may be one of the machine outside: then only the outermost folder is there. Runs ask a few
    times, so it is found once.
    """
    top = Path(f"{root}/sys/fs/cgroup")
    with suppress(OSError):
        for line in Path(f"{root}/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::"):
                inner = top / line[3:].strip("/")
                return tuple([each for each in (inner, *inner.parents) if each.is_relative_to(top) and each.is_dir()])
    return ()


def _read(folder: Path, name: str) -> str:
    """Return the content of a file of a group. Raises OSError."""
    return (folder / name).read_text(encoding="utf-8")


def _numbers(folder: Path, name: str) -> dict[str, int]:
    """Return the numbers in such a file by their names. Raises OSError, ValueError."""
    return {key: int(number) for key, number in (line.split() for line in _read(folder, name).splitlines())}


# ------------------------------------------------------------------ the working directory


@contextmanager
def thread_directory(folder: Path) -> Iterator[bool]:
    """Make `folder` the working directory of this thread, and of threads that it starts, within the `with` block.

    Yields whether that was possible: only Linux can do it, and some containers forbid it. Then nothing is changed.
    """
    if not _has_own_directory():
        yield False
        return
    before = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(folder)
        yield True
    finally:
        os.fchdir(before)
        os.close(before)


def _has_own_directory() -> bool:
    """Give this thread a working directory of its own, for as long as it lives. Returns whether it has one."""
    import ctypes  # here: every command imports this module

    return sys.platform == "linux" and bool(ctypes.CDLL(None).unshare(_CLONE_FS) == 0)
