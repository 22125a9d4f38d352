"""Opens the input of a mapped node, and runs one as a whole, one call after the other: what `nfrun shell` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nfrun.core.map_spec import KeptRows, MapForm
from nfrun.nodes.arguments import check_columns
from nfrun.nodes.base import NodeContext, NodeError, output_name
from nfrun.nodes.registry import kind_of

if TYPE_CHECKING:
    from nfrun.rows.work import MapWork


NO_MAP = "it is for python and run nodes"


def open_work(context: NodeContext, kept: KeptRows | None = None) -> tuple[MapWork, Mapping[str, Any]]:
    """Return the pieces of a mapped node's input, and its other inputs by name.

    `kept` says where results of calls are, None to use those of no other run and to leave none. Raises NodeError if
    the input lacks a column, HandoffError, and FormatError.
    """
    from nfrun.rows.work import MapWork

    node = context.node
    spec, form = node.map, (node.map and node.map.form) or MapForm()
    assert spec is not None
    table = context.table(spec.over)
    check_columns(node, table.column_names)
    columns = None if form.takes_table else form.named_in(table.column_names)
    others = [item for item in node.inputs if item.name != spec.over]
    inputs = {
        item.name: context.table(item.name) for item in others if not item.optional or context.has_input(item.name)
    }
    if kept is None:
        kept = KeptRows(str(context.scratch() / "results"), "", use_kept=False)
    return MapWork(table, spec, columns, kept, name=node.local_name), inputs


def run_whole(context: NodeContext) -> Mapping[str, Any]:
    """Return the outputs of a node, of a mapped one after all calls, one after the other.

    Uses and keeps no results of calls of other runs. Raises what a node raises, and the first error of a call.
    """
    node, kind = context.node, kind_of(context.node)
    if node.map is None or kind.maps is None:
        return kind.runs.run(context)
    from nfrun.rows.returned import ReturnedError  # few nodes are mapped

    work, inputs = open_work(context)
    try:
        for i in range(work.count):
            piece = work.piece((i,))
            work.record(piece, kind.maps.call(context, work.table(piece), inputs))
        return {output_name(node): kind.maps.join(node, work.joined()).read_all()}
    except ReturnedError as error:
        raise NodeError(str(error), error.details) from None
    finally:
        work.close()
