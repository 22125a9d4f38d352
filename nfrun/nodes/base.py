"""What every kind of node offers, and what it is given to do its work. Knows no scheduler, executor or store."""

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

GRACE_SECONDS = 5.0  # what was told to stop has this long, unless somebody asked for another grace


@dataclass(frozen=True, slots=True)
class NodeDiagnostic:
    """What is wrong in a node, found without running anything.

    `path` leads from the node to the value, or to its key where `at_key`. `counts` where it depends on what the node is
    given as a whole: that something is missing or too many.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    counts: bool = False


class NodeError(Exception):
    """A node did not do what it should; the text is for the user and needs no traceback. `details` is shown below."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class CancelToken:
    """Whether an attempt should stop, and what to call then. Safe to use from several threads.

    What is called is called with the lock held, so that it never acts on something that is over: a process number may
    be another's by then. It must be quick and not raise.
    """

    __slots__ = ("_callbacks", "_killed", "_lock", "cancelled")  # one is made for every attempt

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object] | None]] = []
        self._killed = False
        self.cancelled = False

    @property
    def killable(self) -> bool:
        """Whether what is under way can be made to end."""
        with self._lock:
            return any(kill for _, kill in self._callbacks)

    def cancel(self) -> None:
        """Ask the attempt to stop. Calls whatever is registered, once; safe to call again."""
        with self._lock:
            if not self.cancelled:
                self.cancelled = True
                for callback, _ in self._callbacks:
                    callback()

    def kill(self) -> None:
        """Make the attempt end, where that is possible."""
        self.cancel()
        with self._lock:
            self._killed = True
            for _, kill in self._callbacks:
                if kill:
                    kill()

    @contextmanager
    def on_cancel(self, callback: Callable[[], object], kill: Callable[[], object] | None = None) -> Iterator[None]:
        """While inside, `callback` is what a stop calls, and `kill` ends it for good; at once if asked for before."""
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

    `folder` is what paths are relative to. What was told to stop is killed `grace` seconds later. `kept` holds what a
    kind found out in one attempt and wants to know in the next, whichever node that is at.
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
        """Whether what it writes is to survive a power loss."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """The whole environment for a child process."""
        ...

    def table(self, name: str) -> Any:
        """Open an input as a `pyarrow.Table`."""
        ...

    def file(self, name: str) -> Path:
        """The path of an input's Arrow IPC file."""
        ...

    def scratch(self) -> Path:
        """A folder of this attempt's own, removed afterwards. Raises HandoffError."""
        ...

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop to its end."""
        ...

    def log(self, level: str, line: str) -> None:
        """Tell the reports of a line."""
        ...

    def stream_log(self, stream: str) -> StreamLog:
        """What takes all that this attempt prints on `stdout` or `stderr`."""
        ...

    def progress(self, done: float, total: float | None = None) -> None:
        """Tell the reports how far the node is."""
        ...


class Kind(Protocol):
    """A kind of node: a module with these two functions, and one line in the table of `nfrun.nodes.registry`."""

    def check(self, node: NodeSpec, library: FunctionLookup) -> Iterator[NodeDiagnostic]:
        """All that can be seen to be wrong without running or importing anything of the user's."""
        ...

    def run(self, job: NodeContext) -> Mapping[str, Any]:
        """Do the work. Returns the outputs, `pyarrow.Table` or `RecordBatchReader`, by output name; "" is the name of
        an output without one. An output that the node did not give is left out."""
        ...
