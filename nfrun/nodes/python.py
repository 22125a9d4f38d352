"""The kind `python`: imports a function, calls it with the inputs, and turns its result into tables.

In a node with a `map` it is called for each piece of an input. `user_function.py` loads it and binds its arguments.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.facts.code_facts import CodeFacts, facts_from_json, facts_to_json
from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.core.pipeline import NOTHING, TABLE, NodeSpec
from nfrun.core.values import replace
from nfrun.nodes.arguments import check_arguments, check_class, check_map_form, check_names, given_by, listed, map_form
from nfrun.nodes.base import NodeContext, NodeError, output_name
from nfrun.nodes.kind import Code, Kind, Maps, Runs, Says
from nfrun.nodes.python_context import own_context
from nfrun.nodes.returned_tables import a_, check_apart, check_returned, lost_index, made_file, to_table
from nfrun.nodes.text_facts import network_of_values, with_script
from nfrun.nodes.user_function import (
    Loaded,
    as_frames,
    awaited,
    awaited_value,
    bound,
    bound_shared,
    load,
    parameters_of,
    values,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.code.fingerprint import Fingerprints

_IMMUTABLE = frozenset({"pyarrow", "duckdb"})  # packages that allocate the memory of the Arrow tables they make
_LARGEST = 2**53  # up to here a float is each whole number


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check, by reading the source, that the function exists and takes the node's inputs and values."""
    module, _, function = node.body.partition(":")
    found = lookup.find(module, function) if node.map is None else lookup.defined(module, function)
    if found.message:
        yield Problem(("python",), found.message, found.hint)
    if node.map is not None:
        yield from check_map_form(node, found)
    elif found.class_ is not None:
        yield from check_class(node, function, found.class_)
    elif found.signature is not None:
        yield from check_arguments(node.inputs, function, found.signature, given_by(node))


def run(context: NodeContext) -> Mapping[str, Any]:
    """Import the function, call it, await it if it is `async`, and return its result as tables."""
    node, loaded = context.node, load(context)
    tables: dict[str, Any] = {
        item.name: context.table(item.name) for item in node.inputs if not item.optional or context.has_input(item.name)
    }
    with bound(context, loaded, tables) as function:
        context.begin(imported=loaded.is_new)
        result = awaited(context, function())
        return _outputs(context, result, tables)


def call_check(context: NodeContext, table: Any) -> Any:
    """Return the result of a check function, which gets the table first, awaited if it is `async`."""
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


def facts_of(code: Fingerprints, module: str, function: str, arguments: Mapping[str, Any] = NOTHING) -> CodeFacts:
    """Return the facts of all project code that a function may reach; `arguments` are the values it is given."""
    name = f"{module}:{function} {json.dumps(dict(arguments), default=repr)}"
    known = code.known.facts
    if name not in known:
        from nfrun.code.facts.fact_reader import FactReader  # importing it takes a tenth of the time of a short run

        if FactReader not in code.memo:
            code.memo[FactReader] = FactReader(code)
        known[name] = facts_to_json(code.memo[FactReader].of(module, function, arguments))
        code.known.is_new = True
    return facts_from_json(known[name])


def _code_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    module, _, function = node.body.partition(":")
    facts = facts_of(code, module, function, node.with_)
    if facts.commands:
        from nfrun.nodes.texts.script_files import script_files

        for command in facts.commands:
            files = script_files(command.text, {}, Path(code.folder), command.folders)
            facts = with_script(facts, node, command.text, node.body, files)
    network = network_of_values(node)
    return replace(facts, network=[*facts.network, *network]) if network else facts


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
    """Return the result of the function for an output: a table, or the path of a file or folder."""
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


def call_piece(context: NodeContext, piece: pa.Table, inputs: Mapping[str, Any]) -> Any:
    """Return what the function returns for a piece: a table if it takes the table, otherwise values of the rows.

    `inputs` are all others, by name. A function that takes single values is called for each row, and its results are a
    list. The user's code begins with `context.begin()`: an instance of a class is made before that. Raises NodeError,
    and what the function raises.
    """
    map, loaded = _map(context), load(context)
    form = map.form or MapForm()
    with bound(context, loaded, _tables_of_call(map, form, piece, inputs)) as function:
        context.begin(imported=loaded.is_new)
        if form.takes_table:
            return _table(awaited(context, function()))
        if not form.per_row:
            return awaited(context, function(**_batches(form, piece)))
        return [_listed(map, awaited(context, function(**row))) for row in _rows(context, loaded, piece, inputs)]


async def call_piece_async(context: NodeContext, piece: pa.Table, inputs: Mapping[str, Any]) -> Any:
    """Return the same as `call_piece`, from a coroutine on the event loop, for an async function."""
    map, loaded = _map(context), load(context)
    form = map.form or MapForm()
    function = await bound_shared(context, loaded, _tables_of_call(map, form, piece, inputs))
    context.begin(imported=loaded.is_new)
    if form.takes_table:
        return _table(await awaited_value(function()))
    if not form.per_row:
        return await awaited_value(function(**_batches(form, piece)))
    return [_listed(map, await awaited_value(function(**row))) for row in _rows(context, loaded, piece, inputs)]


def _table(returned: Any) -> Any:
    """Return the table that a function gives for a piece. Raises NodeError if it cannot be joined with others."""
    table = to_table(returned)
    check_names("the table that the function returned", table.schema.names)
    return table


def _listed(map: MapSpec, result: Any) -> Any:
    """Return the result of a function for a row; for several rows, it may yield them."""
    return list(result) if map.explode and hasattr(result, "__next__") else result


def _map(context: NodeContext) -> MapSpec:
    assert context.node.map is not None
    return context.node.map


def _tables_of_call(map: MapSpec, form: MapForm, piece: pa.Table, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables for a call. Those in mappings are in mappings of its own, which it may change."""
    given = {name: _own(value) for name, value in inputs.items()}
    return {**given, map.over: piece} if form.takes_table else given


def _rows(context: NodeContext, loaded: Loaded, piece: pa.Table, inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the arguments for each row, until the attempt is told to stop: its values, and copies of mutable ones."""
    form = _map(context).form or MapForm()
    names = form.named_in(piece.column_names)
    # Those that a call could change for the next row. Others are taken by `__init__` of a class.
    given = {**context.node.with_, **inputs}
    own = {name: value for name, value in given.items() if isinstance(value, dict | list) and name not in loaded.init}
    for row in zip(*[piece.column(name).to_pylist() for name in names], strict=True):
        if context.cancel_token.cancelled:
            raise NodeError("stopped")
        yield {**dict(zip(names, row, strict=True)), **_own(own)}


def _own(value: Any) -> Any:
    """Return a copy of nested mappings and lists, with the tables and other values that they have."""
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if isinstance(value, list) else value


def _batches(form: MapForm, piece: pa.Table) -> dict[str, Any]:
    """Return the columns in the forms that the function takes."""
    return {
        name: _FORMS[form.batches.get(name, "list")](piece.column(name)) for name in form.named_in(piece.column_names)
    }


def _numpy(column: pa.ChunkedArray) -> Any:
    """Return a column as a numpy array; lists of a fixed size without nulls have two dimensions."""
    import pyarrow.types as pt

    array = column.combine_chunks()
    if pt.is_fixed_size_list(array.type) and not array.null_count:
        flat = array.flatten()
        if not flat.null_count:
            return flat.to_numpy(zero_copy_only=False).reshape(len(array), array.type.list_size)
    if pt.is_integer(array.type) and array.null_count:  # numpy has floats then
        import pyarrow.compute as pc

        ends = pc.min_max(array).as_py()
        if max(abs(ends["min"] or 0), abs(ends["max"] or 0)) > _LARGEST:
            what = "an array of numpy has no nulls beside whole numbers beyond 2**53, which no float is"
            raise NodeError(what, "take a list, a pd.Series or a pa.Array")
    return array.to_numpy(zero_copy_only=False)


def _polars(column: pa.ChunkedArray) -> Any:
    import polars

    return polars.from_arrow(column)


def _pandas(column: pa.ChunkedArray) -> Any:
    import pyarrow as pa

    from nfrun.nodes.data_frames import pandas_frame

    series = pandas_frame(pa.table([column], [""]))[""]
    series.name = None
    return series


_FORMS: Mapping[str, Callable[[Any], Any]] = {
    "list": lambda column: column.to_pylist(),
    "arrow": lambda column: column.combine_chunks(),
    "chunked": lambda column: column,
    "numpy": _numpy,
    "pandas": _pandas,
    "polars": _polars,
}


PYTHON = Kind(
    name="python",
    says=Says(
        check=check,
        synonyms=("function", "call", "callable", "python_callable", "func"),
        expression_hint="which function runs is fixed; put values under 'with'",
    ),
    runs=Runs(run, calls_code=True, shell_names=_shell_names),
    code=Code(
        key=_key_inputs,
        is_current=lambda node, code: code.is_current(*node.body.split(":")),
        facts=_code_facts,
        reached=lambda node, code: code.source.statements(*node.body.split(":")),
        may_share_memory=lambda node, code: not code.source.imports_only(_IMMUTABLE, *node.body.split(":")),
    ),
    maps=Maps(map_form, call_piece, call_async=call_piece_async),
)
