"""Calls the function of a mapped node for one piece of its input."""

from __future__ import annotations

from typing import Any

from nfrun.core.map_spec import MapForm
from nfrun.nodes.base import NodeContext
from nfrun.nodes.returned_tables import to_table


def call_piece(context: NodeContext, function: Any, table: Any, arguments: dict[str, Any]) -> Any:
    """Call the function for a piece: with its table, or with columns of it."""
    spec = context.node.map
    assert spec is not None
    form = spec.form or MapForm()
    if form.takes_table:
        return to_table(function(**arguments, **{spec.over: table}))
    names = form.named_in(table.column_names)
    if form.per_row:
        rows = zip(*[table[name].to_pylist() for name in names], strict=True)
        found = [function(**arguments, **dict(zip(names, row, strict=True))) for row in rows]
        if form.is_async:
            return [context.run_coroutine(each) for each in found]
        return found
    return function(**arguments, **{name: _column(table[name], form.batches[name]) for name in names})


async def call_piece_async(context: NodeContext, function: Any, table: Any, arguments: dict[str, Any]) -> Any:
    spec = context.node.map
    assert spec is not None
    form = spec.form or MapForm()
    if form.takes_table:
        return to_table(await function(**arguments, **{spec.over: table}))
    names = form.named_in(table.column_names)
    if form.per_row:
        return [
            await function(**arguments, **dict(zip(names, row, strict=True)))
            for row in zip(*[table[name].to_pylist() for name in names], strict=True)
        ]
    return await function(**arguments, **{name: _column(table[name], form.batches[name]) for name in names})


def _column(column: Any, form: str) -> Any:
    if form == "list":
        return column.to_pylist()
    return column.to_numpy() if form == "numpy" else column.combine_chunks()
