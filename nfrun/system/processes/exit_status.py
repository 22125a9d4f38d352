"""Says in words how a process ended."""

from __future__ import annotations

import signal

_HINTS = {
    "SIGKILL": "; the system does that when memory runs out",
    "SIGSEGV": "; compiled code in it crashed",
    "SIGBUS": "; compiled code in it crashed",
    "SIGABRT": "; compiled code in it aborted",
}


def describe_exit(status: int) -> str:
    """Return how a process ended: `exited with status 3`, `was killed by SIGTERM`, or `was killed by signal 40`.

    `status` is the exit status, or the negative number of the signal. Common signals come with their usual cause.
    """
    if status >= 0:
        return f"exited with status {status}"
    name = next((known.name for known in signal.Signals if known == -status), f"signal {-status}")
    return f"was killed by {name}{_HINTS.get(name, '')}"
