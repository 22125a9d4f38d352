"""Calls `prctl`, by which a process asks Linux for things that concern itself."""

from __future__ import annotations

from collections.abc import Callable

# From <linux/prctl.h>.
PARENT_DEATH_SIGNAL, DUMPABLE, ADOPTS_ORPHANS = 1, 4, 36

Prctl = Callable[[int, int], int]


def find_prctl() -> Prctl | None:
    """Return the system call of that name, which gives 0 on success; None if it is not available."""
    try:
        import ctypes

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda what, value: int(call(what, ctypes.c_ulong(value), *[ctypes.c_ulong()] * 3))
