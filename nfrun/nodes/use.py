"""The kind `use`: a kind of node that an installed package has. Calls the `run(job)` of its module."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.map_spec import MapForm
from nfrun.core.output_types import TABLE, ending_of, form_of
from nfrun.core.pipeline import LAST_SECTIONS, NodeSpec, has_expression
from nfrun.core.static_half import StaticHalf
from nfrun.core.text import ellipsize
from nfrun.nodes.base import Kind, NodeContext, NodeDiagnostic, NodeError, output_name
from nfrun.nodes.returned_tables import a_, check_apart, made_file, to_table

if TYPE_CHECKING:
    from nfrun.nodes.plugins.job import Job

# What a module of a plug-in has, for messages.
_SIGNATURES = {"run": "function run(job)", "Calls": "class Calls", "after": "function after(values, rows)"}


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[NodeDiagnostic]:
    """Check values, inputs, map and executor of a node against the static half of its plug-in."""
    half = node.plugin
    if half is None:
        return
    from nfrun.nodes.plugins.value_checks import check_values  # few pipelines have plug-ins

    wrong = [*check_values(half.values, node.with_, f"'{half.name}'")]
    for found in wrong:
        at_top = not found.path and not node.with_  # there may be no `with` to point at
        path = (node.kind,) if at_top else ("with", *found.path)
        yield NodeDiagnostic(path, found.message, found.hint, found.at_key or (bool(node.with_) and not found.path))
    yield from _check_inputs(node, half)
    if half.columns_in:
        from nfrun.nodes.use_rows import check_rows  # few plug-ins are called for each row

        yield from check_rows(node, half, {found.path[0] for found in wrong if found.path})
    if node.map is not None and not half.maps:
        yield NodeDiagnostic(("map",), f"'{half.name}' has no 'map'", "it reads its inputs as a whole", at_key=True)
    if node.section in LAST_SECTIONS and "thread" not in half.executors:
        what = f"'{half.name}' runs in processes only, and a node under '{node.section}' runs on a thread"
        yield NodeDiagnostic((node.kind,), what, "use it in a node under 'nodes'")
    if node.executor and not has_expression(node.executor) and node.executor not in ("auto", *half.executors):
        what = f"'{half.name}' does not run on the executor '{node.executor}'"
        yield NodeDiagnostic(("executor",), what, f"it has {' and '.join(half.executors)}: remove it")


def _check_inputs(node: NodeSpec, half: StaticHalf) -> Iterator[NodeDiagnostic]:
    count = len(node.inputs)
    if count < half.least or (half.most is not None and count > half.most):
        exactly = f"{_counted(half.least)}" if half.most == half.least else ""
        few, many = f"at least {_counted(half.least)}", f"at most {_counted(half.most or 0)}"
        takes = "no inputs" if half.most == 0 else exactly or (few if count < half.least else many)
        what = f"'{half.name}' has {takes}; this node has {count or 'none'}"
        hint = "remove them" if half.most == 0 else "" if count else "name it with 'inputs'"
        yield NodeDiagnostic(("inputs",) if count else (node.kind,), what, hint, at_key=True, counts=True)
    for item in node.inputs:
        if form_of(item.type) not in half.forms:
            what = f"'{item.name}' is a {form_of(item.type)}, and '{half.name}' reads {_listed(half.forms)}"
            yield NodeDiagnostic(("inputs", item.name), what)


def _counted(count: int) -> str:
    return "one input" if count == 1 else f"{count} inputs"


def _listed(forms: Collection[str]) -> str:
    return " and ".join(f"{form}s" for form in forms)


def run(context: NodeContext) -> Mapping[str, Any]:
    """Import the plug-in's module, call its `run(job)`, and return what it made."""
    result = _called(context, _job(context))
    return _outputs(context, result)


def call_piece(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the table that the plug-in makes of a piece. `inputs` are all others, by name."""
    assert context.node.map is not None
    if _half(context).columns_in:
        return context.run_coroutine(call_piece_async(context, piece, inputs))
    result = _called(context, _job(context, {**inputs, context.node.map.over: piece}, context.node.map.over))
    (name,) = _half(context).outputs or ("",)
    if not isinstance(result, Mapping) or [*result] != [name]:
        raise NodeError(f"run() of '{context.node.body}' returned {_returned(result)}, not {{'{name}': a table}}")
    return to_table(result[name])


async def call_piece_async(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    """Return what a plug-in gives for the rows of a piece, from a coroutine on the event loop."""
    from nfrun.nodes.use_rows import call_row

    module, is_new = _loaded(context, "Calls")
    return await call_row(context, module, piece, inputs, new=is_new)


def _map_form(node: NodeSpec) -> MapForm:
    if node.plugin is None or not node.plugin.columns_in:
        return MapForm()
    from nfrun.nodes.use_rows import form_of_rows

    return form_of_rows(node, node.plugin)


def _join_pieces(node: NodeSpec, rows: Any) -> Any:
    """Return the rows of all calls, with what the plug-in adds to them."""
    if node.plugin is None or not node.plugin.after:
        return rows
    from nfrun.nodes.use_rows import joined_rows

    return joined_rows(node, _imported(node.plugin, "after"), rows)


def _job(context: NodeContext, inputs: Mapping[str, Any] | None = None, over: str = "") -> Job:
    from nfrun.nodes.plugin_job import NodeJob

    return NodeJob(context, _half(context), inputs, over)


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
    from nfrun.nodes.plugins.installed import PluginError, find_kind

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


def _obstacle(node: NodeSpec) -> str:
    if node.plugin is None or not node.plugin.external:
        return ""
    return f"'{node.body}' reads what lies outside of the run, and nfrun cannot see whether it has changed"


def _has_effects(node: NodeSpec) -> bool:
    return node.plugin is not None and node.plugin.effects


def _revision(node: NodeSpec) -> Mapping[str, str]:
    return {"revision": str(node.plugin.revision)} if node.plugin is not None else {}


USE = Kind(
    name="use",
    schema={
        "title": "A kind of a plug-in",
        "description": "NAME or NAME@MAJOR of a kind that an installed package has, such as adbc.query.",
        "type": "string",
        "pattern": r"^[A-Za-z][A-Za-z0-9_.-]*(@[0-9]+)?$",
        "patternErrorMessage": "write the name of a kind, such as adbc.query or adbc.query@1",
        "examples": ["adbc.query"],
    },
    check=check,
    run=run,
    call_piece=call_piece,
    call_piece_async=call_piece_async,
    join_pieces=_join_pieces,
    map_form=lambda node, lookup: _map_form(node),
    settings={"env": {"$ref": "#/$defs/env"}},
    synonyms=("plugin", "plug_in", "plug-in", "provider"),
    expression_hint="which plug-in runs is fixed; put values under 'with'",
    is_plugin=True,
    may_run_last=True,
    key_inputs=lambda node, code: _revision(node),
    obstacle=_obstacle,
    runs_for_effect=_has_effects,
    executors=lambda node: node.plugin.executors if node.plugin is not None else ("thread",),
    stays_here=lambda node: node.plugin is None or "process" not in node.plugin.executors,
    imports=lambda node, code: (node.plugin.module,) if node.plugin is not None else (),
    needed_modules=lambda node, folder: (node.plugin.module,) if node.plugin is not None else (),
    loads_libraries=True,
    has_side_effects=_has_effects,
    has_user_frames=True,
)
