"""Cancels a run on Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

# The reason that is shown for each.
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
INTERRUPT = (signal.SIGINT,)


@contextmanager
def cancel_on_signals(
    cancel: Callable[[str], None], signals: Collection[signal.Signals] = tuple(SIGNALS)
) -> Iterator[list[int]]:
    """Call `cancel(reason)` on Ctrl-C, SIGTERM and SIGHUP, or these `signals` of them, while inside.

    Yields the list of signals caught so far. Only the main thread may call this.
    """
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        caught.append(number)
        cancel(SIGNALS[signal.Signals(number)])

    # An ignored signal stays ignored: under nohup, closing the terminal does not end the run. None is a handler that
    # Python has not set and cannot put back.
    handled = [number for number in signals if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handle) for number in handled}
    _REPLACED.append(before)
    try:
        yield caught
    finally:
        _put_back(before)
        _REPLACED.remove(before)


def _put_back(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)


_REPLACED: list[dict[signal.Signals, Any]] = []  # the handlers to put back, last in first out
# A signal to a child that a node forked has to end that child.
os.register_at_fork(after_in_child=lambda: [*map(_put_back, reversed(_REPLACED))])
