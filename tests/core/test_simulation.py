"""Simulated runs: the exact logs of events."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bench.random_plans import random_plan
from bench.simulation import by_estimate, makespan, simulate
from nfrun.core.errors import Cause
from nfrun.core.events import (
    AttemptStopped,
    Failure,
    NodeFailed,
    NodeFinished,
    NodeRetrying,
    NodeSkipped,
    NodeStarted,
    Outcome,
    OutputRef,
    OutputReleased,
    RunFinished,
    RunStarted,
)
from nfrun.core.pipeline import Retry
from nfrun.core.plan import Node, make_plan, sequential, with_barriers

A, B = OutputRef("a", 0, 0, ""), OutputRef("b", 0, 0, "")


def test_a_chain_runs_from_end_to_end() -> None:
    plan = make_plan(
        [Node("a", estimated_duration=2.0), Node("b", ("a",), reads=("a",), estimated_duration=3.0)], retained=["b"]
    )
    assert simulate(plan, by_estimate(plan)) == [
        RunStarted(0.0, 2, 1),
        NodeStarted(0.0, "a", 1),
        NodeFinished(2.0, "a", 1, {"a": A}, 2.0),
        NodeStarted(2.0, "b", 1, {"a": A}),
        NodeFinished(5.0, "b", 1, {"b": B}, 3.0),
        OutputReleased(5.0, "a", A),
        RunFinished(5.0, "ok"),
    ]


def test_a_plan_without_nodes_ends_at_once() -> None:
    assert simulate(make_plan([]), by_estimate(make_plan([]))) == [RunStarted(0.0, 0, 1), RunFinished(0.0, "ok")]
    assert makespan(make_plan([])) == 0.0


def test_a_late_outcome_of_a_timed_out_attempt_is_ignored() -> None:
    plan = make_plan([Node("a", timeout=1.0, retry=Retry(max=1, delay=4.0, jitter=0.0))])
    durations = {1: 3.0, 2: 0.5}
    failure = Failure(Cause.TIMEOUT, "Timeout", "took longer than its timeout of 1 s")
    assert simulate(plan, lambda start: Outcome("a", start.attempt, duration=durations[start.attempt])) == [
        RunStarted(0.0, 1, 1),
        NodeStarted(0.0, "a", 1),
        AttemptStopped(1.0, "a", 1, "timeout"),
        NodeRetrying(1.0, "a", 1, 4.0, failure, 1.0),
        NodeStarted(5.0, "a", 2),
        NodeFinished(5.5, "a", 2, {}, 0.5),
        RunFinished(5.5, "ok"),
    ]


def test_an_attempt_that_ends_exactly_at_its_timeout_has_finished() -> None:
    plan = make_plan([Node("a", timeout=1.0)])
    assert simulate(plan, lambda start: Outcome("a", 1, duration=1.0))[-1] == RunFinished(1.0, "ok")


@pytest.mark.parametrize("keep_going", [True, False])
def test_keep_going_is_passed_to_the_scheduler(keep_going: bool) -> None:
    plan = make_plan([Node("a"), Node("b", ("a",)), Node("c")])
    failure = Failure(Cause.NODE, "E", "broke")
    log = simulate(
        plan,
        lambda start: Outcome(start.node, 1, failure if start.node == "a" else None, duration=1.0),
        keep_going=keep_going,
    )
    assert log[2:4] == [NodeFailed(1.0, "a", 1, failure, 1.0), NodeSkipped(1.0, "b", "a")]
    assert (NodeFinished(2.0, "c", 1, {}, 1.0) in log) is keep_going
    assert log[-1].status == "failed"  # type: ignore[union-attr]


def test_the_seed_decides_the_jitter() -> None:
    plan = make_plan([Node("a", retry=Retry(max=1))])
    logs = [
        simulate(
            plan, lambda s: Outcome("a", s.attempt, Failure(Cause.NODE, "E", "") if s.attempt == 1 else None), seed=n
        )
        for n in (0, 0, 1)
    ]
    assert logs[0] == logs[1] != logs[2]


def test_outcomes_at_the_same_time_come_in_the_order_of_the_starts() -> None:
    plan = make_plan([Node(f"n{i}") for i in range(20)], slots=20)
    finished = [event.node for event in simulate(plan, by_estimate(plan)) if isinstance(event, NodeFinished)]
    assert finished == list(plan.nodes)


def test_ignored_outcomes_do_not_disturb_that_order() -> None:
    def late(name: str, delay: float) -> Node:
        return Node(name, estimated_duration=9.0, timeout=2.5, retry=Retry(max=1, delay=delay, jitter=0.0))

    plan = make_plan([late("s", 1.5), late("t", 50.0), Node("x", estimated_duration=9.0), Node("y")], slots=3)
    durations = {("s", 1): 3.0, ("t", 1): 3.0, ("x", 1): 60.0, ("y", 1): 3.5, ("s", 2): 2.0, ("t", 2): 1.0}
    log = simulate(
        plan, lambda start: Outcome(start.node, start.attempt, duration=durations[start.node, start.attempt])
    )
    ends = [(event.at, event.node) for event in log if isinstance(event, NodeFinished)]
    assert ends == [(6.0, "y"), (6.0, "s"), (53.5, "t"), (60.0, "x")]


def test_a_run_that_can_never_end_is_an_error_and_not_a_loop() -> None:
    plan = make_plan([Node("a", resources=(("cpu", float("nan")),))])
    with pytest.raises(RuntimeError, match=r"^the scheduler waits for nothing, and is not done$"):
        simulate(plan, by_estimate(plan))


def test_the_makespan_depends_on_the_schedule() -> None:
    nodes = [
        Node("a", estimated_duration=1.0),
        Node("b", estimated_duration=4.0),
        Node("c", ("a",), estimated_duration=4.0),
        Node("d", ("b",), estimated_duration=1.0),
    ]
    plan = make_plan(nodes, slots=2)
    assert makespan(plan) == 5.0
    assert makespan(with_barriers(plan)) == 8.0
    assert makespan(sequential(plan)) == 10.0


def test_by_estimate_takes_the_estimated_duration_and_gives_one_output() -> None:
    plan = make_plan([Node("a", estimated_duration=2.5)])
    assert by_estimate(plan)(NodeStarted(7.0, "a", 3)) == Outcome("a", 3, outputs={"a": A}, duration=2.5)


def test_a_random_plan_depends_on_its_seed_alone() -> None:
    assert random_plan(3, 100) == random_plan(3, 100) != random_plan(4, 100)


def test_a_random_plan_has_the_requested_properties() -> None:
    plan = random_plan(7, 500, slots=6, most_needs=4, reach=9)
    place = {name: i for i, name in enumerate(plan.nodes)}
    assert list(place) == [f"n{i}" for i in range(500)]
    assert plan.slots == 6
    needs = Counter(len(node.needs) for node in plan.nodes.values())
    assert set(needs) == {0, 1, 2, 3, 4}
    for name, node in plan.nodes.items():
        assert all(1 <= place[name] - place[need] <= 9 for need in node.needs)
        assert len(set(node.needs)) == len(node.needs)
        assert set(node.reads) <= set(node.needs)
        assert 0.05 <= node.estimated_duration <= 10.0
    assert 0 < len(plan.retained) < 500


def test_a_random_plan_runs_to_its_end() -> None:
    for seed in range(5):
        plan = random_plan(seed, 1_000)
        log = simulate(plan, by_estimate(replace(plan)))
        assert sum(isinstance(event, NodeFinished) for event in log) == 1_000, seed
