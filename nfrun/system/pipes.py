"""Pumps pipes: passes what arrives in them to feeds, in chunks. Does not wait for processes that hold them open."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from nfrun.system.threads import start_thread

_CHUNK = 1 << 16  # bytes
_MOST_LEFT = 1 << 20  # bytes, the most that a pipe can hold

Feed = Callable[[bytes], object]


@contextmanager
def pumping(pipes: Mapping[int, Feed]) -> Iterator[None]:
    """Read the pipes on a thread inside the `with` block. At its end, pass on the bytes that are still in them.

    Raises OSError or HandoffError if no pipe or thread is available.
    """
    with ExitStack() as stack:
        end_read, end_write = os.pipe()
        for end in (end_read, end_write):
            stack.callback(os.close, end)
        stack.callback(start_thread(pump, "nfrun-pump", pipes, end_read).join)
        stack.callback(os.write, end_write, b"\0")  # not only closed: a child that a node forked has this end too
        yield


def pump(pipes: Mapping[int, Feed], end: int | None = None) -> None:
    """Pass each chunk that arrives in a pipe to its feed, until all pipes are closed at their other end.

    Stops earlier when `end`, another pipe, is readable, and passes on what is in the pipes by then.
    """
    with selectors.PollSelector() as selector:
        for pipe in pipes if end is None else (end, *pipes):
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = [key.fd for key, _ in selector.select()]
            if end in ready:
                break
            for pipe in ready:
                if read_chunk(pipe, pipes[pipe]) == 0:
                    selector.unregister(pipe)
    read_left(pipes)


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
