"""Defines what a kind of node is: a `Kind` of up to five parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.facts.code_facts import NO_FACTS, CodeFacts
from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.map_spec import MapForm
from nfrun.core.pipeline import NOTHING, NodeSpec
from nfrun.core.values import KW_ONLY, field, mutable
from nfrun.nodes.base import NodeContext

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.code.reached_code import Statement

_Files = Mapping[str, Path]  # by the names to show


@mutable  # equal to itself only, as the other parts of a kind are
class Says:
    """Defines what a file may say about nodes of a kind, and checks it before they run."""

    _: KW_ONLY

    # Whether nodes of the kind stand in files: planning makes those of others. `schemas/pipeline.schema.json` has the
    # schema of the value under the name of the kind, which is the node's body: a text.
    in_files: bool = True
    # Yields the errors that can be found without running or importing the user's code. If the body is a template, or
    # the node is of a plug-in, this is called once before and once after the expressions are evaluated.
    check: Callable[[NodeSpec, FunctionLookup], Iterable[Problem]] = lambda node, lookup: ()
    # Yields the errors and warnings that take longer to find. `validate` looks for them, and runs for errors in nodes
    # that have changed. The second argument has the names of all nodes.
    examine: Callable[[NodeSpec, Collection[str]], Iterable[Problem]] | None = None
    # Yields what the node needs and this machine does not have, such as a file: an error before a run. The last
    # argument tells whether a file may appear before this node starts, as each may before a run.
    missing: Callable[[NodeSpec, Path, Callable[[str], bool]], Iterable[Problem]] = lambda node, folder, may_appear: ()
    # Returns the Arrow schema of the output, None if it is not known, and what is wrong with the columns that the node
    # names. The type null stands for one that is not known. The second argument has the schemas of all inputs that are
    # tables, and the third the files that `footers` has returned. None for a kind of which that cannot be known.
    columns: Callable[[NodeSpec, Mapping[str, Any], _Files], tuple[Any, Problem | None]] | None = None
    # Returns whether a node with `columns` uses those of its inputs, for itself or for its own table.
    uses_columns: Callable[[NodeSpec], bool] = lambda node: True
    # Returns the files of this machine that say which columns a node's table has, by their names; none if none do.
    footers: Callable[[NodeSpec, Path], _Files] = lambda node, folder: NOTHING
    # Returns the names of outputs that a node has by its `with` values, beside those that the file names.
    added_outputs: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda with_: ()

    # The keys that not all nodes have. Their values are in `NodeSpec.settings`, except `env`, `format` and `timezone`,
    # which have fields of their own there.
    settings: tuple[str, ...] = ()
    # Words that users may write in place of the name.
    synonyms: tuple[str, ...] = ()
    # A body of one word with this ending is the name of a file that has the text, relative to the folder.
    file_ending: str = ""
    # Whether the body is a path or URI that may hold expressions (`${{ … }}`). If not, the hint says what to write
    # instead of an expression.
    is_template: bool = False
    expression_hint: str = ""


def _not_run(context: NodeContext) -> Mapping[str, Any]:
    raise AssertionError(f"a {context.node.kind} node is expanded when planning")


@mutable
class Runs:
    """Runs the nodes of a kind."""

    # Does the work. Returns the outputs by output name, each a `pyarrow.Table`, a `RecordBatchReader`, the `FileTable`
    # of `tables/file_table.py`, or the path of a file or folder in the scratch folder. The name of an unnamed output is
    # "". An output that the node did not produce is left out.
    run: Callable[[NodeContext], Mapping[str, Any]] = _not_run
    _: KW_ONLY
    # The executors on which a node may run.
    executors: Sequence[str] = ("thread", "process")
    # Whether each attempt is a process of its own. It needs no worker process and does not wait for the GIL.
    is_process: bool = False
    # Whether code of the user or of a plug-in runs in this process: the frames of its errors are shown, and its
    # libraries read their number of threads when they are loaded.
    calls_code: bool = False
    # Whether nodes read the files behind an input themselves (`NodeContext.files`), so that its table need not be made.
    reads_source_files: bool = False
    # Whether nodes change things outside of the run, so that `bench` asks before it runs them repeatedly.
    has_side_effects: bool = False
    # Whether a node exists for what it changes outside of the run: it runs each time without `cache: true`.
    for_effect: bool = False
    # Why a node is never reused without `cache: true`, "" if nothing is against it.
    obstacle: str = ""
    # Returns what `nfrun shell` offers for a node beside its inputs and values, by name. The function that it gets runs
    # the node with another text in place of its body.
    shell_names: Callable[[NodeContext, Callable[[str], Any]], Mapping[str, Any]] = lambda context, query: {}

    @property
    def is_expanded(self) -> bool:
        """Whether the nodes of another file take the place of a node when planning."""
        return self.run is _not_run

    @property
    def may_be_last(self) -> bool:
        """Whether nodes may stand under `on_failure` and `finally`."""
        return self.calls_code or self.is_process


@mutable
class Outside:
    """Names the files outside of a run that nodes read and write. Paths are relative to the folder of the node."""

    _: KW_ONLY
    # Returns the files that a node reads, by the names to show. If it is a `NamedFiles`, the files that appear while
    # the node runs are its outputs. None if the files are not on this machine: then the node is never reused. A path
    # need not exist: then the node fails.
    inputs: Callable[[NodeSpec, Path], Mapping[str, Path] | None] = lambda node, folder: {}
    # Returns the files that a node writes, by their names.
    outputs: Callable[[NodeSpec, Path], Mapping[str, Path]] = lambda node, folder: {}
    # Yields paths and glob patterns of files that a node reads, whether they exist or not.
    named: Callable[[NodeSpec], Iterable[str]] = lambda node: ()
    # Returns the URI of a remote file that a node reads, "" for none. Reuse asks the service for its version.
    remote: Callable[[NodeSpec], str] = lambda node: ""
    # Whether a node only reads files of this machine: its table is written to no other file, a file is handed on.
    is_source: Callable[[NodeSpec], bool] = lambda node: False
    # Returns the path of the file or folder that a node hands on where it is, None if it does not.
    source_path: Callable[[NodeSpec, Path], Path | None] = lambda node, folder: None
    # Whether the output is the input as it is, so that its table is not written to another file.
    hands_on: bool = False
    # Whether a node reads or writes files that are named by paths of this machine, so that it does not run on another.
    stays_here: Callable[[NodeSpec], bool] = lambda node: False

    def moves_files(self, node: NodeSpec) -> bool:
        """Whether an output of a node that is a file or folder is moved into the folder of the run."""
        return not self.hands_on and not self.is_source(node)


@mutable
class Code:
    """Names what the outputs of a node depend on besides its files and inputs, above all its code."""

    _: KW_ONLY
    # Returns what the outputs depend on, by name: beside the body, values, settings, inputs, files and variables. If
    # one has changed, it is called "its <name>"; `cache/change_text.py` has other texts for some first words.
    key: Callable[[NodeSpec, Fingerprints], Mapping[str, str]] = lambda node, code: {}
    # Whether what `key` has read is unchanged.
    is_current: Callable[[NodeSpec, Fingerprints], bool] = lambda node, code: True
    # The installed packages that do the work of the kind: the outputs depend on their versions.
    packages: tuple[str, ...] = ()
    # The installed modules without which no attempt can begin.
    needed_modules: tuple[str, ...] = ()
    # Returns what the code or the text of a node shows without being run, such as that it connects to a host.
    facts: Callable[[NodeSpec, Fingerprints], CodeFacts] = lambda node, code: NO_FACTS
    # Returns the project's statements that a node reaches, by module: a file that one opens may count for the node.
    reached: Callable[[NodeSpec, Fingerprints], Sequence[Sequence[Statement]]] = lambda node, code: ()
    # Whether a table that the node returns may share memory with an object that changes later, such as a numpy array.
    may_share_memory: Callable[[NodeSpec, Fingerprints], bool] = lambda node, code: True
    # Whether the outputs depend on the variables under `env`, and on the number of threads.
    uses_environment: bool = True


@mutable
class Maps:
    """Calls the nodes of a kind for the pieces of an input."""

    # Returns what a node takes of the pieces of its `map`, None if not known.
    form: Callable[[NodeSpec, FunctionLookup], MapForm | None]
    # Does the work for one piece: gets the piece as a `pyarrow.Table` and the other inputs by name. Returns what the
    # function returned: a table if it takes one.
    call: Callable[[NodeContext, Any, Mapping[str, Any]], Any]
    _: KW_ONLY
    # The same as `call`, but a coroutine, for a function that is one.
    call_async: Callable[[NodeContext, Any, Mapping[str, Any]], Coroutine[Any, Any, Any]] | None = None
    # Returns the rows of all pieces, a `pyarrow.RecordBatchReader`, with the types that they have together.
    join: Callable[[NodeSpec, Any], Any] = lambda node, rows: rows


@mutable
class Kind:
    """A kind of node: its name, which is the key of a node in a file, and up to five parts.

    `nodes/registry.py` lists the kinds. A part states only what differs from the defaults. Without `runs`, the nodes of
    another file take the place of a node when planning; without `maps`, a node has no `map`. The module of a kind is
    imported by every command that reads a pipeline, so it imports what takes long (pyarrow, duckdb, subprocess) inside
    of the functions that use it.
    """

    name: str
    says: Says
    runs: Runs = field(default_factory=Runs)
    _: KW_ONLY
    outside: Outside = field(default_factory=Outside)
    code: Code = field(default_factory=Code)
    maps: Maps | None = None
