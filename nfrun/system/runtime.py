"""What the machine gives to this process, and what the process has taken of it. Decides nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def set_allocator() -> None:
    """Have Arrow take its memory from the system, unless the environment names another allocator. Before its import.

    Arrow's own default, mimalloc, makes threads that allocate large tables at once wait for one another: on two cores
    the flights of the year took 1.4 times as long with it.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_rss() -> int:
    """The most memory that this process held, in bytes; 0 where the system does not tell.

    From `/proc` where there is one: what `getrusage` says counts what the parent held when it started this process.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def children_time() -> float:
    """The seconds of processor time of the children that have ended; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
