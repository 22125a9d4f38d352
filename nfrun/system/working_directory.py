"""Changes the working directory of one thread, and leaves that of all other threads as it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_FS = 0x200  # of the system call `unshare`


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
