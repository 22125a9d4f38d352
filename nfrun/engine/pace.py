"""Decides whether reports keep up with what nodes print and log. Shows nothing; it is the last that hears of a line."""

from __future__ import annotations

import itertools

from nfrun.core.events import Event, NodeLogged

# Lines on their way. To tell so many takes a fraction of a second, for which the end of a run may have to wait.
MOST = 10_000


class Pace:
    """Counts the lines that were told of and that all reports have heard of. `said` is to be called for each."""

    hears = (NodeLogged,)

    def __init__(self) -> None:
        self._count = itertools.count(1)  # one step for the threads, as += is not
        self._said = 0
        self._heard = 0

    def said(self) -> None:
        """One more line was told of. From any thread."""
        self._said = next(self._count)

    def has_room(self) -> bool:
        """Whether one more line may be told of."""
        return self._said - self._heard < MOST

    def event(self, event: Event) -> None:
        self._heard += 1

    def close(self) -> None:
        """Nothing to write."""
