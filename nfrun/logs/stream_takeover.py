"""The streams and signals of the process while a run has them: who writes where, and what asks it to stop."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from nfrun.logs.node_logs import Logs
from nfrun.logs.print_capture import Prints

# What is told of each.
SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@contextmanager
def signals(cancel: Callable[[str], None]) -> Iterator[list[int]]:
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


@contextmanager
def apart() -> Iterator[IO[str]]:
    """What was stdout, for results alone: what child processes of nodes print to theirs goes to stderr meanwhile."""
    try:
        ours = sys.stdout.fileno() == 1
    except (OSError, ValueError):
        ours = False
    if not ours:  # somebody has put a stream of their own there, who then gets the results
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    try:
        yield stream
    finally:
        with suppress(BrokenPipeError):  # whoever read it has gone, as with `| head`
            stream.close()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def printing(logs: Logs, beside: TextIO, goes_on: Callable[[], bool]) -> Iterator[None]:
    """While inside, what nodes print goes into their transcripts; what nobody in particular prints goes `beside`.

    If at the end a node `goes_on()`, its threads find the same streams, and what they print there is lost.
    """
    before = sys.stdout, sys.stderr
    # To stderr in the end: stdout is for results.
    prints = Prints("stdout", logs, beside), Prints("stderr", logs, beside)
    # Python's `print` only borrows the stream: were it gone while a thread that a node has left is at it, all would be.
    atexit.register(lambda: prints)
    sys.stdout, sys.stderr = prints
    try:
        yield
    finally:
        if goes_on():
            for stream, beside in zip(prints, before, strict=True):
                stream.end(beside)
        else:
            sys.stdout, sys.stderr = before
