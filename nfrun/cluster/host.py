"""The process that makes the attempts of one run on a machine of a cluster.

`hosted.py` starts it, and gives it the numbers of two pipes, and the bytes of memory that an attempt may use: it gets
frames through the first pipe, and answers with frames through the second. At the end of the first it ends, with all
that it has started.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from nfrun.system.processes.reaper import split


def main() -> None:
    """Serve the frames of the pipes."""
    reading, writing, memory = map(int, sys.argv[1:])
    for pipe in (reading, writing):
        os.set_inheritable(pipe, False)
    # Without links: what nodes open by relative names is in the folder that the system tells.
    folder = Path(os.path.realpath(os.environ.get("TMPDIR") or "/tmp"), f"nfrun-host-{os.urandom(6).hex()}")
    folder.mkdir(mode=0o700)
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


if __name__ == "__main__":
    main()
