"""The kind `use`: a kind of node that an installed package has. Calls the `run(job)` of its module.

A plug-in that is called for each row of a mapped input has a class `Calls` instead. One instance makes all calls of a
node, on the event loop: `Calls(job)` is made on a thread, `await calls(job, row)` returns the new columns of a row, and
`close()`, if there is one, is called at the end. If the static half has values for what follows the calls,
`after(values, rows)` gets all values and a block of rows of the result, and returns these with more columns.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import Problem
from nfrun.core.map_spec import MapForm
from nfrun.core.pipeline import LAST_SECTIONS, TABLE, NodeSpec, StaticHalf, ending_of, form_of, has_expression
from nfrun.core.text import ellipsize, format_count
from nfrun.core.values import replace
from nfrun.nodes.base import NodeContext, NodeError, is_evaluated, output_name
from nfrun.nodes.kind import Code, Kind, Maps, Outside, Runs, Says
from nfrun.nodes.returned_tables import a_, check_apart, made_file, to_table
from nfrun.nodes.schemas import check_value
from nfrun.nodes.user_function import pool_of

if TYPE_CHECKING:
    import pyarrow as pa

    from nfrun.nodes.job import Job

# What a module of a plug-in has, for messages.
_SIGNATURES = {"run": "function run(job)", "Calls": "class Calls", "after": "function after(values, rows)"}


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check values, inputs, map and executor of a node against the static half of its plug-in."""
    half = node.plugin
    if half is None:
        return
    wrong = [*check_value(half.values, node.with_, f"'{half.name}'", evaluated=False)]
    for found in wrong:
        at_top = not found.path and not node.with_  # there may be no `with` to point at
        path = (node.kind,) if at_top else ("with", *found.path)
        yield replace(found, path=path, at_key=found.at_key or (bool(node.with_) and not found.path))
    yield from _check_inputs(node, half)
    if half.columns_in:
        yield from _check_rows(node, half, {found.path[0] for found in wrong if found.path})
    if node.map is not None and not half.maps:
        yield Problem(("map",), f"'{half.name}' has no 'map'", "it reads its inputs as a whole", at_key=True)
    if node.section in LAST_SECTIONS and "thread" not in half.executors:
        what = f"'{half.name}' runs in processes only, and a node under '{node.section}' runs on a thread"
        yield Problem((node.kind,), what, "use it in a node under 'nodes'")
    if node.executor and not has_expression(node.executor) and node.executor not in ("auto", *half.executors):
        what = f"'{half.name}' does not run on the executor '{node.executor}'"
        yield Problem(("executor",), what, f"it has {' and '.join(half.executors)}: remove it")


def _check_inputs(node: NodeSpec, half: StaticHalf) -> Iterator[Problem]:
    count = len(node.inputs)
    if count < half.least or (half.most is not None and count > half.most):
        bounds = [f"{half.least} or more"] if half.most is None else [str(half.least), str(half.most)]
        takes = "no inputs" if half.most == 0 else f"{' to '.join(dict.fromkeys(bounds))} input{'s' * (half.most != 1)}"
        what = f"'{half.name}' has {takes}; this node has {count or 'none'}"
        hint = "remove them" if half.most == 0 else "" if count else "name it with 'inputs'"
        yield Problem(("inputs",) if count else (node.kind,), what, hint, at_key=True, counts=True)
    for item in node.inputs:
        if form_of(item.type) not in half.forms:
            what = f"'{item.name}' is a {form_of(item.type)}, and '{half.name}' reads {_listed(half.forms)}"
            yield Problem(("inputs", item.name), what)


def _check_rows(node: NodeSpec, half: StaticHalf, wrong: Collection[str | int]) -> Iterator[Problem]:
    """Check that a node can be called for each row. `wrong` are the values that are no such values."""
    if node.map is None:
        over = node.inputs[0].name if node.inputs else "INPUT"
        yield Problem((node.kind,), f"'{half.name}' is called for each row of an input", f"write map: {over}")
        return
    for key, given in (("by", node.map.by), ("parts", node.map.parts), ("explode", node.map.explode)):
        if given:
            what = f"'{half.name}' is called for each row, and has no '{key}'"
            yield Problem(("map", key), what, "remove it", at_key=True)
    texts = [name for name in half.columns_in if name in node.with_ and name not in wrong]
    if texts and not _named_columns(node, half) and is_evaluated([node.with_[name] for name in texts]):
        what = f"'{texts[0]}' names no column of '{node.map.over}': each row would get the same"
        yield Problem(("with", texts[0]), what, "write {name} where the column is to stand")


def _listed(forms: Collection[str]) -> str:
    return " and ".join(f"{form}s" for form in forms)


def run(context: NodeContext) -> Mapping[str, Any]:
    """Import the plug-in's module, call its `run(job)`, and return the outputs."""
    from nfrun.nodes.job import Job  # few pipelines have plug-ins

    return _outputs(context, _called(context, Job(context, _half(context))))


def call_piece(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the table that the plug-in makes of a piece. `inputs` are all others, by name."""
    if _half(context).columns_in:
        return context.run_coroutine(call_piece_async(context, piece, inputs))
    result = _called(context, _job_of_call(context, piece, inputs))
    (name,) = _half(context).outputs or ("",)
    if not isinstance(result, Mapping) or [*result] != [name]:
        raise NodeError(f"run() of '{context.node.body}' returned {_returned(result)}, not {{'{name}': a table}}")
    return to_table(result[name])


async def call_piece_async(context: NodeContext, piece: pa.Table, inputs: Mapping[str, Any]) -> Any:
    """Return the results of the plug-in's instance for the rows of a piece. Raises the errors that it raises."""
    node, job = context.node, _job_of_call(context, piece, inputs)
    module, is_new = _loaded(context, "Calls")
    key = (node.folder, node.body), ("plug-in", node.id)
    instance = await pool_of(context.memo).shared(key, lambda: module.Calls(job))
    context.begin(imported=is_new)
    for name in _half(context).after:
        job.node.values.pop(name, None)
    assert node.map is not None and node.map.form is not None
    return [await instance(job, row) for row in piece.select(list(node.map.form.columns)).to_pylist()]


def _map_form(node: NodeSpec) -> MapForm:
    """Return the arguments of the calls: a table, or the columns that values name."""
    if node.plugin is None or not node.plugin.columns_in:
        return MapForm()
    names = _named_columns(node, node.plugin)
    return MapForm(takes_table=False, columns=tuple(names), per_row=True, is_async=True)


def _named_columns(node: NodeSpec, half: StaticHalf) -> Mapping[str, tuple[tuple[str | int, ...], int]]:
    from nfrun.nodes.job import named_columns

    return named_columns({name: node.with_.get(name) for name in half.columns_in})


def _join_pieces(node: NodeSpec, rows: Any) -> Any:
    """Return the rows of all calls, with the columns that the plug-in adds."""
    if node.plugin is None or not node.plugin.after:
        return rows
    return joined_rows(node, _imported(node.plugin, "after"), rows)


def _job_of_call(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Job:
    from nfrun.nodes.job import Job

    assert context.node.map is not None
    over = context.node.map.over
    return Job(context, _half(context), {**inputs, over: piece}, over)


def _half(context: NodeContext) -> StaticHalf:
    assert context.node.plugin is not None
    return context.node.plugin


def _called(context: NodeContext, job: Job) -> Any:
    module, is_new = _loaded(context, "run")
    context.begin(imported=is_new)
    return module.run(job)


def _loaded(context: NodeContext, name: str) -> tuple[Any, bool]:
    """Return the module of a node's plug-in, and whether it was imported now."""
    known = "plug-in", context.node.body
    is_new = known not in context.memo
    if is_new:
        context.memo[known] = _imported(_half(context), name)
    return context.memo[known], is_new


def _imported(half: StaticHalf, name: str) -> Any:
    """Return the module of a plug-in, which has a function `name`. Raises NodeError, and what the import raises."""
    import importlib

    module = importlib.import_module(half.module)
    origin = getattr(module, "__file__", None) or ""
    if os.path.realpath(origin) != os.path.realpath(half.origin):  # of another environment, or hidden
        own = _installed_here(half)
        if own is None or os.path.realpath(origin) != os.path.realpath(own.origin):
            what = f"the module '{half.module}' of '{half.name}' is hidden by another of that name ({origin})"
            raise NodeError(what, "rename that")
    if not callable(getattr(module, name, None)):
        raise NodeError(f"the module '{half.module}' of '{half.name}' has no {_SIGNATURES[name]}")
    return module


def _installed_here(half: StaticHalf) -> StaticHalf | None:
    """Return the static half of a kind in this process's environment: a worker's may differ from that of the run.

    None if there is no usable one. Raises NodeError if its results may be others.
    """
    from nfrun.nodes.plugins import PluginError, find_kind

    try:
        own = find_kind(half.name)
    except PluginError:
        return None
    if own.revision != half.revision:
        what = f"'{half.name}' has the revision {own.revision} here (of {own.package}), and {half.revision} in the run"
        raise NodeError(what, f"install {half.package} here, too")
    return own


def _outputs(context: NodeContext, result: Any) -> dict[str, Any]:
    """Return the outputs of a node by the names that they have in the file."""
    node, half = context.node, _half(context)
    if result is None:
        return {}
    if not isinstance(result, Mapping) or any(not isinstance(name, str) for name in result):
        raise NodeError(f"run() of '{node.body}' returned {a_(result)}, not a mapping of its outputs")
    if unknown := [name for name in result if name not in half.outputs]:
        raise NodeError(f"run() of '{node.body}' returned {_returned(result)}: there is no output '{unknown[0]}'")
    only = output_name(node)
    names = {name: name if name in node.outputs else only for name in result if name in node.outputs or not only}
    made = {names[name]: _output(context, name, result[name]) for name in names if result[name] is not None}
    check_apart({name: value for name, value in made.items() if isinstance(value, Path)})
    return made


def _output(context: NodeContext, name: str, value: Any) -> Any:
    type = _half(context).outputs[name]
    if type != TABLE:
        return made_file(value, type, name, context.scratch(), f"job.scratch() / '{name}{ending_of(type)}'")
    table = to_table(value)
    if hasattr(table, "read_next_batch"):  # its batches are written as they come
        return table
    from nfrun.tables.stored_form import frozen_output

    return frozen_output(table)


def _returned(result: Any) -> str:
    if not isinstance(result, Mapping):
        return a_(result)
    names = ", ".join([f"'{ellipsize(str(name))}'" for name in result])
    return f"a mapping of {names or 'nothing'}"


def missing_in_texts(node: NodeSpec, half: StaticHalf, column: str) -> tuple[str, tuple[str | int, ...], int]:
    """Return what to say of a column that is not there, the path of the text that names it, and where in the text."""
    assert node.map is not None
    path, start = _named_columns(node, half)[column]
    what = f"'{half.name}' names the column '{ellipsize(column)}', which '{node.map.over}' does not have"
    return what, ("with", *path), start


def joined_rows(node: NodeSpec, module: Any, rows: Any) -> Any:
    """Return the rows of all calls as `after` of the plug-in's module gives them, block by block. Raises NodeError."""
    import pyarrow as pa

    from nfrun.tables.ipc import schema_line

    def after(block: pa.Table) -> pa.Table:
        found = module.after(dict(node.with_), block)
        if not isinstance(found, pa.Table):
            raise NodeError(f"after() of '{node.body}' returned {a_(found)}, not a table")
        if len(found) != len(block):
            raise NodeError(
                f"after() of '{node.body}' returned {format_count(len(found), 'row')}, and it got {len(block):,}"
            )
        return found

    schema = after(rows.schema.empty_table()).schema

    def blocks() -> Iterator[Any]:
        for batch in rows:
            found = after(pa.Table.from_batches([batch]))
            if found.schema != schema:
                what = f"after() of '{node.body}' returned the columns {schema_line(found.schema)}"
                raise NodeError(f"{what}, and {schema_line(schema)} for a table without rows")
            yield from found.to_batches()

    return pa.RecordBatchReader.from_batches(schema, blocks())


USE = Kind(
    name="use",
    says=Says(
        check=check,
        settings=("env",),
        synonyms=("plugin", "plug_in", "plug-in", "provider"),
        expression_hint="which plug-in runs is fixed; put values under 'with'",
    ),
    runs=Runs(run, calls_code=True),
    maps=Maps(lambda node, lookup: _map_form(node), call_piece, call_async=call_piece_async, join=_join_pieces),
)


def kind_of_plugin(half: StaticHalf) -> Kind:
    """Return the kind of the nodes of a plug-in: `use`, and what the static half says."""
    unseen = f"'{half.name}' reads what lies outside of the run, and nfrun cannot see whether it has changed"
    runs = replace(
        USE.runs,
        executors=half.executors,
        has_side_effects=half.effects,
        for_effect=half.effects,
        obstacle=unseen if half.external else "",
    )
    code = Code(
        key=lambda node, code: {"revision": str(half.revision)},
        needed_modules=(half.module,),
    )
    return replace(USE, runs=runs, outside=Outside(stays_here=lambda node: "process" not in half.executors), code=code)
