"""Counts the nodes of a pipeline and of those that it includes, before any is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nfrun.core.errors import Diagnostic
from nfrun.core.pipeline import NOTHING, NodeSpec, Pipeline
from nfrun.core.values import frozen, replace
from nfrun.nodes.registry import KINDS
from nfrun.pipeline_file.matrix.cells import MAX_NODES, count_cells, product_text
from nfrun.pipeline_file.matrix.resolution import seen_by_graph
from nfrun.pipeline_file.matrix.values import find_values
from nfrun.pipeline_file.subpipelines import includes
from nfrun.pipeline_file.yaml.document import Document

_Names = Mapping[str, Mapping[str, Any]]


@frozen
class _Count:
    """How many nodes a pipeline has, or at least if not `is_exact`.

    `largest` is the node with most of them, and `text` says how many cells it has.
    """

    nodes: int
    largest: str
    text: str
    is_exact: bool


def too_many_nodes(pipeline: Pipeline, document: Document, names: _Names = NOTHING) -> Diagnostic | None:
    """Return what is wrong if a pipeline, or one that it includes, has too many nodes with those that it includes.

    `names` are those that the expressions of its axes see. An axis whose values are not known counts as one value.
    """
    if not pipeline.included:
        return None
    known: dict[str, _Count] = {}
    for other in _included(pipeline):
        count = _counted(other, NOTHING, known)
        if other.included and count.nodes > MAX_NODES:
            return _diagnostic(other, document.others[other.file], count)
    count = _counted(pipeline, names, known)
    return _diagnostic(pipeline, document, count) if count.nodes > MAX_NODES else None


def too_many_included(
    pipeline: Pipeline, document: Document, given: Iterable[tuple[NodeSpec, Mapping[str, Any]]]
) -> Diagnostic | None:
    """Return what is wrong if a pipeline has too many nodes with those that its cells include.

    `given` has the nodes that include others, each with the values of the parameters there.
    """
    total, known = len(pipeline.nodes), dict[str, _Count]()
    for spec, params in given:
        other = pipeline.included[spec.body]
        count = _counted(other, NOTHING, known)
        if not count.is_exact:
            count = _counted(other, {"params": params}, dict(known))
        total += count.nodes - 1
        if total > MAX_NODES:
            text = f"'{spec.id}' has {count.nodes:,}, and there {count.text}"
            return _diagnostic(pipeline, document, _Count(total, spec.declared, text, is_exact=False))
    return None


def _diagnostic(pipeline: Pipeline, document: Document, count: _Count) -> Diagnostic:
    has = "has" if count.is_exact else "has at least"
    what = f"the pipeline {has} {count.nodes:,} nodes, and at most {MAX_NODES:,}: {count.text}"
    body = document.root["nodes"][count.largest]
    key = "matrix" if "matrix" in body else next(key for key in body if key in KINDS)
    return Diagnostic(document.span("nodes", count.largest, key), what)


def _included(pipeline: Pipeline) -> list[Pipeline]:
    """Return the pipelines that a pipeline includes, directly or through others, the innermost first."""
    found = {other.file: other for other in pipeline.included.values()}
    left = list(found.values())
    for other in left:
        new = [inner for inner in other.included.values() if inner.file not in found]
        found.update({inner.file: inner for inner in new})
        left += new
    return left[::-1]


def _counted(pipeline: Pipeline, names: _Names, known: dict[str, _Count]) -> _Count:
    """Count the nodes. `known` has the counts of others by their files, and gets that of this one."""
    if pipeline.file in known and not names:
        return known[pipeline.file]
    axes, _ = find_values(pipeline, seen_by_graph(names), reads_data=False)
    cells, lengths = count_cells(replace(pipeline, axes=axes))
    others = {body: _counted(other, NOTHING, known) for body, other in pipeline.included.items()}
    inner = {name: others[spec.body] for name, spec in pipeline.nodes.items() if includes(spec) and spec.body in others}
    nodes = {name: count * (inner[name].nodes if name in inner else 1) for name, count in cells.items()}
    largest = max(nodes, key=nodes.__getitem__)
    spec = pipeline.nodes[largest]
    text = f"'{largest}' has {cells[largest]:,} ({product_text(spec.axes, lengths)})" if spec.axes else f"'{largest}'"
    if largest in inner:
        each = f"of {inner[largest].nodes:,} nodes each" if spec.axes else f"has {inner[largest].nodes:,} nodes"
        text = f"{text} {each}, and there {inner[largest].text}"
    is_exact = all(axis.values for axis in axes.values()) and all(count.is_exact for count in others.values())
    known[pipeline.file] = _Count(sum(nodes.values()), largest, text, is_exact)
    return known[pipeline.file]
