"""Whether anybody is left in a group of processes. Ends nobody, and does not know what the group was for."""

from __future__ import annotations

import os
import time
from contextlib import suppress

_LOOK_SECONDS = 0.01


def await_group(group: int, seconds: float) -> None:
    """Wait until nobody is left in a group of processes whose leader is gone, at most these seconds."""
    until = time.monotonic() + seconds
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(_LOOK_SECONDS)
