"""Tests of what a worker process writes to its pipe: whole messages, whoever writes, and nothing after the outcome."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest

from nfrun.core.events import Outcome
from nfrun.engine.executors.pool import Message
from nfrun.engine.executors.worker import Cancelled, Outbox

OUTCOME = Outcome("node", 1)
LINE = Message("log", ("node", 1, "info", "line"))


class SplitPipe:
    """A pipe that writes each message in two parts. `between(value)` is called between the two."""

    def __init__(self, between: Callable[[Any], object] = lambda value: None) -> None:
        self.parts: list[tuple[Any, int]] = []
        self._between = between

    def send(self, value: object) -> None:
        self.parts.append((value, 1))
        self._between(value)
        self.parts.append((value, 2))

    def send_bytes(self, data: bytes) -> None:
        self.send(pickle.loads(data))


class WatchedLock:
    """A lock that tells when a thread wants it."""

    def __init__(self, wanted: threading.Semaphore) -> None:
        self._lock = threading.Lock()
        self._wanted = wanted

    def __enter__(self) -> None:
        self._wanted.release()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def make_outbox(pipe: SplitPipe) -> Outbox:
    return Outbox(cast(Connection, pipe))


def test_the_outcome_does_not_come_between_the_parts_of_a_message() -> None:
    half_written, go_on, progress = threading.Event(), threading.Event(), threading.Semaphore(0)

    def between(value: Any) -> None:
        if value == LINE:
            half_written.set()
            assert go_on.wait(10)

    pipe = SplitPipe(between)
    outbox = make_outbox(pipe)
    outbox._lock = WatchedLock(progress)  # type: ignore[assignment]

    def finish() -> None:
        outbox.finish(OUTCOME)
        progress.release()

    logging = threading.Thread(target=outbox.send, args=[LINE.method, *LINE.arguments], daemon=True)
    logging.start()
    assert half_written.wait(10)
    assert progress.acquire(timeout=10)
    finishing = threading.Thread(target=finish, daemon=True)
    finishing.start()
    assert progress.acquire(timeout=10)  # it waits for the lock, or has not waited for it
    go_on.set()
    logging.join(10)
    finishing.join(10)
    assert pipe.parts == [(LINE, 1), (LINE, 2), (OUTCOME, 1), (OUTCOME, 2)]


def test_nothing_follows_the_outcome() -> None:
    pipe = SplitPipe()
    outbox = make_outbox(pipe)
    outbox.send("progress", "node", 1, 2)
    outbox.finish(OUTCOME)
    outbox.send(LINE.method, *LINE.arguments)
    assert [value for value, _ in pipe.parts[::2]] == [Message("progress", ("node", 1, 2)), OUTCOME]


@pytest.mark.parametrize("in_outcome", [False, True])
def test_nothing_follows_what_is_cut_off(in_outcome: bool) -> None:
    def between(value: Any) -> None:
        if isinstance(value, Outcome) is in_outcome:
            raise Cancelled

    pipe = SplitPipe(between)
    outbox = make_outbox(pipe)
    if not in_outcome:
        with pytest.raises(Cancelled):
            outbox.send(LINE.method, *LINE.arguments)
    with pytest.raises(Cancelled):
        outbox.finish(OUTCOME)
    outbox.send(LINE.method, *LINE.arguments)
    assert len(pipe.parts) == 1


def test_a_value_that_cannot_be_pickled_stops_nothing() -> None:
    pipe = SplitPipe()
    outbox = make_outbox(pipe)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        outbox.send("progress", "node", lambda: None, 2)
    outbox.finish(OUTCOME)
    assert pipe.parts == [(OUTCOME, 1), (OUTCOME, 2)]
