"""What the machine gives to this process, and what the process has taken of it. Decides nothing."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_RARELY = 10_000  # new objects between two searches among the young ones


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


@contextmanager
def gc_paused() -> Iterator[None]:
    """Inside nothing looks for garbage: a big graph is millions of objects and none of them garbage, and to go through
    them again and again takes longer than to build them. Afterwards, also on errors, everything is as before."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            # All that is new would count as young, and be gone through three times more. So it goes among the old ones
            # at once, which costs nothing; what somebody else has frozen must stay so.
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def collect_rarely() -> None:
    """Collect garbage, but nothing of what there is by now, and ten times as rarely as Python does by itself.

    What a big graph is made of stays until the end. What a run makes dies as soon as it is told: little is ever found.
    """
    gc.freeze()
    gc.set_threshold(_RARELY)
    gc.enable()


def quarter_of_memory() -> int:
    """A quarter of the memory of the machine, or of the container, in bytes; 1 GiB where the system does not tell."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 1 << 30
    with suppress(OSError, ValueError):  # "max" where there is no limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // 4
