"""Collects all that is recorded of a run: its journal, its plan, and which node read what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError

from nfrun.core.pipeline import OutputId
from nfrun.core.plan import make_stages
from nfrun.core.values import frozen, replace
from nfrun.history.database import read_journal
from nfrun.history.journal import FinishedOutput, JournalContents, NodeTimes, RecordedNode
from nfrun.history.run_plan import PlannedNode, RunPlan, read_run_plan
from nfrun.lookback.run_reference import ListedRun

NOT_ENDED = "not_ended"  # the status of a node of a run that was killed or is under way
DISABLED = "disabled"  # that of a node of which planning knew that it does not run
_NOT_PLANNED = PlannedNode("", "")

Reads = Mapping[str, tuple[tuple[str, OutputId], ...]]  # by node the outputs that it reads, each with its name there


@frozen
class Attempt:
    """An attempt at a node, which worked for `work` seconds. `error` says why it failed, "" if it did not."""

    times: NodeTimes
    work: float
    error: str = ""

    @property
    def phases(self) -> list[tuple[str, float, float]]:
        """The parts of the attempt, each with its start and its end. Those that took no time are left out.

        Its inputs were opened first, and its outputs handed on last, just after its work. Before its work it may have
        waited for a worker process to start.
        """
        times = self.times
        opened = min(times.ended, times.started + times.inputs)
        worked = max(opened, times.ended - times.handoff)
        work = "work", max(opened, worked - self.work), worked
        phases = [("inputs", times.started, opened), work, ("handoff", worked, times.ended)]
        return [phase for phase in phases if phase[2] > phase[1]]


@frozen
class Span:
    """The times at which a node was ready, started and ended, in seconds since the run began, and its working time.

    `retrying` are the seconds in which it waited for its next attempts.
    """

    ready: float
    started: float
    ended: float
    work: float
    retrying: float = 0.0


@frozen
class Recorded:
    """All that is recorded of a run. All mappings are by the id of the node, in the order of the pipeline file.

    `nodes` also has those that have not ended. `plan` is None, and `planned` is empty, where no plan is recorded: then
    no node reads anything. `waits_for` are the nodes for which a node waits without reading anything of them, and
    `stages` has for each node the number of links in its longest chain of dependencies. `attempts` and `spans` are of
    nodes that worked in this run. `outputs` are by their ids.
    """

    run: ListedRun
    journal: JournalContents
    nodes: Mapping[str, RecordedNode]
    plan: RunPlan | None
    planned: Mapping[str, PlannedNode]
    reads: Reads
    waits_for: Mapping[str, tuple[str, ...]]
    stages: Mapping[str, int]
    attempts: Mapping[str, tuple[Attempt, ...]]
    spans: Mapping[str, Span]
    outputs: Mapping[OutputId, FinishedOutput]

    def runs_last(self, node: str) -> bool:
        """Return whether a node runs when all others have ended."""
        return node in self.planned and self.planned[node].runs_last

    @property
    def slots(self) -> int | None:
        """The slots of the run, None if they are not recorded."""
        return self.plan.on.slots if self.plan is not None else None

    def upstream(self, node: str) -> tuple[str, ...]:
        """Return the nodes that a node waits for, each once."""
        return _upstream(self.reads, self.waits_for, node)

    def edges(self) -> list[tuple[str, str, str]]:
        """Return all edges: the output, or the node that is waited for, then the node, and which of the two it is."""
        data = [(output, node, "data") for node, reads in self.reads.items() for _, output in reads]
        order = ((name, node, "order") for node, names in self.waits_for.items() for name in names)
        return [*dict.fromkeys(data), *order]


def read_recorded(run: ListedRun) -> Recorded:
    """Read all that is recorded of a run. Raises PermissionError if its journal cannot be read."""
    journal, plan = read_journal(run.folder), read_run_plan(run.folder)
    ends = journal.ends
    planned = {} if plan is None else plan.nodes
    nodes: dict[str, RecordedNode] = {}
    for name in dict.fromkeys([*planned, *ends]):
        if name in ends:
            nodes[name] = ends[name]
        elif planned[name].disabled:
            nodes[name] = RecordedNode(name, DISABLED, because=planned[name].disabled)
        elif run.ending is None or not run.ending.counts:  # of a run that has ended, nodes without a line have no part
            nodes[name] = RecordedNode(name, NOT_ENDED)
        if name not in ends and name in nodes and planned[name].of:
            nodes[name] = replace(nodes[name], of=planned[name].of, cell=planned[name].cell)
    reads, waits_for = _graph(planned, nodes)
    stages = _stages(reads, waits_for, {name for name, node in planned.items() if node.runs_last})
    attempts = {name: found for name in ends if (found := _attempts_of(nodes[name]))}
    spans = {name: _span_of(nodes[name], found) for name, found in attempts.items()}
    outputs = {output.id: output for node in nodes.values() for output in node.outputs}
    return Recorded(run, journal, nodes, plan, planned, reads, waits_for, stages, attempts, spans, outputs)


def _attempts_of(node: RecordedNode) -> tuple[Attempt, ...]:
    """Return the attempts at a node; none if it did not run, or if that is not recorded."""
    if node.status in ("reused", "skipped") or node.started is None:
        return ()
    times = [NodeTimes(each.started, each.ended, each.queued) for each in node.earlier]
    failed = [Attempt(t, t.ended - t.started, each.error) for t, each in zip(times, node.earlier, strict=True)]
    last = node.times or NodeTimes(node.started, node.started + node.duration, 0.0)
    return (*failed, Attempt(last, node.duration, node.failure.error if node.failure else ""))


def _span_of(node: RecordedNode, attempts: Sequence[Attempt]) -> Span:
    first, last, started = attempts[0].times, attempts[-1].times, node.started or 0.0
    retrying = max(0.0, last.started - started - sum(attempt.work for attempt in attempts[:-1]))
    return Span(started - first.queued, started, last.ended, node.work, retrying)


def _graph(planned: Mapping[str, PlannedNode], nodes: Collection[str]) -> tuple[Reads, dict[str, tuple[str, ...]]]:
    """Return what each of these nodes reads, and for which others it waits, as the plan of their run has it."""
    made: dict[str, OutputId] = {
        output: output for name, node in planned.items() for output in node.output_ids if name in nodes
    }
    reads: dict[str, tuple[tuple[str, OutputId], ...]] = {}
    waits_for: dict[str, tuple[str, ...]] = {}
    for name in nodes:
        node = planned.get(name, _NOT_PLANNED)
        found = [(given, made[o]) for given, outputs in node.inputs.items() for o in outputs if o in made]
        read = {output.node for _, output in found}
        needs = [*node.needs, *(made[output].node for output in node.references if output in made)]
        reads[name] = tuple(found)
        waits_for[name] = tuple(dict.fromkeys([need for need in needs if need in nodes and need not in read]))
    return reads, waits_for


def _stages(reads: Reads, waits_for: Mapping[str, tuple[str, ...]], last: Collection[str]) -> dict[str, int]:
    """Return the stage of each node; those that run `last` are behind all others. All are 0 if the plan is no DAG."""
    try:
        found = make_stages({name: _upstream(reads, waits_for, name) for name in reads})
    except CycleError:
        return dict.fromkeys(reads, 0)
    stages = {name: i for i, stage in enumerate(found) for name in stage}
    behind = 1 + max((stage for name, stage in stages.items() if name not in last), default=-1)
    return {**stages, **{name: behind for name in last if name in stages}}


def _upstream(reads: Reads, waits_for: Mapping[str, tuple[str, ...]], node: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(output.node for _, output in reads[node]), *waits_for[node]]))
