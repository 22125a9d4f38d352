"""Reads pipes in chunks while their writer runs. Does not wait for other processes that hold them open."""

from __future__ import annotations

import os
import selectors
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes that a pipe can hold

Feed = Callable[[bytes], object]


def read_while(wait: Callable[[], object], pipes: Mapping[int, Feed]) -> None:
    """Passes what comes through the pipes to their feeds until `wait`, called on a thread of its own, returns.

    Raises OSError or RuntimeError before `wait` is called if no pipe or thread is available.
    """
    over, done = os.pipe()

    def waiting() -> None:
        try:
            wait()
        finally:
            # Not only close it: a child that a node forked meanwhile has this end too.
            with suppress(OSError):  # the reader has gone
                os.write(done, b"\0")
            os.close(done)

    try:
        waiter = threading.Thread(target=waiting, name="nfrun-capture", daemon=True)
        try:
            waiter.start()
        except BaseException:
            os.close(done)
            raise
        _read_until(over, pipes)
        waiter.join()
    finally:
        os.close(over)


def _read_until(over: int, pipes: Mapping[int, Feed]) -> None:
    with selectors.PollSelector() as selector:
        for pipe in (over, *pipes):
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if over in ready:
                return
            for pipe in ready:
                if read_chunk(pipe, pipes[pipe]) == 0:
                    selector.unregister(pipe)


def read_left(pipes: Mapping[int, Feed]) -> None:
    """Passes on what is in the pipes now, at most 1 MiB each. Never blocks."""
    for pipe, feed in pipes.items():
        left = _MOST_LEFT
        while left > 0 and (size := read_chunk(pipe, feed)):
            left -= size


def read_chunk(pipe: int, feed: Feed) -> int | None:
    """Passes on one chunk, without blocking. Returns its size in bytes, 0 at the end, None if there is no data."""
    os.set_blocking(pipe, False)
    try:
        data = os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None
    if data:
        feed(data)
    return len(data)
