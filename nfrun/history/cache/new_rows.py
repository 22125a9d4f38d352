"""Counts before a run how many rows of mapped nodes are new, where the tables that they cut are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nfrun.core.map_counts import MapCounts
from nfrun.core.map_spec import KeptRows, MapForm
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.core.values import replace
from nfrun.history.cache.cache_key import CacheKeys
from nfrun.history.cache.kept_rows import may_keep_rows, name_of_folder, outdated_results
from nfrun.history.cache.observed_files import ObservedFiles
from nfrun.history.cache.reuse_decision import ReuseDecision
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import reader_digest, table_path

_MOST_COUNTED = 2_000_000  # rows of which a plan finds the different ones before any was computed, at most 1 s


def with_row_counts(
    decisions: Mapping[str, ReuseDecision], pipeline: Pipeline, keys: CacheKeys, observed: ObservedFiles, folder: Path
) -> dict[str, ReuseDecision]:
    """Return the decisions with the rows of the mapped nodes that run, as far as these can be known.

    That is where all inputs are surely those of an earlier run. `folder` has the results of calls.
    """
    found = dict(decisions)
    for node, decision in decisions.items():
        spec = pipeline.nodes[node]
        if decision.hit is None and may_keep_rows(spec, keys):
            inputs = _inputs(spec, decisions)
            counts = inputs and _counts(spec, inputs, keys, observed, folder)
            if counts:
                found[node] = replace(decision, rows=counts)
    return found


def _inputs(
    spec: NodeSpec, decisions: Mapping[str, ReuseDecision]
) -> dict[OutputId, tuple[FinishedOutput, Path | None]] | None:
    """Return the outputs that a node reads, each with its file; None if one of them may change."""
    found: dict[OutputId, tuple[FinishedOutput, Path | None]] = {}
    for output in (output for item in spec.inputs for output in item.outputs):
        decision = decisions.get(output.node)
        hit = decision.hit if decision is not None and decision.is_sure else None
        kept = hit.output(output) if hit is not None else None
        if hit is None or kept is None:
            return None
        found[output] = kept, table_path(hit.folder, kept)
    return found


def _counts(
    spec: NodeSpec,
    inputs: Mapping[OutputId, tuple[FinishedOutput, Path | None]],
    keys: CacheKeys,
    observed: ObservedFiles,
    folder: Path,
) -> MapCounts | None:
    """Return how many rows the input has, and how many of them have results; None if its table is not there."""
    map = spec.map
    over = next((item for item in spec.inputs if map is not None and item.name == map.over), None)
    path = inputs[over.output][1] if over is not None and over.is_plain else None
    digests = {output: reader_digest(kept) for output, (kept, _) in inputs.items()}
    name = name_of_folder(spec, keys, observed, digests)
    if map is None or path is None or name is None or not path.is_file():
        return None
    from nfrun.rows.work import MapWork
    from nfrun.tables.ipc import open_file

    form, table, is_there = map.form or MapForm(), open_file(path), (folder / name).is_dir()
    if not is_there and (form.takes_table or table.num_rows > _MOST_COUNTED):
        return MapCounts(table.num_rows)
    columns = None if form.takes_table else form.named_in(table.column_names)
    if not {*map.by, *form.columns} <= {*table.column_names}:
        return None
    outdated = outdated_results(folder / name, observed) if is_there else ()
    kept = KeptRows(str(folder / name), "", use_kept=is_there, outdated=outdated)
    work = MapWork(table, map, columns, kept, name=spec.local_name)
    return MapCounts(work.rows, work.reused, different=work.different)
