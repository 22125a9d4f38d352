"""Measures and sets what this process uses: cores, memory, CPU time, the garbage collector."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nfrun.system.cgroups import cpu_quota, memory_limit

_BUSY = 1.5  # processes that want a core, per core
_GC_THRESHOLD = 10_000  # new objects between two collections of the youngest generation
_MANY_OBJECTS = 5_000  # fewer new objects are scanned faster than all frozen ones are counted


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


def idle_seconds() -> float | None:
    """Return how long the cores that this process may use were idle since the system started, in seconds of one core.

    None if the system does not tell.
    """
    with suppress(OSError, ValueError, IndexError, AttributeError):
        allowed, ticks = os.sched_getaffinity(0), 0
        for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()[1:]:
            core, *times = line.split()
            if not core.startswith("cpu"):
                return ticks / os.sysconf("SC_CLK_TCK")
            if int(core[3:]) in allowed:
                ticks += int(times[3]) + int(times[4])
    return None


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


def used_memory() -> int | None:
    """Return the resident memory of this process in bytes, None where the system does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None


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
