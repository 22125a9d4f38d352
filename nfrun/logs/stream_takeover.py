"""Replaces stdout and stderr of the process during a run.

Results keep stdout for themselves, prints of nodes go to their logs, and stderr is redacted.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO

from nfrun.logs.print_capture import PrintRouter
from nfrun.logs.redaction import RedactingFilter, Redactor
from nfrun.system.std_streams import best_effort_stream
from nfrun.system.threads import start_thread

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes, the most that a pipe can hold

# For ever: `print` holds no reference to the stream, and freeing it while a thread prints would crash the process.
_ROUTERS = (PrintRouter("stdout", sys.stdout), PrintRouter("stderr", sys.stderr))
_CAPTURING = threading.Lock()
_INSIDE: list[threading.Thread] = []  # the threads inside `capture_prints`


@contextmanager
def separate_stdout() -> Iterator[IO[str]]:
    """Yield a stream to stdout for results alone. Inside, fd 1 leads to stderr, also for child processes of nodes.

    If the caller has replaced `sys.stdout` by a stream that is not fd 1, yields that and changes nothing.
    """
    try:
        ours = sys.stdout.fileno() == 1
    except (OSError, ValueError):
        ours = False
    if not ours:  # replaced by the caller, who gets the results
        yield sys.stdout
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    stream = os.fdopen(os.dup(kept), "w", encoding=sys.stdout.encoding, errors="backslashreplace")
    try:
        yield stream
    finally:
        with suppress(BrokenPipeError):  # the reader is gone, as with `| head`
            stream.close()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def capture_prints(fallback: TextIO | None = None, has_detached: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Route prints of nodes to the logs of their runs while inside; all other prints go to `fallback`, escaped.

    Several threads may be inside: the first replaces `sys.stdout` and `sys.stderr`, and the last puts them back. If
    `fallback` is None, other prints go to the replaced streams, as they are. If `has_detached()` is true at the end,
    because the code of a node still runs, the streams stay replaced: the main thread prints to the earlier streams, and
    prints of other threads are lost.
    """
    with _CAPTURING:
        _INSIDE.append(threading.current_thread())
        if len(_INSIDE) == 1:
            for router in _ROUTERS:
                router.install(fallback)
    try:
        yield
    finally:
        with _CAPTURING:
            _INSIDE.pop()
            if not _INSIDE:
                for router in _ROUTERS:
                    router.remove(has_detached=has_detached())


@contextmanager
def redact_stderr(redactor: Redactor) -> Iterator[TextIO]:
    """Redact everything that is written to fd 1 and fd 2 while inside; it reaches stderr. Yields a stream to it.

    This includes the output of child processes. `sys.stderr` leads to the original stderr without redaction, for text
    that has no secrets. Without secrets, yields `sys.stderr` and changes nothing. If `sys.stderr` has no descriptor,
    only the yielded stream is redacted.
    """
    before = sys.stderr
    if not redactor:
        yield before
        return
    try:
        number = before.fileno()
    except (OSError, ValueError):  # replaced by the caller
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
    pump = start_thread(_pump, "nfrun-stderr", reading, over, redactor, out)
    stream = os.fdopen(writing, "w", 1, "utf-8", "backslashreplace")
    try:
        yield stream
    finally:
        with suppress(OSError, ValueError):
            stream.close()
        for to, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, to)
            os.close(descriptor)
        os.write(done, b"\0")  # closing is not enough: a child forked by a node also holds this end
        os.close(done)
        pump.join()
        for descriptor in (reading, over):
            os.close(descriptor)
        sys.stderr = before
        if ours:
            out.close()
            plain.close()


def _pump(reading: int, over: int, redactor: Redactor, out: TextIO) -> None:
    """Copy `reading` to `out`, redacted, until `over` is readable, then what is in the pipe by now.

    Copies at most 1 MiB after the stop. Does not wait for the end of `reading`: a process that a node has left running
    may hold the other end open, and go on writing.
    """
    redacting, left = RedactingFilter(redactor.stream()), _MOST_LEFT
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
            data = redacting.feed(data) + (b"" if left > 0 else redacting.end())
            with suppress(OSError, ValueError):  # the reader is gone; the pipe must still be drained
                out.write(data.decode(errors="backslashreplace"))
                out.flush()
