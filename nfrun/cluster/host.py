"""The process that makes the attempts of one run on a machine of a cluster.

`hosted.py` starts it, and gives it the numbers of two pipes, and the bytes of memory that it may use: it gets frames
through the first pipe, and answers with frames through the second. At the end of the first it ends, with all that it
has started.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from nfrun.cluster.host_folder import make_folder
from nfrun.system.processes.reaper import split


def main() -> None:
    """Serve the frames of the pipes."""
    reading, writing, memory = map(int, sys.argv[1:])
    for pipe in (reading, writing):
        os.set_inheritable(pipe, False)
    # Without links: what nodes open by relative names is in the folder that the system tells.
    folder = make_folder(Path(os.path.realpath(os.environ.get("TMPDIR") or "/tmp")))
    leave = split(reading, [writing], folder)
    from nfrun.cluster.host_loop import HostLoop  # the first of the two processes needs none of it

    with os.fdopen(reading, "rb") as frames_in, os.fdopen(writing, "wb") as frames_out:
        loop = HostLoop(frames_out, folder, memory)

        def end(number: int, frame: object) -> None:
            loop.is_ending = True  # what is killed now has not failed by itself
            leave(1)

        signal.signal(signal.SIGTERM, end)
        loop.serve(frames_in)
    leave(0)


if __name__ == "__main__":
    main()
