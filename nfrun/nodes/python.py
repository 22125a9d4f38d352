"""The kind `python`: imports a function, calls it with the inputs, and turns its result into tables."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import PROGRAM, FunctionLookup
from nfrun.code.missing_imports import import_hint, packages_at_import
from nfrun.core.output_types import TABLE
from nfrun.core.pipeline import NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.arguments import check_arguments, check_class, given_by, listed
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, NodeError, output_name
from nfrun.nodes.made_files import check_apart, check_returned, made_file
from nfrun.nodes.map_form import check_map_form, map_form
from nfrun.nodes.python_context import own_context
from nfrun.nodes.returned_tables import a_, lost_index, to_table
from nfrun.nodes.text_facts import network_of_values, with_script
from nfrun.nodes.user_function import as_frames, awaited, bound, load, parameters_of, values

if TYPE_CHECKING:
    from nfrun.code.facts.code_facts import CodeFacts
    from nfrun.code.fingerprint import Fingerprints


_IMMUTABLE = frozenset({"pyarrow", "duckdb"})  # packages that allocate the memory of the Arrow tables they make


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check, by reading the source, that the function exists and takes the node's inputs and values."""
    module, _, function = node.body.partition(":")
    found = lookup.find(module, function) if node.map is None else lookup.defined(module, function)
    if found.message:
        yield NodeDiagnostic(("python",), found.message, found.hint)
    if node.map is not None:
        yield from check_map_form(node, found)
    elif found.class_ is not None:
        yield from check_class(node, function, found.class_)
    elif found.signature is not None:
        yield from check_arguments(node, function, found.signature, given_by(node))
        if node.inputs and (name := found.signature.unreturned):
            what = f"{function}() sets '{name}' at its end and has no 'return' ({found.signature.where})"
            yield NodeDiagnostic(("python",), what, f"did you forget 'return {name}'?", is_warning=True)


def _missing(node: NodeSpec, lookup: FunctionLookup, may_appear: Callable[[str], bool]) -> Iterator[NodeDiagnostic]:
    module, _, _ = node.body.partition(":")
    for name, where in lookup.missing_imports(module):
        what = f"{where} imports '{name}', which is not installed"
        yield NodeDiagnostic(("python",), what, import_hint(name, lookup.folder))


def run(context: NodeContext) -> Mapping[str, Any]:
    """Import the function, call it, await it if it is `async`, and return its result as tables."""
    if context.node.map is not None:
        from nfrun.nodes.mapped_run import run_mapped

        return run_mapped(context, _call_piece)
    node, loaded = context.node, load(context)
    tables: dict[str, Any] = {
        item.name: context.table(item.name) for item in node.inputs if not item.optional or context.has_input(item.name)
    }
    with bound(context, loaded, tables) as function:
        context.begin(imported=loaded.is_new)
        result = awaited(context, function())
        if result is None and node.inputs:
            _tell_unreturned(context, loaded.function)
        return _outputs(context, result, tables)


def _tell_unreturned(context: NodeContext, function: Any) -> None:
    """Tell in the log if a function that has returned None sets a variable at its end, which it may have forgotten."""
    from nfrun.code.names_reader import unreturned_by

    if name := unreturned_by(function):
        what = f"the function sets '{name}' at its end and has no 'return'"
        context.log("warning", f"{what}: did you forget 'return {name}'?")


def call_check(context: NodeContext, table: Any) -> Any:
    """Return what a function says of a table, which it gets as its first argument, awaited if it is `async`."""
    loaded = load(context)
    if loaded.frames:
        first, *_ = parameters_of(loaded.function)
        table = as_frames({first: table}, loaded.frames)[first]
    return awaited(context, loaded.function(table, **values(context, loaded.takes_context)))


def _shell_names(context: NodeContext, query: object) -> Mapping[str, Any]:
    """Return the node's function, and the context if the function takes one."""
    loaded = load(context)
    own = {"context": own_context(context)} if loaded.takes_context else {}
    function = loaded.function
    if loaded.frames and not loaded.is_class:
        from nfrun.nodes.data_frames import taking_tables

        function = taking_tables(function, loaded.frames)
    return {**own, context.node.body.partition(":")[2]: function}


def _call_piece(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    from nfrun.nodes.mapped_python import call_piece  # few nodes are mapped

    return call_piece(context, piece, inputs)


async def _call_piece_async(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    from nfrun.nodes.mapped_python import call_piece_async

    return await call_piece_async(context, piece, inputs)


def _corrections(body: str) -> Iterator[str]:
    path = re.sub(r"\.py\b|\(.*\)|\s", "", body).removeprefix("./").replace("/", ".").replace("::", ":")
    yield path
    yield ":".join(path.rsplit(".", 1))


def _key_inputs(node: NodeSpec, code: Fingerprints) -> Mapping[str, str]:
    """Return digests of the code that the function reaches and of the order of its arguments, and the versions."""
    from nfrun.system.checksums import text_checksum

    known = "key inputs", node.body  # the cells of a node have the same function
    if known not in code.memo:
        module, _, function = node.body.partition(":")
        digests = {f"code {name}": digest for name, digest in code.of(module, function).items()}
        versions = {f"package {name}": version for name, version in code.packages(module, function).items()}
        code.memo[known] = {**digests, **versions, "interpreter": "{}.{}".format(*sys.version_info)}
    arguments = [[item.name for item in node.inputs], list(node.with_)]
    return {**code.memo[known], "order": text_checksum(json.dumps(arguments, ensure_ascii=False))}


def _code_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    from nfrun.code.facts.known_facts import known_facts

    module, _, function = node.body.partition(":")
    facts = known_facts(code).of(module, function, node.with_)
    if facts.commands:
        from nfrun.nodes.texts.script_files import script_files

        for command in facts.commands:
            files = script_files(command.text, {}, Path(code.folder), command.folders)
            facts = with_script(facts, node, command.text, node.body, files)
    network = network_of_values(node)
    return replace(facts, network=[*facts.network, *network]) if network else facts


def _is_given(node: NodeSpec) -> bool:
    """Whether a program gives the function as an object: nothing is known of its code."""
    return node.body.startswith(f"{PROGRAM}:")


def _outputs(context: NodeContext, result: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    node = context.node
    if len(node.outputs) < 2:
        if result is None:
            check_returned(node, context.scratch)
            return {}
        return {output_name(node): _output(context, output_name(node), result, arguments)}
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
    if lost := lost_index(value):
        context.log("warning", f"the index of the data frame ({lost}) is left out: reset_index() makes a column of it")
    if table is value and not context.may_share_memory:
        return table
    inputs = [table for item in context.node.inputs for table in _tables(arguments.get(item.name))]
    is_reader = hasattr(type(table), "read_next_batch")  # its batches are copied when they are read
    if is_reader or isinstance(value, Mapping | list | tuple) or any(table is item for item in inputs):
        return table
    from nfrun.tables.stored_form import frozen_output

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
    reached=lambda node, code: code.reached(*node.body.split(":")),
    loads_libraries=True,
    needed_modules=lambda node, folder: packages_at_import(node.body.partition(":")[0], folder),
    imports=lambda node, code: (PROGRAM,) if _is_given(node) else code.installed_imports(*node.body.split(":")),
    may_share_memory=lambda node, code: _is_given(node) or not code.imports_only(_IMMUTABLE, *node.body.split(":")),
    map_form=map_form,
    may_run_last=True,
    has_user_frames=True,
    shell_names=_shell_names,
)
