"""The kind `python`: imports a function, calls it with the inputs, and turns its result into tables."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.code.missing_imports import import_hint
from nfrun.code.module_finder import find_module, hidden_files
from nfrun.code.source_import import import_for_process
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec
from nfrun.core.values import frozen, replace
from nfrun.nodes.arguments import check_arguments, check_class, given_by, listed
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, NodeError, output_name
from nfrun.nodes.made_files import check_apart, made_file
from nfrun.nodes.map_form import check_map_form, map_form
from nfrun.nodes.returned_tables import a_, to_table
from nfrun.nodes.text_facts import network_of_values

if TYPE_CHECKING:
    import logging

    from nfrun.code.fingerprint import Fingerprints
    from nfrun.facts.code_facts import CodeFacts


_IMMUTABLE = frozenset({"pyarrow", "duckdb"})  # packages that allocate the memory of the Arrow tables they make


@frozen
class Context:
    """What a function receives in a parameter called `context`.

    `run` is the id of the run, `node` that of the node; `attempt` counts from 1. `env` is the environment. `log` is a
    logger whose lines appear in the run's reports.
    """

    run: str
    node: str
    attempt: int
    env: Mapping[str, str]
    log: logging.Logger
    _node_context: NodeContext

    @property
    def scratch(self) -> Path:
        """A folder of this attempt's own, removed when it ends. Raises HandoffError."""
        return self._node_context.scratch()

    def output(self, name: str) -> Path:
        """Return a path in the scratch folder for a file or folder that the function makes and returns.

        `name` is a name, or a path below the scratch folder, whose folders are made. Raises ValueError for another one,
        and HandoffError.
        """
        path = Path(name)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise ValueError(f"'{name}' is no path below the scratch folder")
        found = self.scratch / path
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    @property
    def report(self) -> Any:
        """The document of the run, as `--json` prints it, in a node under `on_failure` or `finally`; None in others.

        It is None there too if it could not be written.
        """
        path = self._node_context.environ.get("NFRUN_REPORT")
        if path is None or self._node_context.node.section not in LAST_SECTIONS:
            return None
        return json.loads(Path(path).read_text(encoding="utf-8"))

    @property
    def cpus(self) -> int:
        """How many threads the node should use: the `cpu` of its `resources`, 1 by default."""
        return self._node_context.node.cpus

    @property
    def granted(self) -> Mapping[str, tuple[int, ...]]:
        """The numbers of the units that the attempt holds, by budget: `{"gpu": (0,)}`."""
        return self._node_context.granted

    @property
    def stopped(self) -> bool:
        """Whether the attempt was told to stop. A long loop that checks this ends sooner."""
        return self._node_context.cancel_token.cancelled

    def progress(self, done: float, total: float | None = None) -> None:
        """Report progress, in units of the node's own. Raises ValueError or TypeError unless the numbers are finite."""
        if not math.isfinite(done) or not math.isfinite(total or 0):
            raise ValueError("progress is told in finite numbers")
        self._node_context.progress(float(done), None if total is None else float(total))


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check, by reading the source, that the function exists and takes the node's inputs and values."""
    module, _, function = node.body.partition(":")
    found = lookup.find(module, function)
    if found.message:
        yield NodeDiagnostic(("python",), found.message, found.hint)
    if node.map is not None:
        yield from check_map_form(node, found)
    elif found.class_ is not None:
        yield from check_class(node, function, found.class_)
    elif found.signature is not None:
        yield from check_arguments(node, function, found.signature, given_by(node))


def _missing(node: NodeSpec, lookup: FunctionLookup, may_appear: Callable[[str], bool]) -> Iterator[NodeDiagnostic]:
    module, _, _ = node.body.partition(":")
    for name, where in lookup.missing_imports(module):
        what = f"{where} imports '{name}', which is not installed"
        yield NodeDiagnostic(("python",), what, import_hint(name, lookup.folder))


def run(context: NodeContext) -> Mapping[str, Any]:
    """Import the function, call it, await it if it is `async`, and return its result as tables."""
    node = context.node
    function, takes_context, imported = _loaded(context)
    arguments: dict[str, Any] = {
        item.name: context.table(item.name) for item in node.inputs if not item.optional or context.has_input(item.name)
    }
    arguments |= _values(context, takes_context)
    context.begin(imported=imported)
    result = function(**arguments)
    if result is None and len(node.outputs) < 2:
        return {}
    return _outputs(context, _awaited(context, result), arguments)


def call_check(context: NodeContext, table: Any) -> Any:
    """Return what a function says of a table, which it gets as its first argument, awaited if it is `async`."""
    function, takes_context, _ = _loaded(context)
    return _awaited(context, function(table, **_values(context, takes_context)))


def _awaited(context: NodeContext, result: Any) -> Any:
    """Return the result of a function, which may be awaitable. Tables are the usual results."""
    if not hasattr(result, "__arrow_c_stream__"):
        import inspect

        if inspect.isawaitable(result):
            return context.run_coroutine(result if inspect.iscoroutine(result) else _awaiting(result))
    return result


def _loaded(context: NodeContext) -> tuple[Any, bool, bool]:
    """Return the node's function, whether it takes the context, and whether it was loaded now."""
    node = context.node
    known = node.folder, node.body
    found = context.memo.get(known)
    if found is not None:
        return (*found, False)
    module, _, name = node.body.partition(":")
    function = _function(module, name, context)
    found = context.memo[known] = (function, _takes_context(function))
    return (*found, True)


def _values(context: NodeContext, takes_context: bool) -> dict[str, Any]:
    """Return the arguments besides tables."""
    import copy

    values = copy.deepcopy(dict(context.node.with_))  # the function must not change them for the next attempt
    if takes_context and "context" not in values:
        values["context"] = _own_context(context)
    return values


def _own_context(context: NodeContext) -> Context:
    from nfrun.nodes.node_logger import node_logger  # it imports logging

    return Context(context.run, context.node.id, context.attempt, context.environ, node_logger(context), context)


def _shell_names(context: NodeContext, query: object) -> Mapping[str, Any]:
    """Return the node's function, and the context if the function takes one."""
    module, _, name = context.node.body.partition(":")
    function = _function(module, name, context)
    own = {"context": _own_context(context)} if _takes_context(function) else {}
    return {**own, name: function}


def _call_piece(context: NodeContext, table: Any, inputs: Mapping[str, Any]) -> Any:
    from nfrun.nodes.mapped_python import call_piece  # few nodes are mapped

    return call_piece(context, *_call_of(context, table, inputs))


async def _call_piece_async(context: NodeContext, table: Any, inputs: Mapping[str, Any]) -> Any:
    from nfrun.nodes.mapped_python import call_piece_async

    return await call_piece_async(context, *_call_of(context, table, inputs))


def _call_of(context: NodeContext, table: Any, inputs: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return the function, the piece, and the arguments that are the same for all pieces."""
    function, takes_context, imported = _loaded(context)
    arguments = {**inputs, **_values(context, takes_context)}
    context.begin(imported=imported)
    return function, table, arguments


def _corrections(body: str) -> Iterator[str]:
    path = re.sub(r"\.py\b|\(.*\)|\s", "", body).removeprefix("./").replace("/", ".").replace("::", ":")
    yield path
    yield ":".join(path.rsplit(".", 1))


def _key_inputs(node: NodeSpec, code: Fingerprints) -> Mapping[str, str]:
    """Return digests of the code that the function reaches and of the order of its arguments, and the versions."""
    from nfrun.system.checksums import text_checksum

    digests = {f"code {name}": digest for name, digest in code.of(*node.body.split(":")).items()}
    versions = {f"package {name}": version for name, version in code.packages(*node.body.split(":")).items()}
    versions["interpreter"] = "{}.{}".format(*sys.version_info)
    arguments = [[item.name for item in node.inputs], list(node.with_)]
    return {**digests, **versions, "order": text_checksum(json.dumps(arguments, ensure_ascii=False))}


def _code_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    from nfrun.facts.known_facts import known_facts

    module, _, function = node.body.partition(":")
    facts = known_facts(code).of(module, function, node.with_)
    network = network_of_values(node)
    return replace(facts, network=[*facts.network, *network]) if network else facts


async def _awaiting(value: Any) -> Any:
    return await value


def _function(module: str, name: str, context: NodeContext) -> Any:
    found = find_module(module, context.folder)
    load = context.import_module
    loaded = import_for_process(module, context.folder) if load is None else load(module)
    origin = getattr(loaded, "__file__", None)
    is_other = found and found.origin and origin and Path(found.origin) != Path(origin) and found.origin.endswith(".py")
    if is_other or (not hasattr(loaded, name) and hidden_files(context.folder, module.partition(".")[0])):
        what = f"the module '{module}' beside the pipeline file is hidden by another of that name ({origin})"
        raise NodeError(what, "give it another name")
    function = getattr(loaded, name, None)
    if function is None:
        raise NodeError(f"the module '{module}' has no function '{name}'")
    if not callable(function):
        raise NodeError(f"'{module}:{name}' is {a_(function)}, not a function")
    return function


def _takes_context(function: Any) -> bool:
    try:
        import inspect

        return "context" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _outputs(context: NodeContext, result: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    node = context.node
    if len(node.outputs) < 2:
        return {} if result is None else {output_name(node): _output(context, output_name(node), result, arguments)}
    names = listed(node.outputs)
    if not isinstance(result, Mapping):
        raise NodeError(
            f"the node has the outputs {names}, but the function returned {a_(result)}, not a mapping of those"
        )
    unknown = [str(key) for key in result if key not in node.outputs]
    missing = [name for name in node.outputs if name not in result]
    if unknown or missing:
        what = f"it also returned {listed(unknown)}" if unknown else f"it did not return {listed(missing)}"
        raise NodeError(f"the node has the outputs {names}, but {what}")
    made = {name: _output(context, name, result[name], arguments) for name in node.outputs if result[name] is not None}
    check_apart({name: value for name, value in made.items() if isinstance(value, Path)})
    return made


def _output(context: NodeContext, name: str, value: Any, arguments: Mapping[str, Any]) -> Any:
    """Return what the function returned for an output: a table, or the path of a file or folder."""
    type = context.node.type_of(name)
    return _frozen(context, value, arguments) if type == TABLE else made_file(value, type, name, context.scratch())


def _frozen(context: NodeContext, value: Any, arguments: Mapping[str, Any]) -> Any:
    """Convert a value to a table that its node can no longer change. The inputs are such tables already.

    So is any Arrow table of a node that may not share memory. Its data frames are copied even so: `to_pandas` makes one
    without an import of pandas.
    """
    table = to_table(value)
    if table is value and not context.may_share_memory:
        return table
    inputs = [table for item in context.node.inputs for table in _tables(arguments.get(item.name))]
    is_reader = hasattr(type(table), "read_next_batch")  # its batches are copied when they are read
    if is_reader or isinstance(value, Mapping | list | tuple) or any(table is item for item in inputs):
        return table
    from nfrun.tables.frozen import frozen_output

    return frozen_output(table, inputs)


def _tables(argument: Any) -> Iterator[Any]:
    """Yield the tables of an input: one, none if it is absent, or all in a mapping."""
    if isinstance(argument, dict):
        for value in argument.values():
            yield from _tables(value)
    elif argument is not None and not isinstance(argument, Path):
        yield argument


PYTHON = Kind(
    name="python",
    schema={
        "title": "Python function",
        "description": "module:function, looked up beside the pipeline file first.",
        "type": "string",
        "pattern": r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        "patternErrorMessage": "write module:function, such as steps:split",
        "examples": ["steps:split"],
    },
    check=check,
    missing=_missing,
    run=run,
    call_piece=_call_piece,
    call_piece_async=_call_piece_async,
    synonyms=("function", "call", "callable", "python_callable", "func"),
    corrections=_corrections,
    expression_hint="which function runs is fixed; put values under 'with'",
    key_inputs=_key_inputs,
    is_current=lambda node, code: code.is_current(*node.body.split(":")),
    code_facts=_code_facts,
    pieces=lambda node, code: code.reached(*node.body.split(":")),
    loads_libraries=True,
    imports=lambda node, code: code.installed_imports(*node.body.split(":")),
    may_share_memory=lambda node, code: not code.imports_only(_IMMUTABLE, *node.body.split(":")),
    map_form=map_form,
    may_run_last=True,
    has_user_frames=True,
    shell_names=_shell_names,
)
