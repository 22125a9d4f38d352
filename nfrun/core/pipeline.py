"""Defines `Pipeline`, the checked and typed content of a pipeline file.

`pipeline_file/loader.py` makes it from YAML, and `core/plan.py` makes a plan from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nfrun.core.budgets import Budget
from nfrun.core.contracts import Contract
from nfrun.core.errors import SourceSpan
from nfrun.core.map_spec import MapSpec
from nfrun.core.text import file_stem
from nfrun.core.values import field, frozen

# The type of an output is one of these, or an ending such as `.pkl`: a file whose path ends so.
TABLE, FILE, FOLDER = "table", "file", "folder"


def form_of(type: str) -> str:
    """Return what an output of this type is: `table`, `file` or `folder`."""
    return FILE if type.startswith(".") else type


def ending_of(type: str) -> str:
    """Return the ending of the path of an output of this type, "" if it has none."""
    return type if type.startswith(".") else ""


def file_name(output: str, attempt: int, type: str) -> str:
    """Return the name of the file or folder of an output in the folder of its run. That of a table is an Arrow file."""
    return f"{file_stem(output)}.{attempt}{'.arrow' if type == TABLE else ending_of(type)}"


@frozen
class StaticHalf:
    """The contents of the file `<module>.kind.json` of a plug-in about the kind `name`.

    `module` is the one whose `run(job)` does the work, `origin` its file, and `package` the distribution that has it,
    with its version. `version` is that of the kind. `revision` is in the cache keys of its nodes: the author raises it
    when results change. `values` is the JSON Schema of `with`. A node has at least `least` inputs and at most `most`
    (None: any number), each of one of the `forms`. `outputs` maps the names of all that it makes to their types.
    With `columns_in`, a node is called for each row: texts in these values name columns. The values `after` are for
    what follows all calls: no result of a call depends on them. `executors` are those on which a node may run.
    `effects`: it changes something outside of the run. `external`: its outputs depend on something that nfrun cannot
    see, such as a database. `env` are variables that must be set.
    """

    name: str
    module: str
    origin: str
    package: str
    version: str
    revision: int
    description: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    least: int = 0
    most: int | None = None
    forms: tuple[str, ...] = (TABLE,)
    outputs: Mapping[str, str] = field(default_factory=dict)
    maps: bool = False
    columns_in: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    executors: tuple[str, ...] = ()
    effects: bool = False
    external: bool = False
    env: tuple[str, ...] = ()


EXPRESSION_START = "${{"
UTC = "UTC"  # the time zone of queries and of `run.date` where a file names none
WORK_DIR = ".nfrun"  # the usual name of the work folder, beside the pipeline file
WORK_IGNORED = b"*\n"  # the content of `.gitignore` in a work folder that nfrun has made
# What nfrun has in a work folder that nodes may meet.
WORK_PARTS = (
    *("runs", "map", "locks", "lock", "checksums.json", "store", "store-id"),
    *(f"history.db{ending}" for ending in ("", "-wal", "-shm", "-journal")),
)

_COLUMN_TYPES = {bool: "bool", int: "int64", float: "double"}

LAST_SECTIONS = ("on_failure", "finally")  # the keys of a file with the nodes that run when all others have ended
NOTHING: Mapping[Any, Any] = {}  # shared by all that have no inputs, variables, settings or the like


@frozen
class Retry:
    """The number of retries of a failed attempt, and their delays.

    `max` is the number of retries. The n-th retry waits `delay * backoff ** (n - 1)` seconds, at most `max_delay`. A
    random share of up to `jitter` (0 to 1) is taken off, so that nodes that failed together are not retried together.
    """

    max: int = 0
    delay: float = 1.0
    backoff: float = 2.0
    max_delay: float = 60.0
    jitter: float = 0.5


NO_RETRY = Retry()


@frozen
class Param:
    """A parameter of the pipeline.

    `type` is a JSON Schema type. `required` means that it has no default. `enum` has the allowed values, if limited.
    """

    name: str
    type: str
    default: Any
    required: bool = False
    enum: tuple[Any, ...] = ()
    help: str = ""


class OutputId(str):
    """The id of an output: `node`, or `node.name` if the output has a name.

    It is a text for keys, JSON, files and messages, and has the two parts as attributes: text cannot be split again,
    because ids of nodes may contain dots. `name` is "" for the one unnamed output of a node.
    """

    __slots__ = ("name", "node")
    node: str
    name: str

    def __new__(cls, node: str, name: str = "") -> OutputId:
        id = super().__new__(cls, f"{node}.{name}" if name else node)
        id.node, id.name = node, name
        return id

    def cell(self, reader: str) -> str:
        """The values of its cell as they stand in the id of its node, such as `lr@0`, "" for a node without axes.

        Those of sub-pipelines count, too, but not of those in which the node `reader` is as well.
        """
        steps = self.node.removeprefix(reader[: reader.rfind("/") + 1]).split("/")
        return "@".join([step.partition("@")[2] for step in steps if "@" in step])

    def __reduce__(self) -> tuple[type[OutputId], tuple[str, str]]:
        return OutputId, (self.node, self.name)


@frozen
class Axis:
    """An axis of a matrix: a name, and the values that make the cells of the nodes with this axis.

    `source` is what the file has for its values, at `path` in the document. `values` are the values as expressions see
    them, `keys` the same with the id in place of a mapping, and `ids` the texts for them in the ids of cells; all are
    empty until the values have been found. An axis that follows `of` another has in `follows`, for each value of that
    axis, the index of its own value.
    """

    name: str
    source: Any
    path: tuple[str | int, ...] = ()
    of: str = ""
    values: tuple[Any, ...] = ()
    keys: tuple[Any, ...] = ()
    ids: tuple[str, ...] = ()
    follows: tuple[int, ...] = ()


@frozen
class Gather:
    """Says how the cells of an input are put together.

    `form` is `concat` (one table) or `dict` (a mapping by the cells' values). `axes` are the axes that are gathered,
    and `cells` maps the output of each cell to its values on these axes, in cell order; a mapping on an axis counts by
    its id. `columns` maps the axes that become columns of the table to their Arrow types. There are no `cells`, and the
    types are "", until the matrix is expanded.
    """

    form: str
    axes: tuple[str, ...]
    cells: Mapping[OutputId, tuple[Any, ...]]
    columns: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    def column(self, axis: str) -> tuple[str, dict[OutputId, Any]]:
        """Return the Arrow type of the column of an axis, and its value in each cell.

        In a column of the type string, values that are no strings are texts as in JSON.
        """
        place, kind = self.axes.index(axis), self.columns[axis]
        values = {output: cell[place] for output, cell in self.cells.items()}
        if kind == "string":
            values = {o: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for o, v in values.items()}
        return kind, values


def column_type(values: Iterable[Any]) -> str:
    """Return the Arrow type of a column with the values of an axis: that of all of them, and otherwise string."""
    values = list(values)
    kinds = {type(value) for value in values}
    kind = _COLUMN_TYPES.get(kinds.pop(), "string") if len(kinds) == 1 else "string"
    if kind == "int64" and not all(-(2**63) <= value < 2**63 for value in values):
        return "string"
    return kind


@frozen
class Input:
    """An input of a node: `name` is its name inside the node, and `output` the output that it reads.

    Where that is absent, the node reads `alternative` (`else` in the file) or, if the input is `optional`, goes without
    it. With `gather` it reads the outputs of several cells, and `output` is what the file names. `where` maps axes to
    the value, or the list of values, that the file allows on them; it is used when the matrix is expanded. `type` is
    that of what is read: `table`, `file`, `folder`, or the ending of a file.
    """

    name: str
    output: OutputId
    alternative: OutputId | None = None
    optional: bool = False
    gather: Gather | None = None
    where: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    type: str = TABLE

    @property
    def outputs(self) -> tuple[OutputId, ...]:
        """All outputs that the node may read under this name; before the matrix is expanded, as the file has them."""
        read = tuple(self.gather.cells) if self.gather and self.gather.cells else (self.output,)
        return read if self.alternative is None else (*read, self.alternative)

    def read(self, is_present: Callable[[OutputId], bool]) -> tuple[OutputId, ...]:
        """Return the outputs that the node reads under this name, where some may be absent; none if it is absent."""
        first = tuple(filter(is_present, self.gather.cells if self.gather else (self.output,)))
        if first or self.alternative is None or not is_present(self.alternative):
            return first
        return (self.alternative,)

    @property
    def is_plain(self) -> bool:
        """Whether the node reads one output and cannot do without it."""
        return self.alternative is None and not self.optional and self.gather is None

    def gathered(self, read: tuple[OutputId, ...]) -> Gather | None:
        """Return how the outputs in `read` are put together, None for a single output."""
        return self.gather if self.gather and read and read[0] in self.gather.cells else None


@frozen
class NodeSpec:
    """One node of a pipeline file, with `defaults` merged in.

    `body` is the text under the kind's key, or that of the file `body_file` if the key names one. `with_` and `env`
    hold expressions until they are bound. `outputs` are the names under `outputs:`; if there are none, the node has one
    unnamed output, whose id is the node's id. `types` has the types of those outputs that are no tables. `timeout` is
    in seconds, `cpu` in slots, and `amounts` has what an attempt takes of the budgets of the file. `executor` is "" if
    the file leaves the choice to the run. `cache` says when a result with the same cache key is reused: unless there is
    an obstacle (None), always (True) or never (False). `redacted_env` is as in `Pipeline`, for the node's own `env`.
    `settings` has the values of the keys that only nodes of its kind have. `packages` are installed packages whose
    versions count, and `files` the paths and patterns of the files that it declares. `unbound` has the settings whose
    expressions are not evaluated yet, as the file has them. `axes` are those that the node has in the file, in the
    order in which they are declared. A cell, which is a node that a matrix made, has in `cell` its value on each of
    these axes, of a mapping the id. `if_` is true, false or, until it is bound, an expression. With `continue_on_error`
    its failure fails no run. `contracts` has by names of outputs what their tables must be like, and `references` the
    outputs that its checks compare values with, by `output.check.column`. `section` is the key of the file under which
    it stands: `nodes`, or one of LAST_SECTIONS. `source` is where the node's name stands in its file, without the text
    of the line. `folder` is the folder of that file, relative to that of the pipeline, "" for the same: the node's
    paths and modules are in it. `disabled_by` is the node that includes this one and has an `if` that is false. With a
    `map`, the node is called for each piece of one input; if it collects failed rows, its last output is called
    `errors`, and has these. `plugin` is what the plug-in says whose kind the body names; None for the kinds of nfrun.
    `timezone` is the time zone of its queries, also of those in its checks.
    """

    id: str
    kind: str
    body: str
    inputs: tuple[Input, ...]
    with_: Mapping[str, Any]
    outputs: tuple[str, ...]
    needs: tuple[str, ...]
    env: Mapping[str, str]
    format: str = "arrow"
    retry: Retry = NO_RETRY
    timeout: float | None = None
    executor: str = ""
    cache: bool | None = None
    cpu: float = 1.0
    amounts: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    description: str = ""
    redacted_env: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    types: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    settings: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    if_: bool | str = True
    continue_on_error: bool = False
    contracts: Mapping[str, Contract] = field(default_factory=lambda: NOTHING)
    references: tuple[Input, ...] = ()
    section: str = "nodes"
    unbound: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    axes: tuple[str, ...] = ()
    cell: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    body_file: str = ""
    folder: str = ""
    disabled_by: str = ""
    map: MapSpec | None = None
    plugin: StaticHalf | None = None
    timezone: str = UTC
    source: SourceSpan = field(default=SourceSpan(""), compare=False)

    @property
    def output_ids(self) -> tuple[OutputId, ...]:
        """The ids of all outputs of the node."""
        return tuple([OutputId(self.id, name) for name in self.outputs or ("",)])

    @property
    def own_outputs(self) -> tuple[str, ...]:
        """The names of the outputs that the node makes itself: nfrun makes that of failed rows."""
        named = tuple([name for name in self.outputs if name])
        return named[:-1] if self.map is not None and self.map.collects else named

    def type_of(self, output: str) -> str:
        """Return the type of the output of this name: `table`, `file`, `folder`, or the ending of its file."""
        return self.types.get(output, TABLE)

    @property
    def cpus(self) -> int:
        """The number of threads of native libraries in this node: its `cpu` as a whole number, at least 1."""
        return max(1, int(self.cpu))

    @property
    def upstream(self) -> tuple[str, ...]:
        """The nodes it waits for, each once: first those it reads, then those under `needs`."""
        return tuple(dict.fromkeys([*(output.node for i in self.opened for output in i.outputs), *self.needs]))

    @property
    def opened(self) -> tuple[Input, ...]:
        """The outputs that an attempt opens: the inputs, and what the checks of its outputs refer to."""
        return (*self.inputs, *self.references) if self.references else self.inputs

    @property
    def declared(self) -> str:
        """The name under which the file has the node: for a cell, its id without the values of axes."""
        return re.sub("@[^/]*", "", self.id)

    @property
    def of(self) -> str:
        """The name of the node of which it is a cell, "" if it is none."""
        return self.declared if self.cell else ""

    @property
    def kind_shown(self) -> str:
        """The kind as people know it: of a node of a plug-in, the name of that kind."""
        return self.kind if self.plugin is None else self.plugin.name

    @property
    def local_name(self) -> str:
        """The name under which its own file has the node."""
        return self.declared.rpartition("/")[2]


@frozen
class Pipeline:
    """The content of a pipeline file.

    Paths in the file are relative to `folder`. `outputs` maps shown names to output ids; `names_outputs` is whether the
    file has them under `outputs`. `secrets` are names of
    environment variables. `redacted_env` has those variables of `env` whose values contain secrets. It maps each to a
    placeholder, in which the names of the secrets replace their values; cache keys use the placeholder. `values` has
    the values of the parameters, none until they are bound. `axes` are those of the matrix, in the order in which they
    are declared, and `excluded` the entries of its `exclude`. `disabled` maps nodes of which planning knows that they
    do not run to the reason. They are not among `nodes`, but in `disabled_nodes`, and what the file names of their
    outputs is in `absent_outputs`. `on_failure` and `finally_` are the nodes that run when all others have ended.
    `profile` is the name of the profile that is laid over the file, "" for none: it may say how many `jobs` run at
    once, and in which folder `work` runs are kept. `inputs` are the nodes that a caller may give, and `included` the
    pipelines in other files by the paths that nodes name them by, until their nodes take the place of these.
    `budgets` are the `resources` of the file and, once it is bound, the memory of the machine if a node takes of it.
    `timezone` is the time zone in which the `date` of the run counts, which is "" until it is bound, and where nothing
    reads it.
    """

    file: str
    folder: str
    name: str
    description: str
    params: Mapping[str, Param]
    env: Mapping[str, str]
    nodes: Mapping[str, NodeSpec]
    outputs: Mapping[str, OutputId]
    secrets: tuple[str, ...] = ()
    redacted_env: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    names_outputs: bool = False
    values: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    axes: Mapping[str, Axis] = field(default_factory=lambda: NOTHING)
    excluded: tuple[Mapping[str, Any], ...] = ()
    disabled: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    disabled_nodes: Mapping[str, NodeSpec] = field(default_factory=lambda: NOTHING)
    absent_outputs: Mapping[str, OutputId] = field(default_factory=lambda: NOTHING)
    on_failure: Mapping[str, NodeSpec] = field(default_factory=lambda: NOTHING)
    finally_: Mapping[str, NodeSpec] = field(default_factory=lambda: NOTHING)
    profile: str = ""
    jobs: int | None = None
    work: str = ""
    budgets: Mapping[str, Budget] = field(default_factory=lambda: NOTHING)
    timezone: str = UTC
    date: str = ""
    inputs: tuple[str, ...] = ()
    included: Mapping[str, Pipeline] = field(default_factory=lambda: NOTHING)

    @property
    def last_nodes(self) -> dict[str, NodeSpec]:
        """The nodes that run when all others have ended."""
        return {**self.on_failure, **self.finally_}

    def spec_of(self, node: str) -> NodeSpec:
        """Return a node, also one of those that run last. Raises KeyError."""
        return self.nodes[node] if node in self.nodes else self.last_nodes[node]


def has_expression(text: str) -> bool:
    """Return whether the text contains an expression (`${{`)."""
    return EXPRESSION_START in text


def ancestors(node: str, nodes: Mapping[str, NodeSpec]) -> set[str]:
    """Return the nodes for which a node waits, directly or not. References to missing nodes are left out."""
    found: set[str] = set()
    left = [node]
    while left:
        new = [name for name in nodes[left.pop()].upstream if name in nodes and name not in found]
        found.update(new)
        left += new
    return found
