"""Puts off the search for garbage while much is built, and makes it rare. Knows nothing of what is built."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_RARELY = 10_000  # new objects between two searches among the young ones


@contextmanager
def no_garbage() -> Iterator[None]:
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
