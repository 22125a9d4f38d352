"""What depends on what, and what follows from it: stages, ranks, the longest path. Knows no files and no time of day.

A `Plan` is all that the scheduler is told. Variations of *what* runs are functions from Plan to Plan; there is one
engine and it has no modes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from nfrun.core.pipeline import NO_RETRY, Pipeline, Retry


@dataclass(frozen=True, slots=True)
class Node:
    """All that the scheduler may know about a node.

    `needs` names the nodes that must have finished well, `after` those that must merely have ended; `reads` the outputs
    it opens (`node` or `node.output`), each from a node in `needs`. `cost` is the seconds it is expected to take, or 1
    where nothing is known, so that a rank counts hops. `resources` are taken from the plan's capacity while it runs. A
    `gate` does nothing: it ends by itself, unseen.
    """

    name: str
    needs: tuple[str, ...] = ()
    order_only: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    estimated_duration: float = 1.0
    retry: Retry = NO_RETRY
    timeout: float | None = None
    resources: tuple[tuple[str, float], ...] = (("cpu", 1.0),)
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes in the order of the file, in stages, with the outputs the run keeps and how much may run at once.

    `stages[i]` holds the nodes whose longest chain of needs has i links. `ranks[name]` is the cost of the most
    expensive path from the start of that node to the end of the run. `slots` is the capacity of the resource `cpu`.
    """

    nodes: Mapping[str, Node]
    stages: tuple[tuple[str, ...], ...]
    priorities: Mapping[str, float]
    retained: frozenset[str]
    slots: int

    @property
    def work(self) -> float:
        """The sum of all costs, in seconds (or in nodes, where no cost is known)."""
        return sum(node.estimated_duration for node in self.nodes.values())


def make_plan(nodes: Iterable[Node], retained: Iterable[str] = (), slots: int = 1) -> Plan:
    """The plan for these nodes. Raises `graphlib.CycleError` on a cycle and `ValueError` on a name not defined."""
    by_name = {node.name: node for node in nodes}
    graph = {name: node.needs + node.order_only for name, node in by_name.items()}
    for name, needs in graph.items():
        for need in needs:
            if need not in by_name:
                raise ValueError(f"node {name!r} needs {need!r}, which is not in the plan")
    stages = make_stages(graph)
    return Plan(by_name, stages, _priorities(by_name, graph, stages), frozenset(retained), slots)


def plan_of(pipeline: Pipeline, *, slots: int = 1, estimated_durations: Mapping[str, float] | None = None) -> Plan:
    """The plan of a pipeline.

    `costs` are seconds recorded for some of the nodes; the others are then expected to take the mean of those, so that
    seconds and hops are never added up.
    """
    known = {name: seconds for name, seconds in (estimated_durations or {}).items() if name in pipeline.nodes}
    usual = sum(known.values()) / len(known) if known else 1.0
    nodes = [
        Node(
            name=spec.id,
            needs=spec.upstream,
            reads=tuple(dict.fromkeys([i.output for i in spec.inputs])),
            estimated_duration=known.get(spec.id, usual),
            retry=spec.retry,
            timeout=spec.timeout,
            resources=(("cpu", spec.cpu),),
        )
        for spec in pipeline.nodes.values()
    ]
    return make_plan(nodes, pipeline.outputs.values(), slots)


def make_stages(graph: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The names in stages, each stage in the order of `graph`. Raises `graphlib.CycleError`."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    place = {name: i for i, name in enumerate(graph)}
    stages = []
    while ready := sorter.get_ready():
        stages.append(tuple(sorted(ready, key=place.__getitem__)))
        sorter.done(*ready)
    return tuple(stages)


def _priorities(
    nodes: Mapping[str, Node], graph: Mapping[str, Sequence[str]], stages: Sequence[Sequence[str]]
) -> dict[str, float]:
    below = dict.fromkeys(nodes, 0.0)
    ranks: dict[str, float] = {}
    for stage in reversed(stages):
        for name in stage:
            rank = ranks[name] = nodes[name].estimated_duration + below[name]
            for need in graph[name]:
                if below[need] < rank:
                    below[need] = rank
    return ranks


def longest_path(plan: Plan, duration_of: Mapping[str, float] | None = None) -> tuple[list[str], float]:
    """The most expensive path of needs and its cost, by `cost` of each node (nodes it lacks cost 0), or by the plan's.

    Among equals the path that ends in the earliest stage, by way of the first of each node's needs.
    """
    total: dict[str, float] = {}
    came_from: dict[str, str | None] = {}
    for stage in plan.stages:
        for name in stage:
            node = plan.nodes[name]
            best, previous = 0.0, None
            for need in node.needs:
                if total[need] > best or previous is None:
                    best, previous = total[need], need
            total[name] = best + (node.estimated_duration if duration_of is None else duration_of.get(name, 0.0))
            came_from[name] = previous
    if not total:
        return [], 0.0
    end = max(total, key=total.__getitem__)
    path: list[str] = []
    step: str | None = end
    while step is not None:
        path.append(step)
        step = came_from[step]
    return path[::-1], total[end]


def best_speedup(work: float, longest: float, slots: int) -> float:
    """How many times faster than one after the other this can be at best: `work / max(longest, work / slots)`.

    The two bounds are those of Graham (1966): no schedule beats the longest path, nor the work shared out evenly.
    """
    return work / max(longest, work / slots) if work else 1.0


def sequential(plan: Plan) -> Plan:
    """The same nodes, one at a time."""
    return replace(plan, slots=1)


def with_barriers(plan: Plan) -> Plan:
    """The same nodes, each stage waiting for the whole of the one before, whatever came of it.

    For comparison only: stages are for people, and waiting for them costs time (see `bench/`). A gate between two
    stages keeps the number of edges linear.
    """
    nodes: dict[str, Node] = {}
    gate: tuple[str, ...] = ()
    for i, stage in enumerate(plan.stages):
        for name in stage:
            nodes[name] = replace(plan.nodes[name], order_only=gate)
        name = f"|{i}"  # no node of a file can have this name
        # A stage that was skipped as a whole has ended early; the gate before it has perhaps not.
        nodes[name] = Node(name, order_only=(*stage, *gate), estimated_duration=0.0, barrier=True)
        gate = (name,)
    barred = make_plan(nodes.values(), plan.retained, plan.slots)
    # Reports show the stages of the file, not those with gates between them.
    return replace(barred, stages=plan.stages)


# The variations, under the names that people ask for them by.
SCHEDULES: Mapping[str, Callable[[Plan], Plan]] = {
    "eager": lambda plan: plan,
    "staged": with_barriers,
    "sequential": sequential,
}


def find_cycles(graph: Mapping[str, Sequence[str]], limit: int = 10) -> list[list[str]]:
    """Up to `limit` cycles that share no node, each as its names in the order in which one needs the next."""
    left = graph
    cycles: list[list[str]] = []
    while len(cycles) < limit:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            # graphlib gives predecessors first and repeats the first name at the end.
            cycle = list(reversed(error.args[1][1:]))
            cycles.append(cycle)
            gone = set(cycle)
            left = {name: [n for n in needs if n not in gone] for name, needs in left.items() if name not in gone}
        else:
            break
    return cycles
