"""Plug-ins that are called for each row of a mapped input: what they take, their calls, and the rows of all calls.

Such a module has a class `Calls`. One instance makes all calls of a node, on the event loop: `Calls(job)` is made on a
thread, `await calls(job, row)` returns the new columns of a row, and `close()`, if there is one, is called at the end.
If the static half has values for what follows the calls, `after(values, rows)` gets all values and a block of rows of
the result, and returns these with more columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.map_spec import MapForm
from nfrun.core.pipeline import NodeSpec
from nfrun.core.static_half import StaticHalf
from nfrun.core.text import ellipsize
from nfrun.nodes.base import NodeContext, NodeDiagnostic, NodeError
from nfrun.nodes.plugins.column_texts import named_columns
from nfrun.nodes.returned_tables import a_

if TYPE_CHECKING:
    import pyarrow as pa


def form_of_rows(node: NodeSpec, half: StaticHalf) -> MapForm:
    """Return what the calls take: the columns that values name."""
    names = named_columns({name: node.with_.get(name) for name in half.columns_in})
    return MapForm(takes_table=False, columns=tuple(names), per_row=True, is_async=True)


def check_rows(node: NodeSpec, half: StaticHalf, wrong: Collection[str | int]) -> Iterator[NodeDiagnostic]:
    """Check that a node can be called for each row. `wrong` are the values that are no such values."""
    if node.map is None:
        over = node.inputs[0].name if node.inputs else "INPUT"
        yield NodeDiagnostic((node.kind,), f"'{half.name}' is called for each row of an input", f"write map: {over}")
        return
    for key, given in (("by", node.map.by), ("parts", node.map.parts), ("explode", node.map.explode)):
        if given:
            what = f"'{half.name}' is called for each row, and has no '{key}'"
            yield NodeDiagnostic(("map", key), what, "remove it", at_key=True)
    texts = [name for name in half.columns_in if name in node.with_ and name not in wrong]
    if texts and not form_of_rows(node, half).columns and not _may_name_columns([node.with_[name] for name in texts]):
        what = f"'{texts[0]}' names no column of '{node.map.over}': each row would get the same"
        yield NodeDiagnostic(("with", texts[0]), what, "write {name} where the column is to stand")


def missing_in_texts(node: NodeSpec, half: StaticHalf, column: str) -> tuple[str, tuple[str | int, ...], int]:
    """Return what to say of a column that is not there, the path of the text that names it, and where in the text."""
    assert node.map is not None
    path, start = named_columns({name: node.with_.get(name) for name in half.columns_in})[column]
    what = f"'{half.name}' names the column '{ellipsize(column)}', which '{node.map.over}' does not have"
    return what, ("with", *path), start


async def call_row(context: NodeContext, module: Any, piece: pa.Table, inputs: Mapping[str, Any], *, new: bool) -> Any:
    """Return what the plug-in's instance gives for each row of a piece, as a list. Raises what it raises."""
    from nfrun.nodes.instances import shared_instance
    from nfrun.nodes.plugin_job import NodeJob
    from nfrun.nodes.user_function import pool_of

    node = context.node
    assert node.plugin is not None and node.map is not None and node.map.form is not None
    job = NodeJob(context, node.plugin, {**inputs, node.map.over: piece}, node.map.over)
    key = (node.folder, node.body), ("plug-in", node.id)
    instance = await shared_instance(pool_of(context.memo), key, lambda: module.Calls(job))
    context.begin(imported=new)
    for name in node.plugin.after:
        job.node.values.pop(name, None)
    return [await instance(job, row) for row in piece.select(list(node.map.form.columns)).to_pylist()]


def joined_rows(node: NodeSpec, module: Any, rows: Any) -> Any:
    """Return the rows of all calls as `after` of the plug-in's module gives them, block by block. Raises NodeError."""
    import pyarrow as pa

    def after(block: pa.Table) -> pa.Table:
        found = module.after(dict(node.with_), block)
        if not isinstance(found, pa.Table):
            raise NodeError(f"after() of '{node.body}' returned {a_(found)}, not a table")
        if len(found) != len(block):
            raise NodeError(f"after() of '{node.body}' returned {_counted(len(found))}, and it got {len(block)}")
        return found

    schema = after(rows.schema.empty_table()).schema

    def blocks() -> Iterator[Any]:
        for batch in rows:
            found = after(pa.Table.from_batches([batch]))
            if found.schema != schema:
                what = f"after() of '{node.body}' returned the columns {_columns(found.schema)}, and {_columns(schema)}"
                raise NodeError(f"{what} for a table without rows")
            yield from found.to_batches()

    return pa.RecordBatchReader.from_batches(schema, blocks())


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def _may_name_columns(value: Any) -> bool:
    """Whether a value has a text with an expression, which may name columns."""
    from nfrun.core.pipeline import has_expression

    if isinstance(value, str):
        return has_expression(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_may_name_columns, items))
