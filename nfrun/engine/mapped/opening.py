"""Opens the input of a mapped node, and finds out which of its pieces are to be computed."""

from __future__ import annotations

import time

from nfrun.core.map_counts import OpenedMap
from nfrun.core.map_spec import KeptRows, MapForm
from nfrun.engine.attempt_context import AttemptContext
from nfrun.engine.mapped.open_map import OpenMap
from nfrun.nodes.map_form import check_columns


def open_map(context: AttemptContext, kept: KeptRows | None) -> OpenedMap:
    """Cut the input of a mapped node into pieces, and look up which have results.

    Raises NodeError if the input lacks a column, HandoffError, and FormatError.
    """
    from nfrun.pieces.work import MapWork

    began = time.perf_counter()
    node = context.node
    spec = node.map
    assert spec is not None
    table = context.table(spec.over)
    check_columns(node, table.column_names)
    form = spec.form or MapForm()
    columns = None if form.takes_table else form.named_in(table.column_names)
    others = [item for item in node.inputs if item.name != spec.over]
    inputs = {
        item.name: context.table(item.name) for item in others if not item.optional or context.has_input(item.name)
    }
    if kept is None:
        kept = KeptRows(str(context.scratch() / "results"), "", use_kept=False)
    work = MapWork(table, spec, columns, kept, name=node.local_name)
    settings, on_close = context.settings, context.remove_scratch
    settings.open_maps[node.id, context.logged] = OpenMap(node, work, inputs, began, on_close, settings.watch)
    return OpenedMap(work, work.rows, work.reused, form.is_async)
