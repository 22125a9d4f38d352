"""Folds the events of a run into the state of each node and stage. The other reporters show this state.

They show the cells of a matrix as one, by the functions at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import ClassVar

from nfrun.core.contracts import CheckResult
from nfrun.core.events import (
    NOT_SELECTED,
    STATUSES,
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeProgressed,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    NodeWaiting,
    OutputPublished,
    OutputRef,
    RunFinished,
)
from nfrun.core.map_spec import MapCounts
from nfrun.core.pipeline import OutputId, Pipeline
from nfrun.core.plan import Plan, longest_path
from nfrun.core.values import field, mutable


@mutable
class NodeRecord:
    """The state of a node.

    All times are seconds. `started`, `ended` and `since` (the start of the last attempt) count from the run's start.
    `duration` and `queue_wait` are sums over all attempts. `handoff` is the time that the node and its readers waited
    for its outputs. `cpu` is its CPU time and `gil_wait` its GIL wait. `rows` and `bytes` are sums over its outputs.
    `because` names the failed node that caused it to be skipped. `tolerated`: its failure, or that of the other node,
    does not let the run fail. `checks` are the results of its checks, and `absent` its outputs that these make absent.
    `stage` is -1 of a node that takes no part.
    """

    stage: int
    status: str = "waiting"
    attempts: int = 0
    started: float | None = None
    since: float = 0.0
    ended: float | None = None
    duration: float = 0.0
    queue_wait: float = 0.0
    handoff: float = 0.0
    cpu: float = 0.0
    gil_wait: float = 0.0
    rows: int = 0
    bytes: int = 0
    failure: Failure | None = None
    because: str = ""
    tolerated: bool = False
    checks: tuple[CheckResult, ...] = ()
    absent: tuple[OutputId, ...] = ()
    progress: tuple[float, float | None] | None = None
    map: MapCounts | None = None

    @property
    def ran(self) -> bool:
        """Whether the node has started and was not reused."""
        return self.started is not None and self.status != "reused"


@mutable
class StageRecord:
    """The totals of the nodes `names` of a stage.

    `wall` is the seconds from their first start to their last end; `busy` is the seconds of work of all of them.
    """

    index: int
    names: tuple[str, ...]
    wall: float = 0.0
    busy: float = 0.0
    rows: int = 0
    bytes: int = 0
    handoff: float = 0.0


@mutable
class StageCounts:
    """The numbers of nodes of a stage or a matrix: all, and those that ended, with a result or failed."""

    nodes: int
    ended: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether no node of the stage will run any more."""
        return self.ended == self.nodes


@mutable
class RunRecord:
    """A reporter that keeps the state of the run.

    It must be the first of the reporters, so that the others find it up to date. `refs` has the outputs by output id,
    and `at` is the time of the last event in seconds since the start. The nodes that are `running` are in the order in
    which their attempts started, `retrying` has those that wait for their next attempt, and `failed` those that failed,
    in the order in which they did; `tolerated` counts those of them that do not let the run fail. `last` are those
    nodes that run when all others have ended, in the order in which they started. These and the counts are kept up to
    date event by event, so that showing them costs the same however many nodes there are.

    `cells` has the matrix of each node that is a cell, `matrices` the counts of each. `pipeline` is the bound one.
    """

    event_types: ClassVar[tuple[type, ...]] = (
        NodeStarted,
        NodeFinished,
        NodeRetrying,
        NodeFailed,
        NodeSkipped,
        NodeCancelled,
        NodeWaiting,
        NodeProgressed,
        OutputPublished,
        RunFinished,
    )

    plan: Plan
    pipeline: Pipeline
    cells: dict[str, str] = field(init=False)
    matrices: dict[str, StageCounts] = field(default_factory=dict)
    nodes: dict[str, NodeRecord] = field(init=False)
    refs: dict[str, OutputRef] = field(default_factory=dict)
    running: dict[str, NodeRecord] = field(default_factory=dict)
    retrying: dict[str, NodeRecord] = field(default_factory=dict)
    failed: dict[str, NodeRecord] = field(default_factory=dict)
    stage_counts: list[StageCounts] = field(init=False)
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATUSES, 0))
    _open_stage: int = 0
    _left_out: Collection[str] = field(init=False)
    _absent: set[str] = field(default_factory=set)  # outputs that checks make absent
    last: list[str] = field(default_factory=list)
    tolerated: int = 0
    end: RunFinished | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        self.stage_counts = [StageCounts(len(stage)) for stage in self.plan.stages]
        self.nodes = {name: NodeRecord(i) for i, stage in enumerate(self.plan.stages) for name in stage}
        self._left_out = frozenset(self.plan.not_selected)
        if self._left_out:
            self._counts[NOT_SELECTED] = len(self._left_out - self.nodes.keys())
        specs = self.pipeline.nodes.items()
        self.cells = {name: spec.of for name, spec in specs if spec.of and name in self.plan.nodes}
        for of in self.cells.values():
            self.matrices.setdefault(of, StageCounts(0)).nodes += 1

    def event(self, event: Event) -> None:
        """Update the record."""
        if event.at > self.at:
            self.at = event.at
        # The two events that every node has are checked first, for speed.
        if isinstance(event, NodeFinished):
            self._finished(self.nodes[event.node], event)
        elif isinstance(event, NodeStarted):
            node = self.nodes.get(event.node) or self._add_last(event.node)
            if node.ended is not None:
                self._take_back(event.node, node)
            node.status = "running"
            node.attempts = event.attempt
            node.queue_wait += event.queue_wait
            node.since = event.at
            self.running[event.node] = node
            if event.attempt == 1:
                node.started = event.at
            else:
                node.progress = node.map = None
                self.retrying.pop(event.node, None)
        elif isinstance(event, OutputPublished):
            if event.ref.id not in self._absent:
                self.refs[event.output] = event.ref
        elif isinstance(event, RunFinished):
            self.end = event
        else:
            name = getattr(event, "node", None)
            if name in self.nodes:
                self._node(name, self.nodes[name], event)

    def _add_last(self, name: str) -> NodeRecord:
        """Add a node that runs when all others have ended. They are after the last stage of the plan."""
        stage = len(self.plan.stages)
        if len(self.stage_counts) == stage:
            self.stage_counts.append(StageCounts(0))
        self.stage_counts[stage].nodes += 1
        self.last.append(name)
        node = self.nodes[name] = NodeRecord(stage)
        return node

    def _node(self, name: str, node: NodeRecord, event: Event) -> None:
        if isinstance(event, NodeProgressed):
            node.progress, node.map = (event.done, event.total), event.map
        elif isinstance(event, NodeWaiting):
            node.status, node.started, node.attempts = "waiting", None, 0
            self.running.pop(name, None)
        elif isinstance(event, NodeRetrying):
            node.status = "retrying"
            node.duration += event.duration
            node.failure = event.failure
            self.running.pop(name, None)
            self.retrying[name] = node
        elif isinstance(event, NodeFailed):
            node.ended, node.failure, node.tolerated = event.at, event.failure, event.tolerated
            node.checks, node.map = event.checks, event.map or node.map
            self.tolerated += event.tolerated
            node.duration += event.duration
            self.failed[name] = node
            for counts in self._counts_of(name, node):
                counts.failed += 1
            self._end(name, node, "failed")
        elif isinstance(event, NodeSkipped):
            self._take_back(name, node)
            node.because, node.tolerated = event.because, event.tolerated
            self._end(name, node, "skipped")
        elif isinstance(event, NodeCancelled):
            if node.status == "running":
                node.duration += event.at - node.since
            self._take_back(name, node)
            node.ended = event.at if node.started is not None else None
            self._end(name, node, "cancelled")

    def _take_back(self, name: str, node: NodeRecord) -> None:
        """Take back the end of a node of which a table is made again, or was to be."""
        if node.status not in ("ok", "reused", NOT_SELECTED):
            return
        node.ended = None
        self._counts[node.status] -= 1
        for counts in self._counts_of(name, node):
            counts.ended -= 1
            counts.succeeded -= 1
        self._open_stage = min(self._open_stage, node.stage)

    def _end(self, name: str, node: NodeRecord, status: str) -> None:
        node.status = status
        self._counts[status] += 1
        for counts in self._counts_of(name, node):
            counts.ended += 1
        self.running.pop(name, None)
        self.retrying.pop(name, None)

    def _counts_of(self, name: str, node: NodeRecord) -> tuple[StageCounts, ...]:
        """Return the counts in which a node counts: those of its stage, and of its matrix."""
        stage = self.stage_counts[node.stage]
        return (stage, self.matrices[self.cells[name]]) if name in self.cells else (stage,)

    def _finished(self, node: NodeRecord, event: NodeFinished) -> None:
        status = "reused" if event.reused else "ok"
        if self._left_out and event.node in self._left_out:  # it has read its files again for others
            status = NOT_SELECTED
        node.status = status
        node.ended, node.failure = event.at, None
        self._counts[status] += 1
        for counts in self._counts_of(event.node, node):
            counts.ended += 1
            counts.succeeded += 1
        self.running.pop(event.node, None)
        node.duration += event.duration
        node.cpu += event.cpu
        node.gil_wait += event.gil_wait
        node.handoff += event.publish_wait
        for output, waited in event.input_waits.items():
            if output.node in self.nodes:  # else it is not selected
                self.nodes[output.node].handoff += waited
        node.checks, node.absent, node.map = event.checks, event.absent, event.map
        if event.outputs:
            node.rows = sum([ref.rows for ref in event.outputs.values()])
            node.bytes = sum([ref.bytes for ref in event.outputs.values()])
            self.refs.update(event.outputs)
            if self._absent:
                self._absent.difference_update(event.outputs)
        if event.absent:
            self._absent.update(event.absent)
            for output in event.absent:
                self.refs.pop(output, None)

    # -- views -----------------------------------------------------------------------------------------------------

    def place(self, node: str) -> str:
        """Return where a node stands: `file:line:column`."""
        return str(self.pipeline.spec_of(node).source)

    def all_nodes(self) -> dict[str, NodeRecord]:
        """Return all nodes of the pipeline, also those that are not selected, and those that are disabled."""
        left_out = (name for name in self.plan.not_selected if name not in self.nodes)
        return {
            **{name: self.nodes[name] for name in self.names},
            **{name: NodeRecord(-1, NOT_SELECTED) for name in left_out},
            **{name: NodeRecord(-1, "disabled", because=why) for name, why in self.pipeline.disabled.items()},
        }

    @property
    def names(self) -> list[str]:
        """The names of the nodes, in the order of the file; those that run last come last."""
        return [*(name for name in self.plan.nodes if name in self.nodes), *self.last]

    def open_stage(self) -> int:
        """Return the index of the first stage that has not ended; the number of stages if all have."""
        counts = self.stage_counts
        while self._open_stage < len(counts) and counts[self._open_stage].has_ended:
            self._open_stage += 1
        return self._open_stage

    def named(self, status: str) -> list[str]:
        """Return the names of the nodes with this status, in the order of the file."""
        return [name for name in self.names if self.nodes[name].status == status]

    def counts(self) -> dict[str, int]:
        """Return how many nodes have each status that a node can end with. Some of these may be 0."""
        return dict(self._counts)

    @property
    def sequential(self) -> float:
        """Seconds that all nodes would have taken one after the other: their durations without GIL waits."""
        return sum(node.duration - node.gil_wait for node in self.nodes.values())

    def critical_path(self) -> tuple[list[str], float]:
        """Return the node names of the path with the longest duration, and its seconds."""
        return longest_path(self.plan, {name: node.duration for name, node in self.nodes.items()})

    def path_text(self, separator: str, shown: Callable[[str], str] = str) -> str:
        """Return the nodes of the critical path that ran, each `shown(name)`, without the middle of a long path."""
        return format_path([shown(name) for name in self.critical_path()[0] if self.nodes[name].ran], separator)

    def stages(self) -> list[StageRecord]:
        """Return the record of every stage, in order."""
        return [self._stage(i, names) for i, names in enumerate(self.plan.stages)]

    def stages_that_ran(self) -> list[StageRecord]:
        """Return the record of every stage of which a node ran, in order. It is about the nodes that ran."""
        ran = (tuple(name for name in names if self.nodes[name].ran) for names in self.plan.stages)
        return [self._stage(i, names) for i, names in enumerate(ran) if names]

    def _stage(self, index: int, names: tuple[str, ...]) -> StageRecord:
        nodes: Mapping[str, NodeRecord] = {name: self.nodes[name] for name in names}
        spans = [(n.started, n.ended) for n in nodes.values() if n.started is not None and n.ended is not None]
        return StageRecord(
            index=index,
            names=names,
            wall=max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0,
            busy=sum(node.duration for node in nodes.values()),
            rows=sum(node.rows for node in nodes.values()),
            bytes=sum(node.bytes for node in nodes.values()),
            handoff=sum(node.handoff for node in nodes.values()),
        )


def format_path(nodes: Sequence[str], separator: str) -> str:
    """Return the nodes of a path in their order, without the middle of a long one."""
    return separator.join([*nodes[:4], "…", *nodes[-3:]] if len(nodes) > 8 else nodes)


def folded(names: Iterable[str], cells: Mapping[str, str]) -> list[str]:
    """Return the names, with those of several cells of a matrix as one: `fit (8)`. `cells` has the matrix of each."""
    if not cells:
        return list(names)
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(cells.get(name, name), []).append(name)
    return [group[0] if len(group) == 1 else f"{of} ({len(group):,})" for of, group in groups.items()]


def alike_failures(failed: Sequence[str], record: RunRecord) -> list[list[str]]:
    """Return failed nodes in groups: the cells of a matrix with one error, and each other node."""
    groups: dict[object, list[str]] = {}
    for name in failed:
        node, of = record.nodes[name], record.cells.get(name)
        frames = [(frame.file, frame.line) for frame in node.failure.frames] if node.failure else []
        error = node.failure.error if node.failure else ""
        groups.setdefault((of, error, *frames, node.tolerated) if of else name, []).append(name)
    return list(groups.values())
