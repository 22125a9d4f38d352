"""Makes the plan of a pipeline: its dependency graph with stages, priorities and the longest path.

A `Plan` is the only input of the scheduler. Variations of what runs are functions from `Plan` to `Plan`, so the engine
has no modes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from nfrun.core.budgets import Budget
from nfrun.core.map_spec import MapSpec
from nfrun.core.pipeline import NO_RETRY, NOTHING, Input, NodeSpec, OutputId, Pipeline, Retry
from nfrun.core.values import field, frozen, replace

_UNLIMITED = float(1 << 53)  # a budget where only the capacity counts; sums with it are exact


@frozen
class Node:
    """A node as the scheduler sees it.

    `needs` names the nodes that must have succeeded or be absent, `order_only` those that must have ended in any way.
    `reads` are the outputs it opens, each from a node in `needs`. `inputs` say which of them it can do without; if it
    has none, it needs all. `estimated_duration` is in seconds, or 1 if no durations are recorded, so that a priority
    counts nodes. `timeout` is in seconds, and `limit` is what messages call it. `resources` are taken from the plan's
    budget while the node runs. A `barrier` runs nothing: it ends by itself and without events. With `continue_on_error`
    its failure fails no run. With a `map` it is called for each piece of one of its inputs, and `resources`, `timeout`
    and `retry` are those of a call.
    """

    name: str
    needs: tuple[str, ...] = ()
    order_only: tuple[str, ...] = ()
    reads: tuple[OutputId, ...] = ()
    estimated_duration: float = 1.0
    retry: Retry = NO_RETRY
    timeout: float | None = None
    limit: str = "its timeout"
    resources: tuple[tuple[str, float], ...] = (("cpu", 1.0),)
    barrier: bool = False
    inputs: tuple[Input, ...] = ()
    continue_on_error: bool = False
    map: MapSpec | None = None

    @property
    def takes_later(self) -> bool:
        """Whether it takes nothing of the budgets of the file when it starts: its calls do."""
        return self.map is not None


@frozen
class Plan:
    """The nodes of a run, with all that the scheduler derives its decisions from.

    `nodes` are in the order of the file. `stages[i]` holds the nodes whose longest chain of dependencies has i links.
    `priorities[name]` is the estimated duration of the longest path from the start of that node to the end of the run.
    `retained` has the ids of outputs that are kept after their last reader. `budget` has the amount of each resource
    that running nodes may take together; that of `cpu` is the number of slots. `budgets` are those of the file, rates
    among them. The nodes `looked_up` may turn out to be there already: they first start without taking these.
    `not_selected` are the nodes that a selection leaves out. Of these, only those are in `nodes` that read their files
    again for others.
    """

    nodes: Mapping[str, Node]
    stages: tuple[tuple[str, ...], ...]
    priorities: Mapping[str, float]
    retained: frozenset[OutputId]
    budget: Mapping[str, float]
    budgets: Mapping[str, Budget] = field(default_factory=lambda: NOTHING)
    looked_up: Collection[str] = ()
    not_selected: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """The budget of the resource `cpu`."""
        return int(self.budget["cpu"])

    @property
    def work(self) -> float:
        """The sum of all estimated durations, in seconds (or in nodes, if no durations are recorded)."""
        return sum(node.estimated_duration for node in self.nodes.values())


def make_plan(
    nodes: Iterable[Node],
    retained: Iterable[OutputId] = (),
    slots: int = 1,
    budget: Mapping[str, float] = NOTHING,
    budgets: Mapping[str, Budget] = NOTHING,
) -> Plan:
    """Make the plan of the nodes. `budget` has the amounts of all resources but `cpu` and the `budgets` of the file.

    A node may ask for more slots than there are: it gets them all. Raises ValueError if it asks for more of another
    resource than its budget, or needs an undefined node, and `graphlib.CycleError` on a cycle.
    """
    by_name = {node.name: node for node in nodes}
    budget = {**budget, **{name: found.amount for name, found in budgets.items() if not found.per}, "cpu": slots}
    most = {**budget, **{name: found.most for name, found in budgets.items()}}
    for resources, node in {node.resources: node.name for node in by_name.values()}.items():
        for name, amount in resources:
            if name != "cpu" and not 0 <= amount <= most.get(name, -1):
                raise ValueError(f"node {node!r} asks for {amount:g} of {name!r}, but there is {most.get(name, 0):g}")
    graph = {name: node.needs + node.order_only for name, node in by_name.items()}
    for name, needs in graph.items():
        for need in needs:
            if need not in by_name:
                raise ValueError(f"node {name!r} needs {need!r}, which is not in the plan")
    stages = make_stages(graph)
    return Plan(by_name, stages, _priorities(by_name, graph, stages), frozenset(retained), budget, budgets)


def plan_of(pipeline: Pipeline, *, slots: int = 1, estimated_durations: Mapping[str, float] | None = None) -> Plan:
    """Make the plan of a pipeline.

    `estimated_durations` are seconds recorded for some of the nodes. The other nodes get the mean of those, so that
    seconds are never added to counts of nodes. The plan retains the pipeline's `outputs`, and what its last
    nodes read.
    """
    recorded = {name: seconds for name, seconds in (estimated_durations or {}).items() if name in pipeline.nodes}
    mean = sum(recorded.values()) / len(recorded) if recorded else 1.0
    nodes = [
        Node(
            name=spec.id,
            needs=spec.upstream,
            reads=tuple(dict.fromkeys([output for i in spec.opened for output in i.outputs])),
            estimated_duration=recorded.get(spec.id, mean),
            retry=spec.retry,
            timeout=spec.timeout,
            resources=(("cpu", spec.cpu), *spec.amounts.items()),
            inputs=() if all(i.is_plain for i in spec.opened) else spec.opened,
            continue_on_error=spec.continue_on_error,
            map=spec.map,
        )
        for spec in pipeline.nodes.values()
    ]
    read_last = [output for spec in pipeline.last_nodes.values() for item in spec.inputs for output in item.outputs]
    return make_plan(nodes, [*pipeline.outputs.values(), *read_last], slots, budgets=pipeline.budgets)


def last_plan(nodes: Iterable[NodeSpec], main: Plan, longest: float | None = None) -> Plan:
    """Make the plan of nodes that run when all others have ended, side by side.

    They read what is there of their inputs. None of them takes more than `longest` seconds, if given.
    """
    specs = list(nodes)
    limits = {spec.id: min([t for t in (spec.timeout, longest) if t is not None], default=None) for spec in specs}
    found = [
        Node(
            name=spec.id,
            reads=tuple(dict.fromkeys([output for item in spec.inputs for output in item.outputs])),
            retry=spec.retry,
            resources=(("cpu", spec.cpu),),
            continue_on_error=spec.continue_on_error,
            timeout=limits[spec.id],
            limit="the grace period" if limits[spec.id] != spec.timeout else "its timeout",
        )
        for spec in specs
    ]
    return make_plan(found, main.retained, main.slots)


def make_stages(graph: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Sort the names into stages, each in the order of `graph`. Raises `graphlib.CycleError`."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    position = {name: i for i, name in enumerate(graph)}
    stages = []
    while ready := sorter.get_ready():
        stages.append(tuple(sorted(ready, key=position.__getitem__)))
        sorter.done(*ready)
    return tuple(stages)


def _priorities(
    nodes: Mapping[str, Node], graph: Mapping[str, Sequence[str]], stages: Sequence[Sequence[str]]
) -> dict[str, float]:
    longest_below = dict.fromkeys(nodes, 0.0)
    priorities: dict[str, float] = {}
    for stage in reversed(stages):
        for name in stage:
            priority = priorities[name] = nodes[name].estimated_duration + longest_below[name]
            for need in graph[name]:
                if longest_below[need] < priority:
                    longest_below[need] = priority
    return priorities


def longest_path(plan: Plan, duration_of: Mapping[str, float] | None = None) -> tuple[list[str], float]:
    """Return the longest path along `needs`, as names from start to end, and its duration in seconds.

    `duration_of` has the duration of each node (0 for missing nodes); by default these are the estimated durations. Of
    equal paths, it returns the one that ends in the earliest stage and goes through the first of each node's needs.
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
    """Return the best possible speedup over one node at a time: `work / max(longest, work / slots)`.

    `work` and `longest` are in seconds. The two bounds are from Graham (1966): no schedule is shorter than the longest
    path, or than the work divided evenly among the slots.
    """
    return work / max(longest, work / slots) if work else 1.0


def selected_plan(plan: Plan, selected: Collection[str], sources: Collection[str] = ()) -> Plan:
    """Return the plan of the nodes that are `selected`, and of those in `sources`, which are not, but run for them.

    What they read of all others must be there when the run begins.
    """
    kept = {name: node for name, node in plan.nodes.items() if name in selected or name in sources}
    nodes = [replace(node, needs=tuple([need for need in node.needs if need in kept])) for node in kept.values()]
    budget = {name: amount for name, amount in plan.budget.items() if name != "cpu"}
    left_out = tuple([name for name in plan.nodes if name not in selected])
    return replace(make_plan(nodes, plan.retained, plan.slots, budget, plan.budgets), not_selected=left_out)


def sequential(plan: Plan) -> Plan:
    """Return the same plan with one slot, so that its nodes run one at a time."""
    return replace(plan, budget={**plan.budget, "cpu": 1})


def slots_of(executor: str) -> str:
    """Return the name of the resource that counts the slots of an executor."""
    return f"cpu of {executor}"  # no resource of a file can have this name


def with_executor_slots(plan: Plan, placement: Mapping[str, str], own: Mapping[str, Collection[str]] = NOTHING) -> Plan:
    """Return the plan in which nodes also take their `cpu` from the slots of their executor.

    `placement` has the executors by node. Their budgets are that of `cpu`; their capacities may be less. Of the
    resources that executors have on their `own`, nodes on them take nothing of what the run has, and of `cpu` one each.
    """
    nodes = dict(plan.nodes)
    budget = dict(plan.budget)
    for name, executor in placement.items():
        theirs = own.get(executor, ())
        taken = dict(nodes[name].resources)
        cpu = 1.0 if "cpu" in theirs else min(taken.get("cpu", 0.0), plan.slots)
        left = [(resource, amount) for resource, amount in taken.items() if resource not in theirs]
        nodes[name] = replace(nodes[name], resources=(*left, (slots_of(executor), cpu)))
        budget[slots_of(executor)] = _UNLIMITED if "cpu" in theirs else plan.slots
    return replace(plan, nodes=nodes, budget=budget)


def with_lookups(plan: Plan, nodes: Iterable[str]) -> Plan:
    """Return the plan in which these nodes look for an earlier result before they take from the budgets.

    Mapped nodes take nothing of them before their calls.
    """
    found = [plan.nodes[name] for name in nodes if not plan.nodes[name].takes_later]
    takes = {node.name for node in found if any(resource in plan.budgets for resource, _ in node.resources)}
    return replace(plan, looked_up=frozenset(takes)) if takes else plan


def with_barriers(plan: Plan) -> Plan:
    """Return the same nodes with barriers: each stage waits until all nodes of the stage before have ended.

    This is for comparison only: stages are for display, and waiting for them costs time (see `bench/`). One barrier
    node between two stages keeps the number of edges linear.
    """
    nodes: dict[str, Node] = {}
    previous: tuple[str, ...] = ()
    for i, stage in enumerate(plan.stages):
        for name in stage:
            nodes[name] = replace(plan.nodes[name], order_only=previous)
        name = f"|{i}"  # no node of a file can have this name
        # If a whole stage was skipped, it may have ended before the barrier in front of it. So this one waits for both.
        nodes[name] = Node(name, order_only=(*stage, *previous), estimated_duration=0.0, barrier=True)
        previous = (name,)
    staged = make_plan(nodes.values(), plan.retained, plan.slots, plan.budget, plan.budgets)
    # Reporters show the stages of the file, without the barriers.
    return replace(staged, stages=plan.stages, not_selected=plan.not_selected)


# The variations, by the values of `--schedule`.
SCHEDULES: Mapping[str, Callable[[Plan], Plan]] = {
    "eager": lambda plan: plan,
    "staged": with_barriers,
    "sequential": sequential,
}


def find_cycles(graph: Mapping[str, Sequence[str]], limit: int = 10) -> list[list[str]]:
    """Find up to `limit` cycles that share no node. Each is a list of names, in which each name needs the next."""
    left = graph
    cycles: list[list[str]] = []
    while len(cycles) < limit:
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            # graphlib lists predecessors first and repeats the first name at the end.
            cycle = list(reversed(error.args[1][1:]))
            cycles.append(cycle)
            removed = set(cycle)
            left = {name: [n for n in needs if n not in removed] for name, needs in left.items() if name not in removed}
        else:
            break
    return cycles
