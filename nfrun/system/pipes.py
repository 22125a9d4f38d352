"""Reads pipes in chunks while their writer runs. Does not wait for other processes that hold them open."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Mapping
from contextlib import suppress

from nfrun.system.threads import start_thread

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes, the most that a pipe can hold

Feed = Callable[[bytes], object]


def read_while(wait: Callable[[], object], pipes: Mapping[int, Feed]) -> None:
    """Pass each chunk that arrives in a pipe to its feed until `wait`, called on another thread, returns.

    Raises OSError or HandoffError before `wait` is called if no pipe or thread is available.
    """
    end_read, end_write = os.pipe()

    def wait_and_signal() -> None:
        try:
            wait()
        finally:
            # Not only close it: a child that a node forked meanwhile has this end too.
            with suppress(OSError):  # the reader has gone
                os.write(end_write, b"\0")
            os.close(end_write)

    try:
        try:
            waiter = start_thread(wait_and_signal, "nfrun-capture")
        except BaseException:
            os.close(end_write)
            raise
        _read_until(end_read, pipes)
        waiter.join()
    finally:
        os.close(end_read)


def _read_until(end_read: int, pipes: Mapping[int, Feed]) -> None:
    with selectors.PollSelector() as selector:
        for pipe in (end_read, *pipes):
            selector.register(pipe, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if end_read in ready:
                return
            for pipe in ready:
                if read_chunk(pipe, pipes[pipe]) == 0:
                    selector.unregister(pipe)


def read_left(pipes: Mapping[int, Feed]) -> None:
    """Pass the bytes that are in the pipes now to their feeds, at most 1 MiB each. Never blocks."""
    for pipe, feed in pipes.items():
        remaining = _MOST_LEFT
        while remaining > 0 and (size := read_chunk(pipe, feed)):
            remaining -= size


def read_chunk(pipe: int, feed: Feed) -> int | None:
    """Pass one chunk to `feed`, without blocking. Returns its size in bytes, 0 at the end, None if there is no data."""
    os.set_blocking(pipe, False)
    try:
        data = os.read(pipe, _CHUNK)
    except BlockingIOError:
        return None
    if data:
        feed(data)
    return len(data)
