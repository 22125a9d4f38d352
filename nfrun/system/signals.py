"""Handles Ctrl-C, SIGTERM and SIGHUP while a run is under way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What is told of each.
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@contextmanager
def cancel_on_signals(cancel: Callable[[str], None]) -> Iterator[list[int]]:
    """While inside, `cancel(why)` is called on Ctrl-C, SIGTERM and SIGHUP; the numbers of those are in the list."""
    caught: list[int] = []

    def handle(number: int, frame: object) -> None:
        caught.append(number)
        cancel(SIGNALS[signal.Signals(number)])

    # What is ignored stays so: under nohup nobody's terminal closing ends the run.
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    # A child that a node forks is none of ours: what is sent to it has to end it.
    os.register_at_fork(after_in_child=lambda: [signal.signal(*pair) for pair in before.items()])
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
