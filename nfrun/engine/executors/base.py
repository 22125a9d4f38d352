"""Defines the executor protocol and the callables that run an attempt.

An executor starts attempts and reports each outcome to a callback. The runner owns the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from nfrun.core.errors import Cause
from nfrun.core.events import Failure, NodeStarted, Outcome
from nfrun.nodes.base import CancelToken

# Runs a coroutine on an event loop to its end and returns its result.
RunCoroutine = Callable[[Coroutine[Any, Any, Any]], Any]
# Runs one attempt and returns its outcome. An executor makes a failure of what it raises: `nfrun_failure`.
RunAttempt = Callable[[NodeStarted, CancelToken, RunCoroutine], Outcome]
# Takes an outcome and returns the attempt that the calling thread runs next, or None.
OnOutcome = Callable[[Outcome], NodeStarted | None]

CANCELLED = Failure(Cause.CANCELLED, "Cancelled", "stopped")  # of an attempt that was told to stop


class Executor(Protocol):
    """Runs attempts concurrently. Each started attempt gives one outcome, unless `close` is called first."""

    def start(self, attempt: NodeStarted) -> None:
        """Start an attempt. Never blocks."""
        ...

    def stop(self, node: str, attempt: int) -> None:
        """Ask an attempt to stop, if it is still running. Never blocks."""
        ...

    def close(self, patience: float = 0.0) -> None:
        """End idle workers, and after `patience` seconds kill the attempts that can be killed.

        Does not wait for attempts that cannot be killed, such as Python code on a thread.
        """
        ...
