"""Defines what a kind of node offers (`Kind`) and what it gets for one attempt (`NodeContext`, `CancelToken`)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nfrun import NodeError as NodeError
from nfrun.code.facts.code_facts import NO_FACTS, CodeFacts
from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.file_source import FileSource
from nfrun.core.map_spec import MapForm
from nfrun.core.output_types import form_of
from nfrun.core.pipeline import NOTHING, NodeSpec
from nfrun.core.values import KW_ONLY, field, frozen, mutable

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.code.reached_code import Statement
    from nfrun.system.checksums import FileLook
    from nfrun.system.logs.node_logs import StreamLog

_Files = Mapping[str, Path]  # by the names to show

GRACE_SECONDS = 5.0  # what a cancelled attempt has before it is killed, unless the run has another grace period


@frozen
class NodeDiagnostic:
    """An error in a node, found without running anything.

    `path` leads from the node to the value, or to its key if `at_key`. `counts`: the error is about the number of
    inputs or values, such as a missing one. With a `length`, the error is at that many characters of the value, from
    the index `start` on. `is_warning`: the node can run all the same.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    at_key: bool = False
    counts: bool = False
    start: int = 0
    length: int = 0
    is_warning: bool = False


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

    Paths are relative to `folder`. A child process is killed `grace` seconds after it was told to stop. `granted` has
    the numbers of the units that the attempt holds, by budget. `memo` is shared by all attempts in this process: a kind
    keeps there what it can use again. `wrote` takes the checksums of files that the attempt wrote outside of the run
    and that `Kind.external_outputs` cannot tell from the node, by their names relative to the folder of the pipeline.
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

    @property
    def fsync(self) -> bool:
        """Whether files are synced, so that they survive a power loss."""

    @property
    def environ(self) -> Mapping[str, str]:
        """The whole environment of a child process."""

    @property
    def named_environ(self) -> Mapping[str, str]:
        """The variables that `env` of the file and of the node name."""

    @property
    def run_scratch(self) -> Path:
        """The folder for what `memo` keeps. It need not exist, and is removed after the run."""

    @property
    def memory_share(self) -> float:
        """The share of the memory of all queries that those in this process may take."""

    @property
    def may_share_memory(self) -> bool:
        """Whether a table that the node returns may share memory with an object that changes later."""

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

    @property
    def stays_in_files(self) -> bool:
        """Whether no node is known to need the table that this node reads from files."""

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
    `touched` are names and patterns of files and folders of which the text seems to change the times, but not the
    content. `obstacle` says why not all files are known, "" if they are. It does not count for a node with `files`.
    """

    def __init__(self, files: Mapping[str, Path] = NOTHING, obstacle: str = "") -> None:
        super().__init__(files)
        self.by_pattern: set[str] = set()
        self.written: set[str] = set()
        self.touched: set[str] = set()
        self.obstacle = obstacle

    def renamed(self, rename: Callable[[str], str]) -> NamedFiles:
        """Return the same files under other names."""
        found = NamedFiles({rename(name): path for name, path in self.items()}, self.obstacle)
        found.by_pattern, found.written = {*map(rename, self.by_pattern)}, {*map(rename, self.written)}
        found.touched = {*map(rename, self.touched)}
        return found


@mutable  # equal to itself only
class Kind:
    """A kind of node: what it is, how it is checked, and how it runs. `nodes/registry.py` lists the kinds.

    A kind states only what differs from the defaults. Its module is imported by every command that reads a pipeline.
    So it imports what takes long (pyarrow, duckdb, subprocess) inside of the functions that use it.
    """

    _: KW_ONLY

    # The key of a node of this kind, and the JSON Schema of the value under it, which is the node's body: a text.
    name: str
    schema: Mapping[str, Any]
    # Does the work. Returns the outputs by output name, each a `pyarrow.Table`, a `RecordBatchReader`, the `FileTable`
    # of `tables/file_table.py`, or the path of a file or folder in the scratch folder. The name of an unnamed output is
    # "". An output that the node did not produce is left out.
    run: Callable[[NodeContext], Mapping[str, Any]]
    # Does the work of a mapped node for one piece of its input: gets the piece as a `pyarrow.Table` and the other
    # inputs by name. Returns what the function returned: a table if it takes one. None for a kind without `map`.
    call_piece: Callable[[NodeContext, Any, Mapping[str, Any]], Any] | None = None
    # Returns the rows of all pieces, a `pyarrow.RecordBatchReader`, with the types that they have together.
    join_pieces: Callable[[NodeSpec, Any], Any] = lambda node, rows: rows
    # The same as `call_piece`, but a coroutine, for a function that is one.
    call_piece_async: Callable[[NodeContext, Any, Mapping[str, Any]], Coroutine[Any, Any, Any]] | None = None
    # Returns the names of outputs that a node has by its `with` values, beside those that the file names.
    added_outputs: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda with_: ()
    # Yields the errors that can be found without running or importing the user's code. If the body is a template, this
    # is called once before and once after the expressions are evaluated.
    check: Callable[[NodeSpec, FunctionLookup], Iterable[NodeDiagnostic]] = lambda node, lookup: ()
    # Yields the errors and warnings that take longer to find. `validate` looks for them, and runs for errors in nodes
    # that have changed. The second argument has the names of all nodes.
    examine: Callable[[NodeSpec, Collection[str]], Iterable[NodeDiagnostic]] | None = None
    # Returns the Arrow schema of the output, None if it is not known, and what is wrong with the columns that the node
    # names. The type null stands for one that is not known. The second argument has the schemas of all inputs that are
    # tables, and the third the files that `footers` has returned. None for a kind of which that cannot be known.
    columns: Callable[[NodeSpec, Mapping[str, Any], _Files], tuple[Any, NodeDiagnostic | None]] | None = None
    # Returns whether a node with `columns` uses those of its inputs, for itself or for its own table.
    uses_columns: Callable[[NodeSpec], bool] = lambda node: True
    # Returns the files of this machine that say which columns a node's table has, by their names; none if none do.
    footers: Callable[[NodeSpec, Path], _Files] = lambda node, folder: NOTHING
    # Yields what the node needs and this machine does not have, such as a package: an error before a run. The last
    # argument tells whether a file may appear before this node starts, as each may before a run.
    missing: Callable[[NodeSpec, FunctionLookup, Callable[[str], bool]], Iterable[NodeDiagnostic]] = (
        lambda node, lookup, may_appear: ()
    )

    # JSON Schemas of the keys that only nodes of this kind have. Their values are in `NodeSpec.settings`, except `env`
    # and `format`, which have fields of their own there.
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: NOTHING)
    # The message and the hint for one of these keys in a node of another kind, where they differ from the usual ones.
    misplaced_settings: Mapping[str, tuple[str, str]] = field(default_factory=lambda: NOTHING)
    # Hints for settings of other kinds in a node of this kind, where they say what to use instead.
    setting_hints: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    # Words that users may write in place of the name.
    synonyms: tuple[str, ...] = ()
    # Yields what may be meant by a body that does not match the pattern of the schema, the likeliest first.
    corrections: Callable[[str], Iterable[str]] = lambda body: ()

    # A body of one word with this ending is the name of a file that has the text, relative to the folder.
    file_ending: str = ""
    # Whether the body names a kind of a package: `NodeSpec.plugin`. Then `check` is called again for evaluated values.
    is_plugin: bool = False
    # Whether the body is a path or URI that may hold expressions (`${{ … }}`). If not, the hint says what to write
    # instead of an expression.
    is_template: bool = False
    expression_hint: str = ""

    # Returns the files outside of the run that a node reads, by the names to show; paths are relative to the folder. If
    # it is a `NamedFiles`, the files that appear while the node runs are its outputs. None if the files are not on this
    # machine: then the node is never reused. A path need not exist: then the node fails.
    external_inputs: Callable[[NodeSpec, Path], Mapping[str, Path] | None] = lambda node, folder: {}
    # Returns the URI of a remote file that a node reads, "" for none. Reuse asks the service for its version.
    remote_input: Callable[[NodeSpec], str] = lambda node: ""
    # Whether a node only reads files of this machine: its table is written to no other file, a file is handed on.
    has_local_source: Callable[[NodeSpec], bool] = lambda node: False
    # Returns the path of the file or folder that a node hands on where it is, None if it does not.
    source_path: Callable[[NodeSpec, Path], Path | None] = lambda node, folder: None
    # Returns the files outside of the run that a node writes, by their paths relative to the folder.
    external_outputs: Callable[[NodeSpec, Path], Mapping[str, Path]] = lambda node, folder: {}
    # Yields paths and glob patterns, relative to the folder, of files that a node reads, whether they exist or not.
    named_files: Callable[[NodeSpec], Iterable[str]] = lambda node: ()
    # Returns what else the outputs depend on, by name: beside the body, values, settings, inputs, files and variables.
    # If one has changed, it is called "its <name>"; `cache/reuse_decision.py` has other texts for some first words.
    key_inputs: Callable[[NodeSpec, Fingerprints], Mapping[str, str]] = lambda node, code: {}
    # The installed packages that do the work of the kind: the outputs depend on their versions.
    packages: tuple[str, ...] = ()
    # Returns the installed modules that the node's code may import.
    imports: Callable[[NodeSpec, Fingerprints], Sequence[str]] = lambda node, code: ()
    # Returns the installed modules without which no attempt can begin. The second argument is the node's folder.
    needed_modules: Callable[[NodeSpec, Path], Iterable[str]] = lambda node, folder: ()
    # Whether a table that the node returns may share memory with an object that changes later, such as a numpy array.
    may_share_memory: Callable[[NodeSpec, Fingerprints], bool] = lambda node, code: True
    # Whether what `key_inputs` has read is unchanged.
    is_current: Callable[[NodeSpec, Fingerprints], bool] = lambda node, code: True
    # Returns what the code or the text of a node shows without being run, such as that it connects to a host.
    code_facts: Callable[[NodeSpec, Fingerprints], CodeFacts] = lambda node, code: NO_FACTS
    # Returns the project's statements that a node reaches, by module: a file that one opens may count for the node.
    reached: Callable[[NodeSpec, Fingerprints], Sequence[Sequence[Statement]]] = lambda node, code: ()
    # Whether the outputs depend on the variables under `env`, and on the number of threads.
    uses_environment: bool = True
    # Returns why a node is never reused without `cache: true`, "" if nothing is against it.
    obstacle: Callable[[NodeSpec], str] = lambda node: ""
    # Whether a node exists for what it changes outside of the run: it runs each time without `cache: true`.
    runs_for_effect: Callable[[NodeSpec], bool] = lambda node: False
    # Returns the executors on which a node may run.
    executors: Callable[[NodeSpec], Collection[str]] = lambda node: ("thread", "process")
    # Whether libraries in a node read their number of threads when they are loaded: another one takes a process.
    loads_libraries: bool = False

    # Returns what a node takes of the pieces of its `map`, None if not known. None for a kind without: see `no_map`.
    map_form: Callable[[NodeSpec, FunctionLookup], MapForm | None] | None = None
    no_map: str = "it is for python and run nodes"
    # Whether the nodes of another file take the place of a node of this kind when planning.
    is_expanded: bool = False
    # Whether a file may have nodes of this kind; planning makes the others.
    is_written: bool = True
    # Whether the output is the input as it is, so that its table is not written to another file.
    hands_on: bool = False
    # Whether a node reads or writes files that are named by paths of this machine, so that it does not run on another.
    stays_here: Callable[[NodeSpec], bool] = lambda node: False
    # Whether nodes of this kind may stand under `on_failure` and `finally`.
    may_run_last: bool = False
    # Whether each attempt is a process of its own. It needs no worker process and does not wait for the GIL.
    is_process: bool = False
    # Whether nodes read the files behind an input themselves (`NodeContext.files`), so that its table need not be made.
    reads_source_files: bool = False
    # Whether nodes change things outside of the run, so that `bench` asks before it runs them repeatedly.
    has_side_effects: Callable[[NodeSpec], bool] = lambda node: False
    # Whether the traceback of an OSError leads through the user's code, so that it is shown.
    has_user_frames: bool = False
    # Returns what `nfrun shell` offers for a node beside its inputs and values, by name. The function that it gets runs
    # the node with another text in place of its body.
    shell_names: Callable[[NodeContext, Callable[[str], Any]], Mapping[str, Any]] = lambda context, query: {}
    # Returns what a node did that did not produce the output of this name, for the error.
    missing_output: Callable[[str], str] = lambda name: "returned None"

    def moves_files(self, node: NodeSpec) -> bool:
        """Whether an output of a node that is a file or folder is moved into the folder of the run."""
        return not self.hands_on and not self.has_local_source(node)


def check_makes_tables(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Check the outputs of a node whose kind makes nothing but tables."""
    for name, type in node.types.items():
        what = f"a {node.kind} node makes tables, and '{name}' is a {form_of(type)}"
        hint = "read the table in a python or run node, and make it there"
        yield NodeDiagnostic(("outputs", name, "type"), what, hint)


def check_gathered(node: NodeSpec) -> Iterator[NodeDiagnostic]:
    """Check the inputs of a node whose kind can read nothing but one table for each."""
    for item in node.inputs:
        if item.gather and item.gather.form == "dict":
            what = f"'gather: dict' is not for {node.kind} nodes"
            yield NodeDiagnostic(("inputs", item.name, "gather"), what, "one table is gathered by 'concat'")
        if item.optional:
            what, hint = f"a {node.kind} node cannot do without a table", "say what is read instead: else: NODE"
            yield NodeDiagnostic(("inputs", item.name, "optional"), what, hint, at_key=True)


def output_name(node: NodeSpec) -> str:
    """Return the name of the only output of a node, "" if it is unnamed."""
    return node.outputs[0] if node.outputs else ""


def seed_of(node: NodeSpec, rows: bytes = b"") -> str | None:
    """Return the text that seeds what the node draws: the same in every run and attempt, whatever the node reads.

    For a call of a mapped node, that depends on the keys of the `rows`, and not on the name of the node: their results
    are used for other nodes, too. None if the node shall draw other numbers each time.
    """
    return None if node.cache is False else json.dumps([rows.hex() or node.id, node.kind, node.body, dict(node.with_)])
