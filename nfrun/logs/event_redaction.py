"""Where secrets are taken out of what leaves a run: events on their way to whoever hears of them, errors, and stderr.

Everything else of nfrun sees values as they are. Knows no reports.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TextIO

from nfrun.core.errors import Problem
from nfrun.core.events import (
    AttemptStopped,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeLogged,
    NodeRetrying,
    NodeStarted,
    OutputPublished,
    OutputReleased,
    Ref,
    RunFinished,
)
from nfrun.core.pipeline import Pipeline
from nfrun.logs.redaction import Redactor, Sieve
from nfrun.system.std_streams import unfailing

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes that a pipe can hold


def redactor_of(pipeline: Pipeline, environ: Mapping[str, str]) -> Redactor:
    """What hides the secrets of the pipeline, as far as they have values."""
    return Redactor(environ[name] for name in pipeline.secrets if name in environ)


def telling_without(redactor: Redactor, tell: Callable[[Event], None]) -> Callable[[Event], None]:
    """What passes events on to `tell` with their texts redacted. Names of nodes and paths of files stay."""
    if not redactor:
        return tell
    return lambda event: tell(redacted(event, redactor))


def redacted(event: Event, redactor: Redactor) -> Event:
    """The event with all text in it redacted that may come from a node."""
    if isinstance(event, NodeLogged):
        return replace(event, text=redactor(event.text))
    if isinstance(event, NodeFailed | NodeRetrying):
        return replace(event, failure=_failure(event.failure, redactor))
    if isinstance(event, RunFinished):
        return replace(event, error=redactor(event.error))
    if isinstance(event, NodeCancelled | AttemptStopped):
        return replace(event, why=redactor(event.why))
    if isinstance(event, NodeStarted):
        return replace(event, inputs={id: _ref(ref, redactor) for id, ref in event.inputs.items()})
    if isinstance(event, NodeFinished):
        return replace(event, outputs={id: _ref(ref, redactor) for id, ref in event.outputs.items()})
    if isinstance(event, OutputPublished | OutputReleased):
        return replace(event, ref=_ref(event.ref, redactor))
    return event


def redacted_problem(problem: Problem, redactor: Redactor) -> Problem:
    """The problem with all text in it redacted; the line of the file that it shows too."""
    where = replace(problem.where, text=redactor(problem.where.text))
    return Problem(where, redactor(problem.what), redactor(problem.hint))


def _failure(failure: Failure, redactor: Redactor) -> Failure:
    frames = tuple(
        replace(frame, file=redactor(frame.file), function=redactor(frame.function), source=redactor(frame.source))
        for frame in failure.frames
    )
    return replace(
        failure,
        type=redactor(failure.type),
        message=redactor(failure.message),
        frames=frames,
        details=redactor(failure.details),
        inputs=tuple(map(redactor, failure.inputs)),
    )


def _ref(ref: Ref, redactor: Redactor) -> Ref:
    return replace(ref, schema=redactor(ref.schema))  # it has the names of columns


@contextmanager
def guarded_stderr(redactor: Redactor) -> Iterator[TextIO]:
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
        sys.stderr = unfailing(plain)
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
    sieve, left = Sieve(redactor.stream()), _MOST_LEFT
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
