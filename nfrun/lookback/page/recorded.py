"""Collects all that is recorded of a run: its journal, its plan, and how the two fit together."""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.core.pipeline import OutputId
from nfrun.core.values import frozen, replace
from nfrun.history.journal import FinishedOutput, JournalContents, NodeTimes, read_journal
from nfrun.history.run_plan import PlannedNode, RunPlan, read_run_plan
from nfrun.lookback.page.critical_path import Span
from nfrun.lookback.page.recorded_graph import RecordedGraph, graph_of, planned_graph
from nfrun.lookback.recorded_run import Node, RecordedNode, ends_of, recorded
from nfrun.lookback.run_list import ListedRun

NOT_ENDED = "not_ended"  # the status of a node of a run that was killed or is under way
DISABLED = "disabled"  # that of a node of which planning knew that it does not run


@frozen
class Recorded:
    """What is recorded of a run. All mappings are by the id of the node, in the order of the pipeline file.

    `ends` are the lines of nodes that have ended. `nodes` also has those that have not. `plan` is None, and `planned`
    is empty, where no plan is recorded. `times` are those of last attempts, where they are recorded, and `spans` those
    of nodes that worked in this run. `outputs` are by their ids.
    """

    run: ListedRun
    journal: JournalContents
    ends: Mapping[str, Node]
    nodes: Mapping[str, RecordedNode]
    plan: RunPlan | None
    planned: Mapping[str, PlannedNode]
    graph: RecordedGraph
    times: Mapping[str, NodeTimes]
    spans: Mapping[str, Span]
    outputs: Mapping[OutputId, FinishedOutput]

    def runs_last(self, node: str) -> bool:
        """Return whether a node runs when all others have ended."""
        return node in self.planned and self.planned[node].runs_last

    @property
    def slots(self) -> int | None:
        """The slots of the run, None if they are not recorded."""
        return self.plan.on.slots if self.plan is not None else None


def read_recorded(run: ListedRun) -> Recorded:
    """Read all that is recorded of a run. Raises PermissionError if its journal cannot be read."""
    journal, plan = read_journal(run.folder), read_run_plan(run.folder)
    ends = ends_of(journal)
    planned = {} if plan is None else plan.nodes
    nodes: dict[str, RecordedNode] = {}
    for name in dict.fromkeys([*planned, *ends]):
        if name in ends:
            nodes[name] = recorded(ends[name])
        elif planned[name].disabled:
            nodes[name] = RecordedNode(name, DISABLED, 0.0, None, 0, "", planned[name].disabled)
        elif run.ending is None or not run.ending.counts:  # of a run that has ended, nodes without a line have no part
            nodes[name] = RecordedNode(name, NOT_ENDED, 0.0, None, 0, "")
        if name not in ends and name in nodes and planned[name].of:
            nodes[name] = replace(nodes[name], of=planned[name].of, cell=planned[name].cell)
    graph = graph_of(ends) if plan is None else planned_graph(plan.nodes, nodes)
    times = {name: found for name in ends if (found := nodes[name].times) is not None}
    spans = {name: span for name in ends if (span := _span_of(nodes[name])) is not None}
    outputs = {output.id: output for node in nodes.values() for output in node.outputs}
    return Recorded(run, journal, ends, nodes, plan, planned, graph, times, spans, outputs)


def _span_of(node: RecordedNode) -> Span | None:
    """Return when a node was ready, started and ended, None if it did not run, or if that is not recorded."""
    if node.status in ("reused", "skipped") or node.started is None:
        return None
    if (times := node.times) is not None:
        queued = node.failed[0].queued if node.failed else times.queued
        failed = sum(attempt.ended - attempt.started for attempt in node.failed)
        retrying = max(0.0, times.started - node.started - failed)
        return Span(node.started - queued, node.started, times.ended, node.duration + failed, retrying)
    return Span(node.started, node.started, node.started + node.duration, node.duration)
