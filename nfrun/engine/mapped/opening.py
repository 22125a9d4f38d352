"""Opens the input of a mapped node, and finds out which of its pieces are to be computed."""

from __future__ import annotations

import time

from nfrun.core.map_counts import OpenedMap
from nfrun.core.map_spec import KeptRows
from nfrun.engine.attempt_context import AttemptContext
from nfrun.engine.mapped.open_map import OpenMap
from nfrun.nodes.mapped_run import open_work


def open_map(context: AttemptContext, kept: KeptRows | None) -> OpenedMap:
    """Cut the input of a mapped node into pieces, and look up which have results. Raises as `open_work` does."""
    began = time.perf_counter()
    node, settings = context.node, context.settings
    for key in [key for key in list(settings.open_maps) if key[0] == node.id]:  # of an attempt whose input was gone
        settings.open_maps.pop(key).close()
    work, inputs = open_work(context, kept)
    opened = OpenMap(node, work, inputs, began, context.remove_scratch, settings.watch)
    settings.open_maps[node.id, context.logged] = opened
    is_async = node.map is not None and node.map.form is not None and node.map.form.is_async
    return OpenedMap(work, work.rows, work.reused, is_async)
