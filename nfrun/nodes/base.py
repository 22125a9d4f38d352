"""Defines what kinds of node share: the context of an attempt, its `CancelToken`, and the mistakes that they tell."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nfrun.core.errors import NodeError as NodeError
from nfrun.core.errors import Problem
from nfrun.core.file_source import FileSource
from nfrun.core.pipeline import NOTHING, NodeSpec, form_of, has_expression

if TYPE_CHECKING:
    from nfrun.system.checksums import FileLook
    from nfrun.system.logs.node_logs import StreamLog

GRACE_SECONDS = 5.0  # what a cancelled attempt has before it is killed, unless the run has another grace period


class CancelToken:
    """Tells an attempt to stop, and calls its callbacks then. Thread-safe.

    Callbacks run with the lock held, so that none acts on a process that has ended: its id may have been reused. They
    must be quick and must not raise. A coroutine under way is left alone for the seconds of `grace`.
    """

    __slots__ = ("_callbacks", "_killed", "_lock", "cancelled", "grace")  # one is made per attempt

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[tuple[Callable[[], object], Callable[[], object] | None]] = []
        self._killed = False
        self.cancelled = False
        self.grace = 0.0

    @property
    def killable(self) -> bool:
        """Whether `kill` can end the work under way."""
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

    Paths are relative to `folder`. A child process is killed `grace` seconds after it was told to stop. `granted` has
    the numbers of the units that the attempt holds, by budget. `memo` is shared by all attempts in this process: a kind
    keeps there what it can use again. `wrote` takes the checksums of files that the attempt wrote outside of the run
    and that `Outside.outputs` cannot tell from the node, by their names relative to the folder of the pipeline. With
    `fsync`, files are synced, so that they survive a power loss. `run_scratch` is the folder for what `memo` keeps: it
    need not exist, and is removed after the run. All queries in this process may take `memory_share` of the memory of
    queries. `may_share_memory`: a table that the node returns may share memory with an object that changes later.
    `stays_in_files`: no node is known to need the table that this node reads from files.
    """

    node: NodeSpec
    attempt: int
    run: str
    folder: Path
    grace: float
    granted: Mapping[str, tuple[int, ...]]
    memo: dict[Any, Any]
    wrote: dict[str, str]
    cancel_token: CancelToken
    fsync: bool
    run_scratch: Path
    memory_share: float
    may_share_memory: bool
    stays_in_files: bool

    @property
    def environ(self) -> Mapping[str, str]:
        """The whole environment of a child process."""

    @property
    def named_environ(self) -> Mapping[str, str]:
        """The variables that `env` of the file and of the node name."""

    @property
    def import_module(self) -> Callable[[str], Any] | None:
        """Imports a module of the node's folder. None if it may be imported as usual, with the folder on `sys.path`."""

    def has_input(self, name: str) -> bool:
        """Return whether there is something to read: an `optional` input may be absent."""

    def table(self, name: str) -> Any:
        """Return an input: a `pyarrow.Table` or the path of a file or folder; with `gather: dict` a mapping of these.

        Raises NodeError, FormatError, HandoffError.
        """

    def file(self, name: str) -> Path:
        """Return the path of an input's Arrow IPC file, once it is on disk, or of the file or folder that it is.

        With `gather: dict` it is a folder with one of these for each cell. Raises NodeError, FormatError, HandoffError,
        OSError.
        """

    def files(self, name: str) -> FileSource | None:
        """Return the files that hold the table of an input; None if only `table` has it.

        Whoever reads them calls `check_unchanged` of `tables/file_table.py` afterwards. Raises NodeError, HandoffError.
        """

    def look(self, path: Path) -> FileLook:
        """Return the checksum of a file, and the state that it had before it was read."""

    def scratch(self) -> Path:
        """Return a folder of this attempt's own, removed afterwards. Raises HandoffError."""

    def begin(self, *, imported: bool = False) -> None:
        """Report that the user's code begins: changes of the process are seen from now on. `imported`: it just was."""

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the event loop to its end and return its result."""

    def log(self, level: str, line: str) -> None:
        """Log a line; `level` is a logging level in lower case."""

    def stream_log(self, stream: str) -> StreamLog:
        """Return the log that takes what this attempt prints to `stdout` or `stderr`."""

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress in units of the node; `total` is None if unknown."""


class NamedFiles(dict[str, Path]):
    """Files that a text names, by the names to show.

    `by_pattern` are those that a pattern or a folder has found, and `written` names that the text seems to write to.
    `has_chmod`: the text, or the code among the files, calls `chmod` or the like. `variables` are the names of the
    variables of the environment that they read. `digests` are those of many files, by the pattern or folder that has
    found them. `obstacle` says why not all files are known, "" if they are. It does not count for a node with `files`.
    """

    def __init__(self, files: Mapping[str, Path] = NOTHING, obstacle: str = "") -> None:
        super().__init__(files)
        self.by_pattern: set[str] = set()
        self.written: set[str] = set()
        self.has_chmod = False
        self.variables: set[str] = set()
        self.digests: dict[str, str] = {}
        self.obstacle = obstacle

    def renamed(self, rename: Callable[[str], str]) -> NamedFiles:
        """Return the same files under other names."""
        found = NamedFiles({rename(name): path for name, path in self.items()}, self.obstacle)
        found.by_pattern, found.written = {*map(rename, self.by_pattern)}, {*map(rename, self.written)}
        found.has_chmod = self.has_chmod
        found.digests = {rename(name): digest for name, digest in self.digests.items()}
        return found


def check_makes_tables(node: NodeSpec) -> Iterator[Problem]:
    """Check the outputs of a node whose kind makes nothing but tables."""
    for name, type in node.types.items():
        what = f"a {node.kind} node makes tables, and '{name}' is a {form_of(type)}"
        hint = "read the table in a python or run node, and make it there"
        yield Problem(("outputs", name, "type"), what, hint)


def check_gathered(node: NodeSpec) -> Iterator[Problem]:
    """Check the inputs of a node whose kind can read nothing but one table for each."""
    for item in node.inputs:
        if item.gather and item.gather.form == "dict":
            what = f"'gather: dict' is not for {node.kind} nodes"
            yield Problem(("inputs", item.name, "gather"), what, "one table is gathered by 'concat'")
        if item.optional:
            what, hint = f"a {node.kind} node cannot do without a table", "say what is read instead: else: NODE"
            yield Problem(("inputs", item.name, "optional"), what, hint, at_key=True)


def output_name(node: NodeSpec) -> str:
    """Return the name of the only output of a node, "" if it is unnamed."""
    return node.outputs[0] if node.outputs else ""


def seed_of(node: NodeSpec, rows: bytes = b"") -> str | None:
    """Return the text that seeds what the node draws: the same in every run and attempt, whatever the node reads.

    For a call of a mapped node, that depends on the keys of the `rows`, and not on the name of the node: their results
    are used for other nodes, too. None if the node shall draw other numbers each time.
    """
    return None if node.cache is False else json.dumps([rows.hex() or node.id, node.kind, node.body, dict(node.with_)])


def texts_in(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the texts in a value, each with its path."""
    if isinstance(value, str):
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from texts_in(item, (*path, step))


def is_evaluated(value: Any) -> bool:
    """Return whether no text in a value has an expression."""
    return not any(has_expression(text) for _, text in texts_in(value))
