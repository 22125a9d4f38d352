"""Defines what a kind of node offers (`Kind`) and what it gets for one attempt (`NodeContext`, `CancelToken`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.pipeline import NodeSpec
from nfrun.logs.node_logs import StreamLog

GRACE_SECONDS = 5.0  # what a cancelled attempt has before it is killed, unless the run has another grace period


@dataclass(frozen=True, slots=True)
class NodeDiagnostic:
    """An error in a node, found without running anything.

    `path` leads from the node to the value, or to its key if `at_key`. `counts`: the error is about the number of
    inputs or values, such as a missing one.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    counts: bool = False


class NodeError(Exception):
    """A node failed for a reason that its message explains, without a traceback. `details` is shown below it."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class CancelToken:
    """Tells an attempt to stop, and calls its callbacks then. Thread-safe.

    Callbacks run with the lock held, so that none acts on a process that has ended: its id may have been reused. They
    must be quick and must not raise.
    """

    __slots__ = ("_callbacks", "_killed", "_lock", "cancelled")  # one is made per attempt

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object] | None]] = []
        self._killed = False
        self.cancelled = False

    @property
    def killable(self) -> bool:
        """Whether `kill` can end what is running now."""
        with self._lock:
            return any(kill for _, kill in self._callbacks)

    def cancel(self) -> None:
        """Ask the attempt to stop: calls the registered callbacks. Further calls do nothing."""
        with self._lock:
            if not self.cancelled:
                self.cancelled = True
                for callback, _ in self._callbacks:
                    callback()

    def kill(self) -> None:
        """Cancel the attempt, and call the registered `kill` callbacks."""
        self.cancel()
        with self._lock:
            self._killed = True
            for _, kill in self._callbacks:
                if kill:
                    kill()

    @contextmanager
    def on_cancel(self, callback: Callable[[], object], kill: Callable[[], object] | None = None) -> Iterator[None]:
        """Register callbacks while inside: `cancel` calls `callback`, `kill` calls `kill`.

        A callback whose call came before is called at once.
        """
        entry = (callback, kill)
        with self._lock:
            self._callbacks.append(entry)
            if self.cancelled:
                callback()
            if self._killed and kill:
                kill()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(entry)


class NodeContext(Protocol):
    """One attempt at one node, as its kind sees it.

    Paths are relative to `folder`. A child process is killed `grace` seconds after it was told to stop. `memo` is
    shared by all attempts in this process: a kind keeps there what it can use again.
    """

    node: NodeSpec
    attempt: int
    run: str
    folder: Path
    grace: float
    memo: dict[Any, Any]
    cancel_token: CancelToken

    @property
    def fsync(self) -> bool:
        """Whether files are synced, so that they survive a power loss."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """The whole environment of a child process."""
        ...

    @property
    def import_module(self) -> Callable[[str], Any] | None:
        """Imports a module of the project. None if the run has the process to itself: `sys.path` is changed then."""
        ...

    def table(self, name: str) -> Any:
        """Return an input as a `pyarrow.Table`. Raises NodeError, HandoffError."""
        ...

    def file(self, name: str) -> Path:
        """Return the path of an input's Arrow IPC file, once it is on disk. Raises NodeError, HandoffError."""
        ...

    def scratch(self) -> Path:
        """Return a folder of this attempt's own, removed afterwards. Raises HandoffError."""
        ...

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop to its end and returns its result."""
        ...

    def log(self, level: str, line: str) -> None:
        """Log a line; `level` is a logging level in lower case."""
        ...

    def stream_log(self, stream: str) -> StreamLog:
        """Return the log that takes what this attempt prints to `stdout` or `stderr`."""
        ...

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress in units of the node; `total` is None if unknown."""
        ...


class Kind(Protocol):
    """A kind of node: a module with these two functions, listed in `nodes/registry.py`."""

    def check(self, node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
        """Yield the errors that can be found without running or importing the user's code."""
        ...

    def run(self, context: NodeContext) -> Mapping[str, Any]:
        """Do the work. Returns the outputs, each a `pyarrow.Table` or `RecordBatchReader`, by output name.

        The name of an unnamed output is "". An output that the node did not produce is left out.
        """
        ...
