"""What every kind of node offers, and what it is given to do its work. Knows no scheduler, executor or store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nfrun.callables import Library
from nfrun.spec import NodeSpec


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a node, found without running anything. `path` leads from the node to the value, or to its key
    where `at_key`."""

    path: tuple[str | int, ...]
    what: str
    hint: str = ""
    at_key: bool = False


class NodeError(Exception):
    """A node did not do what it should; the text is for the user and needs no traceback. `details` is shown below."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class Stop:
    """Whether an attempt should stop, and what to call then. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], object]] = []
        self.requested = False

    def request(self) -> None:
        """Ask the attempt to stop. Calls whatever is registered, once; safe to call again."""
        with self._lock:
            first, self.requested = not self.requested, True
            callbacks = list(self._callbacks) if first else []
        for callback in callbacks:
            callback()

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """While inside, `callback` is what a stop calls; at once if it was requested before."""
        with self._lock:
            self._callbacks.append(callback)
            requested = self.requested
        try:
            if requested:
                callback()
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at one node, as its kind sees it.

    `table(name)` opens an input as a `pyarrow.Table`, `file(name)` gives the path of its Arrow IPC file; `scratch()` is
    a folder of this attempt's own, removed afterwards; `environ` is the whole environment for a child process; `wait`
    runs a coroutine on the event loop to its end; `log(level, line)` and `progress(done, total)` go to the reports.
    """

    node: NodeSpec
    attempt: int
    run: str
    folder: Path
    environ: Mapping[str, str]
    table: Callable[[str], Any]
    file: Callable[[str], Path]
    scratch: Callable[[], Path]
    stop: Stop
    wait: Callable[[Coroutine[Any, Any, Any]], Any]
    log: Callable[[str, str], None]
    progress: Callable[[float, float | None], None]


class Kind(Protocol):
    """A kind of node: a module with these two functions, and one line in `nfrun.kinds.KINDS`."""

    def check(self, node: NodeSpec, library: Library) -> Iterator[Mistake]:
        """All that can be seen to be wrong without running or importing anything of the user's."""
        ...

    def run(self, job: Job) -> Mapping[str, Any]:
        """Do the work. Returns the outputs, `pyarrow.Table` or `RecordBatchReader`, by output name; "" is the name of
        an output without one. An output that the node did not give is left out."""
        ...
