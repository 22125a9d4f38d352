"""Runs a mapped node as a whole, one call after the other: what `nfrun shell` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nfrun.core.map_spec import KeptRows
from nfrun.core.pipeline import NodeSpec
from nfrun.nodes.base import NodeContext, NodeError, output_name
from nfrun.nodes.map_form import check_columns


def run_mapped(
    context: NodeContext,
    call_piece: Callable[[NodeContext, Any, Mapping[str, Any]], Any],
    join: Callable[[NodeSpec, Any], Any] = lambda node, rows: rows,
) -> Mapping[str, Any]:
    """Return the table of a mapped node. Uses and keeps no results of other runs; the first error is raised."""
    from nfrun.pieces.returned import ReturnedError
    from nfrun.pieces.work import MapWork

    node = context.node
    assert node.map is not None
    inputs = {
        item.name: context.table(item.name) for item in node.inputs if not item.optional or context.has_input(item.name)
    }
    table = inputs.pop(node.map.over)
    check_columns(node, table.column_names)
    form = node.map.form
    columns = form.named_in(table.column_names) if form is not None and not form.takes_table else None
    kept = KeptRows(str(context.scratch() / "rows"), "0", use_kept=False)
    work = MapWork(table, node.map, columns, kept, name=node.local_name)
    try:
        for i in range(work.count):
            piece = work.piece((i,))
            work.record(piece, call_piece(context, work.table(piece), inputs))
        return {output_name(node): join(node, work.joined()).read_all()}
    except ReturnedError as error:
        raise NodeError(str(error), error.details) from None
    finally:
        work.close()
