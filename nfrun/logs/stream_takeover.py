"""The streams and signals of the process while a run has them: who writes where, and what asks it to stop."""

from __future__ import annotations

import atexit
import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from nfrun.logs.node_logs import Logs
from nfrun.logs.print_capture import PrintRouter
from nfrun.logs.redaction import RedactingFilter, Redactor
from nfrun.system.std_streams import best_effort_stream

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes that a pipe can hold


@contextmanager
def separate_stdout() -> Iterator[IO[str]]:
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
def capture_prints(logs: Logs, fallback: TextIO, goes_on: Callable[[], bool]) -> Iterator[None]:
    """While inside, what nodes print goes into their transcripts; what nobody in particular prints goes `beside`.

    If at the end a node `goes_on()`, its threads find the same streams, and what they print there is lost.
    """
    before = sys.stdout, sys.stderr
    # To stderr in the end: stdout is for results.
    prints = PrintRouter("stdout", logs, fallback), PrintRouter("stderr", logs, fallback)
    # Python's `print` only borrows the stream: were it gone while a thread that a node has left is at it, all would be.
    atexit.register(lambda: prints)
    sys.stdout, sys.stderr = prints
    try:
        yield
    finally:
        if goes_on():
            for stream, fallback in zip(prints, before, strict=True):
                stream.end(fallback)
        else:
            sys.stdout, sys.stderr = before


@contextmanager
def redact_stderr(redactor: Redactor) -> Iterator[TextIO]:
    """While inside, what anybody writes to the descriptors 1 and 2 reaches stderr redacted. Yields a stream for it.

    Also what child processes of nodes write there. `sys.stderr` goes to where stderr went, for those who say nothing
    that is secret. Without secrets nothing changes.
    """
    before = sys.stderr
    if not redactor:
        yield before
        return
    try:
        number = before.fileno()
    except (OSError, ValueError):  # somebody has put a stream of their own there
        number = -1
    ours = number >= 0
    (reading, writing), (over, done) = os.pipe(), os.pipe()
    kept = [os.dup(1), os.dup(2)] if ours else []
    with suppress(OSError, ValueError):
        before.flush()
    if ours:
        plain = os.fdopen(os.dup(number), "w", encoding=before.encoding)
        sys.stderr = best_effort_stream(plain)
        for descriptor in (1, 2):
            os.dup2(writing, descriptor)
    out = sys.stderr
    pump = threading.Thread(target=_pass_on, args=(reading, over, redactor, out), name="nfrun-stderr", daemon=True)
    pump.start()
    stream = os.fdopen(writing, "w", 1, "utf-8", "backslashreplace")
    try:
        yield stream
    finally:
        with suppress(OSError, ValueError):
            stream.close()
        for to, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, to)
            os.close(descriptor)
        os.write(done, b"\0")  # closing alone is not enough: a child that a node has forked has this end too
        os.close(done)
        pump.join()
        for descriptor in (reading, over):
            os.close(descriptor)
        sys.stderr = before
        if ours:
            out.close()
            plain.close()


def _pass_on(reading: int, over: int, redactor: Redactor, out: TextIO) -> None:
    """Until something comes through `over`: whoever a node has left behind may hold the other end of `reading` open.

    Then what is in the pipe by now, and not what such a one may go on to write.
    """
    sieve, left = RedactingFilter(redactor.stream()), _MOST_LEFT
    os.set_blocking(reading, False)
    with selectors.DefaultSelector() as selector:
        for descriptor in (reading, over):
            selector.register(descriptor, selectors.EVENT_READ)
        while left > 0:
            ended = over in [key.fd for key, _ in selector.select()]
            data = b""
            with suppress(BlockingIOError):
                data = os.read(reading, _CHUNK)
            if ended:
                left = left - len(data) if data else 0
            data = sieve.feed(data) + (b"" if left > 0 else sieve.end())
            with suppress(OSError, ValueError):  # whoever read it has gone; the pipe is emptied all the same
                out.write(data.decode(errors="backslashreplace"))
                out.flush()
