"""Cancels a run on Ctrl-C, SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
    # A signal to a child that a node forked has to end that child.
    os.register_at_fork(after_in_child=lambda: [signal.signal(*pair) for pair in before.items()])
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
