"""Cancels a run on Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# The reason that is shown for each.
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@contextmanager
def cancel_on_signals(cancel: Callable[[str], None]) -> Iterator[list[int]]:
    """Call `cancel(reason)` on Ctrl-C, SIGTERM and SIGHUP while inside. Yields the list of signals caught so far."""
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        caught.append(number)
        cancel(SIGNALS[signal.Signals(number)])

    # An ignored signal stays ignored: under nohup, closing the terminal does not end the run.
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
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
