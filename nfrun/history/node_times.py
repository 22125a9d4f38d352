"""Defines the times of a node that a journal has, and the attempts that failed before its last one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nfrun.core.events import NodeFinished
from nfrun.core.values import frozen

_SECOND = 1_000_000  # lines have whole microseconds, which are written three times as fast as fractions


@frozen
class NodeTimes:
    """When the last attempt at a node started and ended, in seconds since the run began, and what it did meanwhile.

    All others are seconds: `queued` from when it was ready until it started, `inputs` it waited for its inputs, and
    `handoff` to hand on its outputs. `cpu` and `gil_wait` are as in `Outcome`.
    """

    started: float
    ended: float
    queued: float
    inputs: float = 0.0
    handoff: float = 0.0
    cpu: float = 0.0
    gil_wait: float = 0.0


@frozen
class FailedAttempt:
    """An attempt at a node after which another one was made, which was ready after `delay` more seconds.

    It was `queued` before. Times are as in `NodeTimes`.
    """

    started: float
    ended: float
    delay: float
    queued: float
    error: str


def line_of_times(started: float, queued: float, end: NodeFinished) -> tuple[int, ...]:
    """Return the times of a node that has finished as its line has them."""
    waits = end.input_waits
    return (
        int(started * _SECOND),
        int(end.at * _SECOND),
        int(queued * _SECOND),
        int(sum(waits.values()) * _SECOND) if waits else 0,
        int(end.publish_wait * _SECOND),
        int(end.cpu * _SECOND),
        int(end.gil_wait * _SECOND),
    )


def line_of_end(started: float, queued: float, ended: float) -> tuple[int, ...]:
    """Return the times of a node that did not finish as its line has them."""
    return int(started * _SECOND), int(ended * _SECOND), int(queued * _SECOND)


def line_of_attempt(attempt: FailedAttempt) -> tuple[int, int, int, int, str]:
    """Return a failed attempt as the line of its node has it."""
    times = attempt.started, attempt.ended, attempt.delay, attempt.queued
    started, ended, delay, queued = [int(value * _SECOND) for value in times]
    return started, ended, delay, queued, attempt.error


def times_of_line(times: Sequence[int]) -> NodeTimes | None:
    """Return the times in the line of a node, None where it has none, as in the journals of an older nfrun."""
    known = [value / _SECOND for value in times[: len(NodeTimes.__match_args__)]]
    return NodeTimes(*known) if len(known) >= 3 else None


def attempts_of_line(attempts: Sequence[Sequence[Any]]) -> tuple[FailedAttempt, ...]:
    """Return the failed attempts in the line of a node."""
    found = [([time / _SECOND for time in attempt[:4]], str(attempt[4])) for attempt in attempts]
    return tuple(
        [FailedAttempt(started, ended, delay, queued, error) for (started, ended, delay, queued), error in found]
    )
