"""Plans: stages, priorities, longest paths, cycles, and the variants of a plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from graphlib import CycleError
from itertools import pairwise

import pytest

from bench.random_plans import random_plan
from nfrun.core.pipeline import Input, NodeSpec, Pipeline, Retry
from nfrun.core.plan import (
    SCHEDULES,
    Node,
    Plan,
    best_speedup,
    find_cycles,
    longest_path,
    make_plan,
    make_stages,
    plan_of,
    selected_plan,
    sequential,
    with_barriers,
    with_executor_slots,
)
from nfrun.pipeline_file.references import parse_reference

# a - b - d    The durations are 1, 5, 1; c below b takes 2. d needs b and c. e needs nothing and takes 4.
DIAMOND = (
    Node("a", estimated_duration=1.0),
    Node("b", ("a",), estimated_duration=5.0),
    Node("c", ("a",), estimated_duration=2.0),
    Node("d", ("b", "c"), estimated_duration=1.0),
    Node("e", estimated_duration=4.0),
)


def paths_from(plan: Plan, name: str) -> Iterator[tuple[str, ...]]:
    """Every path from this node to a node without a successor."""
    nexts = [n.name for n in plan.nodes.values() if name in (*n.needs, *n.order_only)]
    for other in nexts:
        yield from ((name, *path) for path in paths_from(plan, other))
    if not nexts:
        yield (name,)


def duration_of(plan: Plan, path: tuple[str, ...]) -> float:
    return sum(plan.nodes[name].estimated_duration for name in path)


# -- make_plan ---------------------------------------------------------------------------------------------------------


def test_a_plan_has_its_nodes_in_the_order_given_with_stages_and_priorities() -> None:
    plan = make_plan(DIAMOND, ["d"], 3)
    assert list(plan.nodes.values()) == list(DIAMOND)
    assert plan.stages == (("a", "e"), ("b", "c"), ("d",))
    assert plan.priorities == {"a": 7.0, "b": 6.0, "c": 3.0, "d": 1.0, "e": 4.0}
    assert plan.retained == frozenset({"d"})
    assert plan.slots == 3
    assert plan.work == 13.0


def test_a_plan_without_nodes_is_valid() -> None:
    plan = make_plan([])
    assert (plan.nodes, plan.stages, plan.priorities, plan.work) == ({}, (), {}, 0)
    assert longest_path(plan) == ([], 0.0)
    assert with_barriers(plan).nodes == {}


def test_a_priority_counts_nodes_if_no_duration_is_known() -> None:
    assert make_plan([Node("a"), Node("b", ("a",)), Node("c", ("b",))]).priorities == {"a": 3.0, "b": 2.0, "c": 1.0}


def test_order_only_nodes_count_for_stages_and_priorities() -> None:
    plan = make_plan([Node("a"), Node("b", order_only=("a",), estimated_duration=2.0)])
    assert plan.stages == (("a",), ("b",))
    assert plan.priorities == {"a": 3.0, "b": 2.0}


def test_a_priority_is_the_duration_of_the_longest_path_to_the_end() -> None:
    for seed in range(30):
        plan = random_plan(seed, 12)
        expected = {name: max(duration_of(plan, path) for path in paths_from(plan, name)) for name in plan.nodes}
        assert plan.priorities == pytest.approx(expected), seed


def test_a_stage_is_the_number_of_links_of_the_longest_chain() -> None:
    for seed in range(30):
        plan = random_plan(seed, 40)
        stage_of = {name: i for i, stage in enumerate(plan.stages) for name in stage}
        for node in plan.nodes.values():
            assert stage_of[node.name] == max((stage_of[need] + 1 for need in node.needs), default=0), seed


def test_a_name_that_is_not_in_the_plan_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^node 'b' needs 'a', which is not in the plan$"):
        make_plan([Node("b", ("a",))])
    with pytest.raises(ValueError, match=r"^node 'b' needs 'x', which is not in the plan$"):
        make_plan([Node("b", order_only=("x",))])


def test_a_node_may_ask_for_all_of_a_resource_but_not_for_more() -> None:
    def plan(amount: float) -> Plan:
        return make_plan([Node("a"), Node("b", resources=(("cpu", 9.0), ("gpu", amount)))], slots=2, budget={"gpu": 2})

    assert plan(2.0).budget == {"cpu": 2, "gpu": 2}
    assert plan(2.0).slots == 2
    for amount in (2.5, -1.0, float("nan")):
        with pytest.raises(ValueError, match=rf"^node 'b' asks for {amount:g} of 'gpu', but there is 2$"):
            plan(amount)
    with pytest.raises(ValueError, match=r"^node 'a' asks for 1 of 'gpu', but there is 0$"):
        make_plan([Node("a", resources=(("gpu", 1.0),))])


def test_every_schedule_keeps_the_budget() -> None:
    plan = make_plan([Node("a"), Node("b", ("a",))], slots=3, budget={"gpu": 2})
    budgets = {name: dict(schedule(plan).budget) for name, schedule in SCHEDULES.items()}
    assert budgets == {
        "eager": {"cpu": 3, "gpu": 2},
        "staged": {"cpu": 3, "gpu": 2},
        "sequential": {"cpu": 1, "gpu": 2},
    }


def test_a_cycle_is_an_error() -> None:
    with pytest.raises(CycleError):
        make_plan([Node("a", ("b",)), Node("b", order_only=("a",))])


def test_a_need_that_is_named_twice_counts_once() -> None:
    assert make_plan([Node("a"), Node("b", ("a", "a"), order_only=("a",))]).stages == (("a",), ("b",))


# -- plan_of -----------------------------------------------------------------------------------------------------------


def spec(name: str, *inputs: tuple[str, str], needs: tuple[str, ...] = (), **more: object) -> NodeSpec:
    node = NodeSpec(
        id=name,
        kind="shell",
        body="true",
        inputs=tuple(Input(label, parse_reference(output)) for label, output in inputs),
        with_={},
        outputs=(),
        needs=needs,
        env={},
    )
    return replace(node, **more)  # type: ignore[arg-type]


def pipeline(*nodes: NodeSpec, outputs: dict[str, str] | None = None) -> Pipeline:
    return Pipeline("p.yaml", ".", "p", "", {}, {}, {n.id: n for n in nodes}, outputs or {})


def test_the_plan_of_a_pipeline_has_the_settings_that_the_scheduler_uses() -> None:
    retry = Retry(max=2)
    plan = plan_of(
        pipeline(
            spec("a", outputs=("left", "right")),
            spec("z"),
            spec("b", ("l", "a.left"), ("r", "a.right"), ("again", "a.left"), needs=("z", "a"), retry=retry),
            spec("c", timeout=5.0, cpu=2.0),
            outputs={"shown": "a.right", "too": "b"},
        ),
        slots=4,
    )
    assert list(plan.nodes.values()) == [
        Node("a"),
        Node("z"),
        Node("b", ("a", "z"), reads=("a.left", "a.right"), retry=retry),
        Node("c", timeout=5.0, resources=(("cpu", 2.0),)),
    ]
    assert plan.retained == {"a.right", "b"}
    assert plan.slots == 4


def test_a_node_without_a_recorded_duration_gets_the_mean_of_the_recorded_ones() -> None:
    nodes = pipeline(spec("a"), spec("b"), spec("c"))
    plan = plan_of(nodes, estimated_durations={"a": 1.0, "b": 4.0, "gone": 1000.0})
    assert {name: node.estimated_duration for name, node in plan.nodes.items()} == {"a": 1.0, "b": 4.0, "c": 2.5}


@pytest.mark.parametrize("durations", [None, {}, {"gone": 1000.0}])
def test_without_recorded_durations_every_node_counts_one(durations: dict[str, float] | None) -> None:
    plan = plan_of(pipeline(spec("a"), spec("b")), estimated_durations=durations)
    assert [node.estimated_duration for node in plan.nodes.values()] == [1.0, 1.0]


# -- stages, paths and bounds ------------------------------------------------------------------------------------------


def test_stages_keep_the_order_of_the_graph() -> None:
    graph = {"z": [], "d": ["m"], "m": ["z"], "b": ["z"], "a": []}
    assert make_stages(graph) == (("z", "a"), ("m", "b"), ("d",))
    assert make_stages({"c": ["b", "a"], "a": [], "b": []}) == (("a", "b"), ("c",))
    with pytest.raises(CycleError):
        make_stages({"a": ["a"]})


def test_the_longest_path_has_the_longest_duration() -> None:
    assert longest_path(make_plan(DIAMOND)) == (["a", "b", "d"], 7.0)


def test_the_longest_path_can_be_computed_from_other_durations() -> None:
    plan = make_plan(DIAMOND)
    assert longest_path(plan, {"a": 1.0, "c": 3.0, "d": 0.5}) == (["a", "c", "d"], 4.5)
    assert longest_path(plan, {"e": 2.0}) == (["e"], 2.0)


def test_of_equally_long_paths_the_one_with_the_earliest_end_and_the_first_need_is_taken() -> None:
    nodes = [Node("b"), Node("a"), Node("c", ("a", "b")), Node("d", estimated_duration=2.0)]
    assert longest_path(make_plan(nodes)) == (["d"], 2.0)
    assert longest_path(make_plan(nodes[:3])) == (["a", "c"], 2.0)
    assert longest_path(make_plan(nodes), {}) == (["b"], 0.0)


def test_the_longest_path_does_not_follow_order_only_edges() -> None:
    plan = make_plan([Node("a", estimated_duration=5.0), Node("b", order_only=("a",), estimated_duration=1.0)])
    assert longest_path(plan) == (["a"], 5.0)
    assert longest_path(with_barriers(make_plan(DIAMOND))) == longest_path(make_plan(DIAMOND))


def test_the_longest_path_is_a_path_and_its_duration_is_the_highest_priority() -> None:
    for seed in range(30):
        plan = random_plan(seed, 200)
        path, duration = longest_path(plan)
        assert (
            duration == pytest.approx(max(plan.priorities.values())) == pytest.approx(duration_of(plan, tuple(path)))
        ), seed
        assert not plan.nodes[path[0]].needs, seed
        for before, name in pairwise(path):
            assert before in plan.nodes[name].needs, seed


@pytest.mark.parametrize(
    ("work", "longest", "slots", "times"),
    [(12.0, 3.0, 8, 4.0), (12.0, 3.0, 2, 2.0), (12.0, 3.0, 1, 1.0), (12.0, 12.0, 4, 1.0), (0.0, 0.0, 4, 1.0)],
)
def test_the_best_speedup_is_bounded_by_the_longest_path_and_by_the_slots(
    work: float, longest: float, slots: int, times: float
) -> None:
    assert best_speedup(work, longest, slots) == times


# -- Plan to Plan ------------------------------------------------------------------------------------------------------


def test_sequential_is_the_same_plan_with_one_slot() -> None:
    plan = make_plan(DIAMOND, ["d"], 3)
    assert sequential(plan) == make_plan(DIAMOND, ["d"], 1)
    assert plan.slots == 3


def test_with_barriers_each_stage_waits_for_a_barrier_that_waits_for_the_stage_before() -> None:
    plan = with_barriers(make_plan(DIAMOND, ["d"], 3))
    after = {name: node.order_only for name, node in plan.nodes.items()}
    assert after == {
        "a": (),
        "e": (),
        "|0": ("a", "e"),
        "b": ("|0",),
        "c": ("|0",),
        "|1": ("b", "c", "|0"),
        "d": ("|1",),
        "|2": ("d", "|1"),
    }
    assert [name for name, node in plan.nodes.items() if node.barrier] == ["|0", "|1", "|2"]
    assert all(plan.nodes[node.name] == replace(node, order_only=after[node.name]) for node in DIAMOND)


def test_barriers_do_not_change_work_stages_retained_outputs_and_slots() -> None:
    plan = make_plan(DIAMOND, ["d"], 3)
    barred = with_barriers(plan)
    assert (barred.stages, barred.retained, barred.slots, barred.work) == (
        plan.stages,
        plan.retained,
        plan.slots,
        plan.work,
    )
    assert barred.priorities["c"] == 3.0 and barred.priorities["a"] == barred.priorities["|0"] + 1.0 == 7.0
    assert barred.priorities["e"] == barred.priorities["|0"] + 4.0


def test_adding_barriers_twice_changes_nothing() -> None:
    barred = with_barriers(make_plan(DIAMOND))
    assert with_barriers(barred) == barred


def test_barriers_keep_the_number_of_edges_linear() -> None:
    count = 200
    left = [Node(f"a{i}") for i in range(count)]
    plan = with_barriers(make_plan([*left, *(Node(f"b{i}", (f"a{i}",)) for i in range(count))]))
    assert sum(len(node.order_only) for node in plan.nodes.values()) == 3 * count + 1


# -- cycles ------------------------------------------------------------------------------------------------------------


def rotations(cycle: list[str]) -> list[list[str]]:
    return [cycle[i:] + cycle[:i] for i in range(len(cycle))]


def test_a_cycle_is_listed_in_order_of_its_edges() -> None:
    (cycle,) = find_cycles({"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a"]})
    assert cycle in rotations(["a", "c", "b"])


def test_a_node_that_needs_itself_is_a_cycle() -> None:
    assert find_cycles({"a": ["a"], "b": ["a"]}) == [["a"]]


def test_no_cycle_is_found_in_an_acyclic_graph() -> None:
    assert find_cycles({}) == []
    assert find_cycles({"a": ["b"], "b": ["missing"]}) == []


def test_cycles_that_share_no_node_are_all_found_up_to_the_limit() -> None:
    graph = {f"{side}{i}": [f"{'b' if side == 'a' else 'a'}{i}"] for i in range(12) for side in "ab"}
    cycles = find_cycles(graph)
    assert len(cycles) == 10
    assert len({name for cycle in cycles for name in cycle}) == 20
    assert len(find_cycles(graph, limit=3)) == 3
    assert len(find_cycles(graph, limit=99)) == 12
    assert graph["a0"] == ["b0"]


def test_every_cycle_found_is_a_cycle_and_breaking_all_of_them_leaves_none() -> None:
    for seed in range(50):
        draw = random.Random(seed)
        names = [f"n{i}" for i in range(12)]
        graph = {name: draw.sample(names, draw.randint(0, 2)) for name in names}
        cycles = find_cycles(graph, limit=99)
        for cycle in cycles:
            for name, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
                assert following in graph[name], seed
        broken = [name for cycle in cycles for name in cycle]
        assert len(broken) == len(set(broken)), seed
        rest = {name: [n for n in needs if n not in broken] for name, needs in graph.items() if name not in broken}
        make_stages(rest)


def test_a_plan_of_selected_nodes_waits_for_these_alone() -> None:
    plan = make_plan([Node("a"), Node("b", needs=("a",)), Node("c", needs=("a", "b")), Node("d")], slots=2)
    found = selected_plan(plan, {"c", "b"}, ["d"])
    assert {name: node.needs for name, node in found.nodes.items()} == {"b": (), "c": ("b",), "d": ()}
    assert (found.stages, found.not_selected, found.slots) == ((("b", "d"), ("c",)), ("a", "d"), 2)
    assert with_barriers(found).not_selected == ("a", "d")


def test_nodes_take_nothing_of_the_run_of_what_their_executor_has_on_its_own() -> None:
    takes = (("cpu", 8.0), ("gpu", 1.0), ("api", 2.0))
    plan = make_plan([Node("a", resources=takes), Node("b", resources=takes)], slots=3, budget={"gpu": 1, "api": 9})
    placed = with_executor_slots(plan, {"a": "far"}, {"far": ("cpu", "gpu"), "other": ("api",)})
    assert dict(placed.nodes["a"].resources) == {"api": 2.0, "cpu of far": 1.0}
    assert placed.nodes["b"] == plan.nodes["b"]
    assert placed.budget.keys() == {"cpu", "gpu", "api", "cpu of far"}
    assert placed.budget["cpu of far"] > 1e12
    assert dict(with_executor_slots(plan, {"a": "far"}).nodes["a"].resources)["cpu of far"] == 3.0
