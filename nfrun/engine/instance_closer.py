"""Closes the instances of classes that no node of a run needs any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from threading import Lock, Thread

from nfrun.core.errors import HandoffError
from nfrun.core.events import Event, NodeCancelled, NodeFailed, NodeFinished, NodeSkipped
from nfrun.core.pipeline import NodeSpec
from nfrun.system.threads import start_thread

_LOOK_SECONDS = 0.05  # between two looks whether the wait is over
ClassName = tuple[str, str]  # the folder and the body of the nodes that call it
# Returns what closes the instances that some process has, except those of the classes that are given, and returns
# messages about errors; None if it has no others. Does not block.
FindUnused = Callable[[Collection[ClassName]], Callable[[], Iterable[str]] | None]


class InstanceCloser:
    """A reporter that sees when the last node with the same body has ended, and has its instances closed then.

    `close()` of an instance is the user's code: it runs on a thread of its own, for which the end of a run waits
    `seconds` at most. If it raises, `on_error(message)` is called.
    """

    name = "instances"
    event_types = (NodeFinished, NodeFailed, NodeSkipped, NodeCancelled)

    def __init__(self, nodes: Iterable[NodeSpec], seconds: float, on_error: Callable[[str], object]) -> None:
        self._names = {spec.id: (spec.folder, spec.body) for spec in nodes}
        self._left: dict[ClassName, int] = {}
        for name in self._names.values():
            self._left[name] = self._left.get(name, 0) + 1
        self._seconds, self._on_error = seconds, on_error
        self._threads: list[Thread] = []
        self._lock = Lock()  # `close_all` must not miss a thread that another one has started and not listed yet
        self.finders: list[FindUnused] = []

    def event(self, event: Event) -> None:
        """Count a node that has ended."""
        assert isinstance(event, NodeFinished | NodeFailed | NodeSkipped | NodeCancelled)
        name = self._names.pop(event.node, None)
        if name is None:
            return
        self._left[name] -= 1
        if not self._left[name]:
            del self._left[name]
            self._close(self._left.keys())

    def close_all(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """Close all instances that are left. Waits for that, and for those that are being closed, until `is_over()`."""
        self._close(())
        until = time.monotonic() + self._seconds
        while (thread := self._next()) is not None:  # each once: one that hangs is not waited for again
            while thread.is_alive() and (left := until - time.monotonic()) > 0 and not is_over():
                thread.join(min(left, _LOOK_SECONDS))

    def _close(self, needed: Collection[ClassName]) -> None:
        with self._lock, suppress(HandoffError):  # no thread: the instances end with their process
            for close in [close for find in self.finders if (close := find(needed)) is not None]:
                self._threads.append(start_thread(self._run, "nfrun-close", close))

    def _next(self) -> Thread | None:
        with self._lock:
            return self._threads.pop() if self._threads else None

    def _run(self, close: Callable[[], Iterable[str]]) -> None:
        for message in close():
            self._on_error(message)
