"""Whether anybody is left in a group of processes. Ends nobody, and does not know what the group was for."""

from __future__ import annotations

import os
import time

_LOOK_SECONDS = 0.01


def await_group(group: int, seconds: float) -> bool:
    """Wait until nobody is left in a group of processes whose leader is gone, at most these seconds.

    Returns whether that is so: then the number is free, and may be that of others when it is used next.
    """
    until = time.monotonic() + seconds
    try:
        while True:
            os.killpg(group, 0)
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_SECONDS)
    except (ProcessLookupError, PermissionError):
        return True
