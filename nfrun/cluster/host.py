"""The process that makes the attempts of one run on a machine of a cluster.

`hosted.py` starts it, and gives it the numbers of two pipes, and the bytes of memory that it may use: it gets frames
through the first pipe, and answers with frames through the second. At the end of the first it ends, with all that it
has started.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from nfrun.system.processes.reaper import split

_NAME = "nfrun-host-"


def main() -> None:
    """Serve the frames of the pipes."""
    reading, writing, memory = map(int, sys.argv[1:])
    for pipe in (reading, writing):
        os.set_inheritable(pipe, False)
    # Without links: what nodes open by relative names is in the folder that the system tells.
    folder = make_folder(Path(os.path.realpath(os.environ.get("TMPDIR") or "/tmp")))
    leave = split(reading, [writing], folder)
    from multiprocessing.connection import Connection  # the first of the two processes needs none of it

    from nfrun.cluster.host_loop import HostLoop

    loop = HostLoop(Connection(writing, readable=False), folder, memory)

    def end(number: int, frame: object) -> None:
        loop.is_ending = True  # what is killed now has not failed by itself
        leave(1)

    signal.signal(signal.SIGTERM, end)
    loop.serve(Connection(reading, writable=False))
    leave(0)


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


if __name__ == "__main__":
    main()
