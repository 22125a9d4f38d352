"""Finds the nodes that `--only`, `--from`, `--until`, `--exclude` and `--force` select in a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from nfrun.core.errors import NotRecorded, UsageError
from nfrun.core.pipeline import Pipeline
from nfrun.core.selection import NodeGraph, select
from nfrun.core.values import frozen
from nfrun.history.work_dir import WorkDir
from nfrun.nodes.external_files import used_files
from nfrun.session.options import What

_FLAGS = {"only": "--only", "from_": "--from", "until": "--until", "exclude": "--exclude"}
_SKIPPED = ("skipped", "cancelled")  # what `status:skipped` means
_GOOD = ("ok", "reused")


@frozen
class Selection:
    """The selected nodes, None for all nodes, and the nodes that `--force` names, by selector."""

    nodes: frozenset[str] | None
    forced: Mapping[str, frozenset[str]]

    @property
    def force(self) -> frozenset[str]:
        """The selected nodes that run, whatever earlier runs have finished."""
        return frozenset().union(*self.forced.values())


def selection_of(what: What, pipeline: Pipeline, work: WorkDir) -> Selection:
    """Return what the options select in a pipeline, and which of it they force. `work` has the last run.

    Raises UsageError if a selector matches no node, or if no node is selected.
    """
    given = {name: getattr(what, name) for name in _FLAGS}
    if not what.force and not any(given.values()):
        return Selection(None, {})
    graph = _graph(pipeline, work)
    forced = {text: _find(graph, [text], "--force") & pipeline.nodes.keys() for text in what.force}
    if not any(given.values()):
        return Selection(None, {text: frozenset(names) for text, names in forced.items()})
    found: dict[str, Any] = {name: _find(graph, selectors, _FLAGS[name]) for name, selectors in given.items()}
    selected = select(graph, **found)
    enabled = frozenset(name for name in pipeline.nodes if name in selected)
    if pipeline.nodes and not enabled:
        flags = [flag for name, flag in _FLAGS.items() if given[name]]
        disabled = [f"'{name}' is disabled: {why}" for name, why in pipeline.disabled.items() if name in selected]
        raise UsageError("; ".join(["no node is selected", *disabled[:1]]), flags[0])
    return Selection(enabled, {text: enabled & names for text, names in forced.items()})


def _find(graph: NodeGraph, selectors: Iterable[str], flag: str) -> set[str]:
    try:
        return graph.find(selectors)
    except ValueError as error:
        raise UsageError(str(error), flag) from None


def _graph(pipeline: Pipeline, work: WorkDir) -> NodeGraph:
    nodes = {**pipeline.nodes, **pipeline.disabled_nodes}

    values: dict[str, Callable[[], Mapping[str, Collection[str]]]] = {
        "kind": lambda: {name: (spec.kind,) for name, spec in nodes.items()},
        "tag": lambda: {name: spec.tags for name, spec in nodes.items()},
        "file": lambda: {name: used_files(spec, Path(pipeline.folder)) for name, spec in nodes.items()},
        "status": lambda: _last_statuses(pipeline, work),
    }
    upstream = {name: spec.upstream for name, spec in nodes.items()}
    return NodeGraph(upstream, values, folder=pipeline.folder)


def _last_statuses(pipeline: Pipeline, work: WorkDir) -> dict[str, list[str]]:
    """Return the statuses of the nodes in the last run, none if there was none. A tolerated failure is ok, too."""
    from nfrun.lookback.recorded_run import read_nodes
    from nfrun.lookback.run_reference import find_run

    try:
        nodes = read_nodes(find_run(work, work.pipeline_name(pipeline)))
    except NotRecorded:
        return {}
    found: dict[str, list[str]] = {}
    for node in nodes:
        status = "ok" if node.status in _GOOD else "skipped" if node.status in _SKIPPED else node.status
        found[node.node] = [status, "ok"] if node.tolerated else [status]
    return found
