"""Where attempts run. An executor knows how to make an attempt and whom to tell, and has never heard of a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nfrun.core.events import NodeStarted, Outcome

# Given to an executor: "this came of it; have you more for me?" The answer is an attempt that the caller makes next.
OnOutcome = Callable[[Outcome], NodeStarted | None]


class Executor(Protocol):
    """Makes attempts, each in its own time. Each that was started is settled once, unless `close` came first."""

    def start(self, attempt: NodeStarted) -> None:
        """Begin an attempt. Never blocks."""
        ...

    def stop(self, node: str, attempt: int) -> None:
        """Ask an attempt to stop, if it is still under way. Never blocks."""
        ...

    def close(self, patience: float = 0.0) -> None:
        """Let go of what is idle, and kill what can be killed once `patience` seconds are over.

        Does not wait for attempts that can only end by themselves.
        """
        ...
