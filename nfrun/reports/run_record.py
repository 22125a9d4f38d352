"""Folds the events of a run into the state of each node and stage. The other reporters show this state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from nfrun.core.events import (
    Event,
    Failure,
    NodeCancelled,
    NodeFailed,
    NodeFinished,
    NodeProgressed,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    OutputPublished,
    OutputRef,
    RunFinished,
)
from nfrun.core.plan import Plan, longest_path


@dataclass(slots=True)
class NodeRecord:
    """The state of a node.

    All times are seconds. `started`, `ended` and `since` (the start of the last attempt) count from the run's start.
    `duration` and `queue_wait` are sums over all attempts. `handoff` is the time that the node and its readers waited
    for its outputs. `cpu` is its CPU time and `gil_wait` its GIL wait. `rows` and `bytes` are sums over its outputs.
    `because` names the failed node that caused it to be skipped.
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
    progress: tuple[float, float | None] | None = None


@dataclass(slots=True)
class StageRecord:
    """The totals of a stage.

    `wall` is the seconds from its first start to its last end; `busy` is the seconds of work of all its nodes.
    """

    index: int
    names: tuple[str, ...]
    wall: float = 0.0
    busy: float = 0.0
    rows: int = 0
    bytes: int = 0
    handoff: float = 0.0

    @property
    def parallelism(self) -> float:
        """How many nodes ran at once, on average; 0 if none ran."""
        return self.busy / self.wall if self.wall else 0.0


@dataclass
class RunRecord:
    """A reporter that keeps the state of the run.

    It must be the first of the reporters, so that the others find it up to date. `refs` has the outputs by output id,
    and `at` is the time of the last event in seconds since the start.
    """

    event_types: ClassVar[tuple[type, ...]] = (
        NodeStarted,
        NodeFinished,
        NodeRetrying,
        NodeFailed,
        NodeSkipped,
        NodeCancelled,
        NodeProgressed,
        OutputPublished,
        RunFinished,
    )

    plan: Plan
    nodes: dict[str, NodeRecord] = field(init=False)
    refs: dict[str, OutputRef] = field(default_factory=dict)
    end: RunFinished | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        self.nodes = {name: NodeRecord(i) for i, stage in enumerate(self.plan.stages) for name in stage}

    def event(self, event: Event) -> None:
        """Update the record."""
        if event.at > self.at:
            self.at = event.at
        # The two events that every node has are checked first, for speed.
        if isinstance(event, NodeFinished):
            self._finished(self.nodes[event.node], event)
        elif isinstance(event, NodeStarted):
            node = self.nodes[event.node]
            node.status = "running"
            node.attempts = event.attempt
            node.queue_wait += event.queue_wait
            node.since = event.at
            if event.attempt == 1:
                node.started = event.at
            else:
                node.progress = None
        elif isinstance(event, OutputPublished):
            self.refs[event.output] = event.ref
        elif isinstance(event, RunFinished):
            self.end = event
        else:
            name = getattr(event, "node", None)
            if name in self.nodes:
                self._node(self.nodes[name], event)

    def _node(self, node: NodeRecord, event: Event) -> None:
        if isinstance(event, NodeProgressed):
            node.progress = (event.done, event.total)
        elif isinstance(event, NodeRetrying):
            node.status = "retrying"
            node.duration += event.duration
            node.failure = event.failure
        elif isinstance(event, NodeFailed):
            node.status, node.ended, node.failure = "failed", event.at, event.failure
            node.duration += event.duration
        elif isinstance(event, NodeSkipped):
            node.status, node.because = "skipped", event.because
        elif isinstance(event, NodeCancelled):
            if node.status == "running":
                node.duration += event.at - node.since
            node.status = "cancelled"
            node.ended = event.at if node.started is not None else None

    def _finished(self, node: NodeRecord, event: NodeFinished) -> None:
        node.status, node.ended, node.failure = "reused" if event.reused else "ok", event.at, None
        node.duration += event.duration
        node.cpu += event.cpu
        node.gil_wait += event.gil_wait
        node.handoff += event.publish_wait
        for output, waited in event.input_waits.items():
            self.nodes[output.node].handoff += waited
        if event.outputs:
            node.rows = sum([ref.rows for ref in event.outputs.values()])
            node.bytes = sum([ref.bytes for ref in event.outputs.values()])
            self.refs.update(event.outputs)

    # -- views -----------------------------------------------------------------------------------------------------

    def named(self, status: str) -> list[str]:
        """Return the names of the nodes with this status, in the order of the file."""
        return [name for name in self.plan.nodes if name in self.nodes and self.nodes[name].status == status]

    def counts(self) -> dict[str, int]:
        """Return how many nodes have each status that a node can end with. Some of these may be 0."""
        found = Counter(node.status for node in self.nodes.values())
        return {status: found[status] for status in ("ok", "reused", "failed", "skipped", "cancelled")}

    @property
    def sequential(self) -> float:
        """Seconds that all nodes would have taken one after the other: their durations without GIL waits."""
        return sum(node.duration - node.gil_wait for node in self.nodes.values())

    def critical_path(self) -> tuple[list[str], float]:
        """Return the node names of the path with the longest duration, and its seconds."""
        return longest_path(self.plan, {name: node.duration for name, node in self.nodes.items()})

    def stages(self) -> list[StageRecord]:
        """Return the record of every stage, in order."""
        return [self._stage(i, names) for i, names in enumerate(self.plan.stages)]

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
