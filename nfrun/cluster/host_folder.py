"""Makes the temporary folder of a host, and removes those of hosts that were killed before they could do that."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

_NAME = "nfrun-host-"


def make_folder(parent: Path) -> Path:
    """Make a folder in `parent`, and lock it as long as this process or its child lives. Raises OSError.

    Folders there that nobody locks are removed.
    """
    for left in parent.glob(f"{_NAME}*"):
        with suppress(OSError):  # of another user, or removed meanwhile
            file = _lock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rmtree(left, ignore_errors=True)
            os.close(file)  # a host that has just made it waits for the lock, and makes another
    while True:
        folder = parent / f"{_NAME}{os.urandom(6).hex()}"
        folder.mkdir(mode=0o700)
        with suppress(OSError):  # a file system without locks
            _lock(folder, fcntl.LOCK_EX)
        if folder.is_dir():  # otherwise another host has found it before it was locked
            return folder


def _lock(folder: Path, how: int) -> int:
    """Lock a folder and return the open file, which stays open. Raises OSError if it is locked."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, how)
    except OSError:
        os.close(file)
        raise
    return file
